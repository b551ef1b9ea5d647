"""Reward models: what people preferred, learned as one number per prompt and reply.

The base is a causal model, which reads prompt and reply as serving writes them, or an encoder (BERT and its like),
which reads them as two segments. An adapter folder with a scalar head makes it a reward model; rewards are comparable
for one prompt, have no unit and no zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtone.errors import ModelError, first_line
from groundtone.models.adapter import attach, read_card
from groundtone.models.chat_format import ChatFormat
from groundtone.models.device import pick_device, pick_dtype
from groundtone.models.quiet import quiet
from groundtone.models.weights import Base, ensure_pad, refuse_random, resolve_folder
from groundtone.types import Prompt

__all__ = ["RewardFormat", "RewardModel", "load_reward_base"]


_HEADS = {"score", "classifier"}  # what transformers calls it, and PEFT trains and stores whole


@dataclass(frozen=True, slots=True)
class Encoded:
    """Prompt and reply in tokens; `ids[:prompt_tokens]` is the prompt with what stands before it."""

    ids: tuple[int, ...]
    prompt_tokens: int


class RewardFormat:
    """How prompt and reply become tokens: by the chat template, or as the two segments of an encoder."""

    def __init__(self, base: Base) -> None:
        self._tokenizer = base.tokenizer
        self._chat = None if _reads_both_ways(base.model.config) else ChatFormat(base.tokenizer)

    def encode(self, prompt: Prompt, reply: str) -> Encoded:
        """Never truncated. An encoder is shown the user's last message: the passages and the question."""
        if self._chat is not None:
            before = self._chat.prompt_ids(prompt)
            return Encoded((*before, *self._chat.completion_ids(prompt, reply)), len(before))
        asked = prompt.messages[-1]["content"]
        both = self._tokenizer(asked, reply.strip(), truncation=False)
        segments = both.sequence_ids(0)
        return Encoded(tuple(both["input_ids"]), segments.index(1) if 1 in segments else len(segments))


def load_reward_base(id_or_path: str, *, dtype: str = "auto", device: str = "auto") -> Base:
    """A base under a fresh scalar head, whose start is random: set the seed before.

    Raises ModelError for weights that are not there, all but the head's, and for models that are neither causal nor
    encoders.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    place, folder = pick_device(device), resolve_folder(id_or_path)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, num_labels=1)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        ensure_pad(tokenizer, config)
        config.get_text_config().pad_token_id = tokenizer.pad_token_id  # by which a causal model finds the last token
        with torch.device("meta"):
            size = sum(p.numel() for p in AutoModelForSequenceClassification.from_config(config).parameters())
        precision = pick_dtype(dtype, place, parameters=size)
        with quiet():
            model, told = AutoModelForSequenceClassification.from_pretrained(
                folder,
                config=config,
                dtype=precision,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first = first_line(error)
        raise ModelError(
            f"model {id_or_path!r} cannot carry a reward head ({first}): choose a causal language model or an encoder "
            "such as BERT, with a tokenizer and .safetensors weights"
        ) from error
    refuse_random([key for key in told["missing_keys"] if key.split(".")[0] not in _HEADS], id_or_path, folder)
    model.to(place).eval().requires_grad_(False)
    if _mixes(str(place), str(precision).removeprefix("torch.")):
        for name in _HEADS & dict(model.named_children()).keys():
            model.get_submodule(name).float()
    known = (config.get_text_config().to_dict().get("max_position_embeddings"), tokenizer.model_max_length)
    limit = min((n for n in known if isinstance(n, int) and 0 < n < 10_000_000), default=None)
    return Base(id_or_path, folder, model, tokenizer, str(place), str(precision).removeprefix("torch."), limit)


class RewardModel:
    """Scores replies in batches, sorted by length."""

    def __init__(self, base: Base, network: Any, *, batch_size: int = 16) -> None:
        self.base = base
        self.format = RewardFormat(base)
        self.batch_size = batch_size
        self._network = network

    @classmethod
    def load(
        cls,
        adapter: Path,
        *,
        base: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batch_size: int = 16,
        allow_template_mismatch: bool = False,
    ) -> RewardModel:
        """The reward model in `adapter`, on the base that its card names unless `base` says where that lies.

        Raises ModelError for a folder that is no reward model of ours, and where base or prompts are others.
        """
        card = read_card(adapter)
        if card is None or card.config.get("method") != "reward":
            made = "has no card" if card is None else f"was made by method {card.config.get('method', 'sft')}"
            raise ModelError(f"{adapter} is no reward model ({made}): name a run of tuning.method reward")
        loaded = load_reward_base(base or card.base, dtype=dtype, device=device)
        network = attach(loaded, adapter, allow_template_mismatch=allow_template_mismatch)
        return cls(loaded, network, batch_size=batch_size)

    def score(self, prompts: Sequence[Prompt], replies: Sequence[str]) -> list[float | None]:
        """The reward of each reply; None for a row that is longer than the model reads."""
        if len(prompts) != len(replies):
            raise ModelError(f"{len(prompts)} prompts and {len(replies)} replies were given: give one reply per prompt")
        rows = [self.format.encode(prompt, reply).ids for prompt, reply in zip(prompts, replies, strict=True)]
        limit = self.base.context_tokens
        order = sorted(
            (n for n, ids in enumerate(rows) if limit is None or len(ids) <= limit), key=lambda n: len(rows[n])
        )
        scores: list[float | None] = [None] * len(rows)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            for n, value in zip(batch, self._forward([rows[n] for n in batch]), strict=True):
                scores[n] = value
        return scores

    def _forward(self, rows: Sequence[tuple[int, ...]]) -> list[float]:
        """Right padding, as in training: the reward is read at a row's last token."""
        import torch

        width, pad, device = max(map(len, rows)), self.base.tokenizer.pad_token_id, self.base.device
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
        mixed: AbstractContextManager[Any] = nullcontext()
        if _mixes(device, self.base.dtype):
            mixed = torch.autocast(torch.device(device).type, dtype=getattr(torch, self.base.dtype))
        with torch.inference_mode(), mixed:
            values: list[float] = self._network(input_ids=ids, attention_mask=mask).logits[:, 0].float().tolist()
        return values


def _mixes(device: str, dtype: str) -> bool:
    """Whether the head computes in float32 above a narrower base: in 16 bits, its small updates would round away."""
    return dtype == "bfloat16" or (dtype == "float16" and device.startswith("cuda"))


def _reads_both_ways(config: Any) -> bool:
    """Whether the architecture is an encoder: one that can be trained to fill masks."""
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    return type(config) in MODEL_FOR_MASKED_LM_MAPPING
