"""Tone and format as measurements of their own: every rule, every feature, and whether a classifier hears a difference.

All three are taken with documents and without them, for a voice may hold in one and slip in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eval.estimates import as_json, from_json, in_words, short
from eval.likeness import likeness
from eval.metrics.format import format_faults
from eval.metrics.tone import ToneBands
from eval.paired import by_arm, cluster_of
from eval.profile import profile
from eval.report_parts import table
from eval.style import Style
from eval.validators import Fault
from groundtone.stats import mean_interval
from groundtone.types import EvalRecord, Question, VoicePair

__all__ = ["left_out_section", "measure_voice", "voice_section"]

SHOWN = 3  # failing replies named per rule and arm
AROUND = 30  # characters shown on each side of a fault
IN_REPORT = ("tuned/rag", "tuned/closed", "tuned/heldout", "tuned/heldout-closed", "base/heldout")  # of the profile
_Faults = dict[str, list[Fault] | None]


def measure_voice(
    records: Sequence[EvalRecord],
    *,
    style: Style,
    bands: ToneBands | None,
    heldout: Mapping[str, VoicePair],
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """The summary's "voice" as plain JSON data: `rules`, `profile` (None without bands) and `likeness`, per arm.

    `heldout` are the real replies by item id; arms that answered their prompts are held against them. Intervals are
    over documents, and over sources for held-out prompts.
    """
    arms = {name: list(arm.values()) for name, arm in by_arm(records).items()}

    def cluster(question: Question) -> str:
        return f"source:{heldout[question.id].source}" if question.id in heldout else cluster_of(question)

    draw: dict[str, Any] = {"resamples": resamples, "seed": seed}
    return {
        "rules": _rules(arms, style, cluster, draw),
        "profile": None if bands is None else profile(arms, bands, cluster=cluster, **draw),
        "likeness": {
            arm: _likeness(some, heldout, draw)
            for arm, some in arms.items()
            if any(record.item_id in heldout for record in some)
        },
    }


def _rules(
    arms: Mapping[str, Sequence[EvalRecord]], style: Style, cluster: Callable[[Question], str], draw: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Per rule and arm: the share of replies that keep it, and the first that do not, with the place of the fault."""
    rows: dict[str, dict[str, Any]] = {}
    for arm, records in arms.items():
        found = [_faults(style, record) for record in records]
        for title in dict.fromkeys(title for faults in found if faults is not None for title in faults):
            broken = [None if faults is None else faults[title] for faults in found]
            kept = mean_interval(
                [None if faults is None else float(not faults) for faults in broken],
                clusters=[cluster(record.question) for record in records],
                **draw,
            )
            failing = [(r, faults[0]) for r, faults in zip(records, broken, strict=True) if faults]
            rows.setdefault(title, {"rule": title, "arms": {}})["arms"][arm] = {
                "kept": as_json(kept),
                "failing": [_example(record, fault) for record, fault in failing[:SHOWN]],
            }
    return list(rows.values())


def _faults(style: Style, record: EvalRecord) -> _Faults | None:
    return None if record.error or record.answer is None else format_faults(style, record.answer)


def _example(record: EvalRecord, fault: Fault) -> dict[str, Any]:
    assert record.answer is not None
    text = record.answer.text
    around = text[max(0, fault.start - AROUND) : fault.end + AROUND]
    return {"item": record.item_id, "start": fault.start, "end": fault.end, "why": fault.why, "around": around[:200]}


def _likeness(
    records: Sequence[EvalRecord], heldout: Mapping[str, VoicePair], draw: Mapping[str, Any]
) -> dict[str, Any]:
    replied = [r for r in records if r.item_id in heldout and not r.error and r.answer is not None]
    pairs = [heldout[record.item_id] for record in replied]
    made = [record.answer.text for record in replied if record.answer is not None]
    found = likeness([pair.reply for pair in pairs], made, [pair.source for pair in pairs], **draw)
    return {"auc": as_json(found.auc), "why": found.why}


def voice_section(voice: Mapping[str, Any] | None) -> str:
    """The section of the report; "" for a summary without one."""
    if voice is None:
        return ""
    parts = [_likeness_lines(voice["likeness"]), _rules_lines(voice["rules"]), _profile_lines(voice["profile"])]
    return "\n\n".join(["## Tone and format", *(part for part in parts if part)])


def _likeness_lines(found: Mapping[str, Any]) -> str:
    if not found:
        return "Likeness to our own replies could not be measured: no held-out pairs were asked."
    rows = [[arm, in_words(from_json(one["auc"])), one["why"]] for arm, one in found.items()]
    note = (
        "How well a classifier that never saw the source tells the replies from the held-out real ones: 0.5 is "
        "indistinguishable from ours, 1 always told apart. Topic words are covered."
    )
    return table(["held-out prompts", "AUC against our own replies", ""], rows) + f"\n\n{note}"


def _rules_lines(rules: Sequence[Mapping[str, Any]]) -> str:
    if not rules:
        return ""
    arms = list(dict.fromkeys(arm for rule in rules for arm in rule["arms"]))
    cells = [[r["rule"], *(short(_of(r, arm, "kept")) for arm in arms)] for r in rules]
    lines = [
        f"- {arm}, {example['item']}, characters {example['start']} to {example['end']}: {example['why']}"
        for rule in rules
        for arm, found in rule["arms"].items()
        if arm.startswith("tuned/")
        for example in found["failing"][:1]
    ]
    told = "\n\nWhere the tuned voice slipped first:\n\n" + "\n".join(lines) if lines else ""
    return table(["replies that keep the rule", *arms], cells) + told


def _profile_lines(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "The style profile could not be measured: bands are learned from at least 20 training replies."
    features = found["features"]
    arms = [arm for arm in features[0]["arms"] if arm in IN_REPORT]
    rows = [
        [
            row["feature"],
            f"{row['low']:.2g} to {row['high']:.2g}",
            *(f"{short(_of(row, arm, 'mean'))}, {short(_of(row, arm, 'inside'))}" for arm in arms),
        ]
        for row in features
    ]
    note = (
        f"Mean of the replies, then the share inside the band, which holds nine tenths of {found['replies']} of ours."
    )
    return table(["feature", "our band", *arms], rows) + f"\n\n{note}"


def _of(row: Mapping[str, Any], arm: str, name: str) -> Any:
    return from_json(row["arms"][arm][name]) if arm in row["arms"] else None


def left_out_section(left_out: Mapping[str, Any] | None) -> str:
    """What was not asked because the model was trained on it; "" where there is nothing to say."""
    if left_out is None or not (left_out["items"] or left_out["unread"]):
        return ""
    told = []
    if left_out["items"]:
        told.append(
            f"{len(left_out['items'])} items were trained on and are not asked: {', '.join(left_out['items'])}."
        )
    if left_out["unread"]:
        named = ", ".join(left_out["unread"])
        told.append(f"Whether items were trained on cannot be told of {named}: its rows are not there any more.")
    return "## Left out\n\n" + " ".join(told)
