"""A small world for eval's tests: documents of one sentence, questions on them, and answerers that follow a script."""

from collections.abc import Callable, Iterator, Sequence

from groundtone.refusal import is_refusal
from groundtone.types import Answer, Citation, Gold, Hit, Passage, Question, short_hash

REFUSAL = "I do not know. The passages do not say."


def passage(text: str, source: str = "a.md", heading: str = "") -> Passage:
    return Passage(short_hash(source, text), short_hash(source), source, text, 0, len(text), heading)


def question(number: int) -> Question:
    """Item number i of document i // 3: "Item i costs €(i + 10)."; every fifth has no answer."""
    if number % 5 == 4:
        return Question(f"q{number:03d}", f"Is item {number} waterproof?", kind="unanswerable")
    value = f"€{number + 10}"
    quote = f"The item called Moor{number} costs {value}."
    gold = Gold(((value, f"{number + 10} euros"),), ((f"doc{number // 3}.md", quote),))
    return Question(f"q{number:03d}", f"What does the Moor{number} cost?", gold=gold)


def evidence_of(asked: Question) -> tuple[Passage, ...]:
    if asked.gold is None:
        return (passage("The shop opens at nine."),)
    return tuple(passage(quote, source) for source, quote in asked.gold.quotes)


def answer(asked: Question, text: str, hits: Sequence[Passage] = (), **more: object) -> Answer:
    """An answer whose markers are resolved to the hits in order."""
    refused = is_refusal(text)
    citations = []
    for number, shown in enumerate(hits, 1):
        start = text.find(f"[{number}]")
        if start >= 0 and not refused:
            citations.append(Citation(start, start + 3, shown.doc_id, shown.id, 0, len(shown.text)))
    return Answer(
        short_hash(asked.id, text),
        asked,
        text,
        tuple(Hit(p, 1.0) for p in hits),
        tuple(citations),
        refused,
        "model" if refused else "",
        timing={"total": 0.5},
        tokens={"prompt": 50, "reply": 9},
        **more,  # type: ignore[arg-type]
    )


class Scripted:
    """Answers with `script(question)`: a text, or an exception to raise. Counts what it was asked."""

    def __init__(self, name: str, script: Callable[[Question], str | Exception], *, rag: bool = True) -> None:
        self.name = name
        self.script = script
        self.rag = rag
        self.asked: list[list[str]] = []

    def answer_many(self, questions: Sequence[Question]) -> Iterator[Answer]:
        self.asked.append([q.id for q in questions])
        for asked in questions:
            text = self.script(asked)
            if isinstance(text, Exception):
                raise text
            yield answer(asked, text, evidence_of(asked) if self.rag else ())


def right(asked: Question) -> str:
    if asked.gold is None:
        return REFUSAL
    return asked.gold.quotes[0][1].rstrip(".") + " [1]."


def wrong(asked: Question) -> str:
    return right(asked).replace("€", "€9")
