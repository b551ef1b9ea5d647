"""Overview: can I ship this?"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import cache, forest, look, runbar, trusting, views, why
from dashboard.claims import ORDERS, RANDOM, RISKIEST
from dashboard.measures import METRICS, Metric, arm_name
from dashboard.runs import NOT_TUNED, Evaluation, Problem
from groundtone.errors import GroundtoneError
from groundtone.project import Project

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

ICONS = {"broken": ":material/heart_broken:", "fixed": ":material/build_circle:"}
SHOWN = 20  # pairs of answers in a list

HEADLINE = look.Headline(
    "Decide", "Can I ship this?", "The tuned model with its documents, against its base, on the same questions."
)


def main() -> None:
    """Lay the page out."""
    choice = runbar.draw(HEADLINE)
    run, baseline = choice.run, choice.baseline
    assert run is not None
    st.html(views.banner_html(run.summary))
    for line in views.failures(run.summary):
        look.problem(Problem("Some questions failed and are missing from the figures", line, "groundtone eval"))
    all_checks = views.checks(run.summary)
    more, report = st.columns([3.4, 1], vertical_alignment="top")
    release_report(report, choice.root, run)
    if all_checks:
        with more.expander(f"All {len(all_checks)} checks of the gate"):
            st.html(f'<ul class="gt-checks">{"".join(views.check_html(check) for check in all_checks)}</ul>')
    for column, key in zip(st.columns(4), views.TILES, strict=True):
        column.html(views.tile_html(run.summary, METRICS[key], baseline=baseline.summary if baseline else None))
    if baseline:
        st.html(
            '<p class="gt-note">Changes against base are paired. Against the baseline run the intervals are those of '
            "independent samples: cautious where both answered the same questions.</p>"
        )
    comparison(run)
    causes(run)
    people(choice.root, run)
    changes(run, baseline)
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
    grid, differences = st.columns([1, 1.15], gap="large")
    with grid:
        heat_map(run, metric)
    with differences:
        lines = views.difference_lines(run.summary, metric.key)
        if not lines:
            command = "groundtone tune" if run.candidate == NOT_TUNED else "groundtone eval"
            look.problem(Problem("No paired differences", f"{metric.label} was not compared here.", command))
            return
        st.html('<div class="gt-subtitle">Paired differences on the same questions, in percentage points</div>')
        good = "← better" if metric.better == "lower" else "better →"
        st.html(forest.forest_html({"": lines}, forest.Scale(good)) + forest.legend_html())


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
        st.html(views.cell_html(run.summary, arm, metric, name=arm_name(arm), wide=wide))
        if arm in run.summary["arms"]:
            st.page_link(
                "screens/hallucinations.py", label=f"Review {arm_name(arm)}",
                query_params={"candidate": run.candidate, "evaluation": run.id, "arm": arm_name(arm)},
            )  # fmt: skip


def release_report(column: DeltaGenerator, root: Path, run: Evaluation) -> None:
    """The passport as one file; made when somebody asks for it."""

    def made() -> str:
        from eval.passport import to_html
        from groundtone.joins.passport import release_passport

        try:
            return to_html(release_passport(Project(root), run.id))
        except GroundtoneError as error:  # else the click would end in nothing at all
            return views.problem_html(Problem("The release report could not be made", str(error), "groundtone eval"))

    column.download_button(
        "Release report", made, file_name=f"{run.id}.html", mime="text/html", icon=":material/description:",
        width="stretch", on_click="ignore", help="One HTML page that needs nothing from outside",
    )  # fmt: skip


def causes(run: Evaluation) -> None:
    """Why the documents do not carry what was said."""
    look.section("Why it says what the documents do not carry", "Share of doubted claims by cause, of all arms.")
    blame = cache.blame(run)
    found = why.causes(blame) if blame else []
    if not blame:
        said = "Blame names the passage, the training rows or the base behind each doubted claim."
        look.problem(Problem("Causes were not looked for", said, f"groundtone blame {run.id}"))
    elif not found:
        st.html('<p class="gt-note">No claim was unsupported or contradicted: there is nothing to blame.</p>')
    else:
        st.html(why.causes_html(found))


def people(root: Path, run: Evaluation) -> None:
    """What people say of the detector."""
    look.section("Can the detector be trusted?", "Every hallucination rate above is the detector's.")
    left, right = st.columns([1, 1.35], gap="large", vertical_alignment="center")
    claims = cache.claims(run)
    some = trusting.sample(claims, cache.feedback(root).judged())
    with left:
        found, ends = trusting.trust(claims, some), trusting.kappa_ends(claims, some)
        st.html(trusting.agreement_html(found, some, ends=ends))
    with right:
        card = run.summary.get("detector_card")
        st.html(trusting.card_html(card) if isinstance(card, dict) else trusting.NO_CARD)
        for label, order in (("Judge a random sample", RANDOM), ("Judge the riskiest claims", RISKIEST)):
            chosen = {"candidate": run.candidate, "evaluation": run.id, "order": ORDERS[order]}
            st.page_link("screens/hallucinations.py", label=label, icon=":material/fact_check:", query_params=chosen)


def changes(run: Evaluation, baseline: Evaluation | None) -> None:
    """Single questions that are right now and were not, and the other way round: against base, against another run."""
    look.section("What changed", "Questions whose answer became right or wrong, with both answers.")
    new = cache.claims(run)
    pairs = [("the base", run, "base/rag", ("Base", "Tuned"))]
    if baseline:
        pairs.append((baseline.candidate, baseline, "tuned/rag", ("Baseline", "Candidate")))
    for column, (against, old, arm, names) in zip(st.columns(2, gap="large"), pairs, strict=False):
        with column:
            st.html(f'<div class="gt-subtitle">Against {escape(against)}</div>')
            for kind, found in cache.flips(old, arm, run).items():
                label = f"{len(found)} answer{'s' if len(found) != 1 else ''} {kind}"
                with st.expander(label, icon=ICONS[kind]):
                    if not found:
                        st.html(f'<p class="gt-note">No answer was {kind}.</p>')
                        continue
                    st.html(views.changed_html(views.pair_rows(found[:SHOWN], cache.claims(old), new), names))
                    if len(found) > SHOWN:
                        st.html(f'<p class="gt-note">The first {SHOWN} of {len(found)} are shown.</p>')


main()
