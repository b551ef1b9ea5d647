"""How far the detector and people agree on claims, corrected for chance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from groundtone.types import HumanVerdict

__all__ = ["Agreement", "agreement", "cohens_kappa"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Detector against people on n judged claims; `kappa` is None where it is undefined (n == 0, or one class only)."""

    kappa: float | None
    agreed: int
    n: int


def cohens_kappa(pairs: Iterable[tuple[bool, bool]]) -> float | None:
    """Chance-corrected agreement of two raters with two classes (Cohen 1960, doi:10.1177/001316446002000104).

    1 is perfect, 0 what chance gives. None for no pairs, and where both raters used one and the same class throughout.
    """
    table = list(pairs)
    if not table:
        return None
    n = len(table)
    observed = sum(a == b for a, b in table) / n
    first, second = sum(a for a, _ in table) / n, sum(b for _, b in table) / n
    expected = first * second + (1 - first) * (1 - second)
    return None if expected == 1 else (observed - expected) / (1 - expected)


def agreement(pairs: Iterable[tuple[str, HumanVerdict]]) -> Agreement:
    """Agreement of the detector's verdict with a person's, each read as "supported by the passages shown, or not".

    "true elsewhere" counts as not supported: the passages that the detector saw do not carry the claim. Claims that
    the detector left unchecked, and people's "unsure", say nothing and are left out.
    """
    judged = [
        (detector == "supported", person == "supported")
        for detector, person in pairs
        if detector in ("supported", "contradicted", "unsupported") and person != "unsure"
    ]
    return Agreement(cohens_kappa(judged), sum(a == b for a, b in judged), len(judged))
