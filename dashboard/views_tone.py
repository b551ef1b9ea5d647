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
from typing import TYPE_CHECKING, Any

from dashboard.charts import GREY
from dashboard.measures import arm_name, interval, percent
from dashboard.runs import estimate, number, read_record
from groundtone.feedback import Vote
from groundtone.stats import mean_interval, wilson_interval
from groundtone.types import Estimate

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

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


def spoken(records: Path) -> Spoken:
    """Read the records of an evaluation; an unreadable line or file counts for nothing."""
    found = Spoken()
    try:
        with records.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                row = read_record(line)
                if row is not None and isinstance(row.get("scores"), dict):
                    _add(found, row)
    except OSError:
        return found
    return found


def _add(found: Spoken, row: Mapping[str, Any]) -> None:
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
            if len(kept) < EXAMPLES:
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


def rates_table(rates: Mapping[str, Estimate | None]) -> pd.DataFrame:
    """Win rates in per cent, one row each; what could not be measured is left out."""
    import pandas as pd

    rows = [
        (name, 100 * e.mean, 100 * e.low, 100 * e.high, e.n, f"{percent(e.mean)} [{interval(e)}] n={e.n}")
        for name, e in rates.items()
        if e is not None and e.mean is not None and e.low is not None and e.high is not None
    ]
    return pd.DataFrame(rows, columns=["Against", "Rate", "Low", "High", "n", "Label"])


def rates_chart(table: pd.DataFrame, accent: str) -> alt.LayerChart:
    """Win rates with their intervals and the 50 % line, where both are equally good."""
    import altair as alt

    rows = alt.Y("Against:N", sort=None, title=None, axis=alt.Axis(labelLimit=220, ticks=False, domain=False))
    scale = alt.Scale(domain=[0, 100])
    across = alt.X("Rate:Q", title="% of comparisons won", scale=scale, axis=alt.Axis(tickCount=5, domain=False))
    even = alt.Chart().mark_rule(color=GREY, strokeWidth=1.5, strokeDash=[5, 4]).encode(x=alt.datum(50))
    base = alt.Chart(table)
    bars = base.mark_rule(color=accent, strokeWidth=2.5).encode(x=alt.X("Low:Q", scale=scale), x2="High:Q", y=rows)
    dots = base.mark_point(size=95, color=accent, filled=True, opacity=1).encode(
        x=across, y=rows, tooltip=["Against:N", "Label:N"]
    )
    text = base.mark_text(dy=-15, fontSize=11, color=GREY).encode(x="Rate:Q", y=rows, text="Label:N")
    layers = alt.layer(even, bars, dots, text, data=table)
    return layers.properties(height=max(110, 62 * len(table) + 40)).configure_view(strokeWidth=0)


def features_table(found: Spoken, arms: Sequence[str]) -> pd.DataFrame:
    """Style features against their bands: the share of each arm's replies inside, with interval; worst first."""
    import pandas as pd

    rows = []
    for name, feature in found.features.items():
        row: dict[str, Any] = {"Feature": name, "Target": f"{feature.low:g} – {feature.high:g}"}
        for arm in arms:
            total = len(found.tone.get(arm, ()))
            if total:
                outside = feature.above[arm] + feature.below[arm]
                inside = wilson_interval(total - outside, total)
                row[arm_name(arm)] = f"{percent(inside.mean)} [{interval(inside)}]"
                row[f"{arm_name(arm)}: off"] = f"↑ {feature.above[arm]}  ↓ {feature.below[arm]}"
        rows.append((sum(feature.above.values()) + sum(feature.below.values()), row))
    return pd.DataFrame([row for _, row in sorted(rows, key=lambda entry: -entry[0])])


def arms_table(summary: Mapping[str, Any], metric: str) -> pd.DataFrame:
    """One metric of every arm that has it, with interval and n."""
    import pandas as pd

    rows = [
        (arm_name(arm), percent(e.mean), interval(e), e.n)
        for arm, metrics in summary.get("arms", {}).items()
        if (e := estimate(metrics.get(metric)))
    ]
    return pd.DataFrame(rows, columns=["Arm", metric.capitalize(), "95 % interval", "n"])


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


def style_facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """For each arm the AUC of a classifier that tells its replies from held-out ones of the house."""
    voice = summary.get("voice")
    likeness = voice.get("likeness") if isinstance(voice, dict) else None
    if not isinstance(likeness, dict):
        return []
    facts = []
    for arm, told in likeness.items():
        found = estimate(told.get("auc")) if isinstance(told, dict) else None
        if found is None or found.mean is None:
            facts.append((str(arm), "not measured"))
            continue
        low = "" if found.low is None or found.high is None else f" [{found.low:.2f}, {found.high:.2f}]"
        facts.append((str(arm), f"{found.mean:.2f}{low} n={found.n}"))
    return facts


def facts_html(facts: Sequence[tuple[str, str]]) -> str:
    """Figures with their names."""
    return (
        '<div class="gt-facts">'
        + "".join(f"<div><span>{escape(n)}</span>{escape(v)}</div>" for n, v in facts)
        + "</div>"
    )
