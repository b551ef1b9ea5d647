"""Follow-up questions: what is searched for and read when a conversation came before.

    python -m benchmarks.follow_up

The 32 conversations of data/questions/follow_up.jsonl over the sample company: 26 in which the question leans on the
one before it, 6 in which it begins with something else. Rows: what is searched for; the last text is what the reader
reads. "Quoted": the sentence that the reader likes best holds the value, refused or not. Intervals are 95 %, paired
against the first row, bootstrapped over documents. The conversations were written for this comparison.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.data_sets import ROOT
from eval.estimates import short
from groundtone.answer_spans import ReadingRetriever
from groundtone.joins.retrieval_eval import Sought, units_of, values_of
from groundtone.models.encoders import MINILM, load_encoder
from groundtone.models.reader import Reader, bundled_reader
from groundtone.quoting import answers
from groundtone.searching import find, phrasings
from groundtone.stats import mean_interval, paired_difference
from groundtone.text import contains_value
from groundtone.types import Gold, Hit, Question, Snippet, Turn
from retrieval.index import Index

FILE = ROOT / "data/questions/follow_up.jsonl"
DEPTH = 10
Phrased = Callable[[Question], tuple[str, ...]]


def together(question: Question) -> str:
    """The question before it and the question, as one text."""
    return phrasings(question.text, question.history)[0]


ROWS: dict[str, Phrased] = {
    "both at once": lambda q: (together(q),),
    "the question alone": lambda q: (q.text,),
    "each, both read": lambda q: (q.text, together(q)),
    "each, the question read (in use)": lambda q: phrasings(q.text, q.history),
}


def read_follow_ups(path: Path = FILE) -> list[Question]:
    """The conversations, in the order of the file."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        values = tuple(tuple(group) for group in row["values"])
        gold = Gold(values, tuple((source, quote) for source, quote in row["quotes"]))
        history = tuple(Turn(role, text) for role, text in row["history"])
        found.append(Question(row["id"], row["question"], history, gold=gold, kind="follow_up"))
    return found


def quoted_rightly(question: Question, hits: Sequence[Hit]) -> float:
    """Whether the sentence that would be quoted of the first hit holds a spelling of every value."""
    said = answers([Snippet(1, hits[0], hits[0].passage.text)]) if hits else []
    groups = question.gold.values if question.gold else ()
    return float(bool(said) and all(any(contains_value(said[0].text, v) for v in group) for group in groups))


def main() -> None:
    """Print a Markdown table."""
    asked = read_follow_ups()
    clusters = [q.gold.quotes[0][0] if q.gold else q.id for q in asked]
    reader = Reader.load(bundled_reader())
    with (
        tempfile.TemporaryDirectory() as folder,
        Index.open(Path(folder) / "index.sqlite", encoder=load_encoder(MINILM)) as index,
    ):
        index.update(ROOT / "data/handbook")
        reading = ReadingRetriever(index, reader)
        units = {q.id: units_of(index, Sought(q.id, q.text, q.gold.quotes if q.gold else ())) for q in asked}
        print("| searched for | R@1 | R@5 | nDCG@10 | to the first | quoted | to the first |\n" + "|---" * 7 + "|")
        before: tuple[list[float | None], list[float]] | None = None
        for name, phrase in ROWS.items():
            phrased = [phrase(q) for q in asked]
            hits = find(index, phrased, k=DEPTH)
            run = {q.id: [hit.passage.id for hit in found] for q, found in zip(asked, hits, strict=True)}
            values = values_of(run, units)
            gain = [values["nDCG@10"][q.id] for q in asked]
            quoted = [quoted_rightly(q, h) for q, h in zip(asked, find(reading, phrased, k=DEPTH), strict=True)]
            before = before or (gain, quoted)
            cells = [
                *(
                    mean_interval([values[m][q.id] for q in asked], clusters=clusters)
                    for m in ("R@1", "R@5", "nDCG@10")
                ),
                paired_difference(gain, before[0], clusters=clusters),
                mean_interval(quoted, clusters=clusters),
                paired_difference(quoted, before[1], clusters=clusters),
            ]
            print(f"| {name} | {' | '.join(short(cell) for cell in cells)} |", flush=True)


if __name__ == "__main__":
    main()
