"""Forgetting: what did tuning cost?"""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import cache, costs, forest, look, runbar, views
from dashboard.runs import NOT_TUNED, Evaluation, Problem, estimate, items, read_lines
from groundtone.project import Project

HEADLINE = look.Headline(
    "Understand",
    "What did tuning cost?",
    "Tuned minus base on the same items: what it could before, and can no longer.",
)
SHOWN = 20  # broken items of a suite in a list


def main() -> None:
    """Lay the page out: forest per group, broken items, retention against tone, the chain."""
    choice = runbar.draw(HEADLINE)
    run = choice.run
    assert run is not None
    if run.candidate == NOT_TUNED:
        why = "This evaluation asked an untuned model, which has forgotten nothing."
        look.problem(Problem("No tuned model here", why, "groundtone tune"))
        return
    suites = costs.suite_lines(run.summary)
    if not suites:
        why = "This evaluation asked no general items of both models; eval.general names the file that holds them."
        look.problem(Problem("Forgetting was not measured", why, "groundtone eval"))
    else:
        look.section("Suite by suite", "Tuned minus base on the same items, in percentage points.")
        leads = dict(costs.GROUPS.values())
        scale = forest.Scale("better →")
        st.html(forest.forest_html(suites, scale, leads=leads, columns=costs.COLUMNS) + forest.legend_html(margin=True))
        st.html(f'<p class="gt-note">{costs.HOW}</p>')
        broken(run, items(run.summary.get("forgetting")))
    trade(Project(choice.root), run)
    chain(Project(choice.root), run)


def broken(run: Evaluation, suites: list[dict[str, Any]]) -> None:
    """The items that the base could and the tuned model cannot, side by side."""
    look.section("Broken items", "What the base answered better, with both answers.")
    found = cache.claims(run)
    names = [str(row.get("suite")) for row in suites if costs.broken_in(row)]
    names = [name for name in names if found.flips(name, broken=True, limit=1)]
    if not names:
        st.html('<p class="gt-note">No item of any suite was answered worse than by the base.</p>')
        return
    suite = st.segmented_control(
        "Suite", names, default=names[0], required=True, key="suite", bind="query-params",
        format_func=lambda name: name.replace("_", " "), label_visibility="collapsed",
    )  # fmt: skip
    flips = found.flips(suite, broken=True, limit=SHOWN)
    counts = next(row for row in suites if str(row.get("suite")) == suite)
    asked = estimate(counts.get("base"))
    of = f" of {asked.n} items" if asked else ""
    st.html(f'<p class="gt-note"><b>{costs.broken_in(counts)}</b>{of} broken.</p>')
    st.html(f'<div class="gt-abreast">{views.changed_html(views.pair_rows(flips, found, found))}</div>')
    if len(flips) == SHOWN:
        st.html(f'<p class="gt-note">The first {SHOWN} are shown.</p>')


def trade(project: Project, run: Evaluation) -> None:
    """What the voice costs: a point per strength, and the guard's looks at checkpoints during training."""
    look.section(
        "Retention against tone", "One point per strength of the adapter; beside it the checkpoints of training."
    )
    folder, accent = project.runs_folder / run.candidate, look.chart_colours().accent
    curve = cache.document(folder / "strength.json")
    table = costs.retention_table(curve) if curve else None
    looks = costs.looks_table(read_lines(folder / "guard.jsonl"))
    left, right = st.columns(2, gap="large")
    with left:
        if table is None or table.empty:
            why = "The curve asks the model at several strengths of its adapter."
            look.problem(Problem("No strength curve yet", why, f"groundtone strength {run.candidate}"))
        else:
            st.altair_chart(costs.retention_chart(table, accent=accent), width="stretch")
    with right:
        if looks.empty:
            why = "With the guard on, training looks at the suites while it runs and stops before the loss allowed."
            command = "groundtone tune --set tuning.guard.every='0.25 epochs'"
            look.problem(Problem("No checkpoint was watched", why, command))
        else:
            st.altair_chart(costs.looks_chart(looks), width="stretch")


def chain(project: Project, run: Evaluation) -> None:
    """Several adapters in sequence."""
    look.section("A chain of adapters", "Every suite at every stage: the base, then each adapter in training order.")
    found = costs.chain_of(cache.chains(project.root), run.candidate)
    report = cache.document(project.runs_folder / found.id / "forgetting.json") if found else None
    shown = costs.chain_html(report) if report else ""
    if shown:
        st.html(shown)
    else:
        why = "It compares the base and adapters that were trained one after another."
        look.problem(Problem("No chain was measured with this run", why, f"groundtone forgetting {run.candidate}"))


main()
