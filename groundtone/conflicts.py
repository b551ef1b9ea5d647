"""Where two sentences contradict each other, in plain words: values, their columns, look-alike names, negation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from groundtone.text import content_words, is_table_row, table_cells
from groundtone.values import Kind, Value, find_names, find_values

__all__ = ["Conflict", "compare", "is_negated"]

_NEGATION = re.compile(
    r"\b(?:not|no|never|none|neither|nor|nothing|nobody|without|cannot|isn|aren|wasn|weren|doesn|don|didn|won|wouldn|can|couldn|"
    r"shouldn|hasn|haven|hadn|mustn|needn)(?:['’]t)\b|\b(?:not|no|never|none|neither|nor|nothing|nobody|without|cannot|"
    r"unable|excluded|excludes|except)\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Where a claim contradicts its evidence: the kind, both sides as written, and the sentence that says so."""

    kind: Kind | Literal["column", "negation"]
    claim: str
    evidence: str
    why: str


def is_negated(text: str) -> bool:
    """Whether the sentence carries an odd number of negation cues ("not without" is affirmative)."""
    return len(_NEGATION.findall(text)) % 2 == 1


def compare(claim: str, evidence: str, *, context: str = "") -> list[Conflict]:
    """Where the claim's values, look-alike names or negation differ from a sentence that is about the same thing.

    The caller makes sure that it is: two sentences about different things differ without contradicting each other.
    A value conflicts when the evidence lacks it (or holds it less often) and holds, in its slot, another that the claim
    lacks. `context` (a heading) may back the claim's values and names, and names the columns of a table's row, whose
    values must not be said of another column; else it contradicts nothing.
    """
    claimed, shown = find_values(claim), find_values(evidence)
    conflicts = []
    unmatched, spare = _pair_off(claimed, shown)
    backing = find_values(context)
    for value in unmatched:
        if any(value.same_as(other) for other in backing):
            continue
        rival = next((other for other in spare if value.rivals(other)), None)
        if rival is not None:
            why = f"claim says {value.text}, evidence says {rival.text}"
            conflicts.append(Conflict(value.kind, value.text, rival.text, why))
    conflicts += _column_conflicts(claim, claimed, evidence, context)
    conflicts += _name_conflicts(find_names(claim), find_names(evidence), [*find_names(context), context])
    if is_negated(claim) != is_negated(evidence) and not conflicts:
        denied, other = ("claim", "evidence") if is_negated(claim) else ("evidence", "claim")
        conflicts.append(Conflict("negation", claim, evidence, f"the {denied} denies what the {other} affirms"))
    return conflicts


def _pair_off(claimed: Sequence[Value], shown: Sequence[Value]) -> tuple[list[Value], list[Value]]:
    """What is left on either side after each claimed value took one equal value of the evidence."""
    spare, unmatched = list(shown), []
    for value in claimed:
        twin = next((other for other in spare if value.same_as(other)), None)
        if twin is None:
            unmatched.append(value)
        else:
            spare.remove(twin)
    return unmatched, spare


def _column_conflicts(claim: str, claimed: Sequence[Value], evidence: str, context: str) -> list[Conflict]:
    """Values of a row that are said under another column's name: "closes: 10:00", of a shop that opens then.

    The claim must name what only the other column is called, nothing that only its own is, and not the other's value.
    """
    words = set(content_words(claim))
    conflicts: list[Conflict] = []
    for row in _rows(evidence, context):
        cells = [(name, set(content_words(name)), find_values(cell)) for name, cell in row]
        for value in claimed:
            own = [cell for cell in cells if any(value.same_as(other) for other in cell[2])]
            if len(own) != 1:
                continue
            name, named, _ = own[0]
            for other_name, other_named, values in cells:
                mixed_up = words & (other_named - named) and not words & (named - other_named)
                rivals = [other for other in values if value.rivals(other)]
                if mixed_up and rivals and not any(said.same_as(other) for said in claimed for other in rivals):
                    why = f"{value.text} stands under {name!r}, not under {other_name!r} ({rivals[0].text})"
                    conflicts.append(Conflict("column", value.text, rivals[0].text, why))
                    break
    return conflicts


def _rows(evidence: str, context: str) -> Iterator[list[tuple[str, str]]]:
    """The rows of a table in the evidence, as pairs of column and cell: as they stand, or spelled out as prose."""
    columns = context.rsplit(" > ", 1)[-1].split(" | ")
    for line in evidence.split("\n"):
        if is_table_row(line):
            yield list(zip(columns, table_cells(line), strict=False))
        else:
            parts = (part.partition(": ") for part in line.split("; "))
            yield [(name, cell) for name, colon, cell in parts if colon]


def _name_conflicts(claimed: Sequence[str], shown: Sequence[str], context: Sequence[str]) -> list[Conflict]:
    """Look-alikes only ("Heron 2" against "Heron 2S"): two unrelated names need not fill the same slot."""
    conflicts: list[Conflict] = []
    for name in claimed:
        if name in shown or name in context:
            continue
        alike = next((other for other in shown if _look_alike(name, other) and other not in claimed), None)
        if alike is not None:
            conflicts.append(Conflict("name", name, alike, f"claim is about {name}, evidence about {alike}"))
    return conflicts


def _look_alike(a: str, b: str) -> bool:
    """Equal but for a last word that differs or is added: "Heron 2" and "Heron 2S", "Otter" and "Otter Lite"."""
    first, second = a.split(), b.split()
    shorter = min(len(first), len(second))
    alike = max(1, shorter if len(first) != len(second) else shorter - 1)
    return first != second and first[:alike] == second[:alike] and max(len(first), len(second)) == alike + 1
