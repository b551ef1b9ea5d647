"""Every provider's protocol: the same prompts go out, the same citations and checks come back, and no key gets out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import pytest

from eval.claims import check_claims
from groundtone.assistant import Assistant
from groundtone.errors import ModelError
from groundtone.models.load import load_generator
from groundtone.types import Claim, Generator, Hit, Passage, Turn
from tests.protocol_servers import PROTOCOLS, Speaker, speaking

KEY = "sk-very-secret-12345"
TEXT = "The Gannet weighs 21 kg."
REPLY = "The Gannet weighs 21 kg [1]. It is blue [9]."


class Shelf:
    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        return [Hit(Passage("p1", "d", "d.md", TEXT, 0, len(TEXT), "Birds"), 0.9, best=((0, len(TEXT)),))]


def checked(text: str, hits: Sequence[Hit]) -> tuple[Claim, ...]:
    return check_claims(text, [hit.passage for hit in hits])


@pytest.fixture(params=list(PROTOCOLS), ids=lambda name: name.partition(":")[0])
def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Generator, Speaker]]:
    variable, path = PROTOCOLS[request.param]
    package = {"google": "langchain_google_genai"}.get(request.param.partition(":")[0])
    pytest.importorskip(package or f"langchain_{request.param.partition(':')[0]}")
    monkeypatch.setenv(variable, KEY)
    with speaking(lambda messages: None if "please fail" in messages[-1][1] else REPLY) as (address, speaker):
        yield load_generator(request.param, base_url=address + path), speaker


def test_the_same_question_is_prompted_cited_and_checked_the_same(provider: tuple[Generator, Speaker]) -> None:
    model, speaker = provider
    assistant = Assistant("a", generator=model, retriever=Shelf(), check=checked, max_new_tokens=33)
    history = (Turn("user", "Hello?"), Turn("assistant", "Ahoy."))
    answer = assistant.ask("What does the Gannet weigh?", history)
    assert answer.text == "The Gannet weighs 21 kg [1]. It is blue."
    assert [c.passage_id for c in answer.citations] == ["p1"]
    assert [c.verdict for c in answer.claims] == ["supported", "unsupported"]
    assert answer.tokens == {"prompt": 7, "reply": 3}
    (seen,) = speaker.seen
    assert [role for role, _ in seen.messages] == ["system", "user", "assistant", "user"]
    assert seen.messages[-1][1] == f"[1] Birds: {TEXT}\n\nQuestion: What does the Gannet weigh?"
    assert seen.longest == 33


def test_a_stream_says_the_same_and_a_dead_marker_never_gets_out(provider: tuple[Generator, Speaker]) -> None:
    model, _ = provider
    assistant = Assistant("a", generator=model, retriever=Shelf(), check=checked)
    *pieces, last = assistant.stream("What does the Gannet weigh?")
    assert "".join(map(str, pieces)) == last.text == assistant.ask("What does the Gannet weigh?").text  # type: ignore[union-attr]
    assert "[9]" not in "".join(map(str, pieces))


def test_a_key_stands_in_no_error_log_or_answer(
    provider: tuple[Generator, Speaker], caplog: pytest.LogCaptureFixture
) -> None:
    model, speaker = provider
    caplog.set_level(logging.DEBUG)
    assistant = Assistant("a", generator=model, retriever=Shelf())
    (answer,) = assistant.answer_many([*map(_question, ["please fail"])])
    assert "did not answer" in answer.error
    with pytest.raises(ModelError, match="did not answer") as caught:
        list(assistant.stream("please fail"))
    told = assistant.ask("What does the Gannet weigh?")
    said = f"{answer}{caught.value}{told}{model.name}"
    ours = "".join(r.getMessage() for r in caplog.records if r.name.startswith("groundtone"))
    assert KEY not in said + ours
    assert KEY in speaker.seen[0].key, "the key must have been sent, or the test proves nothing"


def _question(text: str):
    from groundtone.types import Question

    return Question("q", text)
