"""What a voice gives and costs at each strength of its adapter, and which strength to take.

The budget is the gate's own: hallucination, correctness and general skills against strength 0, by the same margins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from eval.estimates import from_json, in_words
from eval.gate import CHANGED_CHECK, LEAK_CHECK, decide
from groundtone.errors import IntegrityError
from groundtone.files import write_atomic
from groundtone.stats import paired_difference
from groundtone.types import Estimate, GateCheck

__all__ = ["CURVE", "VOICE", "Choice", "Point", "StrengthCurve", "budget", "choose", "read_curve", "write_curve"]

CURVE = "strength.json"  # in the folder of the tuning run
SCHEMA = 1
VOICE = ("tone", "format")
# what the voice gives, and what half of the items is too few for or what only an evaluation asks
_NOT_BUDGET = ("tone up", "format up", LEAK_CHECK, CHANGED_CHECK)
_UNKNOWN = Estimate(None, None, None, 0)
Budget = Literal["inside", "open", "outside"]


@dataclass(frozen=True, slots=True)
class Point:
    """One strength. `voice` holds the held-out prompts' values of each measure of VOICE, in the curve's order.

    `evidence` are the "differences" and "forgetting" rows of a summary in which strength 0 is the base.
    """

    strength: float
    figures: Mapping[str, Estimate]  # tone and format on held-out prompts, correct and hallucination over documents
    voice: Mapping[str, tuple[float | None, ...]]
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StrengthCurve:
    """Points in rising strength, the first of them 0, on the same prompts and questions."""

    run: str
    created: str
    index: str
    prompts: tuple[str, ...]  # ids of the held-out prompts
    points: tuple[Point, ...]
    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """The strength to take, None where none fits; `settled` is false where a check of its budget could not tell."""

    strength: float | None
    settled: bool
    reason: str


def budget(point: Point, margins: Mapping[str, float]) -> tuple[Budget, str]:
    """Whether a strength costs no more than the margins allow, and why.

    "outside": a check failed, or could not tell while its own best estimate lies beyond the margin. "open": a check
    could not tell. Strength 0 is the base, which costs nothing.
    """
    if point.strength == 0:
        return "inside", "it is the base"
    checks = [c for c in decide(point.evidence, margins).checks if c.name not in _NOT_BUDGET]
    beyond = [c for c in checks if c.verdict == "fail" or (c.verdict == "cannot tell" and _costs(c) > (c.margin or 0))]
    if beyond:
        return "outside", "; ".join(f"{c.name}: {c.why}" for c in beyond)
    unsure = [c for c in checks if c.verdict != "pass"]
    if unsure:
        return "open", "; ".join(f"{c.name}: {c.why}" for c in unsure)
    return "inside", "; ".join(f"{c.name}: {c.why}" for c in checks)


def _costs(check: GateCheck) -> float:
    """How much worse than the base the best estimate is; nothing where there is none."""
    if check.estimate is None or check.estimate.mean is None:
        return 0.0
    return check.estimate.mean if check.name.startswith("hallucination") else -check.estimate.mean


def choose(curve: StrengthCurve, margins: Mapping[str, float]) -> Choice:
    """The smallest strength inside the budget whose voice is within noise of the best one inside it.

    Within noise: for tone and for format, the 95 % interval of the paired difference on the same prompts includes 0.
    None where no strength fits the budget, where the voice was not measured, or where the best cannot be told from
    strength 0. A strength whose budget is "open" counts as fitting and makes the choice unsettled.
    """
    measured = [name for name in VOICE if any(_figure(p, name).mean is not None for p in curve.points)]
    if not measured:
        return Choice(None, False, "none fits: neither tone nor format was measured; eval.voice names the prompts")
    whole = [p for p in curve.points if all(_figure(p, name).mean is not None for name in measured)]
    states = {p.strength: budget(p, margins) for p in curve.points}
    fitting = [p for p in whole if p.strength > 0 and states[p.strength][0] != "outside"]
    if not fitting:
        return Choice(None, False, _none_fits(curve, whole, states))
    best = max(fitting, key=lambda p: (_voice(p, measured), -p.strength))
    base = next((p for p in whole if p.strength == 0), None)
    if base is not None and _within_noise(curve, base, best, measured):
        seen = _compared(base, best, measured)
        return Choice(None, False, f"none fits: at {best.strength:g} the voice cannot be told from the base's ({seen})")
    chosen = next(p for p in fitting if p is best or _within_noise(curve, p, best, measured))
    state, why = states[chosen.strength]
    return Choice(chosen.strength, state == "inside", _because(chosen, best, fitting, measured, state, why))


def _figure(point: Point, name: str) -> Estimate:
    return point.figures.get(name, _UNKNOWN)


def _voice(point: Point, measured: Sequence[str]) -> float:
    return sum(_figure(point, name).mean or 0.0 for name in measured) / len(measured)


def _within_noise(curve: StrengthCurve, point: Point, best: Point, measured: Sequence[str]) -> bool:
    """Whether no measure of the voice is lower than the best's by more than chance explains."""
    for name in measured:
        gap = paired_difference(best.voice[name], point.voice[name], resamples=curve.resamples, seed=curve.seed)
        if gap.low is None or gap.low > 0:
            return False
    return True


def _none_fits(curve: StrengthCurve, whole: Sequence[Point], states: Mapping[float, tuple[Budget, str]]) -> str:
    parts = [
        f"{p.strength:g}: {states[p.strength][1] if p in whole else 'its voice was not measured'}"
        for p in curve.points
        if p.strength > 0
    ]
    return "none fits: " + ("; ".join(parts) or "no strength above 0 was measured")


def _compared(point: Point, best: Point, measured: Sequence[str]) -> str:
    return ", ".join(f"{n} {in_words(_figure(point, n))} against {in_words(_figure(best, n))}" for n in measured)


def _because(
    chosen: Point, best: Point, fitting: Sequence[Point], measured: Sequence[str], state: Budget, why: str
) -> str:
    tried = ", ".join(f"{p.strength:g}" for p in fitting)
    if chosen is best:
        voice = ", ".join(f"{name} {in_words(_figure(best, name))}" for name in measured)
        said = f"{best.strength:g} speaks best of the strengths that fit the budget ({tried}): {voice}"
        said += "; every weaker one is worse by more than chance" if fitting[0] is not best else ""
    else:
        said = (
            f"{chosen.strength:g} is the weakest of the strengths that fit the budget ({tried}) whose voice is within "
            f"noise of the best, {best.strength:g}: {_compared(chosen, best, measured)}"
        )
    return f"{said}. {'Its cost is within the margins' if state == 'inside' else 'Not settled'}: {why}"


def write_curve(folder: Path, curve: StrengthCurve, choice: Choice, margins: Mapping[str, float]) -> Path:
    """strength.json: the curve, each strength's state against the margins, and the choice."""
    points = [
        asdict(point) | dict(zip(("budget", "why"), budget(point, margins), strict=True)) for point in curve.points
    ]
    data = {"schema": SCHEMA} | asdict(curve) | {"points": points, "choice": asdict(choice), "margins": dict(margins)}
    path = folder / CURVE
    write_atomic(path, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def read_curve(folder: Path) -> tuple[StrengthCurve, Choice]:
    """What `write_curve` wrote; IntegrityError for a file that is damaged or of another schema."""
    path = folder / CURVE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']!r}, this version reads {SCHEMA}")
        points = tuple(
            Point(
                row["strength"],
                {name: from_json(value) or _UNKNOWN for name, value in row["figures"].items()},
                {name: tuple(values) for name, values in row["voice"].items()},
                row["evidence"],
            )
            for row in data["points"]
        )
        known = {key: data[key] for key in ("run", "created", "index", "resamples", "seed")}
        return StrengthCurve(**known, prompts=tuple(data["prompts"]), points=points), Choice(**data["choice"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path} cannot be read ({error}): run `groundtone strength` again") from error
