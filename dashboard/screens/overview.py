"""Overview: can I ship this?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import cache, charts, look, review, runbar, views
from dashboard.measures import METRICS, Metric, arm_name
from dashboard.runs import Evaluation, Problem

if TYPE_CHECKING:
    import pandas as pd

HEADLINE = look.Headline(
    "Decide", "Can I ship this?", "The tuned model with its documents, against its base, on the same questions."
)


def main() -> None:
    """Lay the page out."""
    choice = runbar.draw(HEADLINE)
    run = choice.run
    assert run is not None
    st.html(views.banner_html(run.summary))
    for line in views.failures(run.summary):
        look.problem(Problem("Some questions failed and are missing from the figures", line, "groundtone eval"))
    all_checks = views.checks(run.summary)
    if all_checks:
        with st.expander(f"All {len(all_checks)} checks of the gate"):
            st.html(f'<ul class="gt-checks">{"".join(views.check_html(check) for check in all_checks)}</ul>')
    for column, key in zip(st.columns(4), views.TILES, strict=True):
        column.html(views.tile_html(run.summary, METRICS[key]))
    comparison(run)
    forgetting(run)
    people(choice.root, run)
    runbar.problems(choice.root)


def comparison(run: Evaluation) -> None:
    """The heat map with its two extra rows, and the paired differences beside it."""
    look.section("What comes from tuning, what from the documents", "Select a cell to review its claims.")
    key = st.segmented_control(
        "Metric", list(METRICS), default="hallucination", required=True, format_func=lambda k: METRICS[k].label,
        key="metric", bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    metric = METRICS[key]
    st.html(f'<p class="gt-note">{metric.label}: {metric.meaning}. <b>{metric.better.title()} is better.</b></p>')
    grid, forest = st.columns([1.15, 1], gap="large")
    with grid:
        heat_map(run, metric)
    with forest:
        st.html('<div class="gt-subtitle">Paired differences, 95 % interval</div>')
        table = charts.differences_table(run.summary, metric.key)
        if table.empty:
            look.problem(Problem("No paired differences", f"{metric.label} was not compared here.", "groundtone eval"))
            return
        good = "← better" if metric.better == "lower" else "better →"
        _forest(table, f"percentage points   ({good})")


def heat_map(run: Evaluation, metric: Metric) -> None:
    """Base and tuned, closed book and with documents; beneath, the prompted base and quoting only."""
    head = st.columns([0.42, 1, 1], gap="small")
    for column, (title, _) in zip(head[1:], views.GRID, strict=True):
        column.html(f'<div class="gt-axis">{title}</div>')
    for model in ("base", "tuned"):
        row = st.columns([0.42, 1, 1], gap="small", vertical_alignment="center")
        row[0].html(f'<div class="gt-axis gt-axis-row">{model}</div>')
        for column, (_, mode) in zip(row[1:], views.GRID, strict=True):
            with column:
                cell(run, f"{model}/{mode}", metric)
    for arm in ("prompted/rag", "extractive/rag"):
        cell(run, arm, metric, wide=True)


def cell(run: Evaluation, arm: str, metric: Metric, *, wide: bool = False) -> None:
    """One cell; all of it is a link to the arm's review queue (a bound selectbox is addressed by its labels)."""
    with st.container(key=f"gt-link-{arm.replace('/', '-')}"):
        st.html(views.cell_html(run.summary, arm, metric, name=arm_name(arm) if wide else "", wide=wide))
        if arm in run.summary["arms"]:
            st.page_link(
                "screens/hallucinations.py", label=f"Review {arm_name(arm)}",
                query_params={"candidate": run.candidate, "evaluation": run.id, "arm": arm_name(arm)},
            )  # fmt: skip


def forgetting(run: Evaluation) -> None:
    """What the tuning cost, suite by suite."""
    look.section(
        "What tuning forgot", "Tuned minus base on general skills; the grey tick is the loss allowed beforehand."
    )
    table = charts.forgetting_table(run.summary)
    if table.empty:
        look.problem(Problem("Not measured", "This evaluation holds no general suites.", "groundtone eval"))
        return
    chart, listing = st.columns([1, 1.35], gap="large")
    with chart:
        _forest(table, "percentage points   (better →)", margin=True)
    listing.html(views.forgetting_html(table))


def people(root: Path, run: Evaluation) -> None:
    """What people say of the detector, and what changed for single questions."""
    look.section("What people say, and what changed")
    left, right = st.columns([1, 1.35], gap="large")
    rows, feedback = cache.queue(run), cache.feedback(root)
    with left:
        st.html(views.agreement_html(review.trust(rows, feedback.judged())))
        st.page_link("screens/hallucinations.py", label="Judge the riskiest claims", icon=":material/fact_check:")
    changed = views.changed_items(run.summary, cache.records(run).rows)
    with right:
        for kind, icon in (("broken", ":material/heart_broken:"), ("fixed", ":material/build_circle:")):
            found = changed[kind]
            label = f"{len(found)} answer{'s' if len(found) != 1 else ''} {kind} by the tuning"
            with st.expander(label, icon=icon):
                if found:
                    st.html(views.changed_html(found))
                else:
                    st.html(f'<p class="gt-note">No answer was {kind}.</p>')


def _forest(table: pd.DataFrame, title: str, *, margin: bool = False) -> None:
    colours = look.chart_colours()
    chart = charts.forest_chart(table, title=title, accent=colours.accent, surface=colours.surface, margin=margin)
    st.altair_chart(chart, width="stretch")
    st.html('<p class="gt-note gt-legend">● interval leaves zero out &nbsp; ○ may be zero</p>')


main()
