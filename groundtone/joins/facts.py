"""The facts-in-voice check joined with the documents: what do the rows teach that retrieval should give?

Also the lineage of access groups: rows that quote a document inherit its groups, and what is tuned on them with them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from eval.style import read_style
from groundtone.errors import DataError
from groundtone.joins.freshness import names_source
from groundtone.joins.indexing import open_index
from groundtone.joins.traces import Traces
from groundtone.project import Project
from groundtone.settings import Settings
from groundtone.text import contains_value, content_words
from groundtone.types import Document, Passage, VoicePair
from retrieval.interface import SearchableIndex
from retrieval.postgres.connect import resolve_dsn
from tuning.fact_rows import rewrite
from tuning.facts import Fact, FactReport, check_facts, facts_in, nowhere

__all__ = [
    "Prepared",
    "adapter_groups",
    "check",
    "document_lookup",
    "house_phrases",
    "indexed",
    "inherited_groups",
    "prepare",
    "row_groups",
]


def document_lookup(passages: Callable[[], Sequence[Passage]]) -> Callable[[Fact, str], str]:
    """A lookup in passages, which are fetched and read once, when it is first asked.

    A value counts as held by the passage that shares most words with the sentence, and by none where no passage
    shares any: "14 days" of something else is no source.
    """
    state: list[_Passages] = []

    def lookup(fact: Fact, sentence: str) -> str:
        if not state:
            state.append(_Passages(passages()))
        return state[0].source(fact, sentence)

    return lookup


class _Passages:
    """Values -> passages, from one pass over them; a value's bucket is coarser than equality, which is then asked."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._holding: dict[tuple[str, str], list[tuple[int, Fact]]] = defaultdict(list)
        self._words: dict[int, set[str]] = {}
        self._naming: dict[str, set[int]] = defaultdict(set)  # word of a name -> passages
        for number, passage in enumerate(passages):
            for fact in facts_in(f"{passage.heading}\n{passage.text}" if passage.heading else passage.text):
                if fact.kind == "name":
                    for word in _name_words(fact):
                        self._naming[word].add(number)
                    continue
                for bucket in _buckets(fact):
                    self._holding[bucket].append((number, fact))

    def source(self, fact: Fact, sentence: str) -> str:
        """The source of the passage that fits the sentence best; "" where none holds the value about such a thing."""
        if fact.kind == "name":
            near = set.intersection(*(self._naming.get(word, set()) for word in _name_words(fact)))
            holding = [n for n in sorted(near) if contains_value(self._text(n), fact.text)]
            own: set[str] = set()  # a name is what it is about
        else:
            found = {n for bucket in _buckets(fact) for n, other in self._holding[bucket] if fact.same_as(other)}
            holding = sorted(found)
            own = set(content_words(fact.text))
        asked = set(content_words(sentence)) - own
        shared = {n: len(asked & self._words_of(n)) for n in holding}
        best = max(holding, key=lambda n: shared[n], default=None)
        return self._passages[best].source if best is not None and shared[best] else ""

    def _text(self, number: int) -> str:
        passage = self._passages[number]
        return f"{passage.heading} {passage.text}"

    def _words_of(self, number: int) -> set[str]:
        if number not in self._words:
            self._words[number] = set(content_words(self._text(number)))
        return self._words[number]


def _name_words(fact: Fact) -> set[str]:
    """The words of a name, folded, without possessives."""
    return {re.sub(r"['’]s?$", "", word) for word in fact.text.casefold().split()}


def _buckets(fact: Fact) -> list[tuple[str, str]]:
    """Places where every fact that means the same can meet it: dates may leave parts open, a number lacks a unit."""
    if fact.kind == "date":
        return [("date", "")]
    if fact.value is None or fact.kind not in ("quantity", "number", "money", "percent"):
        return [(fact.kind, fact.key)]
    plain = ("amount", f"{fact.value.number:g}" if fact.value.number is not None else "")
    years = [("date", "")] if fact.kind == "number" else []
    return [plain, (fact.value.dimension, f"{float(fact.key):.6g}"), *years]


def house_phrases(settings: Settings) -> tuple[str, ...]:
    """The fixed phrases of the style file; none where there is no such file."""
    path = settings.path(settings.eval.style)
    return read_style(path).boilerplate if path.is_file() else ()


@contextmanager
def indexed(project: Project, settings: Settings) -> Iterator[SearchableIndex | None]:
    """The project's index, or None where none was made yet."""
    if not resolve_dsn(settings.retrieval.store) and not project.index_path.is_file():
        yield None
        return
    with open_index(project, settings) as index:
        yield index


def check(pairs: Sequence[VoicePair], index: SearchableIndex | None, *, house: Sequence[str] = ()) -> FactReport:
    """The report on these rows; without an index only their own contexts are looked at, and the report says so."""
    if index is None:
        return check_facts(pairs, nowhere, house=house, looked_up=False)
    return check_facts(pairs, document_lookup(index.passages), house=house)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The rows to train on, the line to show, and what the run's manifest notes of both."""

    pairs: tuple[VoicePair, ...]
    summary: str
    notes: dict[str, Any]


def prepare(project: Project, settings: Settings, pairs: Sequence[VoicePair]) -> Prepared:
    """What `tuning.facts` asks for, before a training. Raises DataError where it refuses, or where no row is left."""
    mode = settings.tuning.facts
    house = house_phrases(settings)
    with indexed(project, settings) as index:
        groups = adapter_groups(pairs, index)
        report = check(pairs, index, house=house) if mode != "off" else FactReport(len(pairs))
    if mode == "off":
        return Prepared(tuple(pairs), "facts in voice: not checked (tuning.facts is off)", {"facts": "off"} | groups)
    notes: dict[str, Any] = {"mode": mode, "counts": report.counts, "rows_that_teach": list(report.taught_rows)}
    if mode == "refuse" and report.share > settings.tuning.facts_share:
        first = report.findings[0]
        raise DataError(
            f"{report.summary()}; more than tuning.facts_share {settings.tuning.facts_share:g} (first: "
            f"row {first.row}, {first.fact.text!r}): see `groundtone data check`, or set tuning.facts to mask, "
            "randomise or report"
        )
    if mode == "report" or mode == "refuse":  # spelled out so that the types below narrow
        return Prepared(tuple(pairs), report.summary(), {"facts": notes} | groups)
    made = rewrite(pairs, report, mode=mode, seed=settings.tuning.seed, house=house)
    if not made.pairs:
        raise DataError(f"{report.summary()}; nothing is left after tuning.facts {mode}: add context to the rows")
    notes |= {"cut": list(made.cut), "dropped": list(made.dropped), "randomised": len(made.randomised)}
    return Prepared(made.pairs, f"{report.summary()}; {mode}: {made.summary()}", {"facts": notes} | groups)


def inherited_groups(project: Project, settings: Settings, pairs: Sequence[VoicePair]) -> dict[str, Any]:
    """`adapter_groups` of the project's own index."""
    with indexed(project, settings) as index:
        return adapter_groups(pairs, index)


def adapter_groups(pairs: Sequence[VoicePair], index: SearchableIndex | None) -> dict[str, Any]:
    """For the manifest's notes: the groups that a caller of a model tuned on these rows must all be in.

    Nothing where there is no index, or where no row quotes a document that is kept from anyone.
    """
    inherited = row_groups(pairs, index) if index is not None else ()
    needed = sorted({group for groups in inherited for group in groups})
    return {"groups": needed, "rows_with_groups": sum(map(bool, inherited))} if needed else {}


def row_groups(pairs: Sequence[VoicePair], index: SearchableIndex) -> tuple[tuple[str, ...], ...]:
    """For each row the groups of the documents that it quotes or names as its source, sorted; () for public rows.

    A document may be read by any of its groups, a row needs them all: several documents may have gone into it.
    """
    restricted: dict[tuple[str, ...], list[Document]] = defaultdict(list)
    public: list[str] = []
    for doc_id in dict.fromkeys(passage.doc_id for passage in index.passages()):
        document = index.document(doc_id)
        if document.meta.get("groups"):
            restricted[tuple(document.meta["groups"])].append(document)
        else:
            public.append(document.text)
    traces = {groups: Traces((d.text for d in kept), others=public) for groups, kept in restricted.items()}

    def quotes(pair: VoicePair, groups: tuple[str, ...]) -> bool:
        named = any(names_source(pair.source, document.source) for document in restricted[groups])
        texts = (*pair.context, *(turn.text for turn in pair.history), pair.prompt, pair.reply)
        return named or any(traces[groups].within(text) for text in texts)

    return tuple(
        tuple(sorted({group for groups in restricted if quotes(pair, groups) for group in groups})) for pair in pairs
    )
