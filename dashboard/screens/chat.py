"""Chat: which answer would you send?"""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten

import streamlit as st

from dashboard import cache, chatting, forest, login, look, marks, runbar, views_tone
from dashboard.runs import Evaluation, Problem
from dashboard.worker import ChatRequest
from groundtone.errors import GroundtoneError
from groundtone.feedback import Feedback

TURNS = "chat-turns"

HEADLINE = look.Headline(
    "Review", "Which answer would you send?", "Base and tuned answer the same question over the same documents."
)


def main() -> None:
    """Lay the page out: the turns so far, then the question box."""
    choice = runbar.draw(HEADLINE, needs_evaluation=False)
    problem = chatting.not_ready(choice.root)
    if problem:
        look.problem(problem)
        st.stop()
    blind_at, person_at, clear_at = st.columns([2.4, 1, 0.8], vertical_alignment="bottom")
    blind = blind_at.toggle("Hide which is which until I vote", value=True, key="blind", persist_state="session")
    login.person_input(person_at)
    turns: list[chatting.Turn] = st.session_state.setdefault(TURNS, [])
    if clear_at.button("New chat", icon=":material/refresh:", disabled=not turns, width="stretch"):
        turns.clear()
        st.rerun()
    tried = invite(choice.run) if not turns else None
    for number, turn in enumerate(turns):
        show(turn, blind=blind)
        vote(choice.root, turn, number, blind=blind)
    standing(choice.root)
    question = st.chat_input("Ask about the documents", max_chars=2000) or tried
    if question and question.strip():
        ask(choice.root, turns, question.strip(), blind=blind)
        st.rerun()


def invite(run: Evaluation | None) -> str | None:
    """What to do, and questions of the evaluation to begin with; returns the one that was selected."""
    st.html(chatting.invitation_html())
    found = cache.claims(run) if run is not None else None
    known = [*found.questions("answerable", limit=2), *found.questions("unanswerable", limit=1)] if found else []
    chosen = None
    with st.container(horizontal=True, horizontal_alignment="center", gap="small", key="gt-try"):
        for number, question in enumerate(known):
            if st.button(marks.plain_label(shorten(question, 120)), key=f"try-{number}", icon=":material/chat_bubble:"):
                chosen = question
    return chosen


def show(turn: chatting.Turn, *, blind: bool) -> None:
    """A question and its two answers with marked claims and citations."""
    st.html(chatting.question_html(turn.question))
    for column, slot in zip(st.columns(2, gap="medium"), (0, 1), strict=True):
        reply = turn.replies[slot]
        with column, st.container(border=True):
            st.html(chatting.name_html(turn, slot, blind=blind))
            if reply.error:
                look.problem(Problem("This model gave no answer", reply.error))
            else:
                st.html(marks.answer_html(str(reply.answer.get("text", "")), reply.answer.get("claims") or ()))
                st.html(marks.citations_html(reply.answer) or chatting.no_citation_html(reply.answer))


def vote(root: Path, turn: chatting.Turn, number: int, *, blind: bool) -> None:
    """The vote on a turn, or what was voted and what becomes of it."""
    feedback = cache.feedback(root)
    if any(reply.error for reply in turn.replies):
        return
    may_write = login.viewer().may_write
    if turn.vote:
        reason = st.session_state.get(f"kept-reason-{number}") or ""
        said = chatting.to_vote(turn, turn.vote, person=login.person(), reason=reason, blind=blind)
        st.html(chatting.voted_html(turn, chatting.taught(said, cache.asked(root))))
        if may_write and turn.vote in chatting.SIDES:
            edit_winner(feedback, turn, number)
        return
    if not may_write:
        st.html('<p class="gt-note">Read-only: votes are not taken here.</p>')
        return

    def store(choice: str) -> None:
        reason = st.session_state.get(f"reason-{number}") or ""
        person = login.person()
        st.session_state[f"kept-reason-{number}"] = reason
        feedback.add_vote(chatting.to_vote(turn, choice, person=person, reason=reason, blind=blind))
        turn.vote = choice

    with st.container(horizontal=True, key=f"gt-vote-{number}", gap="small", vertical_alignment="center"):
        st.html('<span class="gt-note">Because of</span>', width="content")  # before the vote, which ends the choice
        st.pills("Reason", chatting.REASONS, key=f"reason-{number}", label_visibility="collapsed")
        for choice, label in chatting.CHOICES.items():
            st.button(label, key=f"vote-{choice}-{number}", on_click=store, args=(choice,))


def edit_winner(feedback: Feedback, turn: chatting.Turn, number: int) -> None:
    """The better reply as it should have been; stored as a correction that was preferred to it."""
    won = str(turn.replies[chatting.SIDES.index(turn.vote)].answer.get("text", ""))
    with st.popover("Edit the winner", icon=":material/edit:"), st.form(f"edit-{number}", border=False):
        text = st.text_area("What you would send", won, height=160, key=f"edited-{number}").strip()
        if st.form_submit_button("Store", disabled=turn.edited) and text and text != won:
            person = login.person()
            reason = st.session_state.get(f"kept-reason-{number}") or "tone"
            preference, about = chatting.to_correction(turn, text, reason=reason)
            feedback.add_correction(preference, person=person, about=about)
            turn.edited = True
            st.html('<p class="gt-voted"><b aria-hidden="true">✓</b>Stored as a correction.</p>')


def standing(root: Path) -> None:
    """How the tuned model stands in people's votes, and what can be tuned on them."""
    votes = cache.feedback(root).votes()
    if not votes:
        return
    look.section("How it stands", "Votes between base and tuned; a tie counts half, at 50 % neither is better.")
    left, right = st.columns([1.6, 1], gap="large", vertical_alignment="center")
    rates = {"blind votes": views_tone.voted_rate(votes), "all votes": views_tone.voted_rate(votes, blind_only=False)}
    lines = views_tone.rate_lines(rates)
    with left:
        if not lines:
            st.html('<p class="gt-note">No vote says yet which of the two is better.</p>')
        else:
            plot = forest.forest_html({"": lines}, forest.shares("votes won by the tuned model (better →)"))
            st.html(plot + forest.legend_html(at="50 %"))
    right.html(chatting.usable_html(votes, cache.asked(root)))


def ask(root: Path, turns: list[chatting.Turn], question: str, *, blind: bool) -> None:
    """Ask both models and stream what they write into two columns; a failure ends as a readable turn."""
    turn = chatting.new_turn(question)
    st.html(chatting.question_html(question))
    slots = []
    for column, slot in zip(st.columns(2, gap="medium"), (0, 1), strict=True):
        with column, st.container(border=True):
            st.html(chatting.name_html(turn, slot, blind=blind))
            slots.append(st.empty())
            slots[slot].html('<p class="gt-note gt-waiting">Waiting for the model…</p>')
    written = ["", ""]
    try:
        with st.spinner("Reading the documents and writing…", show_time=True):
            requests = [ChatRequest(arm, question, chatting.history(turns, arm)) for arm in turn.arms]
            for event in cache.chat_worker(root).ask(requests):
                if event.kind == "piece":
                    written[event.slot] += event.text
                    slots[event.slot].html(marks.answer_html(written[event.slot]))
                else:
                    turn.replies[event.slot] = chatting.Reply(event.answer, event.text)
    except GroundtoneError as error:
        for slot in (0, 1):
            if not turn.replies[slot].answer:
                turn.replies[slot] = chatting.Reply(error=str(error))
    turns.append(turn)


main()
