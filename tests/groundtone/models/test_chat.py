from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar

import pytest

from groundtone.errors import ModelError
from groundtone.models.chat import ChatModel
from groundtone.models.load import load_generator
from groundtone.prompts import closed_book
from tests.protocol_servers import Replying, serving

KEY = "sk-very-secret-12345"


class FakeServer(Replying):
    """Chat completions that echo the last message; "please fail" answers 400 and repeats the key that was sent."""

    seen: ClassVar[list[dict]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append({"path": self.path, "key": self.headers.get("Authorization", ""), **body})
        text = f" Echo: {body['messages'][-1]['content']} "
        if "please fail" in text:
            self.send(
                json.dumps({"error": {"message": f"no such model, key was {self.headers['Authorization']}"}}),
                status=400,
            )
            return
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        finish = "length" if limit and limit < 5 else "stop"
        head = {"id": "c1", "object": "chat.completion", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
            usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
            self.send(json.dumps({**head, "choices": [choice], "usage": usage}))
            return
        head["object"] = "chat.completion.chunk"
        pieces = [{"content": part} for part in (text[:4], text[4:9], text[9:])]
        choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in pieces]
        choices.append({"index": 0, "delta": {}, "finish_reason": finish})
        events = [json.dumps({**head, "choices": [choice]}) for choice in choices]
        self.send("".join(f"data: {e}\n\n" for e in [*events, "[DONE]"]), kind="text/event-stream")


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    FakeServer.seen = []
    with serving(FakeServer) as server:
        yield f"{server}/v1"


def test_replies_come_in_order_with_their_token_counts(address):
    model = load_generator("openai:tiny-chat", base_url=address)
    asked = [closed_book(f"question {n}") for n in range(5)]
    replies = model.generate(asked, max_new_tokens=33)
    assert [r.text for r in replies] == [f"Echo: Question: question {n}" for n in range(5)]
    assert {(r.prompt_tokens, r.reply_tokens, r.finish) for r in replies} == {(7, 3, "stop")}
    assert model.generate(asked[:1], max_new_tokens=2)[0].finish == "length"
    sent = FakeServer.seen[0]
    assert sent["path"] == "/v1/chat/completions"
    assert sent["model"] == "tiny-chat"
    assert [m["role"] for m in sent["messages"]] == ["system", "user"]
    assert sent["temperature"] == 0
    assert 33 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))


def test_a_stream_joins_to_the_same_text(address):
    model = ChatModel("openai:tiny-chat", base_url=address)
    prompt = closed_book("How long?")
    pieces = list(model.stream(prompt, max_new_tokens=33))
    assert "".join(pieces) == model.generate([prompt], max_new_tokens=33)[0].text
    assert len(pieces) > 1


def test_errors_say_what_to_do_and_never_show_the_key(address):
    model = ChatModel("openai:tiny-chat", base_url=address, retries=0)
    for call in (
        lambda: model.generate([closed_book("please fail")], max_new_tokens=9),
        lambda: list(model.stream(closed_book("please fail"), max_new_tokens=9)),
    ):
        with pytest.raises(ModelError, match=r"tiny-chat.*no such model.*base_url") as caught:
            call()
        assert KEY not in str(caught.value)
        assert caught.value.__cause__ is None
    assert KEY in FakeServer.seen[0]["key"], "the key must have been sent, or the test proves nothing"
    assert KEY not in model.name


def test_a_server_of_ones_own_needs_no_key(address, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    model = ChatModel("openai:tiny-chat", base_url=address)
    assert model.generate([closed_book("hi")], max_new_tokens=9)[0].text == "Echo: Question: hi"


def test_a_missing_key_and_an_unknown_provider_are_named(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelError, match=r"openai:tiny-chat.*key in the environment"):
        ChatModel("openai:tiny-chat")
    with pytest.raises(ModelError, match=r"nobody:tiny-chat.*provider:model"):
        ChatModel("nobody:tiny-chat")
