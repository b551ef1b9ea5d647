"""A chat model on the loopback that speaks the protocols of OpenAI, Anthropic, Google and Ollama.

The reply is a function of the conversation, so that every protocol can be asked the same and must give the same. What
was sent is kept in one shape for all: roles and texts, the longest reply, the key.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Messages = list[tuple[str, str]]
PROTOCOLS = {  # what a model is called, the variable of its key, what follows the server's address
    "openai:tiny": ("OPENAI_API_KEY", "/v1"),
    "anthropic:tiny": ("ANTHROPIC_API_KEY", ""),
    "google:tiny": ("GOOGLE_API_KEY", ""),
    "ollama:tiny": ("OLLAMA_API_KEY", ""),
}


@dataclass(frozen=True)
class Seen:
    """One request, in the shape that all protocols share."""

    messages: Messages
    longest: int | None
    key: str


@dataclass
class Speaker:
    """What the server says and what it heard. A reply of None is an error that repeats the key."""

    reply: Callable[[Messages], str | None]
    seen: list[Seen] = field(default_factory=list)


@contextmanager
def speaking(reply: Callable[[Messages], str | None]) -> Iterator[tuple[str, Speaker]]:
    """The server's address and its speaker, while it runs."""
    speaker = Speaker(reply)

    class Handler(_Handler):
        pass

    Handler.speaker = speaker
    with serving(Handler) as address:
        yield address, speaker


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server on the loopback that answers by `handler`, while it runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Replying(BaseHTTPRequestHandler):
    """Sends whole texts, and says nothing on the terminal."""

    def send(self, text: str, *, status: int = 200, kind: str = "application/json") -> None:
        data = text.encode("utf-8")
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except BrokenPipeError:
            self.close_connection = True  # whoever asked has given up

    def log_message(self, *_: object) -> None:
        """Quiet."""


class _Handler(Replying):
    speaker: Speaker

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/chat/completions"):
            self._openai(body)
        elif self.path.endswith("/v1/messages"):
            self._anthropic(body)
        elif "enerateContent" in self.path:
            self._google(body)
        elif self.path.endswith("/api/chat"):
            self._ollama(body)
        else:
            self.send("{}", status=404)

    def _reply(self, messages: Messages, longest: int | None, key: str) -> str | None:
        self.speaker.seen.append(Seen(messages, longest, key))
        text = self.speaker.reply(messages)
        if text is None:
            self.send(json.dumps({"error": {"message": f"refused, key was {key}", "code": 400}}), status=400)
        return text

    def _openai(self, body: dict[str, Any]) -> None:
        longest = body.get("max_tokens") or body.get("max_completion_tokens")
        text = self._reply(_plain(body["messages"]), longest, self.headers.get("Authorization", ""))
        if text is None:
            return
        head = {"id": "c1", "object": "chat.completion", "created": 1, "model": "tiny"}
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
            self.send(json.dumps({**head, "choices": [choice], "usage": usage}))
            return
        choices: list[dict[str, Any]] = [
            {"index": 0, "delta": {"content": p}, "finish_reason": None} for p in _cut(text)
        ]
        lines = [json.dumps({**head, "object": "chat.completion.chunk", "choices": [c]}) for c in choices]
        self.send("".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]), kind="text/event-stream")

    def _anthropic(self, body: dict[str, Any]) -> None:
        system = body.get("system")
        told = [("system", _text(system))] if system else []
        key = self.headers.get("x-api-key") or self.headers.get("Authorization", "")  # versions differ
        text = self._reply(told + _plain(body["messages"]), body["max_tokens"], key)
        if text is None:
            return
        usage = {"input_tokens": 7, "output_tokens": 3}
        message = {"id": "m1", "type": "message", "role": "assistant", "model": "tiny", "stop_sequence": None}
        if not body.get("stream"):
            content = [{"type": "text", "text": text}]
            self.send(json.dumps({**message, "content": content, "stop_reason": "end_turn", "usage": usage}))
            return
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
                for piece in _cut(text)
            ),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]
        self.send("".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events), kind="text/event-stream")

    def _google(self, body: dict[str, Any]) -> None:
        told = body.get("systemInstruction")
        messages = [("system", _text(told["parts"]))] if told else []
        roles = {"model": "assistant"}
        messages += [(roles.get(c["role"], c["role"]), _text(c["parts"])) for c in body["contents"]]
        longest = body.get("generationConfig", {}).get("maxOutputTokens")
        text = self._reply(messages, longest, self.headers.get("x-goog-api-key", ""))
        if text is None:
            return
        usage = {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10}

        def chunk(said: str, **more: Any) -> dict[str, Any]:
            candidate = {"content": {"role": "model", "parts": [{"text": said}]}, "index": 0, **more}
            return {"candidates": [candidate], "usageMetadata": usage}

        if "streamGenerateContent" not in self.path:
            self.send(json.dumps(chunk(text, finishReason="STOP")))
            return
        *pieces, last = _cut(text)
        self.send(json.dumps([*map(chunk, pieces), chunk(last, finishReason="STOP")]))

    def _ollama(self, body: dict[str, Any]) -> None:
        key = self.headers.get("Authorization", "")
        text = self._reply(_plain(body["messages"]), body["options"].get("num_predict"), key)
        if text is None:
            return
        head = {"model": "tiny", "created_at": "2026-01-01T00:00:00Z"}
        pieces = [{**head, "message": {"role": "assistant", "content": p}, "done": False} for p in _cut(text)]
        last = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
        counts = {"prompt_eval_count": 7, "eval_count": 3}
        lines = [*pieces, {**head, **last, **counts}]
        self.send("".join(json.dumps(line) + "\n" for line in lines), kind="application/x-ndjson")


def _plain(messages: list[dict[str, Any]]) -> Messages:
    return [(message["role"], _text(message["content"])) for message in messages]


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _cut(text: str) -> list[str]:
    """The text in pieces, one of which splits a marker."""
    at = text.find("[") + 1 or len(text) // 2
    return [piece for piece in (text[: at // 2], text[at // 2 : at], text[at:]) if piece]
