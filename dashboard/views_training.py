"""Tuning runs as plain data: their table, curves, what differs between them, their rows as tokens, their lineage."""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboard.access import Readable, may_show
from dashboard.closed import Seen, hidden_html
from dashboard.palette import DASHES, PALETTE
from dashboard.runs import items, number, read_record
from groundtone.project import Manifest

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

CURVES: Mapping[str, str] = {
    "loss": "training loss",
    "eval_loss": "held-out loss",
    "lr": "learning rate",
}
WORST = 20
_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Step:
    """Where a training stands: its last step of `steps`, the last losses that it wrote, tokens and seconds so far."""

    step: int
    steps: int
    loss: float | None
    eval_loss: float | None
    seconds: float | None


def metrics(path: Path) -> list[dict[str, Any]]:
    """The readable lines of a run's metrics.jsonl; a line that is being written is left out."""
    try:
        return _objects((path / "metrics.jsonl").read_text(encoding="utf-8", errors="replace").splitlines())
    except OSError:
        return []


def last_step(path: Path) -> Step | None:
    """Where the run stands, from the end of its metrics; None where it wrote none."""
    try:
        with (path / "metrics.jsonl").open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            rows = _objects(file.read().decode("utf-8", "replace").splitlines())
    except OSError:
        return None
    if not rows:
        return None
    step, steps = (number(rows[-1].get(key)) or 0 for key in ("step", "steps"))
    losses = {key: [v for row in rows if (v := number(row.get(key))) is not None] for key in ("loss", "eval_loss")}
    last = {key: values[-1] if values else None for key, values in losses.items()}
    return Step(int(step), max(1, int(steps)), last["loss"], last["eval_loss"], number(rows[-1].get("seconds")))


def _objects(lines: Iterable[str]) -> list[dict[str, Any]]:
    found = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            found.append(row)
    return found


def runs_table(manifests: Sequence[Manifest], folder: Path) -> pd.DataFrame:
    """One row per tuning run: state, when, what, how far, its last losses; None where it wrote none."""
    import pandas as pd

    rows = []
    for manifest in manifests:
        at = last_step(folder / manifest.id)
        tuning, model = (manifest.resolved.get(key) or {} for key in ("tuning", "model"))
        rows.append(
            {
                "Run": manifest.id,
                "State": manifest.state(),
                "Started": manifest.created[:16].replace("T", " "),
                "Base": str(model.get("id", "")),
                "Method": str(tuning.get("method", "")),
                "Data": str(tuning.get("data", "")),
                "Progress": at.step / at.steps if at else None,
                "Loss": at.loss if at else None,
                "Held-out loss": at.eval_loss if at else None,
                "Minutes": at.seconds / 60 if at and at.seconds is not None else None,
            }
        )
    return pd.DataFrame(rows)


def curves_table(runs: Mapping[str, Sequence[Mapping[str, Any]]], key: str) -> pd.DataFrame:
    """One curve of each run: run, step, value; lines without a figure are left out."""
    import pandas as pd

    rows = [
        (run, step, value)
        for run, lines in runs.items()
        for line in lines
        if (step := number(line.get("step"))) is not None and (value := number(line.get(key))) is not None
    ]
    return pd.DataFrame(rows, columns=["Run", "Step", "Value"])


def curve_chart(table: pd.DataFrame, title: str) -> alt.Chart:
    """The curves over each other; runs differ by colour and by dash."""
    import altair as alt

    runs = list(dict.fromkeys(table["Run"]))
    colour = alt.Color(
        "Run:N",
        scale=alt.Scale(domain=runs, range=[PALETTE[n % len(PALETTE)] for n in range(len(runs))]),
        legend=alt.Legend(orient="top", title=None, labelLimit=320, columns=2) if len(runs) > 1 else None,
    )
    dash = alt.StrokeDash(
        "Run:N",
        scale=alt.Scale(domain=runs, range=[DASHES[n % len(DASHES)] for n in range(len(runs))]),
        legend=None,
    )
    return (
        alt.Chart(table)
        .mark_line(strokeWidth=2, point=len(table) <= 40 * len(runs))
        .encode(
            x=alt.X("Step:Q", title="step", axis=alt.Axis(grid=False, tickCount=8)),
            y=alt.Y("Value:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(domain=False, tickCount=5)),
            color=colour,
            strokeDash=dash,
            tooltip=["Run:N", "Step:Q", alt.Tooltip("Value:Q", format=".4g")],
        )
        .properties(height=260)
    )


def differences(manifests: Sequence[Manifest]) -> pd.DataFrame:
    """The settings in which these runs differ, one column per run; what all share is left out."""
    import pandas as pd

    flat = {m.id: {**_flat(m.resolved), "seed": str(m.seed), "device": m.device} for m in manifests}
    keys = dict.fromkeys(key for values in flat.values() for key in values)
    rows = {key: [values.get(key, "–") for values in flat.values()] for key in keys}
    different = {key: values for key, values in rows.items() if len(set(values)) > 1}
    return pd.DataFrame.from_dict(different, orient="index", columns=list(flat)).rename_axis("Setting").reset_index()


def _flat(value: Any, name: str = "") -> dict[str, str]:
    if isinstance(value, dict) and value:
        return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{name}.{key}" if name else key).items()}
    return {name: json.dumps(value, ensure_ascii=False)}


def rows_html(report: Mapping[str, Any], *, seen: Seen | None = None) -> str:
    """The first rows as the model saw them: what the loss skips is grey, what it learns stands out; "" for none.

    Where anything is closed to whoever looks, only those that are among the rows which they may see.
    """
    tokens = report.get("tokens")
    previews = tokens.get("previews") if isinstance(tokens, dict) else None
    parts, hidden = [], 0
    for number_, text in enumerate(previews if isinstance(previews, list) else (), 1):
        before, _, rest = str(text).partition("⟦")
        learned, _, after = rest.rpartition("⟧")
        if seen is not None and not seen.renders(before, learned):
            hidden += 1
            continue
        parts.append(
            f'<div class="gt-subtitle">Row {number_}</div><div class="gt-tokens" dir="auto">'
            f'<span class="gt-masked">{escape(before)}</span><mark class="gt-learned">{escape(learned)}</mark>'
            f'<span class="gt-masked">{escape(after)}</span></div>'
        )
    return "".join(parts) + hidden_html(hidden)


def worst_predictions(records: Path, *, arm: str = "tuned/heldout", readable: Readable = None) -> list[dict[str, Any]]:
    """The 20 held-out replies of an evaluation with the lowest mean of tone and format, worst first, with why.

    Replies over documents that may not be read are left out.
    """
    heap: list[tuple[float, int, dict[str, Any]]] = []
    marker = json.dumps(arm)
    try:
        with records.open(encoding="utf-8", errors="replace") as lines:
            for at, line in enumerate(lines):
                row = read_record(line) if marker in line else None
                if row is None or row["arm"] != arm or not isinstance(row.get("answer"), dict):
                    continue
                if not may_show(row, readable):
                    continue
                scores = {key: _score(row, key) for key in ("tone", "format")}
                known = [value for value, _ in scores.values() if value is not None]
                if known:
                    mean = sum(known) / len(known)
                    shown: dict[str, Any] = {
                        "question": str(row["question"].get("text", "")),
                        "reply": str(row["answer"].get("text", "")),
                        "why": "; ".join(why for value, why in scores.values() if why and (value or 0) < 1),
                        "score": mean,
                    }
                    heapq.heappush(heap, (-mean, -at, shown))
                    if len(heap) > WORST:
                        heapq.heappop(heap)
    except OSError:
        return []
    return [shown for _, _, shown in sorted(heap, key=lambda entry: entry[:2], reverse=True)]


def _score(row: Mapping[str, Any], key: str) -> tuple[float | None, str]:
    scores = row.get("scores")
    score = scores.get(key) if isinstance(scores, dict) else None
    return (number(score.get("value")), str(score.get("why", ""))) if isinstance(score, dict) else (None, "")


def worst_html(worst: Sequence[Mapping[str, Any]]) -> str:
    """Prompts with the reply that was written and what is wrong with it."""
    return "".join(
        f'<div class="gt-pair"><div class="gt-pair-question" dir="auto">{escape(row["question"])}</div>'
        f'<div class="gt-pair-row"><span>reply</span><div dir="auto">{escape(row["reply"][:2000])}</div></div>'
        f'<div class="gt-pair-row"><span>{row["score"]:.2f}</span><div class="gt-soft">{escape(row["why"])}</div></div>'
        "</div>"
        for row in worst
    )


def lineage_table(manifest: Manifest, everything: Sequence[Manifest]) -> pd.DataFrame:
    """What the run was made of (parents and the hashes of its inputs) and what was made of it."""
    import pandas as pd

    rows = [("made of", role, parent) for role, parent in manifest.parents.items()]
    rows += [("read", name, f"sha256 {digest[:16]}") for name, digest in manifest.inputs.items()]
    rows += [
        ("became", f"{other.kind}: {role}", other.id)
        for other in everything
        for role, parent in other.parents.items()
        if parent == manifest.id
    ]
    rows.append(("code", "revision", manifest.revision or "not in a git checkout"))
    return pd.DataFrame(rows, columns=["", "What", "Which"])


def report_of(path: Path) -> dict[str, Any]:
    """A run's data report; {} where it wrote none or it cannot be read."""
    try:
        report = json.loads((path / "data_report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) and items(report.get("findings")) is not None else {}
