"""The bar on top of every page: project, candidate run, baseline run, evaluation set, gate; bound to the address."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

import streamlit as st

from dashboard import cache, look, runs, views
from dashboard.config import project_folder

NO_BASELINE = "none"
NO_EVALUATION = runs.Problem(
    "There is no finished evaluation yet",
    "An evaluation asks the base and the tuned model the same questions, with and without the documents. "
    "`groundtone demo` makes a small one on the sample company in a few minutes.",
    "groundtone eval",
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The project, the evaluation that the reader looks at and the one it is held against; None where there is none."""

    root: Path
    run: runs.Evaluation | None
    baseline: runs.Evaluation | None = None


def draw(headline: look.Headline, *, needs_evaluation: bool = True) -> Choice:
    """Draw the bar and the page's headline and return what was chosen.

    A page that needs an evaluation ends here where there is none, with the reason and the command that makes one.
    """
    st.html(look.STYLE)
    root = project_folder(sys.argv[1:])
    problem = runs.project_problem(root)
    if problem:
        _bar(root, None)
        look.heading(headline)
        look.problem(problem)
        st.stop()
    found = cache.evaluations(root)
    run, baseline = _bar(root, found)
    look.heading(headline)
    if run is None and needs_evaluation:
        look.problem(NO_EVALUATION)
    if run is None or not needs_evaluation:
        _problems(found.problems, expanded=needs_evaluation)
    if run is None and needs_evaluation:
        st.stop()
    return Choice(root, run, baseline)


def problems(root: Path) -> None:
    """The runs that cannot be shown, folded away; nothing where all can."""
    _problems(cache.evaluations(root).problems, expanded=False)


def _bar(root: Path, found: runs.Evaluations | None) -> tuple[runs.Evaluation | None, runs.Evaluation | None]:
    with st.container(key="gt-runbar"):
        widths = [0.9, 1.25, 1.25, 1.25, 0.85]
        name, candidate_at, baseline_at, evaluation_at, badge = st.columns(widths, vertical_alignment="center")
        name.html(
            f'<div class="gt-project"><span>Project</span><strong title="{escape(str(root))}">'
            f"{escape(root.name)}</strong></div>"
        )
        if found is None or not found.runs:
            return None, None
        candidate = candidate_at.selectbox(
            "Candidate run", found.candidates(), key="candidate", bind="query-params", persist_state="session"
        )
        by_id = {run.id: run for run in found.of(candidate)}
        evaluation = evaluation_at.selectbox(
            "Evaluation set", list(by_id), key="evaluation", bind="query-params", persist_state="session"
        )
        others = {run.candidate: run for run in reversed(found.runs) if run.candidate != candidate}
        baseline = baseline_at.selectbox(
            "Baseline run", [NO_BASELINE, *reversed(others)], index=min(1, len(others)), key="baseline",
            bind="query-params", persist_state="session",
        )  # fmt: skip
        run = by_id[evaluation]
        model = f'<span class="gt-model">{escape(str(run.summary.get("model") or ""))}</span>'
        badge.html(f'<div class="gt-gate">{views.badge_html(views.gate_verdict(run.summary))}{model}</div>')
    return run, others.get(baseline)


def _problems(found: tuple[runs.Problem, ...], *, expanded: bool) -> None:
    if not found:
        return
    count = f"{len(found)} run{'s' if len(found) > 1 else ''} not shown here, and why"
    with st.expander(count, expanded=expanded):
        for problem in found:
            look.problem(problem)
