"""Hallucinations: is this claim true to our documents?"""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import cache, look, marks, review, runbar
from dashboard.measures import arm_name
from dashboard.runs import Evaluation, Problem
from groundtone.feedback import Feedback
from groundtone.types import HumanVerdict, Verdict

BUTTONS: tuple[tuple[HumanVerdict, str, str], ...] = (
    ("supported", "1", ":material/check:"),
    ("unsupported", "2", ":material/question_mark:"),
    ("contradicted", "3", ":material/close:"),
    ("true elsewhere", "4", ":material/north_east:"),
    ("unsure", "5", ":material/airwave:"),
)
ALL = "all"

HEADLINE = look.Headline(
    "Review", "Is this claim true to our documents?", "The riskiest claims first. Your verdicts calibrate the detector."
)


def main() -> None:
    """Lay the page out: queue, answer, evidence."""
    choice = runbar.draw(HEADLINE)
    run = choice.run
    assert run is not None
    feedback = cache.feedback(choice.root)
    everything = cache.queue(run)
    skipped = cache.records(run).skipped
    if skipped:
        st.warning(f"{skipped} line(s) of records.jsonl could not be read and are left out.", icon=":material/warning:")
    if not everything:
        look.problem(Problem("There are no claims to judge", "This evaluation's records hold none.", "groundtone eval"))
        st.stop()
    rows = filters(everything)
    person = st.session_state["person"].strip() or "anonymous"
    said = review.mine(feedback.judged(), person)
    done = sum(row.key in said for row in rows)
    st.html(review.progress_html(done, len(rows), review.trust(everything, feedback.judged())))
    if not rows:
        st.html('<p class="gt-note">No claim of this arm has these verdicts. Widen the filter above.</p>')
        st.stop()
    left, middle, right = st.columns([1, 1.6, 1.15], gap="medium")
    with left:
        index = pick(rows, said)
    row = rows[index]
    with middle:
        st.html(review.question_html(row))
        answer = row.record["answer"]
        span = (int(row.claim.get("start", 0)), int(row.claim.get("end", 0)))
        st.html(marks.answer_html(str(answer.get("text", "")), answer.get("claims") or (), selected=span))
        st.html(review.claim_html(row, said.get(row.key, "")))
        judge(run, feedback, rows, index, person, said)
    with right:
        st.html(review.evidence_html(row))


def filters(everything: list[review.Row]) -> list[review.Row]:
    """The arm, the detector's verdicts and the reader's name."""
    arm_at, verdict_at, person_at = st.columns([1.2, 2.1, 0.9], vertical_alignment="bottom")
    arms = [*review.arms_of(everything), ALL]
    arm = arm_at.selectbox(
        "Answers of",
        arms,
        format_func=lambda a: "All arms" if a == ALL else arm_name(a),
        key="arm",
        bind="query-params",
    )
    verdicts = verdict_at.segmented_control(
        "Detector says", list(review.RISK), selection_mode="multi", key="says", bind="query-params",
        format_func=lambda v: f"{marks.look(v).icon} {marks.look(v).label}",
    )  # fmt: skip
    person_at.text_input("Your name", value="reviewer", key="person", persist_state="session", max_chars=60)
    return review.select(everything, arm="" if arm == ALL else arm, verdicts=verdicts)


def pick(rows: list[review.Row], said: dict[str, str]) -> int:
    """The queue; returns the index of the claim in hand."""
    event: Any = st.dataframe(
        review.queue_table(rows, said), key="queue", hide_index=True, height=520, row_height=38, on_select="rerun",
        selection_mode="single-row-required",
        column_config={"": st.column_config.TextColumn(width=26), "You": st.column_config.TextColumn(width=40)},
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    return min(chosen[0], len(rows) - 1) if chosen else 0


def judge(
    run: Evaluation, feedback: Feedback, rows: list[review.Row], index: int, person: str, said: dict[str, str]
) -> None:
    """Verdict buttons, a correction, undo and moving on."""
    row = rows[index]
    note = f"correction-{row.key}"

    def store(value: HumanVerdict) -> None:
        correction = str(st.session_state.get(note, "")).strip()
        feedback.add_verdict(Verdict(row.key, person, value, correction), about=review.about(row, run.id))
        go(review.next_open(rows, said | {row.key: value}, index))

    def undo() -> None:
        gone = feedback.undo_verdict(person)
        where = [i for i, r in enumerate(rows) if gone and r.key == gone.claim_key]
        go(where[0] if where else index)

    with st.container(horizontal=True, key="gt-verdicts", gap="small"):
        for value, key, icon in BUTTONS:
            st.button(
                marks.look(value).label, key=f"say-{value}", shortcut=key, icon=icon, on_click=store, args=(value,)
            )
    st.text_area(
        "Correction, stored with your verdict (optional)",
        key=note,
        height=68,
        placeholder="What the answer should have said",
    )
    with st.container(horizontal=True, key="gt-moves", gap="small"):
        st.button(
            "Previous",
            key="previous",
            shortcut="K",
            type="tertiary",
            disabled=index == 0,
            on_click=go,
            args=(index - 1,),
        )
        st.button(
            "Next",
            key="next",
            shortcut="J",
            type="tertiary",
            disabled=index + 1 >= len(rows),
            on_click=go,
            args=(index + 1,),
        )
        st.button("Undo my last", key="undo", shortcut="U", type="tertiary", icon=":material/undo:", on_click=undo)


def go(index: int) -> None:
    """Put the queue's selection on a row."""
    st.session_state["queue"] = {"selection": {"rows": [index], "columns": [], "cells": []}}


main()
