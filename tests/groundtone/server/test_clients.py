"""Real clients: openai, LangChain's ChatOpenAI and curl, against a real server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import httpx
import openai
import pytest

from tests.groundtone.server.conftest import REPLY, Served

QUESTION = [{"role": "user", "content": "How long are parcels kept?"}]


def client(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="anything", max_retries=0)


def test_openai_gets_a_cited_answer_with_its_evidence(scripted: Served) -> None:
    done = client(scripted).chat.completions.create(model="base+rag", messages=QUESTION)
    (choice,) = done.choices
    assert (choice.message.content, choice.message.role, choice.finish_reason) == (REPLY, "assistant", "stop")
    (note,) = choice.message.annotations or []
    assert note.url_citation.url == "post.md"
    assert REPLY[note.url_citation.start_index : note.url_citation.end_index] == "[1]"
    grounding = done.model_dump()["x_grounding"]
    (citation,) = grounding["citations"]
    assert citation["evidence"] == "Parcels are kept for 14 days."
    assert citation["passage_id"] in {passage["id"] for passage in grounding["passages"]}
    assert [claim["verdict"] for claim in grounding["claims"]] == ["supported"]
    assert (grounding["refused"], grounding["refused_by"]) == (False, "")
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens > 0


def test_evidence_is_there_even_where_there_is_none(scripted: Served) -> None:
    grounding = client(scripted).chat.completions.create(model="base", messages=QUESTION).model_dump()["x_grounding"]
    assert (grounding["citations"], grounding["passages"], grounding["refused"]) == ([], [], False)


def test_openai_streams_the_same_text_with_the_usage_last(tiny: Served) -> None:
    asked = {"model": "base+rag", "messages": QUESTION, "max_tokens": 12}
    whole = client(tiny).chat.completions.create(**asked)
    chunks = list(client(tiny).chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    *_, last, usage = chunks
    assert last.choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    assert last.choices[0].delta.model_dump(exclude_none=True) == {}
    assert "x_grounding" in last.model_dump()
    assert (usage.choices, usage.usage) == ([], whole.usage)
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 12
    assert len({chunk.id for chunk in chunks}) == 1


def test_openai_lists_models_and_gets_embeddings_and_text_completions(scripted: Served) -> None:
    api = client(scripted)
    ids = [model.id for model in api.models.list()]
    assert ids[:3] == ["champion", "base", "base+rag"]
    assert api.models.retrieve("base+rag").id == "base+rag"
    vectors = api.embeddings.create(model=ids[-1], input=["parcels", "letters"]).data
    assert [sum(x * x for x in v.embedding) for v in vectors] == pytest.approx([1, 1], abs=1e-3)
    plain = api.embeddings.create(model=ids[-1], input="parcels", encoding_format="float").data
    assert plain[0].embedding == pytest.approx(vectors[0].embedding, abs=1e-4)
    done = api.completions.create(model="base+rag", prompt=["How long are parcels kept?", "Who runs it?"], echo=True)
    assert [c.text for c in done.choices] == [f"How long are parcels kept?{REPLY}", f"Who runs it?{REPLY}"]
    pieces = api.completions.create(model="base+rag", prompt="How long?", stream=True)
    assert "".join(chunk.choices[0].text for chunk in pieces) == REPLY


def test_openai_raises_its_own_errors_with_our_messages(scripted: Served, tiny: Served) -> None:
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-4'"):
        client(scripted).chat.completions.create(model="gpt-4", messages=QUESTION)
    with pytest.raises(openai.BadRequestError, match="last message must be the user's"):
        client(scripted).chat.completions.create(model="base", messages=[{"role": "system", "content": "Hi"}])
    long = [{"role": "user", "content": "delivery " * 2000}]
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match=r"the prompt has \d{4} tokens .* reads 2048") as raised:
            client(tiny).chat.completions.create(model="base", messages=long, stream=stream)
        assert raised.value.code == "context_length_exceeded"


def test_stop_texts_parts_history_and_unknown_fields(scripted: Served) -> None:
    done = client(scripted).chat.completions.create(
        model="base+rag",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": [{"type": "text", "text": "How long are parcels kept?"}]},
        ],
        stop=[" for"],
        temperature=0.2,
        max_completion_tokens=50,
        extra_body={"colour": "blue"},
    )
    assert done.choices[0].message.content == "Parcels are kept"
    assert done.choices[0].finish_reason == "stop"
    assert done.model_dump()["x_grounding"]["ignored"] == ["system messages", "temperature", "colour"]


def test_an_image_is_named_as_unread_and_alone_is_no_question(scripted: Served) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    text = {"type": "text", "text": "How long are parcels kept?"}
    done = client(scripted).chat.completions.create(model="base", messages=[{"role": "user", "content": [text, image]}])
    assert done.model_dump()["x_grounding"]["ignored"] == ["image_url parts"]
    with pytest.raises(openai.BadRequestError, match="no text, only image_url"):
        client(scripted).chat.completions.create(model="base", messages=[{"role": "user", "content": [image]}])


@pytest.mark.parametrize(
    ("path", "sent", "said", "param"),
    [
        ("chat/completions", '{"model": "base"', r"the body is no JSON: .* at character \d+", None),
        ("chat/completions", "[1]", "must be a JSON object", None),
        ("chat/completions", '{"model": "base", "n": 2, "messages": [{"role": "user", "content": "Hi"}]}',
         r"n: Input should be .*, got 2", "n"),
        ("chat/completions", '{"model": "base", "messages": [{"role": "user", "content": 5}]}',
         r"^messages.0.content: [^\[]*, got 5", "messages.0.content"),
        ("embeddings", '{"model": "base", "input": [[101, 7]]}', "^input: token ids are not read", "input"),
        ("completions", '{"model": "base", "prompt": [101, 7]}', "^prompt: token ids are not read", "prompt"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_told_what_is_wrong(
    scripted: Served, path: str, sent: str, said: str, param: str | None
) -> None:
    url, kind = f"{scripted.url}/v1/{path}", {"Content-Type": "application/json"}
    response = httpx.post(url, content=sent, headers=kind)
    assert response.status_code == 400
    assert re.search(said, response.json()["error"]["message"])
    assert response.json()["error"]["param"] == param
    as_form = httpx.post(url, content=sent, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert "`Content-Type: application/json`" in as_form.json()["error"]["message"]


def test_langchain_invokes_and_streams(scripted: Served) -> None:
    langchain_openai = pytest.importorskip("langchain_openai")
    chat = langchain_openai.ChatOpenAI(model="base+rag", base_url=f"{scripted.url}/v1", api_key="none")
    assert chat.invoke("How long are parcels kept?").content == REPLY
    assert "".join(chunk.content for chunk in chat.stream("How long are parcels kept?")) == REPLY


def test_curl_sees_events_and_headers(tiny: Served) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    body = json.dumps({"model": "base", "messages": QUESTION, "stream": True, "max_tokens": 5})
    done = subprocess.run(
        ["curl", "-sN", "-i", f"{tiny.url}//v1//chat/completions", "-H", "Content-Type: application/json", "-d", body],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    head, _, events = done.stdout.replace("\r\n", "\n").partition("\n\n")
    lowered = head.lower()
    assert "200 ok" in lowered
    assert "content-type: text/event-stream" in lowered
    assert "cache-control: no-cache" in lowered
    assert "x-accel-buffering: no" in lowered
    lines = [line for line in events.split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    assert json.loads(lines[-2][6:])["choices"][0]["delta"] == {}


def test_health_metrics_and_the_document(scripted: Served) -> None:
    scripted.ask()
    assert httpx.get(f"{scripted.url}/health").json()["status"] == "ok"
    figures = httpx.get(f"{scripted.url}/metrics").text
    assert 'groundtone_requests_total{endpoint="/v1/chat/completions",status="200"}' in figures
    assert 'groundtone_replies_total{end="stop",model="base+rag"}' in figures
    paths = httpx.get(f"{scripted.url}/openapi.json").json()["paths"]
    assert {"/v1/chat/completions", "/v1/embeddings", "/v1/feedback", "/metrics"} <= set(paths)
