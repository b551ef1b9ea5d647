"""Tone and format of an evaluation: who wins item by item, which style features leave their bands, which rules break.

Everything is read from the records in one pass, without keeping the records.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from dashboard.access import Readable, may_show
from dashboard.forest import Line
from dashboard.measures import arm_name, interval, percent
from dashboard.runs import estimate, number, read_record
from groundtone.feedback import Vote
from groundtone.stats import mean_interval, wilson_interval
from groundtone.types import Estimate

EXAMPLES = 5  # failing replies that are kept per rule and arm
SHOWN_CHARS = 600
# How a tone score explains itself: "words in the reply 54 is above 15 to 27".
_BAND = re.compile(
    r"(?P<name>.+?) (?P<value>-?[\d.]+) is (?P<side>above|below) (?P<low>-?[\d.]+) to (?P<high>-?[\d.]+)"
)
_FIGURE = re.compile(r"\bhas \d+ ")  # "has 54 words, more than 50": the same rule whatever the length was
_RULE = re.compile(r", (?=it |has |says |does |is |matches |lacks )")


@dataclass(slots=True)
class Feature:
    """A style feature's target band, and how many replies of each arm lay above and below it."""

    low: float
    high: float
    above: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    below: dict[str, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(frozen=True, slots=True)
class Failure:
    """A reply that breaks a rule."""

    item: str
    question: str
    reply: str
    why: str


@dataclass(slots=True)
class Spoken:
    """What the records say of the voice: tone by arm and item, features out of band, failing replies by arm and rule.

    `failed` counts every failing reply, `failures` keeps the first few.
    """

    tone: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    features: dict[str, Feature] = field(default_factory=dict)
    checked: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    failed: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    failures: dict[tuple[str, str], list[Failure]] = field(default_factory=lambda: defaultdict(list))


def spoken(records: Path, *, readable: Readable = None) -> Spoken:
    """Read the records of an evaluation; an unreadable line or file counts for nothing.

    Replies over documents that may not be read count, and are not shown.
    """
    found = Spoken()
    try:
        with records.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                row = read_record(line)
                if row is not None and isinstance(row.get("scores"), dict):
                    _add(found, row, shown=may_show(row, readable))
    except OSError:
        return found
    return found


def _add(found: Spoken, row: Mapping[str, Any], *, shown: bool) -> None:
    arm, item = str(row["arm"]), str(row["item_id"])
    value, why = _score(row, "tone")
    if value is not None:
        found.tone[arm][item] = value
        for match in filter(None, (_BAND.fullmatch(part.strip()) for part in why.split(";"))):
            feature = found.features.setdefault(match["name"], Feature(float(match["low"]), float(match["high"])))
            (feature.above if match["side"] == "above" else feature.below)[arm] += 1
    value, why = _score(row, "format")
    if value is None:
        return
    found.checked[arm] += 1
    if value < 1:
        answer = row.get("answer")
        reply = str(answer.get("text", "")) if isinstance(answer, dict) else ""
        for rule in {_FIGURE.sub("has too many or too few ", part).removeprefix("it ") for part in _RULE.split(why)}:
            found.failed[arm, rule] += 1
            kept = found.failures[arm, rule]
            if shown and len(kept) < EXAMPLES:
                kept.append(Failure(item, str(row["question"].get("text", "")), reply[:SHOWN_CHARS], why))


def _score(row: Mapping[str, Any], key: str) -> tuple[float | None, str]:
    score = row["scores"].get(key)
    return (number(score.get("value")), str(score.get("why", ""))) if isinstance(score, dict) else (None, "")


def win_rate(tone: Mapping[str, Mapping[str, float]], arm: str, against: str) -> Estimate | None:
    """Share of items on which `arm` has the better tone, a tie counting half; None without a common item."""
    one, other = tone.get(arm, {}), tone.get(against, {})
    wins = [(one[item] > other[item]) + 0.5 * (one[item] == other[item]) for item in one if item in other]
    return mean_interval([float(win) for win in wins]) if wins else None


def voted_rate(votes: Iterable[Vote], *, blind_only: bool = True) -> Estimate | None:
    """Share of people's votes that the tuned model won, ties counting half; "both bad" says nothing of who is better.

    Clustered by prompt, since several people may vote on one. None without votes.
    """
    wins, prompts = [], []
    for vote in votes:
        chosen, rejected = (str(vote.about.get(key, "")) for key in ("chosen_arm", "rejected_arm"))
        compared = chosen.startswith("tuned") != rejected.startswith("tuned") and chosen and rejected
        if not compared or vote.outcome == "both bad" or (blind_only and not vote.about.get("blind")):
            continue
        wins.append(0.5 if vote.outcome == "tie" else float(chosen.startswith("tuned")))
        prompts.append(vote.preference.prompt)
    return mean_interval(wins, clusters=prompts) if wins else None


def rate_lines(rates: Mapping[str, Estimate | None]) -> list[Line]:
    """Win rates, one line each; what could not be measured is left out."""
    return [Line(name, e) for name, e in rates.items() if e is not None and e.mean is not None]


def features_html(found: Spoken, arms: Sequence[str]) -> str:
    """Style features against their bands: the share of each arm's replies inside, with interval, worst first.

    Beside it how many replies lie above (↑) and below (↓) the band; "" where every reply lies inside every band.
    """
    names = sorted(found.features, key=lambda name: -_outside(found.features[name]))
    if not names:
        return ""
    rows = []
    for name in names:
        feature = found.features[name]
        cells = "".join(_feature_cells(feature, arm, len(found.tone.get(arm, ()))) for arm in arms)
        rows.append(f'<tr><th scope="row">{escape(name)}</th><td>{feature.low:g} – {feature.high:g}</td>{cells}</tr>')
    heads = "".join(
        f"<th>{escape(arm_name(arm))}<small>inside, n {len(found.tone.get(arm, ()))}</small></th>"
        "<th>too much<small>or too little</small></th>"
        for arm in arms
    )
    return (
        f'<table class="gt-table gt-features"><thead><tr><th>Feature</th><th>Target band</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _outside(feature: Feature) -> int:
    return sum(feature.above.values()) + sum(feature.below.values())


def _feature_cells(feature: Feature, arm: str, n: int) -> str:
    if not n:
        return "<td>–</td><td>–</td>"
    above, below = feature.above[arm], feature.below[arm]
    inside = wilson_interval(n - above - below, n)
    bar = f'<div class="gt-share"><i style="width:{100 * (inside.mean or 0):.1f}%"></i></div>'
    return f"<td>{bar}{percent(inside.mean)}<small>{interval(inside)}</small></td><td>↑ {above} &nbsp; ↓ {below}</td>"


def arms_html(summary: Mapping[str, Any]) -> str:
    """Tone and format of every arm that has them, with interval and n."""
    rows = []
    for arm, metrics in summary.get("arms", {}).items():
        found = [estimate(metrics.get(metric)) for metric in ("tone", "format")]
        if any(found):
            cells = "".join(
                f"<td>{percent(e.mean)}<small>{interval(e)} · n {e.n}</small></td>" if e else "<td>not measured</td>"
                for e in found
            )
            rows.append(f'<tr><th scope="row">{escape(arm_name(str(arm)))}</th>{cells}</tr>')
    head = "".join(f"<th>{name}</th>" for name in ("Answers of", "Tone", "Format"))
    return f'<table class="gt-table"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def rules_broken(found: Spoken, arm: str) -> list[tuple[str, int, list[Failure]]]:
    """Rules that this arm's replies break, the most often broken first, with some of the replies."""
    broken = [(rule, count, found.failures[a, rule]) for (a, rule), count in found.failed.items() if a == arm]
    return sorted(broken, key=lambda entry: (-entry[1], entry[0]))


def failures_html(failures: Sequence[Failure]) -> str:
    """Replies that break a rule, with everything that is wrong with them."""
    return "".join(
        f'<div class="gt-pair"><div class="gt-pair-question" dir="auto">{escape(f.question)}</div>'
        f'<div class="gt-pair-row"><span>reply</span><div dir="auto">{escape(f.reply)}</div></div>'
        f'<div class="gt-pair-row"><span>why</span><div class="gt-soft">{escape(f.why)}</div></div></div>'
        for f in failures
    )


def likeness(summary: Mapping[str, Any]) -> tuple[list[Line], list[str]]:
    """For each arm the AUC of a classifier that tells its replies from held-out ones of the house.

    Beside the lines a sentence for each arm that could not be measured.
    """
    voice = summary.get("voice")
    stored = voice.get("likeness") if isinstance(voice, dict) else None
    lines, missing = [], []
    for arm, told in stored.items() if isinstance(stored, dict) else ():
        value = estimate(told.get("auc")) if isinstance(told, dict) else None
        if value is not None:
            lines.append(Line(arm_name(str(arm)), value))
        elif isinstance(told, dict):
            missing.append(f"{arm_name(str(arm))}: not measured, {told.get('why') or 'no reason given'}.")
    return lines, missing


def write_auc(value: float) -> str:
    """An area under the curve."""
    return f"{value:.2f}"
