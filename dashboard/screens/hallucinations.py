"""Hallucinations: is this claim true to our documents?"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import streamlit as st

from dashboard import cache, login, look, marks, review, runbar, trusting
from dashboard.claims import ORDERS, RISK, RISKIEST, Claims, Entry, Order
from dashboard.config import project_folder, set_flags
from dashboard.measures import arm_name
from dashboard.runs import Evaluation, Problem, items
from dashboard.views_retrieval import CORPUS, command, gold_rank
from dashboard.why import why_html
from groundtone.errors import GroundtoneError
from groundtone.feedback import Feedback
from groundtone.project import Project
from groundtone.types import HumanVerdict, Verdict

BUTTONS: tuple[tuple[HumanVerdict, str, str], ...] = (
    ("supported", "1", ":material/check:"),
    ("unsupported", "2", ":material/question_mark:"),
    ("contradicted", "3", ":material/close:"),
    ("true elsewhere", "4", ":material/north_east:"),
    ("unsure", "5", ":material/airwave:"),
)
TAUGHT = "becomes a training row once somebody accepts it"
NOT_TAUGHT = "kept with your verdict; the evaluation’s questions are never trained on"
TAKEN_BACK = "gt-taken-back"
ALL = "all"
WINDOW = 300  # claims that the queue lists at once: a browser shows no more at once, and a rerun sends them again

HEADLINE = look.Headline(
    "Review",
    "Is this claim true to our documents?",
    "The riskiest claims show what is wrong; a random sample of them shows how far the detector can be trusted.",
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
    if TAKEN_BACK in st.session_state:  # told here: Streamlit lets no callback of a fragment show anything
        st.toast(marks.plain_label(st.session_state.pop(TAKEN_BACK)), icon=":material/undo:")
    judged = feedback.judged()
    shown = filters(claims)
    total = claims.count(arm=shown.arm, verdicts=shown.verdicts)
    some = trusting.sample(claims, judged)
    progress_at, person_at, blind_at = st.columns([3.4, 0.9, 0.6], vertical_alignment="center", gap="medium")
    person = login.person_input(person_at, label_visibility="collapsed")
    blind = blind_at.toggle(
        "Blind", key="blind-review", bind="query-params",
        help="Hide the detector's guess until you have judged: verdicts that measure it must not be led by it.",
    )  # fmt: skip
    said = review.mine(judged, person)
    mine = claims.among(said)
    done = sum(shown.arm in ("", e.arm) and (not shown.verdicts or e.verdict in shown.verdicts) for e in mine.values())
    found, ends = trusting.trust(claims, some), trusting.kappa_ends(claims, some)
    progress_at.html(trusting.progress_html(done, total, found, some, ends=ends))
    if not total:
        st.html('<p class="gt-note">No claim of this arm has these verdicts. Widen the filter above.</p>')
        return
    rows = window(claims, shown, total, list(claims.among(review.contested(judged))))
    left, middle, right = st.columns([1.1, 1.6, 1.15], gap="medium")
    with left:
        index = pick(rows, said, blind=blind)
    row = review.open_row(claims, rows[index])
    if row is None:
        look.problem(Problem("This answer is gone", "Its run was removed or written anew: reload the page."))
        return
    with middle:
        answer_of(row, said, blind=blind)
        written = review.corrected(judged, person).get(row.key, "")
        judge(Judging(run, feedback, rows, index, row, person, shown.order, written), said)
    with right:
        evidence(run, row)
    trust(trusting.pairs(claims, some), some)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the reader asked for; "" and () mean all."""

    arm: str
    verdicts: tuple[str, ...]
    order: Order


def filters(claims: Claims) -> Shown:
    """The arm, the detector's verdicts, and in which order."""
    arm_at, verdict_at, order_at = st.columns([1.15, 2, 0.85], vertical_alignment="bottom")
    arm = arm_at.selectbox(
        "Answers of",
        [*review.in_order(claims.arms()), ALL],
        format_func=lambda a: "All arms" if a == ALL else arm_name(a),
        key="arm",
        bind="query-params",
    )
    verdicts = verdict_at.segmented_control(
        "Detector says", list(RISK), selection_mode="multi", key="says", bind="query-params", width="stretch",
        format_func=lambda v: f"{marks.look(v).icon} {marks.look(v).label}",
    )  # fmt: skip
    order: Order = order_at.selectbox(
        "Order", list(ORDERS), format_func=ORDERS.get, key="order", bind="query-params",
        help="The riskiest claims are where a verdict saves most; a random sample is what rates may be taken from.",
    )  # fmt: skip
    return Shown("" if arm == ALL else arm, tuple(verdicts or ()), order)


def window(claims: Claims, shown: Shown, total: int, contested: list[str]) -> list[Entry]:
    """The part of the queue that is listed; the claims on which people disagree come first, save in a random sample."""
    part = 1
    if total > WINDOW:
        parts = -(-total // WINDOW)
        part = st.number_input(
            f"Part of the queue (1 to {parts}, {WINDOW} claims each)", 1, parts, key="part", width=260
        )
    first = contested if shown.order == RISKIEST else []
    return claims.queue(
        arm=shown.arm, verdicts=shown.verdicts, order=shown.order, first=first, limit=WINDOW, offset=(part - 1) * WINDOW
    )


def pick(rows: list[Entry], said: dict[str, str], *, blind: bool) -> int:
    """The queue; returns the index of the claim in hand."""
    columns: dict[str, Any] = {"": st.column_config.TextColumn(width=26)}
    table = review.queue_table(rows, said, blind=blind)
    if "You" in table:
        columns["You"] = st.column_config.TextColumn(width=34)
    event: Any = st.dataframe(
        table, key="queue", hide_index=True, height=560, row_height=36, on_select="rerun",
        selection_mode="single-row-required", column_config=columns,
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
    known: dict[str, int | None] = st.session_state.setdefault("gt-ranks", {})
    found = known.get(row.question)
    st.html(review.evidence_html(row, {**(span or {}), "rank": found} if found else span))
    quotes = review.missed_quotes(row)
    if quotes and not found and not (span and span.get("rank")):
        rank_of(row.question, quotes, known)
    with st.expander("Why did it say that?", icon=":material/psychology_alt:"):
        if span is not None and blame is not None:
            st.html(why_html(span, str(blame.get("note", "")), seen=cache.taught(project_folder(sys.argv[1:]))))
        elif blame is not None or row.verdict in ("supported", "unchecked"):
            st.html('<p class="gt-note">Blame looks only at claims that the documents do not carry.</p>')
        else:
            look.problem(Problem("Nobody asked yet", "Blame names the cause of a claim.", f"groundtone blame {run.id}"))


def rank_of(question: str, quotes: tuple[tuple[str, str], ...], known: dict[str, int | None]) -> None:
    """At which rank of the whole corpus a missed passage stands: searched for when somebody asks."""
    root = project_folder(sys.argv[1:])
    if question in known:
        st.html(f'<p class="gt-note">✕ Not among the first {CORPUS} passages of the index.</p>')
    elif Project(root).index_path.exists() and st.button("At which rank is it?", icon=":material/search:", key="rank"):
        try:
            with st.spinner("Searching in a process of its own…", show_time=True):
                groups, sets = login.viewer().groups, set_flags(sys.argv[1:])
                found = cache.search(root, command(root, question, groups=groups, sets=sets, depth=CORPUS))
        except GroundtoneError as error:
            look.problem(Problem("The search failed", str(error), "groundtone doctor"))
            return
        known[question] = gold_rank(found, quotes)
        st.rerun(scope="fragment")


def trust(found: list[trusting.Pair], some: trusting.Sample) -> None:
    """Confusion matrix and reliability curve of the detector against people."""
    with st.expander("Is the detector trustworthy?", icon=":material/balance:", expanded=bool(found)):
        if not found:
            st.html('<p class="gt-note">0 human verdicts: unverified. Judge claims above and both appear here.</p>')
            return
        if note := trusting.sampled(some):
            st.html(f'<p class="gt-missed"><b aria-hidden="true">△</b>{note}</p>')
        left, right = st.columns([1.2, 1], gap="large")
        left.html(f'<div class="gt-subtitle">Confusion matrix, n {len(found)}</div>{trusting.confusion_html(found)}')
        right.html('<div class="gt-subtitle">Reliability: on the dashed line, risk is a probability</div>')
        table = trusting.reliability_table(found)
        right.altair_chart(trusting.reliability_chart(table, accent=look.chart_colours().accent), width="stretch")


@dataclass(frozen=True, slots=True)
class Judging:
    """A claim under judgement, where it stands in the queue, who judges, and what they wrote of it before."""

    run: Evaluation
    feedback: Feedback
    rows: list[Entry]
    index: int
    row: review.Row
    person: str
    order: Order
    written: str = ""


def judge(now: Judging, said: dict[str, str]) -> None:
    """Verdict buttons, a correction, undo and moving on; who may only look can move on alone."""
    locked = not login.viewer().may_write
    # The latest verdict counts whole: what was written before must stand here, or a second verdict would drop it.
    note = f"correction-{now.person}-{now.row.key}"
    if note not in st.session_state:
        st.session_state[note] = now.written

    def store(value: HumanVerdict) -> None:
        correction = str(st.session_state.get(note, "")).strip()
        about = review.about(now.row, now.run.id, order=now.order)
        now.feedback.add_verdict(Verdict(now.row.key, now.person, value, correction), about=about)
        go(review.next_open(now.rows, said | {now.row.key: value}, now.index))

    def undo() -> None:
        known = {one.verdict.claim_key: one.about for one in now.feedback.judged()}
        gone = now.feedback.undo_verdict(now.person)
        if gone is None:
            st.session_state[TAKEN_BACK] = f"{now.person} has no verdict to take back."
            return
        claim = shorten(str(known.get(gone.claim_key, {}).get("claim", "")), 80)
        st.session_state[TAKEN_BACK] = f"Taken back: {gone.value}, on “{claim}”"
        st.session_state[f"correction-{now.person}-{gone.claim_key}"] = gone.correction
        where = [i for i, r in enumerate(now.rows) if r.key == gone.claim_key]
        go(where[0] if where else now.index)

    with st.container(horizontal=True, key="gt-verdicts", gap="small"):
        for value, key, icon in BUTTONS:
            st.button(
                marks.look(value).label, key=f"say-{value}", shortcut=key, icon=icon, disabled=locked,
                on_click=store, args=(value,),
            )  # fmt: skip
    question = now.row.record["question"]
    asked = cache.asked(project_folder(sys.argv[1:])).holds(now.row.question, (str(question.get("id", "")),))
    st.text_area(
        f"Correction (optional), {NOT_TAUGHT if asked else TAUGHT}", key=note, height=68, disabled=locked,
        placeholder="What the answer should have said",
    )  # fmt: skip
    moves = (
        ("Previous", "previous", "K", ":material/arrow_upward:", now.index == 0, go, (now.index - 1,)),
        ("Next", "next", "J", ":material/arrow_downward:", now.index + 1 >= len(now.rows), go, (now.index + 1,)),
        ("Undo my last", "undo", "U", ":material/undo:", locked, undo, ()),
    )
    with st.container(horizontal=True, key="gt-moves", gap="small"):
        for label, name, key, icon, disabled, action, values in moves:
            st.button(
                label, key=name, shortcut=key, type="tertiary", icon=icon, disabled=disabled, on_click=action,
                args=values,
            )  # fmt: skip


def go(index: int) -> None:
    """Put the queue's selection on a row."""
    st.session_state["queue"] = {"selection": {"rows": [index], "columns": [], "cells": []}}


main()
