"""A scripted judge behind an OpenAI-compatible endpoint on the loopback interface.

It answers at once, so that what is measured is a tool's own time and how many calls it makes, and a set share of its
replies is broken as small models break them: prose instead of JSON, JSON cut off, other keys, Python instead of JSON.
Which replies are broken depends on the prompt and on how often it was sent, so a second run breaks the same ones, and
a tool that asks again may be luckier. Every claim is called supported: scores say nothing here.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

__all__ = ["BREAKS", "MODEL", "Judge", "Traffic", "broken", "judge_server", "verdict_of"]

MODEL = "scripted-judge"
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_RAGAS_INPUT = "Now perform the same with the following input"
_KEYS = ("truths", "verdicts", "claims", "reason")  # what DeepEval's prompts ask for, a reason beside verdicts last


@dataclass
class Traffic:
    """What a tool sent: requests, and characters of prompts and replies."""

    calls: int = 0
    prompt_chars: int = 0
    reply_chars: int = 0
    unknown: int = 0  # prompts that no rule here reads: their replies count as broken
    seen: Counter[str] = field(default_factory=Counter)


class Judge:
    """Replies by rule; `broken_share` of them do not parse as asked."""

    def __init__(self, *, broken_share: float) -> None:
        self.traffic = Traffic()
        self._broken_share = broken_share
        self._lock = threading.Lock()

    def reply(self, prompt: str) -> str:
        """The text of the reply to a prompt."""
        known = verdict_of(prompt)
        with self._lock:
            attempt = self.traffic.seen[prompt]
            self.traffic.seen[prompt] += 1
            digest = hashlib.sha256(f"{attempt}:{prompt}".encode()).digest()
            text = json.dumps(known if known is not None else {"answer": "yes"})
            if digest[0] < 256 * self._broken_share:
                text = broken(text, way=digest[1])
            self.traffic.calls += 1
            self.traffic.prompt_chars += len(prompt)
            self.traffic.reply_chars += len(text)
            self.traffic.unknown += known is None
        return text


def verdict_of(prompt: str) -> dict[str, Any] | None:
    """What a prompt of RAGAS or DeepEval asks for, every claim called supported; None for another prompt."""
    _, ragas, given = prompt.partition(_RAGAS_INPUT)  # the first: a request to mend a reply holds the old prompt
    if ragas and "{" in given:
        return _for_ragas(json.JSONDecoder().raw_decode(given[given.index("{") :])[0])
    asked = [key for key in _KEYS if f"'{key}'" in prompt or f'"{key}"' in prompt]
    if not asked:
        return None
    if asked[0] == "verdicts":
        return {"verdicts": [{"verdict": "yes", "reason": "The context says so."} for _ in _claims_in(prompt)]}
    if asked[0] == "reason":
        return {"reason": "The score is 1.00 because nothing contradicts the context."}
    return {asked[0]: _sentences(_last_part(prompt))}


def _for_ragas(data: dict[str, Any]) -> dict[str, Any]:
    """Statements of an answer, verdicts on statements, or a reply that did not parse, mended."""
    if "prompt_value" in data:
        return {"text": json.dumps(verdict_of(data["prompt_value"]))}
    if "statements" in data:
        return {
            "statements": [
                {"statement": text, "reason": "The context says so.", "verdict": 1} for text in data["statements"]
            ]
        }
    return {"statements": _sentences(str(data.get("answer", "")))}


def _claims_in(prompt: str) -> list[Any]:
    """The list of claims that DeepEval writes into its prompt as Python; one where it cannot be read."""
    found = re.findall(r"^\[.*\]$", prompt, re.MULTILINE)
    try:
        claims = ast.literal_eval(found[-1]) if found else [""]
    except (ValueError, SyntaxError):
        return [""]
    return claims if isinstance(claims, list) else [""]


def _last_part(prompt: str) -> str:
    """The text that the prompt is about: what stands last before "JSON:"."""
    body = prompt.rpartition("JSON:")[0] or prompt
    return re.split(r"(?:Text|AI Output|Excerpt)\s*:\s*\n", body)[-1].strip()


def _sentences(text: str) -> list[str]:
    return [part for part in _SENTENCE.split(text.strip()) if part]


def _prose(text: str) -> str:
    return f"Sure! I read the context carefully. Here is what I think of it: {len(text)} characters, all supported."


def _cut(text: str) -> str:
    return text[: max(1, len(text) * 2 // 3)]


def _other_keys(text: str) -> str:
    return json.dumps({"output": {"items": list(json.loads(text).values())}})


def _python(text: str) -> str:
    return f"```python\nresult = {json.loads(text)!r}\n```"


BREAKS = (_prose, _cut, _other_keys, _python)


def broken(text: str, *, way: int) -> str:
    """The reply spoiled in one of the ways of `BREAKS`."""
    return BREAKS[way % len(BREAKS)](text)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    judge: ClassVar[Judge]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        prompt = "\n".join(_text(message["content"]) for message in body["messages"])
        text = self.judge.reply(prompt)
        usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4}
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        reply = {
            "id": f"chatcmpl-{self.judge.traffic.calls}",
            "object": "chat.completion",
            "created": 0,
            "model": body.get("model", MODEL),
            "choices": [choice] * int(body.get("n") or 1),
            "usage": usage | {"total_tokens": sum(usage.values())},
        }
        data = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: thousands of requests are the point."""


def _text(content: Any) -> str:
    """A message's text, which may come in parts."""
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


@contextmanager
def judge_server(judge: Judge) -> Iterator[str]:
    """The judge's address on a free port, such as http://127.0.0.1:40000/v1, until the block ends."""
    handler = type("Handler", (_Handler,), {"judge": judge})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="scripted-judge", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
