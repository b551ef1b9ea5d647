"""Labelled answers: public sets as their projects publish them, read into one shape.

`hallucinated` is the label of the whole answer. Where `located`, `spans` are the characters that the evidence does not
carry; `unknown` spans are nobody's to judge. Rows are split by `source` (the document), never by row.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Literal

from groundtone.text import Span, word_spans
from groundtone.types import Passage, short_hash

__all__ = ["DOMAINS", "Bad", "LabelledAnswer", "begin", "halueval", "held_out", "passages_of", "ragtruth", "summedits"]

Kind = Literal["contradicted", "unsupported", ""]
DOMAINS = ("news", "podcast", "qmsumm", "sales_call", "scitldr")
HELD_SHARE = 0.35  # of the sources of every set: never fitted, only measured


@dataclass(frozen=True, slots=True)
class Bad:
    """Characters of an answer that the evidence does not carry; `kind` is "" where nobody said which way."""

    start: int
    end: int
    kind: Kind = ""


@dataclass(frozen=True, slots=True)
class LabelledAnswer:
    """One answer with its evidence and its label; see the module's first lines."""

    source: str
    evidence: tuple[str, ...]
    answer: str
    hallucinated: bool
    spans: tuple[Bad, ...] = ()
    located: bool = False
    unknown: tuple[Span, ...] = ()


def held_out(source: str) -> bool:
    """Whether a source is kept apart: by its name alone, so that no file decides and none can drift."""
    return int(short_hash("held out", source), 16) / 16**16 < HELD_SHARE


def passages_of(row: LabelledAnswer) -> list[Passage]:
    """The evidence as passages."""
    return [Passage(f"{i}", "d", "d", text, 0, len(text)) for i, text in enumerate(row.evidence)]


def _open(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as file:
        yield from file


def halueval(folder: Path) -> Iterator[LabelledAnswer]:
    """HaluEval QA: each question's right and hallucinated answer; right ones are mostly short."""
    seen: set[str] = set()
    for line in _open(folder / "qa_one-turn_data.json"):
        row = json.loads(line)
        if row["question"] in seen:
            continue
        seen.add(row["question"])
        for key, label in (("right_answer", False), ("hallucinated_answer", True)):
            yield LabelledAnswer(row["question"], (row["knowledge"],), row[key], label)


def summedits(folder: Path, domains: Sequence[str] = DOMAINS) -> Iterator[LabelledAnswer]:
    """SummEdits: summaries, consistent or with an inconsistent edit, which is found by comparing with the original."""
    for domain in domains:
        for path in sorted(folder.glob(f"summedits_{domain}.json*")):
            for row in json.loads("".join(_open(path))):
                bad = row["label"] == 0
                spans = tuple(_edited(row["original_summary"], row["summary"])) if bad else ()
                yield LabelledAnswer(
                    short_hash(row["doc"]), (row["doc"],), row["summary"], bad, spans, not bad or bool(spans)
                )


def _edited(before: str, after: str) -> Iterator[Bad]:
    """The words of `after` that `before` does not have in their place; a mere deletion marks the word behind it."""
    old = [before[a:b] for a, b in word_spans(before)]
    new = word_spans(after)
    for tag, _, _, low, high in SequenceMatcher(a=old, b=[after[a:b] for a, b in new], autojunk=False).get_opcodes():
        if tag != "equal" and new:
            low = min(low, len(new) - 1)
            yield Bad(new[low][0], new[max(low, high - 1)][1])


def begin(folder: Path) -> Iterator[LabelledAnswer]:
    """BEGIN: replies of dialogue models to a piece of knowledge; generic replies are left out."""
    for path in sorted(folder.glob("*/begin_*.tsv")):
        for row in csv.DictReader(_open(path), delimiter="\t"):
            if row["begin_label"] in ("Fully attributable", "Not fully attributable"):
                label = row["begin_label"] == "Not fully attributable"
                yield LabelledAnswer(
                    short_hash(row["knowledge"]), (row["knowledge"],), row["response"], label, located=not label
                )


def ragtruth(folder: Path) -> Iterator[LabelledAnswer]:
    """RAGTruth QA: answers over three web passages with people's spans. Non-commercial: to measure, never to ship."""
    sources: dict[str, Any] = {r["source_id"]: r for r in map(json.loads, _open(folder / "QA_sources.jsonl.gz"))}
    for path in sorted(folder.glob("*hallucination.jsonl.gz")):
        for row in map(json.loads, _open(path)):
            passages = sources[row["source_id"]]["source_info"]["passages"].strip().split("\n\n")
            spans = tuple(
                Bad(s["start"], s["end"], "contradicted" if "Conflict" in s["label_type"] else "unsupported")
                for s in row["labels"]
            )
            yield LabelledAnswer(row["source_id"], tuple(passages), row["response"], bool(spans), spans, True)
