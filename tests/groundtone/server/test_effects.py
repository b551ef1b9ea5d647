"""What a field of a request does, or that it did nothing, which the reply then says; how long a question may be."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from groundtone.drafting import LONGEST_CHARS
from groundtone.project import Project
from tests.groundtone.server.conftest import REPLY, Served, Start, make_project, serving

QUESTION = "How long are parcels kept?"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose model says 36 days, which no document does."""
    return make_project(
        tmp_path_factory.mktemp("wrong") / "project", model="scripted:Parcels are kept for 36 days [1]."
    )


@pytest.fixture(scope="module")
def strict(project: Project) -> Iterator[Served]:
    """Its server in the strict mode: every reply gives way to the quotation."""
    with serving(project, "assistant.mode=strict") as served:
        yield served


def test_a_quotation_is_whole_and_the_fields_that_could_not_shorten_it_are_named(strict: Served) -> None:
    reply = strict.ask(QUESTION, stop=["14"], max_tokens=2)
    (choice,) = reply["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (REPLY, "stop")
    assert reply["x_grounding"]["ignored"] == ["stop", "max_tokens"]
    assert strict.ask(QUESTION, stop=["unsaid"])["x_grounding"]["ignored"] == []


def test_a_streamed_quotation_says_the_same(strict: Served) -> None:
    body = {"model": "base+rag", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    more = {"stop": "14", "max_completion_tokens": 2, "max_tokens": 3}
    text = httpx.post(f"{strict.url}/v1/chat/completions", json=body | more, timeout=30).text
    chunks = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]
    last = chunks[-1]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == REPLY
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["x_grounding"]["ignored"] == ["max_tokens", "stop", "max_completion_tokens"]


def test_a_reply_that_was_cut_says_so_and_no_field_is_named(scripted: Served) -> None:
    reply = scripted.ask(QUESTION, max_tokens=2)
    assert (reply["choices"][0]["message"]["content"], reply["choices"][0]["finish_reason"]) == (
        "Parcels are",
        "length",
    )
    assert reply["x_grounding"]["ignored"] == []


def test_text_that_no_model_wrote_is_cut_by_nothing(project: Project, start: Start) -> None:
    served = start(project, "assistant.mode=strict", "assistant.min_score=2")
    for question in (QUESTION, "Hello!"):
        reply = served.ask(question, max_tokens=1)
        assert reply["choices"][0]["finish_reason"] == "stop"
        assert reply["x_grounding"]["ignored"] == ["max_tokens"], question


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_question_may_be_so_long_and_a_conversation_longer(scripted: Served, path: str) -> None:
    def ask(question: str, *, before: str = "") -> httpx.Response:
        turns: list[dict[str, str]] = [{"role": "user", "content": before}, {"role": "assistant", "content": "Yes."}]
        messages = [*(turns if before else []), {"role": "user", "content": question}]
        body: dict[str, Any] = {"model": "base+rag", "messages": messages, "prompt": question}
        return httpx.post(scripted.url + path, json=body, timeout=60)

    assert ask("Why? " * (LONGEST_CHARS // 5)).status_code == 200
    refused = ask("Why? " * (LONGEST_CHARS // 5) + "a")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "question_too_long")
    assert f"{LONGEST_CHARS + 1} characters, {LONGEST_CHARS} are read" in refused.json()["error"]["message"]
    assert ask(QUESTION, before="It rained. " * LONGEST_CHARS).status_code == 200


@pytest.mark.parametrize("piece", ["e.g. ", "+1 1 1 ", "[a](", "A. ", "Ab 1 "])
def test_a_tangled_question_holds_nobody_up(scripted: Served, piece: str) -> None:
    began = time.perf_counter()
    scripted.ask(piece * (LONGEST_CHARS // len(piece)))
    assert time.perf_counter() - began < 5
