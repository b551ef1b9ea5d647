"""What is looked at before an encoder is tuned: splits that do not leak, labels that can be learned, contradictions."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

from groundtone.errors import DataError
from groundtone.text import normalise
from tuning.checks import CheckName, Level
from tuning.encoder_rows import DocumentRow, R, TextRow, TokenRow
from tuning.findings import Finding

__all__ = ["Split", "check_labels", "checked", "findings_of", "label_names", "split_rows"]

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Split(Generic[R]):
    """Rows that are trained on, and rows that are only measured on."""

    train: tuple[R, ...]
    heldout: tuple[R, ...]


def split_rows(rows: Sequence[R], *, heldout: float, seed: int) -> Split[R]:
    """Holds out about that share of every label's rows; rows of one source, or with one text, stay together.

    A label keeps at least one source for training. Raises DataError where nothing could be held out.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        groups[row.source or _key(row)].append(number)
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name, members in groups.items():
        by_kind[_kind(rows[members[0]])].append(name)
    rng = random.Random(seed)
    held: set[int] = set()
    for kind in sorted(by_kind):
        names = by_kind[kind]
        rng.shuffle(names)
        wanted, taken = heldout * sum(len(groups[name]) for name in names), 0
        for name in names[:-1]:
            size = len(groups[name])
            if abs(taken + size - wanted) < abs(taken - wanted):
                taken += size
                held.update(groups[name])
    if not held:
        raise DataError(
            f"none of {len(rows)} rows of {len(groups)} sources can be held out: give more rows, or a file of its own "
            "as tuning.heldout"
        )
    return Split(
        tuple(row for number, row in enumerate(rows) if number not in held),
        tuple(row for number, row in enumerate(rows) if number in held),
    )


def label_names(rows: Sequence[TextRow | TokenRow], known: Sequence[str] = ()) -> tuple[str, ...]:
    """The labels in order: as given, else those of the rows, sorted."""
    return tuple(known) or tuple(sorted({label for row in rows for label in _row_labels(row)}))


def check_labels(train: Sequence[TextRow | TokenRow], heldout: Sequence[TextRow | TokenRow], *, least: int) -> None:
    """Raises DataError for fewer than `least` labels to tell apart, and for labels that only held-out rows have."""
    seen = Counter(label for row in train for label in _row_labels(row))
    if len(seen) < least:
        only = f"all {len(train)} rows to train on are labelled {next(iter(seen))!r}" if seen else "no row has a label"
        raise DataError(f"{only}: there is nothing to tell apart, add rows with other labels")
    unseen: dict[str, list[str]] = defaultdict(list)
    for row in heldout:
        for label in sorted(_row_labels(row) - set(seen)):
            unseen[label].append(row.where)
    if unseen:
        told = "; ".join(f"{label!r} ({_shown(where)})" for label, where in unseen.items())
        raise DataError(f"labels stand in held-out rows and in none to train on: {told}; add rows, or take them out")


def findings_of(train: Sequence[R], heldout: Sequence[R], *, few: int) -> Iterator[Finding]:
    """Duplicates, contradictions, rows on both sides, and labels with fewer than `few` rows."""
    yield from _repeated([*train, *heldout])
    both = {_key(row) for row in train} & {_key(row) for row in heldout}
    if both:
        where = tuple(row.where for row in heldout if _key(row) in both)
        yield Finding("in_heldout", "held-out texts are also trained on", where, "take them out of one side")
    labels = Counter(label for row in train for label in sorted(_row_labels(row)))
    if rare := tuple(f"{label} ({n} rows)" for label, n in sorted(labels.items()) if n < few):
        yield Finding(
            "imbalance", f"labels have fewer than {few} rows to learn from", rare, "add rows, or merge labels"
        )


def checked(findings: Sequence[Finding], *, levels: Mapping[CheckName, Level]) -> tuple[str, ...]:
    """A line for each finding that is not off. Raises DataError for those whose level is "refuse"."""
    stops = [finding for finding in findings if levels[finding.check] == "refuse"]
    if stops:
        told = "; ".join(f"{_line(f)}: {_shown(f.where)}; {f.fix}" for f in stops)
        raise DataError(
            f"the training data is refused: {told}. To train all the same, set tuning.data_checks to report, or "
            f"tuning.check_levels.{stops[0].check} to report"
        )
    return tuple(f"report: {f.check}: {_line(f)}: {_shown(f.where)}" for f in findings if levels[f.check] != "off")


def _repeated(rows: Sequence[R]) -> Iterator[Finding]:
    same: dict[str, list[R]] = defaultdict(list)
    for row in rows:
        same[_key(row)].append(row)
    groups = [group for group in same.values() if len(group) > 1]
    clash = tuple(" = ".join(row.where for row in group) for group in groups if len({_said(r) for r in group}) > 1)
    if clash:
        yield Finding("contradictions", "equal texts have different labels", clash, "keep the row that is right")
    copies = tuple(" = ".join(row.where for row in group) for group in groups if len({_said(r) for r in group}) == 1)
    if copies:
        yield Finding("exact_duplicates", "groups of rows say the same", copies, "keep one row of each")


def _key(row: TextRow | TokenRow | DocumentRow) -> str:
    """What makes two rows the same text. Spans are characters, so a text with spans counts as it is."""
    if isinstance(row, TextRow):
        return f"{normalise(row.text)}\x1f{normalise(row.pair or '')}"
    if isinstance(row, TokenRow):
        return f"{row.context or ''}\x1f{row.text}"
    return normalise(row.text)


def _said(row: TextRow | TokenRow | DocumentRow) -> object:
    if isinstance(row, TextRow):
        return frozenset(row.labels)
    return row.spans if isinstance(row, TokenRow) else ()


def _row_labels(row: TextRow | TokenRow | DocumentRow) -> set[str]:
    if isinstance(row, TextRow):
        return set(row.labels)
    return {span.label for span in row.spans} if isinstance(row, TokenRow) else set()


def _kind(row: TextRow | TokenRow | DocumentRow) -> str:
    """What a split keeps the shares of: the label; whether there are spans."""
    return "|".join(sorted(_row_labels(row)))


def _line(finding: Finding) -> str:
    return f"{len(finding.where)} {finding.why}"


def _shown(where: Sequence[str]) -> str:
    more = f" and {len(where) - _SHOWN} more" if len(where) > _SHOWN else ""
    return ", ".join(where[:_SHOWN]) + more
