"""The retrieval explorer's data: a search run as a process of its own, ranks per stage, gold passages, what was missed.

A page never loads the encoder: `groundtone search --explain --json` does, and its answer is kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboard.access import Readable, may_show
from dashboard.palette import DASHES, PALETTE
from dashboard.runs import items, number, read_record
from groundtone.errors import ProjectError
from groundtone.stats import mean_interval
from groundtone.text import content_words

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

CORPUS = 1000  # passages among which a missed one is looked for
DEPTH = 50  # passages that a replay asks for, so that a gold passage below the first page still has its rank
TIMEOUT_S = 180.0  # the first search of a cold machine reads the encoder from disk
STAGES: Mapping[str, str] = {
    "lexical": "BM25",
    "dense": "Dense",
    "passage": "Dense: passage",
    "sentence": "Dense: sentence",
    "fused": "Fused",
    "reranked": "Reranked",
    "reader": "Reader",
}
CURVE_KS = (1, 5, 10)
_GOLD_OVERLAP = 0.8  # of a quote's words: a table row is written otherwise in a passage than in its file
_LAST_LINES = 3


@dataclass(frozen=True, slots=True)
class Sought:
    """A question of the evaluation with gold quotes, and what search made of it there."""

    item: str
    question: str
    quotes: tuple[tuple[str, str], ...]  # (source, verbatim quote)
    recall_1: float | None
    recall_5: float | None

    @property
    def missed(self) -> bool:
        """Whether the documents hold the answer and the first five hits lack some of it."""
        return self.recall_5 is not None and self.recall_5 < 1


def command(
    root: Path,
    query: str,
    *,
    groups: Sequence[str] = (),
    sets: Sequence[str] = (),
    depth: int = DEPTH,
) -> list[str]:
    """The search as a command, `sets` being its `--set` flags; what was typed cannot become an option."""
    allowed = [f"--group={group}" for group in groups]
    fixed = ["search", "--explain", "--json", "-k", str(depth), "--project", str(root)]
    return [sys.executable, "-P", "-m", "groundtone.cli.main", *fixed, *sets, *allowed, "--", query]


def explain(asked: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> list[dict[str, Any]]:
    """What every stage made of each passage, best first. Raises ProjectError with what the process said last."""
    try:
        done = subprocess.run(
            list(asked), capture_output=True, text=True, encoding="utf-8", timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ProjectError(f"the search took longer than {timeout_s:.0f} s and was stopped; try again") from error
    try:
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:
        found = None
    if not isinstance(found, list):
        said = " ".join(done.stderr.strip().splitlines()[-_LAST_LINES:]) or f"exit code {done.returncode}"
        raise ProjectError(f"the search did not answer: {said}")
    return items(found)


def is_gold(passage: Mapping[str, Any], quotes: Sequence[tuple[str, str]]) -> bool:
    """Whether a passage of the quoted source holds most words of the quote; an empty quote is any passage there."""
    words = set(content_words(f"{passage.get('heading', '')} {passage.get('text', '')}"))
    for source, quote in quotes:
        wanted = set(content_words(quote))
        if source == passage.get("source") and len(wanted & words) >= _GOLD_OVERLAP * len(wanted):
            return True
    return False


def ranks_table(found: Sequence[Mapping[str, Any]], quotes: Sequence[tuple[str, str]], *, top: int) -> pd.DataFrame:
    """Rank per stage; gold passages stand pinned above the first `top`, whatever their rank, with a star."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for rank, entry in enumerate(found, 1):
        hit = entry.get("hit") or {}
        passage = hit.get("passage") or {}
        gold = is_gold(passage, quotes)
        if not gold and rank > top:
            continue
        ranks = {**(hit.get("ranks") or {}), **(entry.get("ranks") or {})}
        row: dict[str, Any] = {"": "★ gold" if gold else "", "Rank": rank}
        row |= {label: ranks.get(stage) for stage, label in STAGES.items()}
        row |= {"Score": number(hit.get("score")), "File": passage.get("source"), "Section": passage.get("heading")}
        row["Passage"] = passage.get("text")
        rows.append(row)
    rows.sort(key=_pinned)
    table = pd.DataFrame(rows)
    empty = [label for label in STAGES.values() if label in table and table[label].isna().all()]
    return table.drop(columns=empty)


def _pinned(row: Mapping[str, Any]) -> tuple[bool, int]:
    return not row[""], int(row["Rank"])


def gold_rank(found: Sequence[Mapping[str, Any]], quotes: Sequence[tuple[str, str]]) -> int | None:
    """The rank from 1 of the first gold passage; None where none is among those found."""
    passages = ((entry.get("hit") or {}).get("passage") or {} for entry in found)
    return next((rank for rank, passage in enumerate(passages, 1) if is_gold(passage, quotes)), None)


def gold_line(found: Sequence[Mapping[str, Any]], quotes: Sequence[tuple[str, str]]) -> str:
    """Where the gold passage stands, in words; "" where no gold is known."""
    if not quotes:
        return ""
    rank = gold_rank(found, quotes)
    if rank is None:
        return f"✕ The gold passage ({quotes[0][0]}) is not among the first {len(found)}."
    return f"★ Gold passage at rank {rank} of {len(found)}."


def sought_in(records: Path, *, readable: Readable = None) -> list[Sought]:
    """Every question with gold quotes, once, with the recall of the first arm that searched for it.

    Questions about documents that may not be read are left out.
    """
    found: dict[str, Sought] = {}
    try:
        with records.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                row = read_record(line) if "recall@5" in line else None
                if row is None or str(row["item_id"]) in found or not may_show(row, readable):
                    continue
                if one := _sought(row):
                    found[one.item] = one
    except OSError:
        return []
    return list(found.values())


def _sought(row: Mapping[str, Any]) -> Sought | None:
    question, scores = row["question"], row.get("scores")
    gold = question.get("gold")
    quotes = gold.get("quotes") if isinstance(gold, dict) else None
    if not isinstance(scores, dict) or not isinstance(quotes, list) or not quotes:
        return None
    pairs = tuple((str(q[0]), str(q[1])) for q in quotes if isinstance(q, list) and len(q) == 2)
    values = [
        number(score.get("value")) if isinstance(score := scores.get(k), dict) else None
        for k in ("recall@1", "recall@5")
    ]
    if values[1] is None:  # an arm without a search
        return None
    return Sought(str(row["item_id"]), str(question.get("text", "")), pairs, *values)


def missed_table(sought: Sequence[Sought]) -> pd.DataFrame:
    """Answerable questions whose passages were not all among the first five."""
    import pandas as pd

    rows = [(s.item, s.question, s.recall_5, ", ".join(dict.fromkeys(q[0] for q in s.quotes))) for s in sought]
    return pd.DataFrame(rows, columns=["Item", "Question", "recall@5", "Should find"])


def recall_table(record: Path) -> pd.DataFrame:
    """Recall at 1, 5 and 10 by stage with intervals, from what `groundtone eval-search` wrote; empty without it."""
    import pandas as pd

    columns = ["Stage", "k", "Recall", "Low", "High", "n"]
    try:
        stored = json.loads(record.read_text(encoding="utf-8"))
        stages: dict[str, dict[str, dict[str, float | None]]] = stored["values"]
        clusters: dict[str, str] = stored["clusters"]
        rows = []
        for stage, measures in stages.items():
            for k in CURVE_KS:
                values = measures[f"R@{k}"]
                found = mean_interval(list(values.values()), clusters=[clusters[item] for item in values])
                if found.mean is not None:
                    rows.append((STAGES.get(stage, stage), k, found.mean, found.low, found.high, found.n))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, half-written or foreign
        return pd.DataFrame(columns=columns)
    return pd.DataFrame(rows, columns=columns)


def recall_chart(table: pd.DataFrame) -> alt.LayerChart:
    """Recall against k, one line per stage with its interval as a band."""
    import altair as alt

    stages = list(dict.fromkeys(table["Stage"]))
    colours = alt.Scale(domain=stages, range=[PALETTE[n % len(PALETTE)] for n in range(len(stages))])
    dashes = alt.Scale(domain=stages, range=[DASHES[n % len(DASHES)] for n in range(len(stages))])
    lowest = float(table["Low"].fillna(table["Recall"]).min())
    scale = alt.Scale(domain=[max(0.0, lowest - 0.03), 1.0])
    # Else the legend takes its signs from the intervals, which are pale.
    legend = alt.Legend(orient="top", title=None, symbolOpacity=1, symbolType="circle", symbolStrokeWidth=0)
    base = alt.Chart(table).encode(
        x=alt.X("k:Q", title="first k passages", axis=alt.Axis(values=list(CURVE_KS), grid=False)),
        color=alt.Color("Stage:N", scale=colours, legend=legend),
    )
    line = base.mark_line(point=True, strokeWidth=2).encode(
        y=alt.Y("Recall:Q", title="recall", scale=scale, axis=alt.Axis(format="%", domain=False, tickCount=5)),
        strokeDash=alt.StrokeDash("Stage:N", scale=dashes, legend=None),
        tooltip=["Stage:N", "k:Q", alt.Tooltip("Recall:Q", format=".1%"), "n:Q"],
    )
    bars = base.mark_rule(opacity=0.35).encode(y=alt.Y("Low:Q", scale=scale), y2="High:Q")
    return alt.layer(bars, line).properties(height=280)
