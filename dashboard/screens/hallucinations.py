"""Hallucinations: is this claim true to our documents?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard import cache, login, look, marks, review, runbar
from dashboard.claims import RISK, Claims, Entry
from dashboard.measures import arm_name
from dashboard.runs import Evaluation, Problem, items
from dashboard.trusting import Pair, confusion_html, pairs, reliability_chart, reliability_table, why_html
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
WINDOW = 300  # claims that the queue lists at once: a browser shows no more at once, and a rerun sends them again

HEADLINE = look.Headline(
    "Review", "Is this claim true to our documents?", "The riskiest claims first. Your verdicts calibrate the detector."
)


def main() -> None:
    """Lay the page out: queue, answer, evidence, and beneath how far the detector can be trusted."""
    choice = runbar.draw(HEADLINE)
    run = choice.run
    assert run is not None
    feedback, claims = cache.feedback(choice.root), cache.claims(run)
    if claims.skipped:
        said = f"{claims.skipped} line(s) of records.jsonl could not be read and are left out."
        st.warning(said, icon=":material/warning:")
    if not claims.count():
        look.problem(Problem("There are no claims to judge", "This evaluation's records hold none.", "groundtone eval"))
        st.stop()
    reviewing(run, claims, feedback)


@st.fragment
def reviewing(run: Evaluation, claims: Claims, feedback: Feedback) -> None:
    """Everything that a verdict changes: run again by itself, without the bar above."""
    judged = feedback.judged()
    shown = filters(claims)
    total = claims.count(arm=shown.arm, verdicts=shown.verdicts)
    said = review.mine(judged, shown.person)
    mine = claims.among(said)
    done = sum(shown.arm in ("", e.arm) and (not shown.verdicts or e.verdict in shown.verdicts) for e in mine.values())
    st.html(review.progress_html(done, total, review.trust(claims, judged)))
    if not total:
        st.html('<p class="gt-note">No claim of this arm has these verdicts. Widen the filter above.</p>')
        return
    part = 1
    if total > WINDOW:
        parts = -(-total // WINDOW)
        part = st.number_input(
            f"Part of the queue (1 to {parts}, {WINDOW} claims each)", 1, parts, key="part", width=260
        )
    first = list(claims.among(review.contested(judged)))
    rows = claims.queue(arm=shown.arm, verdicts=shown.verdicts, first=first, limit=WINDOW, offset=(part - 1) * WINDOW)
    left, middle, right = st.columns([1, 1.6, 1.15], gap="medium")
    with left:
        index = pick(rows, said, blind=shown.blind)
    row = review.open_row(claims, rows[index])
    if row is None:
        look.problem(Problem("This answer is gone", "Its run was removed or written anew: reload the page.", ""))
        return
    with middle:
        answer_of(row, said, blind=shown.blind)
        judge(run, feedback, rows, index, row, person=shown.person, said=said)
    with right:
        evidence(run, row)
    trust(pairs(claims, judged))


@dataclass(frozen=True, slots=True)
class Shown:
    """What the reader asked for; "" and () mean all."""

    arm: str
    verdicts: tuple[str, ...]
    person: str
    blind: bool


def filters(claims: Claims) -> Shown:
    """The arm, the detector's verdicts, the reader's name, and whether to judge blind."""
    arm_at, verdict_at, person_at, blind_at = st.columns([1.1, 2.1, 0.8, 0.7], vertical_alignment="bottom")
    arm = arm_at.selectbox(
        "Answers of",
        [*review.in_order(claims.arms()), ALL],
        format_func=lambda a: "All arms" if a == ALL else arm_name(a),
        key="arm",
        bind="query-params",
    )
    verdicts = verdict_at.segmented_control(
        "Detector says", list(RISK), selection_mode="multi", key="says", bind="query-params",
        format_func=lambda v: f"{marks.look(v).icon} {marks.look(v).label}",
    )  # fmt: skip
    name = login.person_input(person_at)
    blind = blind_at.toggle(
        "Blind", key="blind-review", bind="query-params",
        help="Hide the detector's guess until you have judged: verdicts that measure it must not be led by it.",
    )  # fmt: skip
    return Shown("" if arm == ALL else arm, tuple(verdicts or ()), name, blind)


def pick(rows: list[Entry], said: dict[str, str], *, blind: bool) -> int:
    """The queue; returns the index of the claim in hand."""
    event: Any = st.dataframe(
        review.queue_table(rows, said, blind=blind), key="queue", hide_index=True, height=520, row_height=38,
        on_select="rerun", selection_mode="single-row-required",
        column_config={"": st.column_config.TextColumn(width=26), "You": st.column_config.TextColumn(width=40)},
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    return min(chosen[0], len(rows) - 1) if chosen else 0


def answer_of(row: review.Row, said: dict[str, str], *, blind: bool) -> None:
    """The question and its answer with the claims marked; all of it is shown, a very long one cut with a word on it."""
    st.html(review.question_html(row))
    answer = row.record["answer"]
    text, hidden = str(answer.get("text", "")), blind and row.key not in said
    spans = [dict(claim, verdict="unchecked") if hidden else claim for claim in items(answer.get("claims"))]
    st.html(marks.answer_html(text, spans, selected=(row.entry.start, row.entry.stop)))
    st.html(review.claim_html(row, said.get(row.key, ""), blind=blind))


def evidence(run: Evaluation, row: review.Row) -> None:
    """The passage beside the claim and, where blame looked, why the claim was made."""
    blame = cache.blame(run)
    place = (str(row.record["answer"].get("id")), row.entry.start, row.entry.stop)
    spans = items(blame.get("spans")) if blame else []
    span = next((s for s in spans if (s.get("answer_id"), s.get("start"), s.get("end")) == place), None)
    st.html(review.evidence_html(row, span))
    with st.expander("Why did it say that?", icon=":material/psychology_alt:"):
        if span is not None and blame is not None:
            st.html(why_html(span, str(blame.get("note", ""))))
        elif blame is not None or row.verdict in ("supported", "unchecked"):
            st.html('<p class="gt-note">Blame looks only at claims that the documents do not carry.</p>')
        else:
            look.problem(Problem("Nobody asked yet", "Blame names the cause of a claim.", f"groundtone blame {run.id}"))


def trust(found: list[Pair]) -> None:
    """Confusion matrix and reliability curve of the detector against people."""
    with st.expander("Is the detector trustworthy?", icon=":material/balance:", expanded=bool(found)):
        if not found:
            st.html('<p class="gt-note">0 human verdicts: unverified. Judge claims above and both appear here.</p>')
            return
        left, right = st.columns([1.2, 1], gap="large")
        left.html(f'<div class="gt-subtitle">Confusion matrix, n {len(found)}</div>{confusion_html(found)}')
        right.html('<div class="gt-subtitle">Reliability: on the dashed line, risk is a probability</div>')
        chart = reliability_chart(reliability_table(found), accent=look.chart_colours().accent)
        right.altair_chart(chart, width="stretch")


def judge(
    run: Evaluation,
    feedback: Feedback,
    rows: list[Entry],
    index: int,
    row: review.Row,
    *,
    person: str,
    said: dict[str, str],
) -> None:
    """Verdict buttons, a correction, undo and moving on; who may only look can move on alone."""
    locked = not login.viewer().may_write
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
                marks.look(value).label,
                key=f"say-{value}",
                shortcut=key,
                icon=icon,
                disabled=locked,
                on_click=store,
                args=(value,),
            )
    st.text_area(
        "Correction: becomes a training row with your verdict (optional)",
        key=note,
        height=68,
        disabled=locked,
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
        st.button(
            "Undo my last",
            key="undo",
            shortcut="U",
            type="tertiary",
            icon=":material/undo:",
            disabled=locked,
            on_click=undo,
        )


def go(index: int) -> None:
    """Put the queue's selection on a row."""
    st.session_state["queue"] = {"selection": {"rows": [index], "columns": [], "cells": []}}


main()
