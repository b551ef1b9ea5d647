"""Two evaluation runs, paired by item: what rose and fell under every arm, and which items were fixed and broken.

Only items that both runs asked in the same words are paired; the others are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.estimates import as_json, from_json, in_words
from eval.metrics import LOWER_IS_BETTER, METRICS
from eval.paired import Arm, Draw, bounds_of, by_arm, fixed_and_broken, of_metric
from eval.report_parts import LABELS, table
from groundtone.types import EvalRecord

__all__ = ["compare_runs", "comparison_markdown"]

_SHOWN = 12  # items that a line of the text names


def compare_runs(
    before: Sequence[EvalRecord], after: Sequence[EvalRecord], *, arms: tuple[str, str] | None = None, draw: Draw
) -> dict[str, Any]:
    """Per arm of both runs (or for the arm of each that `arms` names): paired differences after - before, and items.

    Plain JSON data. `verdict` of a metric is better, worse, or "cannot tell" where the interval holds 0. General suites
    and the leak test stand under their own arms, each suite as a metric.
    """
    first, second = by_arm(before), by_arm(after)
    pairs = [arms] if arms is not None else [(arm, arm) for arm in first if arm in second]
    return {
        "arms": [_pair(first.get(a, {}), second.get(b, {}), a, b, draw) for a, b in pairs],
        "only_before": sorted(set(first) - {a for a, _ in pairs}),
        "only_after": sorted(set(second) - {b for _, b in pairs}),
    }


def _pair(before: Arm, after: Arm, a: str, b: str, draw: Draw) -> dict[str, Any]:
    both = [item for item in after if item in before]
    same = [item for item in both if after[item].question == before[item].question]
    then, now = {item: before[item] for item in same}, {item: after[item] for item in same}
    found = {name for arm in (then, now) for r in arm.values() for name, s in r.scores.items() if s.value is not None}
    metrics = [name for name in METRICS if name in found] + sorted(
        name for name in found - set(METRICS) if any(r.question.kind in ("general", "leak") for r in now.values())
    )
    flips = {
        name: fixed_and_broken(then, now, name)
        for name in metrics
        if name not in ("reply_tokens", "prompt_tokens", "latency_s")
    }
    answered = [item for item in same if _text(then[item]) is not None and _text(now[item]) is not None]
    return {
        "before": a,
        "after": b,
        "items": len(same),
        "reworded": len(both) - len(same),
        "only_before": len(before) - len(both),
        "only_after": len(after) - len(both),
        "errors": [sum(bool(r.error) for r in arm.values()) for arm in (then, now)],
        "other_text": [item for item in answered if _text(then[item]) != _text(now[item])],
        "metrics": [_metric(then, now, name, draw) for name in metrics],
        "flips": {name: items for name, items in flips.items() if items["fixed"] or items["broken"]},
    }


def _text(record: EvalRecord) -> str | None:
    return record.answer.text if record.answer is not None and not record.error else None


def _metric(then: Arm, now: Arm, name: str, draw: Draw) -> dict[str, Any]:
    measure, bounds = of_metric(name), bounds_of(name)
    difference = draw.difference(now, then, measure, bounds=bounds)
    verdict = "cannot tell"
    if difference.low is not None and difference.high is not None and not difference.low <= 0 <= difference.high:
        lower = name in LOWER_IS_BETTER or name == "recital"
        verdict = "better" if (difference.low > 0) != lower else "worse"
    return {
        "metric": name,
        "before": as_json(draw.mean(then.values(), measure, bounds=bounds)),
        "after": as_json(draw.mean(now.values(), measure, bounds=bounds)),
        "difference": as_json(difference),
        "verdict": verdict,
    }


def comparison_markdown(found: Mapping[str, Any]) -> str:
    """The comparison for people; `found` may also hold "runs" and "changed" (configuration, as key, before, after)."""
    parts = ["# " + " against ".join(reversed(found["runs"])) if "runs" in found else "# Comparison"]
    if "changed" in found:
        rows = [[key, str(old), str(new)] for key, old, new in found["changed"]]
        parts.append(
            table(["what differs", "before", "after"], rows) if rows else "Configuration and inputs are the same."
        )
    for one in found["arms"]:
        parts += _arm(one)
    for when in ("before", "after"):
        if found[f"only_{when}"]:
            parts.append(f"Only in the run {when}: {', '.join(found[f'only_{when}'])}.")
    return "\n\n".join(parts) + "\n"


def _arm(one: Mapping[str, Any]) -> list[str]:
    name = one["before"] if one["before"] == one["after"] else f"{one['after']} against {one['before']}"
    left = [
        f"{one[key]} {said}"
        for key, said in (("reworded", "reworded"), ("only_before", "only before"), ("only_after", "only after"))
        if one[key]
    ]
    told = f"{one['items']} items in both" + (f"; left out: {', '.join(left)}" if left else "")
    told += f"; {len(one['other_text'])} answers with another text"
    told += f"; failed {one['errors'][0]} before, {one['errors'][1]} after."
    rows = [
        [
            LABELS.get(row["metric"], row["metric"]),
            in_words(from_json(row["before"])),
            in_words(from_json(row["after"])),
            in_words(from_json(row["difference"]), signed=True),
            row["verdict"],
        ]
        for row in one["metrics"]
    ]
    lines = [
        f"- {LABELS.get(name, name)}: rose for {_items(flips['fixed'])}; fell for {_items(flips['broken'])}"
        for name, flips in one["flips"].items()
    ]
    shown = table(["", "before", "after", "difference", ""], rows) if rows else "Nothing was measured in both."
    return [f"## {name}", told, shown, *(["\n".join(lines)] if lines else [])]


def _items(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return (", ".join(items[:_SHOWN]) or "none") + more
