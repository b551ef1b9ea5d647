"""Takes a forgotten document out of stored answers, evaluation records and reports, and marks where it was."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtone.joins.traces import MARK, Traces, readable

__all__ = ["Redactor"]

_TEXT_SUFFIXES = frozenset((".md", ".txt", ".log", ".csv", ".yaml", ".yml", ".html", ".tsv"))
_MOST_BYTES = 1 << 30  # larger text files are not rewritten in memory; the proof reads them all the same


@dataclass(frozen=True, slots=True)
class Redactor:
    """One document on its way out: its source, the ids of its versions, and its traces."""

    source: str
    versions: frozenset[str]
    traces: Traces

    def file(self, path: Path) -> tuple[bytes, int]:
        """The file's new content and the number of lines that changed; nothing for files that are no text."""
        suffix = path.suffix
        if suffix not in (*_TEXT_SUFFIXES, ".json", ".jsonl") or path.stat().st_size > _MOST_BYTES:
            return b"", 0
        data = path.read_bytes()
        if suffix == ".jsonl":
            lines = data.split(b"\n")
            new = [self._line(line) for line in lines]
            changed = sum(a != b for a, b in zip(lines, new, strict=True))
            return b"\n".join(line for line in new if line is not None), changed
        text = data.decode("utf-8", "replace")
        if suffix == ".json":
            if not self.traces.within(readable(data)):
                return b"", 0
            try:
                redacted = json.dumps(self._strings(json.loads(text)), indent=1, ensure_ascii=False) + "\n"
            except ValueError:
                redacted = self.traces.redact(text)
        else:
            redacted = self.traces.redact(text)
        old, fresh = text.splitlines(), redacted.splitlines()
        changed = len(old) - len(fresh) + sum(a != b for a, b in zip(old, fresh, strict=False))
        return (redacted.encode(), max(changed, 1)) if redacted != text else (b"", 0)

    def quoted_by(self, claim_key: str, text: str) -> bool:
        """Whether what a person said is about this document: its words stand in it."""
        return self.traces.within(text)

    def _line(self, line: bytes) -> bytes | None:
        """One line of JSON without the document; None where the whole line is about it."""
        named = json.dumps(self.source, ensure_ascii=False).encode() in line or json.dumps(self.source).encode() in line
        if not line.strip() or not (named or self.traces.within(readable(line))):
            return line
        try:
            row = json.loads(line)
        except ValueError:  # a half-written last line
            return self.traces.redact(readable(line)).encode()
        if isinstance(row, dict) and row.get("source") == self.source:
            return None
        if isinstance(row, dict) and "answer" in row and "question" in row:
            row = self._record(row)
        new = self._strings(row)
        fresh = json.dumps(new, ensure_ascii=False, separators=(",", ":")).encode()
        return line if new == json.loads(line) else fresh

    def _record(self, record: dict[str, Any]) -> dict[str, Any]:
        """An evaluation record: what was shown of the document goes, and the whole answer where it rests on it."""
        answer = record["answer"] or {}
        mine = {hit["passage"]["id"] for hit in answer.get("hits") or () if hit["passage"]["source"] == self.source}
        rests = any(c["doc_id"] in self.versions or c["passage_id"] in mine for c in answer.get("citations") or ())
        rests |= any(c.get("passage_id") in mine for c in answer.get("claims") or ())
        rests |= self.traces.within(str(answer.get("text", "")))
        gold = self._gold(record["question"])
        if answer:
            gold |= self._gold(answer["question"])
            for hit in answer.get("hits") or ():
                if hit["passage"]["id"] in mine:
                    hit["passage"] |= {"text": MARK, "heading": ""}
                    hit["best"] = []
            told = answer.get("disagreements") or ()
            answer["disagreements"] = [d for d in told if self.source not in (d["source"], d["other_source"])]
            if rests:
                answer |= {"text": MARK, "citations": [], "claims": []}
            if rests or gold or mine:
                answer["provenance"] = (answer.get("provenance") or {}) | {"forgotten": self.source}
        if rests or gold:
            record["scores"] = {name: score | {"why": ""} for name, score in (record.get("scores") or {}).items()}
        return record

    def _gold(self, question: dict[str, Any]) -> bool:
        """Gold that quotes the document goes, with its values; whether there was any."""
        gold = question.get("gold")
        quotes = (gold or {}).get("quotes") or []
        if not any(source == self.source for source, _ in quotes):
            return False
        question["gold"] = {
            "values": [[MARK]],
            "quotes": [[source, MARK if source == self.source else quote] for source, quote in quotes],
        }
        return True

    def _strings(self, value: Any) -> Any:
        """The value with every text in it redacted."""
        if isinstance(value, str):
            return self.traces.redact(value)
        if isinstance(value, list):
            return [self._strings(item) for item in value]
        if isinstance(value, dict):
            return {self.traces.redact(key): self._strings(item) for key, item in value.items()}
        return value
