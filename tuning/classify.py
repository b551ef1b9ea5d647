"""Method classify: an encoder learns to say which label a text, or a pair of texts, has, or which of several.

The transformers Trainer with a PEFT adapter, or the whole encoder. What is stored is loaded again as it will be used,
and measured on the held-out rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from groundtone.errors import DataError
from groundtone.models.classifier import Given, TextClassifier
from groundtone.models.classifier_base import load_encoder_base
from groundtone.models.classifier_format import Pair, TextFormat
from tuning.encoder_rows import TextRow
from tuning.encoder_rows_checks import check_labels, label_names
from tuning.encoder_trainer import EncodedRow, Loss, card_of, fit_encoder
from tuning.engine import Finished
from tuning.plan import OverLength, Plan
from tuning.scores import Scores
from tuning.scores_text import score_texts

__all__ = ["ClassWeights", "TunedClassifier", "long_rows", "shown", "train_classifier"]

ClassWeights = Literal["none", "balanced"]


@dataclass(frozen=True, slots=True)
class TunedClassifier:
    """A finished training, and its figures on held-out rows; None where there were none."""

    finished: Finished
    labels: tuple[str, ...]
    scores: Scores | None


def train_classifier(
    rows: Sequence[TextRow],
    plan: Plan,
    *,
    heldout: Sequence[TextRow] = (),
    labels: Sequence[str] = (),
    multi_label: bool = False,
    class_weights: ClassWeights = "none",
    threshold: float = 0.5,
) -> TunedClassifier:
    """Tunes a classifier by the plan; its folder gets scores.json and scores.md too.

    `labels` give the order and may name more than the rows have. `class_weights` "balanced" weighs a row by
    rows / (labels * rows of its label). `threshold`: from which probability on one of several labels is called. Losses
    are means per row. Raises DataError for rows that cannot be told apart, are too long, or are held out with a label
    that none trains; ModelError for a base that is no encoder; and what `run_training` raises.
    """
    check_labels(rows, heldout, least=1 if multi_label else 2)
    names = label_names(rows, labels)
    loaded = load_encoder_base(plan.base, device=plan.device)
    text_format = loaded.text_format(max_tokens=plan.max_length)
    encoded = _encode(text_format, rows, names, multi_label=multi_label)
    kept, dropped = long_rows(encoded, rows, over_length=plan.over_length, limit=text_format.max_tokens)
    held = [row for row, _ in _encode(text_format, heldout, names, multi_label=multi_label)]
    weights = _weights([rows[row.row] for row in kept], names, multi_label=multi_label, how=class_weights)
    card = card_of(
        loaded,
        kept,
        held,
        plan=plan,
        method="classify",
        labels=list(names),
        multi_label=multi_label,
        threshold=threshold,
        class_weights=class_weights,
        max_tokens=text_format.max_tokens,
        overlap_tokens=text_format.overlap_tokens,
    )
    finished = fit_encoder(
        kept,
        held,
        plan=plan,
        task="classify",
        base=loaded,
        card=card,
        loss=lambda where: _loss(weights, multi_label=multi_label, device=where),
        labels=names,
        dropped=dropped,
    )
    scores = _measured(finished.adapter, rows, heldout, plan=plan) if heldout else None
    if scores is not None:
        scores.write(plan.out_dir)
    return TunedClassifier(finished, names, scores)


def shown(row: TextRow) -> Given:
    """What a classifier is given of a row."""
    return row.text if row.pair is None else (row.text, row.pair)


def long_rows(
    encoded: Sequence[tuple[EncodedRow, int]], rows: Sequence[Any], *, over_length: OverLength, limit: int
) -> tuple[list[EncodedRow], tuple[int, ...]]:
    """The rows that are trained on, and the numbers of those that were dropped; each came with its tokens cut.

    Raises DataError naming the rows that do not fit, unless they may be cut or dropped; and where none is left.
    """
    long = sorted({row.row for row, cut in encoded if cut})
    if long and over_length == "refuse":
        named = ", ".join(rows[n].where for n in long[:20]) + (f" and {len(long) - 20} more" if len(long) > 20 else "")
        raise DataError(
            f"{len(long)} rows are longer than the {limit} tokens that are shown: {named}; shorten them, raise "
            "tuning.max_length up to the base's window, or set tuning.over_length to cut or drop"
        )
    dropped = tuple(long) if over_length == "drop" else ()
    kept = [row for row, _ in encoded if row.row not in set(dropped)]
    if not kept:
        raise DataError(f"none of {len(rows)} rows fits into {limit} tokens: set tuning.over_length to cut")
    return kept, dropped


def _encode(
    text_format: TextFormat, rows: Sequence[TextRow], labels: Sequence[str], *, multi_label: bool
) -> list[tuple[EncodedRow, int]]:
    pairs: list[Pair] = [(None, row.text) if row.pair is None else (row.text, row.pair) for row in rows]
    place = {label: number for number, label in enumerate(labels)}
    made = []
    for number, (window, row) in enumerate(zip(text_format.whole(pairs), rows, strict=True)):
        if not multi_label and len(row.labels) != 1:
            raise DataError(
                f"{row.where}: has {len(row.labels)} labels; give it one, or set tuning.encoder.multi_label"
            )
        target = [float(label in row.labels) for label in labels] if multi_label else place[row.labels[0]]
        made.append((EncodedRow(window.ids, window.types, target, number), window.cut))
    return made


def _weights(
    rows: Sequence[TextRow], labels: Sequence[str], *, multi_label: bool, how: ClassWeights
) -> list[float] | None:
    """For one label, the weight of its rows (their mean is 1); for several, of a label that holds against one that
    does not.
    """
    if how == "none":
        return None
    seen: Mapping[str, int] = Counter(label for row in rows for label in row.labels)
    if multi_label:
        return [(len(rows) - seen[label]) / seen[label] if seen[label] else 1.0 for label in labels]
    used = [label for label in labels if seen[label]]
    return [len(rows) / (len(used) * seen[label]) if seen[label] else 1.0 for label in labels]


def _loss(weights: Sequence[float] | None, *, multi_label: bool, device: str) -> Loss:
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

    weight = None if weights is None else torch.tensor(weights, device=device)

    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        logits = outputs["logits"].float()
        if multi_label:
            total = binary_cross_entropy_with_logits(logits, labels, pos_weight=weight, reduction="sum")
        else:
            total = cross_entropy(logits, labels, weight=weight, reduction="sum")
        return total / (labels.numel() if num_items_in_batch is None else num_items_in_batch)

    return loss


def _measured(folder: Path, rows: Sequence[TextRow], heldout: Sequence[TextRow], *, plan: Plan) -> Scores:
    """The stored classifier on the held-out rows, which are cut where they are too long, as in use."""
    classifier = TextClassifier.load(folder, base=plan.base, device=plan.device)
    sources = [row.source for row in heldout]
    return score_texts(
        [row.labels for row in heldout],
        classifier.probabilities([shown(row) for row in heldout]),
        labels=classifier.labels,
        train=[row.labels for row in rows],
        multi_label=classifier.multi_label,
        threshold=classifier.threshold,
        clusters=sources if all(sources) else None,
    )
