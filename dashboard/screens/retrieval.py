"""Retrieval explorer: why did it find, or miss, that?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import cache, login, look, runbar, views_bound, views_retrieval
from dashboard.config import set_flags
from dashboard.runs import Evaluation, Problem
from dashboard.views_retrieval import Sought
from groundtone.errors import GroundtoneError
from groundtone.joins import bound
from groundtone.joins.retrieval_eval import RECORD
from groundtone.project import Project

HEADLINE = look.Headline(
    "Understand",
    "Why did it find, or miss, that?",
    "Rank per stage; a gold passage is pinned. Replay a question with other settings.",
)
NO_INDEX = Problem("The documents are not indexed yet", "There is nothing to search in.", "groundtone index")
TOP = 10
WIDTH = {"": 70, "Rank": 60, "Score": 70}


def main() -> None:
    """Lay the page out: a question and its ranks, a replay beside it, recall, what was missed."""
    choice = runbar.draw(HEADLINE, needs_evaluation=False)
    root = choice.root
    sought = questions(*_records_of(choice.run)) if choice.run else []
    if Project(root).index_path.exists():
        explore(root, sought)
    else:
        look.problem(NO_INDEX)
    recall(root)
    missed(choice.run, sought)
    refusing(root)


def _records_of(run: Evaluation) -> tuple[str, int, frozenset[str] | None]:
    path = run.path / "records.jsonl"
    return str(path), path.stat().st_mtime_ns if path.exists() else 0, cache.readable()


@st.cache_resource(show_spinner="Reading the questions…", max_entries=4)
def questions(path: str, stamp: int, readable: frozenset[str] | None) -> list[Sought]:
    """The evaluation's questions with gold quotes."""
    return views_retrieval.sought_in(Path(path), readable=readable)


def explore(root: Path, sought: list[Sought]) -> None:
    """One question: as configured, and beside it with other settings."""
    question = st.text_input(
        "Question", key="question", bind="query-params", placeholder="What should be findable?", max_chars=500
    ).strip()
    if not question:
        st.html('<p class="gt-note">Type a question, or pick one below that was answerable but missed.</p>')
        return
    quotes = next((one.quotes for one in sought if one.question == question), ())
    found = run_search(root, question, {})
    if found is None:
        return
    show(found, quotes, key="ranks")
    with st.expander("Replay with other settings", icon=":material/tune:"), st.form("replay", border=False):
        weight_at, mmr_at, go_at = st.columns([1.4, 1.4, 0.8], vertical_alignment="bottom")
        weight = weight_at.slider("Weight of the dense score in the fusion", 0.0, 1.0, 0.65, 0.05, key="weight")
        mmr = mmr_at.selectbox("Variety among the hits (MMR)", ["off", "0.9", "0.7", "0.5"], key="mmr")
        if go_at.form_submit_button("Replay", icon=":material/replay:", width="stretch"):
            overrides = {"retrieval.fusion_weight": f"{weight:.2f}", "retrieval.mmr": "null" if mmr == "off" else mmr}
            again = run_search(root, question, overrides)
            if again is not None:
                st.html(f'<div class="gt-subtitle">{" · ".join(f"{k}={v}" for k, v in overrides.items())}</div>')
                show(again, quotes, key="replayed")


def run_search(root: Path, question: str, overrides: dict[str, str]) -> list[dict[str, Any]] | None:
    """The passages within the viewer's groups; None where the search failed, which is then explained."""
    sets = [*set_flags(sys.argv[1:]), *(f"--set={key}={value}" for key, value in overrides.items())]
    asked = views_retrieval.command(root, question, groups=login.viewer().groups, sets=sets)
    try:
        with st.spinner("Searching in a process of its own…", show_time=True):
            return cache.search(root, asked)
    except GroundtoneError as error:
        look.problem(Problem("The search failed", str(error), "groundtone doctor"))
        return None


def show(found: list[dict[str, Any]], quotes: tuple[tuple[str, str], ...], *, key: str) -> None:
    """Ranks per stage, the gold passage first."""
    if not found:
        st.html('<p class="gt-note">Nothing was found.</p>')
        return
    line = views_retrieval.gold_line(found, quotes)
    st.html(f'<p class="gt-note"><b>{line or "No gold passage is known for this question."}</b></p>')
    table = views_retrieval.ranks_table(found, quotes, top=TOP)
    columns: dict[str, Any] = {name: st.column_config.Column(width=width) for name, width in WIDTH.items()}
    columns["Score"] = st.column_config.NumberColumn(format="%.3f", width=70)
    st.dataframe(table, key=key, hide_index=True, width="stretch", column_config=columns)


def recall(root: Path) -> None:
    """The recall curve of every stage."""
    look.section("Recall by stage", "Share of gold passages among the first k, with 95 % interval over documents.")
    path = Project(root).folder / RECORD
    table = curve(str(path), path.stat().st_mtime_ns if path.exists() else 0)
    if table.empty:
        look.problem(
            Problem("Search was not measured by stage", "No record of it.", "groundtone eval-search --per-stage")
        )
    else:
        st.altair_chart(views_retrieval.recall_chart(table), width="stretch")
        st.html(f'<p class="gt-note">{int(table["n"].max())} questions.</p>')


@st.cache_data(show_spinner="Measuring…", max_entries=4)
def curve(path: str, stamp: int) -> Any:
    """The recall table, made again when the record changes."""
    return views_retrieval.recall_table(Path(path))


def missed(run: Evaluation | None, sought: list[Sought]) -> None:
    """Answerable questions that search missed; a click asks one above."""
    look.section("Answerable but missed", "The documents hold the answer, and the first five passages lack some of it.")
    if run is None:
        look.problem(runbar.NO_EVALUATION)
        return
    found = [one for one in sought if one.missed]
    st.html(f'<p class="gt-note"><b>{len(found)}</b> of {len(sought)} questions with gold quotes.</p>')
    if found:

        def take() -> None:
            rows = st.session_state["missed"]["selection"]["rows"]
            if rows:
                st.session_state["question"] = found[rows[0]].question

        st.dataframe(
            views_retrieval.missed_table(found), key="missed", hide_index=True, width="stretch", on_select=take,
            selection_mode="single-row",
        )  # fmt: skip


def refusing(root: Path) -> None:
    """What each bound of refusing gives on the project's own questions."""
    look.section("When to refuse", "Below the bound the assistant refuses: low, it answers wrongly; high, not at all.")
    found = views_bound.advice(Project(root).folder / bound.RECORD)
    if found is None:
        look.problem(Problem("No bound was measured", "One run tells about all of them.", "groundtone bound"))
        return
    st.altair_chart(views_bound.bound_chart(views_bound.bound_table(found), found), width="stretch")
    st.html(f'<p class="gt-note">{views_bound.bound_line(found)}</p>')


main()
