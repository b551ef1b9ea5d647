"""Batches in which rows that begin alike share their beginning: it goes through the model once, and nothing is padded.

A batch becomes lines of tokens, each a forest: a shared prompt, then what follows it in every row. A token sees the
tokens of its own row alone and has the position that it has there, so that every row gets the numbers that it gets by
itself; its loss and gradient are the same sums in another order. Only prompts are shared, never what is trained: each
trained position belongs to one row. System prompts are in every row, passages in many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundtone.errors import ModelError
from groundtone.models.weights import Base
from tuning.rows import IGNORED, Row

__all__ = ["ROW_TOKENS", "Line", "SharedPrompts", "lines_of", "require_sharing", "rows_seen", "sharing"]

ROW_TOKENS = "row_tokens"  # of a batch: how many tokens its rows have, each counted by itself
_CHECKED = 4  # rows that are computed both ways before the training


@dataclass(frozen=True, slots=True)
class Line:
    """Tokens with their labels, their positions in their rows, and for each the one that it follows; -1 at a start."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    positions: tuple[int, ...]
    follows: tuple[int, ...]


def lines_of(ids: Sequence[Sequence[int]], labels: Sequence[Sequence[int]], *, most: int) -> list[Line]:
    """The rows as lines of at most `most` tokens, or of one longer row."""
    order = sorted(range(len(ids)), key=lambda row: list(ids[row]))  # rows that begin alike stand together
    lines, line = [], _Growing()
    for row in order:
        if line.ids and len(line.ids) + line.new_tokens(ids[row], labels[row]) > most:
            lines.append(line.finished())
            line = _Growing()
        line.add(ids[row], labels[row])
    return [*lines, line.finished()]


class _Growing:
    """A line while rows are added to it; the path of the row before says what the next one can share."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.labels: list[int] = []
        self.positions: list[int] = []
        self.follows: list[int] = []
        self._path: list[int] = []  # places of the last row's tokens
        self._open = 0  # how many of them are prompt that may be shared

    def new_tokens(self, ids: Sequence[int], labels: Sequence[int]) -> int:
        """How many tokens the row would add."""
        return len(ids) - self._shared(ids, labels)

    def _shared(self, ids: Sequence[int], labels: Sequence[int]) -> int:
        most = min(self._open, _prompt_tokens(labels))
        return next((n for n in range(most) if self.ids[self._path[n]] != ids[n]), most)

    def add(self, ids: Sequence[int], labels: Sequence[int]) -> None:
        shared = self._shared(ids, labels)
        path = self._path[:shared]
        for place in range(shared, len(ids)):
            self.follows.append(path[-1] if path else -1)
            path.append(len(self.ids))
            self.ids.append(ids[place])
            self.labels.append(labels[place])
            self.positions.append(place)
        self._path, self._open = path, _prompt_tokens(labels)

    def finished(self) -> Line:
        return Line(tuple(self.ids), tuple(self.labels), tuple(self.positions), tuple(self.follows))


def _prompt_tokens(labels: Sequence[int]) -> int:
    """How much of the row may be shared: up to the token before the last of the prompt, which predicts the reply."""
    first = next((place for place, label in enumerate(labels) if label != IGNORED), len(labels))
    return max(0, first - 1)


class SharedPrompts:
    """A data collator: rows with `input_ids` and `labels` to tensors, with a boolean mask (lines, 1, tokens, tokens).

    `width` is the model's hidden size: a token's attention over T others costs about T / (6 width) of its other work
    where the mask is dense, so that lines of twice the width keep it to a third.
    """

    def __init__(self, *, pad: int, width: int) -> None:
        self._pad = pad
        self._most = 2 * width

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        import numpy as np
        import torch

        ids, labels = [list(e["input_ids"]) for e in examples], [list(e["labels"]) for e in examples]
        lines = lines_of(ids, labels, most=max(self._most, *map(len, ids)))
        length = max(len(line.ids) for line in lines)

        def padded(values: Sequence[int], filler: int) -> list[int]:
            return [*values, *[filler] * (length - len(values))]

        mask = np.tile(np.eye(length, dtype=bool), (len(lines), 1, 1))  # padding sees itself: no softmax over nothing
        for number, line in enumerate(lines):
            for place, before in enumerate(line.follows):
                if before >= 0:
                    mask[number, place] |= mask[number, before]
        return {
            "input_ids": torch.tensor([padded(line.ids, self._pad) for line in lines]),
            "labels": torch.tensor([padded(line.labels, IGNORED) for line in lines]),
            "position_ids": torch.tensor([padded(line.positions, 0) for line in lines]),
            "attention_mask": torch.from_numpy(mask).unsqueeze(1),
            ROW_TOKENS: torch.tensor(sum(map(len, ids))),
        }


def rows_seen(batch: Mapping[str, Any]) -> list[tuple[int, ...]]:
    """The rows of a batch: what the last token of each sees, in order."""
    rows = []
    for ids, mask in zip(batch["input_ids"], batch["attention_mask"][:, 0], strict=True):
        ends = mask.sum(dim=0) == 1  # seen by itself alone
        rows += [tuple(ids[seen].tolist()) for seen in mask[ends]]
    return rows


def sharing(on: Base, rows: Sequence[Row]) -> SharedPrompts:
    """The collator for this base, after a few of the rows were computed both ways. Raises ModelError as below."""
    collate = SharedPrompts(pad=on.tokenizer.pad_token_id, width=on.model.config.get_text_config().hidden_size)
    require_sharing(on.model, [{"input_ids": r.ids, "labels": r.labels} for r in rows[:_CHECKED]], collate)
    return collate


def require_sharing(model: Any, few: Sequence[Mapping[str, Any]], collate: SharedPrompts) -> None:
    """Raises ModelError unless the model gives rows that share the numbers that they get alone.

    Some architectures take no mask of this shape, count positions themselves, or see through a window; rather than
    know them all, these rows are computed both ways.
    """
    import torch

    given = {key: value.to(model.device) for key, value in collate(few).items() if key not in ("labels", ROW_TOKENS)}
    trained = model.training
    model.eval()
    try:
        with torch.no_grad():
            together = model(**given, use_cache=False).logits
            for row in few:
                ids = tuple(row["input_ids"])
                alone = model(torch.tensor([ids], device=model.device), use_cache=False).logits[0, -1].float()
                away = min(float((last - alone).abs().max()) for last in _ends(given, together, ids))
                # float32 sums in another order; 16 bits keep three digits, and a wrong position changes the first
                allowed = (1e-3 if together.dtype == torch.float32 else 0.1) * float(alone.abs().max())
                if not away <= allowed:
                    raise ModelError(
                        f"rows that share their prompts get other numbers from this model ({away:.2g} off, "
                        f"{allowed:.2g} allowed): set tuning.share_prompts to false"
                    )
    except (RuntimeError, ValueError, TypeError) as error:
        raise ModelError(f"this model cannot share prompts ({error}): set tuning.share_prompts to false") from error
    finally:
        model.train(trained)


def _ends(given: Mapping[str, Any], logits: Any, row: tuple[int, ...]) -> list[Any]:
    """What the model says after the row, wherever in the batch it ends."""
    return [
        logits[number, place].float()
        for number, mask in enumerate(given["attention_mask"][:, 0])
        for place in (mask.sum(dim=0) == 1).nonzero().flatten().tolist()
        if tuple(given["input_ids"][number][mask[place]].tolist()) == row
    ]
