"""Log-probabilities that a local model gives to replies, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from groundtone.errors import ModelError
from groundtone.models.chat_format import ChatFormat
from groundtone.models.generate import LocalModel
from groundtone.text import Span
from groundtone.types import Prompt

__all__ = ["ScoredReply", "log_probabilities", "reply_spans", "scored_replies"]


@dataclass(frozen=True, slots=True)
class ScoredReply:
    """A reply's tokens: the natural-log probability of each, and the characters of the reply that it writes.

    What stands outside of the reply (the stop token, a template's lead) has an empty span.
    """

    log_probabilities: tuple[float, ...]
    spans: tuple[Span, ...]

    def within(self, span: Span) -> list[float]:
        """The values of the tokens that write a character of the span."""
        start, end = span
        return [p for p, (a, b) in zip(self.log_probabilities, self.spans, strict=True) if a < end and start < b]


def scored_replies(model: LocalModel, prompts: Sequence[Prompt], replies: Sequence[str]) -> list[ScoredReply]:
    """`log_probabilities` with each token's place; raises what it raises."""
    values = log_probabilities(model, prompts, replies)
    return [
        ScoredReply(tuple(row), tuple(reply_spans(model.format, prompt, reply)))
        for prompt, reply, row in zip(prompts, replies, values, strict=True)
    ]


def reply_spans(chat_format: ChatFormat, prompt: Prompt, reply: str) -> list[Span]:
    """The characters of `reply` behind each of its completion tokens, in order and without gaps.

    From decoding ever longer prefixes, which needs no tokenizer with offsets: a character that several tokens write
    (bytes of a BPE) belongs to all of them.
    """
    ids = chat_format.completion_ids(prompt, reply)
    wanted, whole = reply.strip(), chat_format.decode(ids, keep_specials=True)
    first = reply.find(wanted)
    last, shift = first + len(wanted), first - max(whole.find(wanted), 0)  # decoded places -> places in the reply
    start, spans = 0, []
    for count in range(1, len(ids) + 1):
        end = _common(chat_format.decode(ids[:count], keep_specials=True), whole)
        a = min(max(start + shift, first), last)
        spans.append((a, max(min(max(end, start + 1) + shift, last), a)))
        start = end
    return spans


def _common(a: str, b: str) -> int:
    """How many characters two texts begin with alike."""
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def log_probabilities(model: LocalModel, prompts: Sequence[Prompt], replies: Sequence[str]) -> list[list[float]]:
    """Natural-log probability of every reply token given the prompt and the reply before it (teacher forcing).

    The last value is the stop token's, where the template has one. The view's adapter state counts. Computed in
    float32 from the model's logits, `model.batch_size` rows at a time; values are <= 0. An empty reply scores its
    stop token alone. Raises ModelError for a row that exceeds the model's context.
    """
    if len(prompts) != len(replies):
        raise ModelError(f"{len(prompts)} prompts and {len(replies)} replies were given: give one reply per prompt")
    rows = []
    for prompt, reply in zip(prompts, replies, strict=True):
        row = (model.format.prompt_ids(prompt), model.format.completion_ids(prompt, reply))
        total = len(row[0]) + len(row[1])
        if model.context_tokens is not None and total > model.context_tokens:
            raise ModelError(
                f"prompt and reply have {total} tokens, but {model.name!r} reads {model.context_tokens}: shorten them"
            )
        rows.append(row)
    order = sorted(range(len(rows)), key=lambda n: (-len(rows[n][0]) - len(rows[n][1]), n))
    scores: dict[int, list[float]] = {}
    for start in range(0, len(order), model.batch_size):
        batch = order[start : start + model.batch_size]
        scores.update(zip(batch, _score(model, [rows[n] for n in batch]), strict=True))
    return [scores[n] for n in range(len(rows))]


def _score(model: LocalModel, rows: Sequence[tuple[list[int], list[int]]]) -> list[list[float]]:
    import torch

    width = max(len(p) + len(c) for p, c in rows)
    first = min(len(p) for p, _ in rows) - 1  # logits before it predict prompt tokens only: they are never computed
    pad, device = model.base.tokenizer.pad_token_id, model.base.device
    # Right padding: under a causal mask no real token sees it, and positions need no shift.
    ids = torch.tensor([[*p, *c] + [pad] * (width - len(p) - len(c)) for p, c in rows], device=device)
    mask = torch.tensor([[1] * (len(p) + len(c)) + [0] * (width - len(p) - len(c)) for p, c in rows], device=device)
    keep = torch.arange(first, width, device=device)
    with model.active() as network:
        logits = network(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=keep).logits
        found = []
        for n, (prompt, completion) in enumerate(rows):
            here = len(prompt) - 1 - first
            part = torch.log_softmax(logits[n, here : here + len(completion)].float(), dim=-1)
            wanted = torch.tensor(completion, device=device)
            found.append(part.gather(-1, wanted[:, None])[:, 0].tolist())
    return found
