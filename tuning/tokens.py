"""Method tokens: an encoder learns which words of a text are of what kind, as spans with exact characters.

A text may be read after a context that carries no labels: an answer after the passages that it rests on. Long texts
are read in windows that overlap; sub-words share the label of their span.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtone.models.classifier import Given, TokenClassifier, tag_names
from groundtone.models.classifier_base import load_encoder_base
from groundtone.models.classifier_format import OVERLAP_TOKENS, TextFormat
from groundtone.text import Span
from tuning.classify import ClassWeights, long_rows
from tuning.encoder_rows import TokenRow
from tuning.encoder_rows_checks import check_labels, label_names
from tuning.encoder_rows_spans import LabelledSpan
from tuning.encoder_trainer import EncodedRow, Loss, card_of, fit_encoder
from tuning.engine import Finished
from tuning.plan import Plan
from tuning.rows import IGNORED
from tuning.scores import Scores
from tuning.scores_spans import Labelling, score_spans

__all__ = ["TunedTagger", "aligned", "shown_tokens", "train_tagger"]


@dataclass(frozen=True, slots=True)
class TunedTagger:
    """A finished training, its figures on held-out rows (None where there were none), and the rows whose spans begin
    or end inside a token, so that they cannot be found exactly.
    """

    finished: Finished
    labels: tuple[str, ...]
    scores: Scores | None
    inexact: tuple[str, ...]


def train_tagger(
    rows: Sequence[TokenRow],
    plan: Plan,
    *,
    heldout: Sequence[TokenRow] = (),
    labels: Sequence[str] = (),
    class_weights: ClassWeights = "none",
    overlap_tokens: int = OVERLAP_TOKENS,
) -> TunedTagger:
    """Tunes a tagger by the plan; its folder gets scores.json and scores.md too.

    `plan.max_length` is the window in tokens; only a context can be too long, since a text goes on in the next window,
    with `overlap_tokens` of it seen twice. `class_weights` "balanced" weighs tokens by how rare their tag is. Losses
    are means per token of the labelled text. Raises as `train_classifier` does.
    """
    check_labels(rows, heldout, least=1)
    names = label_names(rows, labels)
    loaded = load_encoder_base(plan.base, device=plan.device)
    text_format = loaded.text_format(max_tokens=plan.max_length, overlap_tokens=overlap_tokens)
    encoded, inexact = _encode(text_format, rows, names)
    kept, dropped = long_rows(encoded, rows, over_length=plan.over_length, limit=text_format.max_tokens)
    held = [row for row, _ in _encode(text_format, heldout, names)[0]]
    weights = _weights(kept, len(tag_names(names))) if class_weights == "balanced" else None
    card = card_of(
        loaded,
        kept,
        held,
        plan=plan,
        method="tokens",
        labels=list(names),
        class_weights=class_weights,
        max_tokens=text_format.max_tokens,
        overlap_tokens=text_format.overlap_tokens,
    )
    finished = fit_encoder(
        kept,
        held,
        plan=plan,
        task="tokens",
        base=loaded,
        card=card,
        loss=lambda where: _loss(weights, device=where),
        labels=tag_names(names),
        dropped=dropped,
    )
    scores = _measured(finished.adapter, heldout, plan=plan) if heldout else None
    if scores is not None:
        scores.write(plan.out_dir)
    return TunedTagger(finished, names, scores, tuple(rows[n].where for n in inexact))


def shown_tokens(row: TokenRow) -> Given:
    """What a tagger is given of a row."""
    return row.text if row.context is None else (row.context, row.text)


def aligned(offsets: Sequence[Span | None], spans: Sequence[LabelledSpan], labels: Sequence[str]) -> list[int]:
    """The tag of every token: B of a span on the token with its first character, I on the others that it touches.

    IGNORED for tokens outside the labelled text, and for those that stand for no characters. `spans` are in reading
    order and do not overlap; where two touch one token, the first has it.
    """
    place = {name: number for number, name in enumerate(tag_names(labels))}
    tags, at = [], 0
    for span in offsets:
        if span is None or span[0] == span[1]:
            tags.append(IGNORED)
            continue
        while at < len(spans) and spans[at].end <= span[0]:
            at += 1
        if at < len(spans) and spans[at].start < span[1]:
            kind = "B" if span[0] <= spans[at].start else "I"
            tags.append(place[f"{kind}-{spans[at].label}"])
        else:
            tags.append(place["O"])
    return tags


def _encode(
    text_format: TextFormat, rows: Sequence[TokenRow], labels: Sequence[str]
) -> tuple[list[tuple[EncodedRow, int]], list[int]]:
    """Every window of every row with the tokens that its context lost, and the rows with a span that fits no tokens."""
    encoded, inexact = [], []
    for number, windows in enumerate(text_format.windows([(row.context, row.text) for row in rows])):
        spans = rows[number].spans
        for window in windows:
            tags = aligned(window.offsets, spans, labels)
            encoded.append((EncodedRow(window.ids, window.types, tags, number), window.cut))
        starts = {span[0] for window in windows for span in window.offsets if span}
        ends = {span[1] for window in windows for span in window.offsets if span}
        if any(span.start not in starts or span.end not in ends for span in spans):
            inexact.append(number)
    return encoded, inexact


def _weights(rows: Sequence[EncodedRow], tags: int) -> list[float]:
    """Tokens / (tags * tokens of the tag): their mean over all tokens is 1."""
    seen = Counter(tag for row in rows if isinstance(row.target, list) for tag in row.target if tag != IGNORED)
    return [seen.total() / (len(seen) * seen[tag]) if seen[tag] else 1.0 for tag in range(tags)]


def _loss(weights: Sequence[float] | None, *, device: str) -> Loss:
    import torch
    from torch.nn.functional import cross_entropy

    weight = None if weights is None else torch.tensor(weights, device=device)

    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        chosen = labels != IGNORED
        logits = outputs["logits"][chosen].float()
        total = cross_entropy(logits, labels[chosen], weight=weight, reduction="sum")
        return total / (chosen.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch)

    return loss


def _measured(folder: Path, heldout: Sequence[TokenRow], *, plan: Plan) -> Scores:
    """The stored tagger on the held-out rows."""
    tagger = TokenClassifier.load(folder, base=plan.base, device=plan.device)
    sources = [row.source for row in heldout]
    found = tagger.predict([shown_tokens(row) for row in heldout])
    rows = [
        Labelling(row.spans, tuple(LabelledSpan(s.start, s.end, s.label) for s in tagging.spans), tagging.score)
        for row, tagging in zip(heldout, found, strict=True)
    ]
    return score_spans(rows, labels=tagger.labels, clusters=sources if all(sources) else None)
