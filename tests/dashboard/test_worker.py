"""The chat worker's child process: pieces and answers arrive, and every way to fail ends in a readable error."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard import chatting
from dashboard.worker import ChatEvent, ChatRequest, ChatWorker, chat_command
from groundtone.errors import ModelError
from groundtone.feedback import Feedback

FAKE = [sys.executable, "-S", str(Path(__file__).parent / "fake_worker.py")]


@pytest.fixture
def worker() -> Iterator[ChatWorker]:
    made = ChatWorker(FAKE, start_s=30, silence_s=30)
    yield made
    made.close()


def both(question: str) -> list[ChatRequest]:
    return [ChatRequest(arm, question) for arm in chatting.ARMS]


def test_pieces_join_to_the_answer_for_each_arm(worker: ChatWorker) -> None:
    events = list(worker.ask(both("How long?")))
    for slot in (0, 1):
        mine = [event for event in events if event.slot == slot]
        assert mine[-1].kind == "answer"
        written = "".join(event.text for event in mine if event.kind == "piece")
        assert written.strip() == mine[-1].answer["text"]


def test_sessions_that_ask_at_once_each_get_their_own_answers(worker: ChatWorker) -> None:
    found: dict[int, list[ChatEvent]] = {}

    def session(number: int) -> None:
        request = ChatRequest("base/rag", f"history of {number}", (("user", str(number)),))
        found[number] = list(worker.ask([request]))

    threads = [threading.Thread(target=session, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: events[-1].answer["text"] for n, events in found.items()} == {n: f'[["user", "{n}"]]' for n in range(4)}


def test_one_arm_may_fail_while_the_other_answers(worker: ChatWorker) -> None:
    last = {event.slot: event for event in worker.ask(both("refuse"))}
    assert (last[0].kind, last[0].text) == ("error", "no such arm")
    assert last[1].kind == "answer"
    assert list(worker.ask(both("again")))[-1].kind == "answer"


def test_a_worker_that_dies_says_its_last_words(worker: ChatWorker) -> None:
    with pytest.raises(ModelError, match="out of memory"):
        list(worker.ask(both("die now")))
    assert not worker.alive
    with pytest.raises(ModelError, match="exit status 1"):
        list(worker.ask(both("hello?")))


def test_a_worker_that_cannot_start_or_hangs_is_reported() -> None:
    broken = ChatWorker([*FAKE, "--broken"], start_s=30)
    with pytest.raises(ModelError, match="starter model is not there"):
        broken.wait_ready()
    with pytest.raises(ModelError, match="could not be started"):
        ChatWorker(["/no/such/program"])
    silent = ChatWorker(FAKE, start_s=30, silence_s=0.5)
    with pytest.raises(ModelError, match="silent"):
        list(silent.ask(both("silence")))
    assert not silent.alive
    never = ChatWorker([sys.executable, "-S", "-c", "input()"], start_s=0.3)
    with pytest.raises(ModelError, match="not ready"):
        never.wait_ready()
    assert not never.alive


def test_closing_ends_the_process_and_may_be_repeated() -> None:
    worker = ChatWorker(FAKE)
    worker.wait_ready()
    worker.close()
    worker.close()
    assert not worker.alive


def test_the_command_is_the_chat_protocol_of_this_project(tmp_path: Path) -> None:
    assert chat_command(tmp_path)[1:] == [
        "-m", "groundtone.cli.main", "chat", "--json", "--project", str(tmp_path),
    ]  # fmt: skip


def test_votes_carry_both_texts_the_reason_and_the_context(tmp_path: Path, worker: ChatWorker) -> None:
    turn = chatting.Turn("How long?", ("tuned/rag", "base/rag"))
    for event in worker.ask([ChatRequest(arm, turn.question) for arm in turn.arms]):
        if event.kind == "answer":
            turn.replies[event.slot] = chatting.Reply(event.answer)
    store = Feedback(tmp_path / "feedback.sqlite")
    store.add_vote(chatting.to_vote(turn, "B", person="Ann", reason="tone", blind=True))
    store.add_vote(chatting.to_vote(turn, "tie", person="Ann", reason="", blind=True))
    (preference,) = store.preferences()
    assert preference.chosen == turn.replies[1].answer["text"]
    assert preference.rejected == turn.replies[0].answer["text"]
    assert preference.context == ("Delivery > Times: Standard delivery takes 3 days.",)
    assert store.votes()[0].about == {"chosen_arm": "base/rag", "rejected_arm": "tuned/rag", "blind": True}


def test_each_arm_remembers_its_own_side_of_the_conversation() -> None:
    turn = chatting.Turn("Q", ("tuned/rag", "base/rag"))
    turn.replies = [chatting.Reply({"text": "tuned said"}), chatting.Reply(error="failed")]
    assert chatting.history([turn], "tuned/rag") == (("user", "Q"), ("assistant", "tuned said"))
    assert chatting.history([turn], "base/rag") == ()


def test_an_answer_without_sources_says_which_kind_it_is() -> None:
    assert "Declined" in chatting.no_citation_html({"refused": True})
    assert "courtesy" in chatting.no_citation_html({"provenance": {"courtesy": "nothing was searched for"}})
    assert "No passage is cited" in chatting.no_citation_html({"text": "It is blue."})
