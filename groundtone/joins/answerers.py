"""Answerers from elsewhere: answers in a file, and models behind an OpenAI-compatible endpoint.

Whatever an endpoint does (time out, send garbage, say nothing) costs the one item, as a record with its error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from eval.answers import GivenAnswer, read_answers
from eval.config import Rival
from eval.style import Style
from groundtone.assistant import Assistant
from groundtone.grounding import cite
from groundtone.joins.arms import Models, build_arm, voice_of
from groundtone.refusal import is_refusal
from groundtone.settings import Settings
from groundtone.types import Answer, Answerer, Hit, Passage, Question, Retriever, Snippet, short_hash

__all__ = ["Imported", "OneByOne", "arm_name", "endpoint", "imported_rivals"]


class Imported:
    """An Answerer over answers that were made elsewhere, found by the question's id or, failing that, by its text.

    A row whose id fits and whose text is another question's is no answer to it: ids such as "q1" are everywhere.

    Markers such as [1] point at the row's own contexts; a row without any cites nothing.
    """

    def __init__(self, name: str, rows: Sequence[GivenAnswer]) -> None:
        self.name = name
        self._by_id = {row.question.id: row for row in rows}
        self._by_text = {_plain(row.question.text): row for row in reversed(rows) if row.question.text}

    def answer_many(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """One answer per question, in order; one that the file does not hold has an error."""
        for question in questions:
            asked = _plain(question.text)
            row = self._by_id.get(question.id)
            if row is None or (row.question.text and _plain(row.question.text) != asked):
                row = self._by_text.get(asked)
            if row is None:
                yield self._failed(question, "the file holds no answer to this question")
            elif row.error:
                yield self._failed(question, row.error)
            else:
                yield self._answer(question, row)

    def _answer(self, question: Question, row: GivenAnswer) -> Answer:
        snippets = _numbered(row.contexts or ())
        cited = cite(row.text, snippets) if snippets else None
        text = cited.text if cited is not None else row.text
        refused = is_refusal(text)
        dropped = {"dropped_markers": str(cited.dropped)} if cited is not None and cited.dropped else {}
        return Answer(
            id=short_hash(question.id, self.name, row.text),
            question=question,
            text=text,
            hits=tuple({snippet.hit.passage.id: snippet.hit for snippet in snippets}.values()),
            citations=cited.citations if cited is not None and not refused else (),
            refused=refused,
            refused_by="model" if refused else "",
            timing=row.timing,
            tokens=row.tokens,
            provenance={"assistant": self.name} | dropped,
        )

    def _failed(self, question: Question, error: str) -> Answer:
        made = short_hash(question.id, self.name, error)
        return Answer(made, question, "", error=error, provenance={"assistant": self.name})


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _numbered(contexts: Sequence[Passage]) -> tuple[Snippet, ...]:
    return tuple(Snippet(n, Hit(passage, 0.0), passage.text) for n, passage in enumerate(contexts, 1))


class OneByOne:
    """Asks each question alone, several at once: what goes wrong with one of them is that one's error.

    Tokens that a server did not count are left out, for 0 would be a claim.
    """

    def __init__(self, inner: Assistant, *, concurrency: int) -> None:
        self.name = inner.name
        self._inner = inner
        self._concurrency = concurrency

    def answer_many(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """One answer per question, in order."""
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="groundtone-rival") as pool:
            yield from pool.map(self._ask, questions)

    def _ask(self, question: Question) -> Answer:
        try:
            answer = next(iter(self._inner.answer_many([question])))
        except Exception as error:  # garbage breaks the client's parser in ways of its own
            told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return Answer(short_hash(question.id, self.name, told), question, "", error=told)
        uncounted = not answer.tokens.get("prompt") and answer.refused_by not in ("retrieval", "reader")
        return replace(answer, tokens={}) if uncounted else answer


def endpoint(rival: Rival, settings: Settings, *, retriever: Retriever, style: Style, repeat: int = 0) -> Answerer:
    """The rival behind its endpoint, over what `retriever` finds or closed-book. Connects to nothing yet.

    With a temperature each `repeat` has a seed of its own. Raises MissingExtraError without the chat extra.
    """
    from groundtone.models.chat import ChatModel

    named = rival.model
    if rival.base_url is not None and not named.startswith("openai:"):
        named = f"openai:{named}"
    temperature = settings.eval.temperature
    model = ChatModel(
        named,
        base_url=rival.base_url,
        timeout_s=rival.timeout_s,
        retries=rival.retries,
        temperature=temperature,
        seed=settings.eval.seed + repeat if temperature else None,
    )
    assistant = build_arm(
        "base/rag" if rival.documents else "base/closed",
        settings,
        models=Models(model, None),
        retriever=retriever,
        style=style,
        check=None,
        measuring=True,
    )
    assistant.name = rival.name
    assistant.provenance = assistant.provenance | {"assistant": rival.name}
    if rival.prompted:
        assistant.voice = voice_of("prompted", style)
    return OneByOne(assistant, concurrency=rival.concurrency)


def imported_rivals(settings: Settings) -> Mapping[str, Imported]:
    """The rivals that are files of answers. Raises DataError where one cannot be read."""
    return {
        rival.name: Imported(rival.name, read_answers(settings.path(rival.answers)))
        for rival in settings.eval.rivals
        if rival.answers
    }


def arm_name(path: Path) -> str:
    """What the arm of a file of answers is called: the file's name, in the characters that a rival's name may have."""
    kept = "".join(c if c.isalnum() or c in "._-" else "-" for c in path.stem)
    return kept.strip("-") or "answers"
