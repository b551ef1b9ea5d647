"""What a changed or removed document makes stale: answers that cite it, evaluation questions, voice pairs, adapters.

Something is stale when a text that stood in an earlier version of the document stands nowhere now, white space, case
and Markdown's marks aside. Records are read as lines of bytes; only those that cite and name the document are parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.suite import read_changes, read_questions
from groundtone.errors import DataError
from groundtone.feedback import Feedback
from groundtone.files import sha256_file
from groundtone.manifest import Manifest
from groundtone.project import Project
from groundtone.settings import Settings
from groundtone.text import sentence_spans
from groundtone.types import VoicePair
from retrieval.store import Store
from tuning.pairs import read_pairs

__all__ = ["Stale", "StaleItem", "fold", "names_source", "pair_files", "stale"]

_FOLDED = re.compile(r"[\s|*_`\\]+")  # what `retrieval.search.fold_quote` leaves out, without its offsets
_CITES = re.compile(rb'"citations":\s*\[\s*\{')
_SOURCES = re.compile(rb'"source":\s*("(?:[^"\\]|\\.)*")')
_LEAST_WORDS = 3
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class StaleItem:
    """One thing that is stale: where it is, which document made it so, and why. `row` counts lines from 1."""

    location: str
    source: str
    why: str
    row: int = 0


@dataclass(frozen=True, slots=True)
class Stale:
    """Everything that is stale, by kind."""

    answers: tuple[StaleItem, ...] = ()
    questions: tuple[StaleItem, ...] = ()
    pairs: tuple[StaleItem, ...] = ()
    adapters: tuple[StaleItem, ...] = ()

    def lines(self) -> list[str]:
        """For the terminal: a count for each kind and its first items; nothing where nothing is stale."""
        named = (
            (self.answers, "stored answers cite what no longer stands", ""),
            (self.questions, "evaluation questions quote what no longer stands", "mend their quotes and values"),
            (self.pairs, "voice pairs rest on what no longer stands", "write them anew or take them out"),
            (self.adapters, "tuned models have learned from it", "tune again"),
        )
        shown = []
        for items, what, fix in named:
            if items:
                shown.append(f"{len(items)} {what}{f': {fix}' if fix else ''}")
                shown += [f"  {item.location}: {item.why}" for item in items[:_SHOWN]]
                shown += [f"  and {len(items) - _SHOWN} more"] if len(items) > _SHOWN else []
        return shown


def fold(text: str) -> str:
    """Text without white space and Markdown's marks, case folded: two texts that read the same fold the same."""
    return _FOLDED.sub("", text).casefold()


class _Standing:
    """What stands in the documents now, and what stood in those that changed or went."""

    def __init__(self, store: Store, changed: Collection[str], removed: Collection[str]) -> None:
        self.affected = {*changed, *removed}
        self.removed = set(removed)
        self._now = {doc.source: doc for doc in store.documents()}
        self._folded: dict[str, str] = {}
        self._everything = ""
        current = {doc.id for doc in self._now.values()}
        self._before = {
            source: "\n".join(
                fold(made.passage.text)
                for made, _, _ in store.stored_blocks(source)
                if made.passage.doc_id not in current
            )
            for source in sorted(self.affected)
        }

    def current_id(self, source: str) -> str:
        """The version that is current, "" where the source is gone."""
        return self._now[source].id if source in self._now else ""

    def stands_in(self, source: str, quote: str) -> bool:
        """Whether the quote stands in the current version of that source."""
        if source not in self._now:
            return False
        if source not in self._folded:
            self._folded[source] = fold(self._now[source].text)
        return fold(quote) in self._folded[source]

    def fallen(self, text: str) -> tuple[str, str]:
        """(source, sentence) of the first sentence that an earlier version held and none holds now; else two ""."""
        for start, end in sentence_spans(text):
            for sentence in _variants(text[start:end]):
                folded = fold(sentence)
                if len(sentence.split()) < _LEAST_WORDS or not folded:
                    continue
                held = next((source for source, before in self._before.items() if folded in before), "")
                if held and not self.anywhere(sentence):
                    return held, sentence
        return "", ""

    def anywhere(self, quote: str) -> bool:
        """Whether the quote stands in any document."""
        if not self._everything:
            self._everything = "\n".join(fold(doc.text) for doc in self._now.values()) or "\n"
        return fold(quote) in self._everything


def _variants(sentence: str) -> Iterator[str]:
    """The sentence, and without the heading that may stand before it: "Delivery > Times: It takes 3 days."."""
    yield sentence
    heading, colon, rest = sentence.partition(": ")
    if colon and heading:
        yield rest


def stale(
    project: Project, settings: Settings, store: Store, *, changed: Collection[str], removed: Collection[str]
) -> Stale:
    """What the sources `changed` and `removed` by an update have made stale; reads nothing where there are none.

    Earlier versions are known as long as the index keeps their generation (`retrieval.keep_generations`).
    """
    if not changed and not removed:
        return Stale()
    standing = _Standing(store, changed, removed)
    pairs = tuple(_pairs(project, settings, standing))
    return Stale(
        (*_answers(project, standing), *_feedback(project, standing)),
        tuple(_questions(project, settings, standing)),
        pairs,
        tuple(_adapters(project, settings, standing, pairs)),
    )


def _answers(project: Project, standing: _Standing) -> Iterator[StaleItem]:
    names = {
        json.dumps(source, ensure_ascii=ascii_).encode() for source in standing.affected for ascii_ in (True, False)
    }
    for path in sorted(project.runs_folder.glob("*/records.jsonl")):
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if _CITES.search(line) and not names.isdisjoint(_SOURCES.findall(line)):
                    yield from _of_record(line, f"runs/{path.parent.name}/{path.name}:{number}", number, standing)


def _of_record(line: bytes, location: str, number: int, standing: _Standing) -> Iterator[StaleItem]:
    """One item for each source of the answer's citations whose cited sentence has fallen; none for a broken line."""
    try:
        record = json.loads(line)
        answer = record["answer"]
        passages = {hit["passage"]["id"]: hit["passage"] for hit in answer["hits"]}
        told = set[str]()
        for citation in answer["citations"]:
            passage = passages.get(citation["passage_id"])
            if passage is None or passage["source"] not in standing.affected or passage["source"] in told:
                continue
            source, start = passage["source"], passage["start"]
            quote = passage["text"][citation["evidence_start"] - start : citation["evidence_end"] - start]
            if passage["doc_id"] != standing.current_id(source) and not standing.stands_in(source, quote):
                told.add(source)
                why = _why(source, quote, standing)
                yield StaleItem(f"{location} ({record['item_id']}, {record['arm']})", source, why, number)
    except (ValueError, KeyError, TypeError):  # a half-written last line of a stopped evaluation
        return


def _why(source: str, quote: str, standing: _Standing) -> str:
    if source in standing.removed:
        return f"{source} is gone{'; another document still says it' if standing.anywhere(quote) else ''}"
    return f'{source} no longer says "{" ".join(quote.split())[:80]}"'


def _feedback(project: Project, standing: _Standing) -> Iterator[StaleItem]:
    feedback = Feedback(project.feedback_path)
    cache: dict[str, tuple[str, str]] = {}
    texts: list[tuple[str, str]] = [
        (f"verdict on {judged.verdict.claim_key} by {judged.verdict.person}", str(judged.about.get("evidence", "")))
        for judged in feedback.judged()
    ]
    texts += [
        (f"vote of {vote.time} by {vote.person}", text) for vote in feedback.votes() for text in vote.preference.context
    ]
    told = set[str]()
    for location, text in texts:
        if text not in cache:
            cache[text] = standing.fallen(text)
        source, sentence = cache[text]
        if source and location not in told:
            told.add(location)
            yield StaleItem(f"feedback: {location}", source, _why(source, sentence, standing))


def _questions(project: Project, settings: Settings, standing: _Standing) -> Iterator[StaleItem]:
    path = settings.path(settings.eval.questions)
    if not path.exists():
        return
    try:
        quotes = [
            (question.kind, question.id, source, quote)
            for question in read_questions(path)
            if question.gold and question.kind != "changed"
            for source, quote in question.gold.quotes
        ]
        quotes += [("changed", c.question.id, c.source, c.quote) for c in (read_changes(path) if path.is_dir() else ())]
    except DataError as error:
        yield StaleItem(_shown(path, settings), "", f"could not be checked: {error}")
        return
    for kind, question_id, source, quote in quotes:
        if source in standing.affected and not standing.stands_in(source, quote):
            where = path / f"{kind}.jsonl" if path.is_dir() else path
            yield StaleItem(f"{_shown(where, settings)} ({question_id})", source, _why(source, quote, standing))


def pair_files(settings: Settings) -> dict[str, Path]:
    """The files of voice pairs that the configuration names and that are there, by that name."""
    names = (settings.tuning.data, settings.tuning.heldout, settings.tuning.replay_data, settings.eval.voice)
    files = {name: settings.path(name) for name in names if isinstance(name, str) and name}
    return {name: path for name, path in files.items() if path.suffix == ".jsonl" and path.is_file()}


def names_source(label: str, source: str) -> bool:
    """Whether a pair's source names a document: its path, with or without the ending ("delivery" for "delivery.md")."""
    return label in (source, source.rpartition(".")[0])


def _pairs(project: Project, settings: Settings, standing: _Standing) -> Iterator[StaleItem]:
    for name, path in pair_files(settings).items():
        try:
            pairs = read_pairs(path, default_source="replay")
        except DataError as error:
            yield StaleItem(name, "", f"could not be checked: {error}")
            continue
        numbers = [n for n, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1) if line.strip()]
        for number, pair in zip(numbers, pairs, strict=True):
            source, why = _of_pair(pair, standing)
            if source:
                yield StaleItem(f"{name}:{number}", source, why, number)


def _of_pair(pair: VoicePair, standing: _Standing) -> tuple[str, str]:
    for text in pair.context:
        source, sentence = standing.fallen(text)
        if source:
            return source, _why(source, sentence, standing)
    gone = next((s for s in sorted(standing.removed) if names_source(pair.source, s)), "")
    return gone, f"{gone} is gone" if gone else ""


def _adapters(
    project: Project, settings: Settings, standing: _Standing, pairs: Iterable[StaleItem]
) -> Iterator[StaleItem]:
    """Runs that were trained on a file with stale rows, and encoders tuned on an earlier version of a document."""
    rows: dict[str, list[StaleItem]] = {}
    for item in pairs:
        if item.row:
            rows.setdefault(item.location.rpartition(":")[0], []).append(item)
    files = pair_files(settings)
    hashes = {name: sha256_file(files[name]) for name in rows}
    for manifest in project.runs():
        served = " (it is served)" if manifest.id == _served(project) else ""
        for name, some in rows.items():
            if name in manifest.inputs:
                same = manifest.inputs[name] == hashes[name]
                which = ", ".join(str(item.row) for item in some[:_SHOWN]) + (" ..." if len(some) > _SHOWN else "")
                why = f"trained on {name}, rows {which}" if same else f"trained on an earlier {name}; rows {which} now"
                yield StaleItem(manifest.id, some[0].source, why + served)
        for source, doc_id in trained_documents(project, manifest).items():
            if source in standing.affected and doc_id != standing.current_id(source):
                yield StaleItem(manifest.id, source, f"its encoder was tuned on an earlier {source}")
                break


def _served(project: Project) -> str:
    try:
        found: Mapping[str, Any] = json.loads(project.champion_path.read_text(encoding="utf-8"))
        return str(found.get("run", ""))
    except (OSError, ValueError):
        return ""


def trained_documents(project: Project, manifest: Manifest) -> dict[str, str]:
    """Source -> version of the documents that a kept encoder was tuned on; nothing for every other run."""
    path = project.runs_folder / manifest.id / "documents.json"
    if manifest.kind != "adapt" or not manifest.notes.get("kept") or not path.is_file():
        return {}
    found: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return found["train"]


def _shown(path: Path, settings: Settings) -> str:
    return path.relative_to(settings.root).as_posix() if path.is_relative_to(settings.root) else str(path)
