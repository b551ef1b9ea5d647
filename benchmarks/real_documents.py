"""150 questions over a real staff handbook and a real set of legal pages, asked as `groundtone ask` asks them.

    python -m benchmarks.real_documents [--shared FOLDER] [--show]

Rows: the sentence that the search ranks best (no reader), quoting what the reader points at, and the strict mode with
the starter. The questions were written before any reader was trained, and no setting was chosen on them. A reply is
right when it says the value, no rival value, in at most 40 words. Intervals are 95 %, bootstrapped over documents. For
the reader's row it is also shown where the answers to answerable questions were lost, and what `groundtone bound` makes
of these questions: the bound that suits a price of wrong answers, and what it is worth on documents kept apart.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.data_sets import REAL_QUESTIONS, ROOT, SHARED
from benchmarks.reader import cell
from eval.bound import advise
from eval.metrics.correctness import correct, says
from groundtone import pipeline
from groundtone.joins.bound import NEVER, outcome_of
from groundtone.project import Project
from groundtone.settings import AssistantConfig, load_settings
from groundtone.stats import mean_interval
from groundtone.types import Answer, Gold, Question
from groundtone.values import find_values

CORPORA = ("handbook_18f", "github_site_policy")
LONGEST = 40  # words of a right reply
ROWS = (
    ("search alone, quoted", "extractive/rag", ("assistant.reader=null",)),
    ("reader, quoted", "extractive/rag", ()),
    ("reader, strict", "base/rag", ("assistant.mode=strict",)),
)


def questions(corpus: str) -> list[Question]:
    """The questions over one corpus."""
    found = []
    for line in REAL_QUESTIONS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["corpus"] != corpus:
            continue
        gold = None
        if row.get("values"):
            values = tuple(tuple(group) for group in row["values"])
            gold = Gold(values, tuple((source, quote) for source, quote in row["quotes"]))
        found.append(Question(row["id"], row["question"], gold=gold, kind="answerable" if gold else "unanswerable"))
    return found


def ask(corpus: str, shared: Path, *, arm: str, overrides: Sequence[str]) -> list[Answer]:
    """Every question's answer by one arm; the index is built once and kept."""
    root = ROOT / ".groundtone" / "benchmarks" / corpus
    root.mkdir(parents=True, exist_ok=True)
    folder = (shared / "data" / "docs" / corpus).resolve()
    (root / "groundtone.yaml").write_text(f"documents:\n  folder: {folder}\nmodel:\n  id: starter\n", encoding="utf-8")
    project, settings = Project(root), load_settings(root, overrides)
    pipeline.index(project, settings)
    asked = questions(corpus)
    return list(pipeline.assistant(project, settings, arm=arm, check=False).answer_many(asked))


def lost(answer: Answer) -> str:
    """The first stage that an answerable question's values did not survive; "right" where all did.

    The hits are as the reader ordered them; it points at the first best sentence of each.
    """
    gold, hits = answer.question.gold, answer.hits
    assert gold is not None
    if correct(answer.question, answer, max_words=LONGEST).value:
        return "right"
    if not any(_holds(hit.passage.text, gold) for hit in hits):
        return "in no passage found"
    if not _holds(hits[0].passage.text, gold):
        return "another passage first"
    if not hits[0].best or not _holds(hits[0].passage.text[slice(*hits[0].best[0])], gold):
        return "another sentence of its passage"
    return "its sentence, but refused" if answer.refused else "its sentence, but more or less was said"


def _holds(text: str, gold: Gold) -> bool:
    said = find_values(text)
    return all(any(says(text, said, spelling) for spelling in group) for group in gold.values)


def bounds(shared: Path) -> None:
    """Print which bound suits, by what a wrong answer costs."""
    unbounded = (f"assistant.min_answer={NEVER}",)
    answers = [a for c in CORPORA for a in ask(c, shared, arm="extractive/rag", overrides=unbounded)]
    outcomes = [outcome_of(answer, max_words=LONGEST) for answer in answers]
    for costs in (0.5, 1.0, 2.0, 4.0):
        advice = advise(outcomes, current=float(AssistantConfig().min_answer), wrong_costs=costs)
        named = [("in use", advice.current), *([("suits", advice.suited)] if advice.suited else [])]
        for name, point in named:
            shares = f"right {cell(point.right)}  wrong of all {cell(point.wrong)}"
            print(f"a wrong answer costs {costs:g}: bound {point.bound:5.1f} {name:<7} {shares}")
        print(f"a wrong answer costs {costs:g}: {advice.reason}")


def main() -> None:
    """Print the table; with --show every reply."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--show", action="store_true", help="print every question, reply and verdict")
    given = parser.parse_args()
    for name, arm, overrides in ROWS:
        answers = [a for corpus in CORPORA for a in ask(corpus, given.shared, arm=arm, overrides=overrides)]
        right = [correct(a.question, a, max_words=LONGEST) for a in answers]
        documents = [a.question.gold.quotes[0][0] if a.question.gold else a.question.id for a in answers]
        refused = [float(a.refused) for a in answers]
        wrongly = [r if a.question.gold else None for a, r in zip(answers, refused, strict=True)]
        rightly = [None if a.question.gold else r for a, r in zip(answers, refused, strict=True)]
        print(f"{name:<22} right           {cell(mean_interval([s.value for s in right], clusters=documents))}")
        print(f"{name:<22} rightly refused {cell(mean_interval(rightly, clusters=documents))}")
        print(f"{name:<22} wrongly refused {cell(mean_interval(wrongly, clusters=documents))}")
        if arm != "extractive/rag":
            kept = [None if a.refused else float("quoted_because" not in a.provenance) for a in answers]
            print(f"{name:<22} restyled        {cell(mean_interval(kept, clusters=documents))}")
        if name == "reader, quoted":
            for cause, count in Counter(lost(a) for a in answers if a.question.gold).most_common():
                print(f"{name:<22} {cause:<40} {count}")
        if given.show:
            for answer, score in zip(answers, right, strict=True):
                by = answer.refused_by or f"{score.value} {score.why}"
                print(f"  {answer.question.id} {answer.question.text}\n      {answer.text}\n      -> {by}")
    bounds(given.shared)


if __name__ == "__main__":
    main()
