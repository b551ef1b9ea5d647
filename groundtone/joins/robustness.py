"""Asks the probes of robustness: questions whose passages are set by hand, gold and distractors from the index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from eval.metrics.retrieval import holds
from eval.robustness import ARMS, LEVELS, MARK, METRIC, kind_of, robust
from eval.runner import run
from eval.style import Style
from groundtone.answer_spans import READ_DEPTH, ReadingRetriever
from groundtone.assistant import Assistant
from groundtone.files import sha256_text
from groundtone.joins.arms import Models, build_arm, detector_of, reader_of
from groundtone.joins.material import Material
from groundtone.joins.retrievers import BatchRetriever, Edit, Remembering, edited
from groundtone.parts import in_parts
from groundtone.settings import Settings
from groundtone.text import contains_value, sentence_spans
from groundtone.types import Answer, Answerer, EvalRecord, Hit, Passage, Question, Retriever
from retrieval.interface import SearchableIndex

__all__ = ["Probe", "ask_probes", "ask_robustness", "probes_of"]

Progress = Callable[[str, int, int], None]
SEARCHED = 16  # hits looked through for distractors
_KINDS = {"answerable": ("noise", "rejection"), "two_documents": ("integration",), "changed": ("changed",)}


@dataclass(frozen=True, slots=True)
class Probe:
    """A question under a kind of its own and the hits that it is asked over, in the order shown."""

    question: Question
    hits: tuple[Hit, ...]


def ask_probes(
    settings: Settings,
    material: Material,
    models: Models,
    *,
    index: SearchableIndex,
    out_dir: Path,
    progress: Progress,
) -> list[EvalRecord]:
    """The probes of the material's questions, asked where `eval.robustness` says so."""
    if not settings.eval.robustness or not material.questions:
        return []
    found = Remembering(index)
    found.warm([q.text for q in material.questions if q.kind in _KINDS and not q.history], k=SEARCHED)
    probes = probes_of(
        material.questions, material.edits, index=index, found=found, most=settings.eval.robustness_items
    )
    return ask_robustness(settings, probes, models, style=material.style, out_dir=out_dir, progress=progress)


def ask_robustness(
    settings: Settings,
    probes: Sequence[Probe],
    models: Models,
    *,
    style: Style,
    out_dir: Path,
    progress: Progress,
) -> list[EvalRecord]:
    """The probes under base and tuned, into the same records file as all else; nothing without weights."""
    if not probes or models.base.name == "extractive":
        return []
    speaks = {"base": True, "tuned": models.tuned is not None}
    found = _found(settings, probes)
    arms: dict[str, Answerer] = {
        name: _Placed(name, settings, probes, models, style, found) for name in ARMS if speaks[name.split("/")[0]]
    }
    return run(
        arms,
        [probe.question for probe in probes],
        evidence=lambda _: (),
        out_dir=out_dir,
        metrics={METRIC: partial(robust, max_words=settings.eval.max_words)},
        boilerplate=style.boilerplate,
        detector=detector_of(settings),
        batch_size=settings.eval.batch_size,
        progress=progress,
    )


def probes_of(
    questions: Sequence[Question],
    edits: Mapping[str, Edit],
    *,
    index: SearchableIndex,
    found: BatchRetriever,
    most: int,
) -> list[Probe]:
    """The probes of at most `most` questions of each kind, drawn by a hash of the id; by test, level and question.

    A question takes part where the index holds its gold quotes and enough passages that do not answer it. Follow-ups
    are left out: what they ask about stands in the conversation.
    """
    made: dict[str, list[Probe]] = {}
    for kind, tests in _KINDS.items():
        some = [q for q in questions if q.kind == kind and q.gold is not None and not q.history]
        for question in sorted(some, key=lambda q: sha256_text(q.id))[:most]:
            near = found.search(question.text, k=SEARCHED, groups=question.groups)
            gold = _gold(question, edits.get(question.id), index, near)
            others = _distractors(question, edits.get(question.id), near)
            for test in tests if gold else ():
                for level in LEVELS[test]:
                    if len(others) >= level:
                        probe = _probe(question, test, level, gold, others[:level])
                        made.setdefault(probe.question.kind, []).append(probe)
    return [probe for kind in sorted(made) for probe in made[kind]]


def _probe(question: Question, test: str, level: int, gold: Sequence[Hit], others: Sequence[Hit]) -> Probe:
    shown = [*others] if test == "rejection" else [*gold, *others]
    shown.sort(
        key=lambda hit: sha256_text(f"{question.id} {hit.passage.id}")
    )  # the gold passage has no place of its own
    asked = replace(
        question,
        id=f"{question.id}{MARK}{test}{level}",
        gold=None if test == "rejection" else question.gold,
        kind=kind_of(test, level),
    )
    return Probe(asked, tuple(shown))


def _gold(question: Question, edit: Edit | None, index: SearchableIndex, near: Sequence[Hit]) -> list[Hit]:
    """The passage of every gold quote with the quote's sentence best; none where a quote is not in the index.

    Its score is the search's, or where the search did not find it the best one's: a bound on scores must not tell.
    """
    assert question.gold is not None
    scores = {hit.passage.id: hit.score for hit in near}
    quotes = [(edit.source, edit.quote)] if edit else list(question.gold.quotes)
    sources = set(index.documents())
    hits: dict[str, Hit] = {}
    for source, quote in quotes:
        located = index.locate(source, quote) if source in sources else []
        passage = next((p for p in located if _span(p, quote)), None)
        if passage is None:
            return []
        score = scores.get(passage.id, max(scores.values(), default=1.0))
        hit = Hit(passage, score, best=_span(passage, quote))
        hits[passage.id] = edited(hit, edit) if edit else hit
    return list(hits.values())


def _span(passage: Passage, quote: str) -> tuple[tuple[int, int], ...]:
    """The sentences that the quote stands in, as one span; empty where the passage cuts the quote."""
    wanted = "".join(quote.split())
    places = [(n, c) for n, c in enumerate(passage.text) if not c.isspace()]
    at = "".join(c for _, c in places).find(wanted)
    if at < 0:
        return ()
    start, end = places[at][0], places[at + len(wanted) - 1][0] + 1
    over = [span for span in sentence_spans(passage.text) if span[0] < end and start < span[1]] or [(start, end)]
    return ((over[0][0], over[-1][1]),)


def _distractors(question: Question, edit: Edit | None, near: Sequence[Hit]) -> list[Hit]:
    """What the search likes best among the passages that hold neither a gold quote nor a gold value."""
    assert question.gold is not None
    spellings = [value for group in question.gold.values for value in group]
    quotes = [*question.gold.quotes, *([(edit.source, edit.quote)] if edit else [])]

    def answers(passage: Passage) -> bool:
        quoted = any(holds(passage, source, quote) for source, quote in quotes)
        return quoted or any(contains_value(passage.text, value) for value in spellings)

    return [hit for hit in near if not answers(hit.passage)]


def _found(settings: Settings, probes: Sequence[Probe]) -> dict[str, Retriever]:
    """By kind what is found for its probes, read by the assistant's reader as all that a search finds is."""
    reader = reader_of(settings)
    found: dict[str, Retriever] = {}
    for kind in dict.fromkeys(probe.question.kind for probe in probes):
        some = [probe for probe in probes if probe.question.kind == kind]
        fixed = _Fixed(some)
        depth = max(READ_DEPTH, *(len(probe.hits) for probe in some))
        found[kind] = fixed if reader is None else Remembering(ReadingRetriever(fixed, reader, depth=depth))
    return found


class _Fixed:
    """A retriever that finds what was set by hand for a question's text, and for each part that it is searched by."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._hits: dict[str, list[Hit]] = {}
        for probe in probes:
            for text in dict.fromkeys(part.asked.text for part in in_parts(probe.question)):
                known = self._hits.setdefault(text, [])
                known += [hit for hit in probe.hits if hit not in known]  # two questions may share a part

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        return self._hits[query][:k]


class _Placed:
    """An arm over fixed passages: the same assistant as everywhere, shown all of them."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        probes: Sequence[Probe],
        models: Models,
        style: Style,
        found: Mapping[str, Retriever],
    ) -> None:
        self.name = name
        shown = max(len(probe.hits) for probe in probes)
        given = settings.assistant
        mode = "grounded" if given.mode in ("quote", "closed-book") else given.mode
        room = {"k": shown, "context_tokens": given.context_tokens * max(1, -(-shown // given.k))}
        over = replace(settings, assistant=given.model_copy(update=room | {"mode": mode}))
        self._assistants: dict[str, Assistant] = {
            kind: build_arm(
                name.replace("/robust", "/rag"),
                over,
                models=models,
                retriever=retriever,
                style=style,
                check=None,
                measuring=True,
            )
            for kind, retriever in found.items()
        }

    def answer_many(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """One answer per question, in order; those of one kind together."""
        kinds = dict.fromkeys(question.kind for question in questions)
        answered = {
            kind: iter(list(self._assistants[kind].answer_many([q for q in questions if q.kind == kind])))
            for kind in kinds
        }
        for question in questions:
            yield next(answered[question.kind])
