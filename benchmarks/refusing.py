"""Would signals in an index's own units refuse better than one constant? Questions with their documents and without.

    python -m benchmarks.refusing [NAME ...] [--work FOLDER] [--answers]

NAME: sample, qed_nq, squad2_open, policyqa (a rule is fitted on these; only on articles and websites that the reader
never saw), handbook_18f, github_site_policy (only reported on). A rule is logistic regression over what is known when
an answer could be refused; "own units" are mean and spread of the same signals over 100 questions that the index makes
of itself, each with its document and without. A set is judged by the rule of the other sets, its threshold being the
mean of theirs that keep 88 % of what is answerable.

"missing": the question's documents are left out, with whatever repeats them; "near": people wrote the question so that
the documents do not answer it. With --answers, which the two real sets know, every further document is left out too of
which a hit says the answer's values, until no hit does: where another page says the same, the answer is not missing.
`value` is what `assistant.min_answer` is compared with. Reading takes some ten minutes of one core; --work keeps what
was read.
"""

from __future__ import annotations

import argparse
import glob
import json
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage import SETS
from benchmarks.data_sets import REAL_QUESTIONS, ROOT, SHARED, sample
from benchmarks.remembering import remembering
from data.reader.rows import HELD_SITES, held_out, squad
from eval.estimates import in_words
from eval.metrics.correctness import says
from groundtone.answer_spans import mark, value
from groundtone.models.encoders import Encoder
from groundtone.models.reader import Reader, bundled_reader
from groundtone.settings import AssistantConfig
from groundtone.stats import auroc
from groundtone.types import Hit, Passage, short_hash
from groundtone.values import find_values
from retrieval import coverage
from retrieval.index import Index
from retrieval.leaving_out import HITS, AskedTwice, Corpus, ask_twice, corpus_of
from retrieval.probes import Probe
from retrieval.question_making import make_questions

FITTED_ON = ("sample", "qed_nq", "squad2_open", "policyqa")
SIGNALS = ("value", "score", "read", "words")
RULES = {"value": ("value",), "score, reader, words": ("score", "read", "words")}
KEPT, MOST, MADE = 0.88, 160, 100
_LOWEST = -15.0  # of log-odds: below, nothing more is said

Floats = NDArray[np.float64]
Groups = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Read:
    """SIGNALS of every question, (questions, 4): with its documents, without, near misses, and of made questions."""

    present: Floats
    missing: Floats
    near: Floats
    made: Floats  # with and without

    def as_json(self) -> dict[str, list[list[float]]]:
        """Plain data."""
        return {name: getattr(self, name).tolist() for name in ("present", "missing", "near", "made")}


def asked_of(name: str, probes: Sequence[Probe]) -> tuple[list[Probe], list[str]]:
    """The answerable questions, and those that people wrote so that nothing answers."""
    if name == "squad2_open":
        items = [item for item in squad(SHARED / "data") if held_out(item)]
        inside = {item.question for item in items if item.start >= 0}
        return (
            sample([probe for probe in probes if probe.query in inside], MOST),
            sample([item.question for item in items if item.start < 0], MOST),
        )
    if name == "policyqa":
        return sample([p for p in probes if any(site in p.query for site in HELD_SITES)], MOST), []
    file = ROOT / "data/questions/unanswerable.jsonl" if name == "sample" else REAL_QUESTIONS
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    near = [row["question"] for row in rows if row.get("corpus", "sample") == name and not row.get("values")]
    return sample(probes, MOST), near


def read_set(name: str, work: Path, encoder: Encoder, reader: Reader, *, answers: bool = False) -> Read:
    """The set's signals: its index made, all questions asked and read; `answers`: without whatever says the answer."""
    folder, probes = SETS[name](work / "documents" / name)
    with Index.open(work / f"{name}.sqlite", encoder=encoder) as index:
        index.update(folder)
        passages = index.passages()
        corpus = corpus_of(passages)
        real, near = asked_of(name, probes)

        def signals(query: str, hits: Sequence[Hit], left_out: frozenset[str] = frozenset()) -> list[float]:
            readings = reader.read(query, [(hit.passage.heading, hit.passage.text) for hit in hits])
            marked = [hit for hit, _ in mark(query, hits, readings)]
            score, words = coverage.signals(query, hits, *corpus.without(left_out))
            values = [found for hit in marked if (found := value(hit)) is not None]
            read = [hit.answer_score for hit in marked if hit.answer_score is not None]
            return [max([_LOWEST, *values]), score, max([_LOWEST, *read]), words]

        values = values_of(name) if answers else {}

        def twice(asked: Sequence[Probe]) -> tuple[Floats, Floats]:
            given = ask_twice(index, corpus, asked)
            rows = [without_answer(index, corpus, row, values.get(row.probe.query, ())) for row in given]
            repeated = sum(a.left_out != b.left_out for a, b in zip(rows, given, strict=True))
            if repeated:
                print(f"{name}: another document says the answer of {repeated} of {len(rows)} questions too")
            present = [signals(row.probe.query, row.present) for row in rows]
            return np.array(present), np.array([signals(row.probe.query, row.missing, row.left_out) for row in rows])

        present, missing = twice(real)
        made = np.concatenate(twice(made_of(passages)))
        unanswered = [signals(query, hits) for query, hits in zip(near, index.search_many(near, k=5), strict=True)]
    return Read(present, missing, np.array(unanswered).reshape(-1, len(SIGNALS)), made)


def values_of(name: str) -> dict[str, Groups]:
    """The values of the questions over real documents."""
    rows = [json.loads(line) for line in REAL_QUESTIONS.read_text(encoding="utf-8").splitlines()]
    return {row["question"]: row["values"] for row in rows if row["corpus"] == name and row.get("values")}


def without_answer(index: Index, corpus: Corpus, row: AskedTwice, values: Groups) -> AskedTwice:
    """The same with every document left out of which a hit says the values, until none does."""

    def answers(hit: Hit) -> bool:
        said = find_values(hit.passage.text)
        return bool(values) and all(
            any(says(hit.passage.text, said, spelling) for spelling in group) for group in values
        )

    while repeating := {hit.passage.source for hit in row.missing if answers(hit)}:
        out = row.left_out | repeating
        kept = tuple(glob.escape(source) for source in corpus.family if source not in out)
        row = replace(row, left_out=out, missing=index.search(row.probe.query, k=HITS, where={"source": kept}))
    return row


def made_of(passages: Sequence[Passage]) -> list[Probe]:
    """Questions that sound like people's, at most two a document."""
    found = [question for question in make_questions(passages, per_passage=1) if question.kind != "keywords"]
    random.Random(0).shuffle(found)
    taken: Counter[str] = Counter()
    chosen: list[Probe] = []
    for question in found:
        if taken[question.source] < 2 and len(chosen) < MADE:
            taken[question.source] += 1
            chosen.append(Probe(question.text, (question.source,)))
    return chosen


def in_units(read: Read, columns: Sequence[int], *, own: bool) -> tuple[Floats, Floats, Floats]:
    """The rule's signals, in the units of the index or as they are."""
    made = read.made[:, columns]
    centre, spread = (made.mean(axis=0), made.std(axis=0) + 1e-6) if own else (0.0, 1.0)
    present, missing, near = ((part[:, columns] - centre) / spread for part in (read.present, read.missing, read.near))
    return present, missing, near


def judged(name: str, sets: dict[str, Read], columns: Sequence[int], *, own: bool) -> tuple[Floats, Floats, Floats]:
    """Log-odds of the set's questions by the rule of the other sets; 0 is its threshold."""
    from sklearn.linear_model import LogisticRegression

    others = [in_units(sets[other], columns, own=own) for other in FITTED_ON if other in sets and other != name]
    if not others:
        raise SystemExit(f"{name} is judged by the rule of other sets: name two or more of {', '.join(FITTED_ON)}")
    x = np.concatenate([np.concatenate(parts) for parts in others])
    y = np.concatenate([[1] * len(p) + [0] * (len(m) + len(n)) for p, m, n in others])
    weight = np.concatenate([[1 / len(p)] * len(p) + [1 / (len(m) + len(n))] * (len(m) + len(n)) for p, m, n in others])
    middle, width = x.mean(axis=0), x.std(axis=0) + 1e-9
    model = LogisticRegression(max_iter=1000).fit((x - middle) / width, y, sample_weight=weight * len(x) / weight.sum())

    def odds(part: Floats) -> Floats:
        return np.asarray((part - middle) / width @ model.coef_[0])

    bound = float(np.mean([np.quantile(odds(p), 1 - KEPT) for p, _, _ in others]))
    present, missing, near = (odds(part) - bound for part in in_units(sets[name], columns, own=own))
    return present, missing, near


def row(name: str, rule: str, parts: tuple[Floats, Floats, Floats]) -> str:
    """One line of the table; what lies at or above 0 is answered."""
    present, missing, near = parts
    bound = np.quantile(present, 0.05)
    cells = [f"{len(present)} / {len(near)}", _auroc(present, missing), f"{(missing < bound).mean():.2f}"]
    cells += [_auroc(present, near), f"{(present >= 0).mean():.2f}", f"{(missing < 0).mean():.2f}"]
    return f"| {name} | {rule} | {' | '.join(cells)} | {f'{(near < 0).mean():.2f}' if len(near) else 'none'} |"


def _auroc(present: Floats, other: Floats) -> str:
    if not len(other):
        return "none"
    keys = [[str(i) for i in range(len(part))] for part in (present, other)]
    found = auroc(present.tolist(), other.tolist(), clusters=(keys[0], keys[1]))
    return in_words(found).rsplit(" n=", 1)[0]


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--work", type=Path, help="where indexes, vectors and what was read are kept for the next run")
    parser.add_argument("--answers", action="store_true", help="leave out whatever says the answer")
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - set(SETS)):
        raise SystemExit(f"no set {unknown[0]!r}; there are: {', '.join(SETS)}")
    sets: dict[str, Read] = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        encoder, reader = remembering(work), Reader.load(bundled_reader())
        for name in args.names or SETS:
            only = args.answers and name not in FITTED_ON
            made_with = (SIGNALS, MOST, MADE, *(("answers",) if only else ()))
            kept = work / f"refusing-{name}-{short_hash(str(made_with))}.json"
            if not kept.is_file():
                kept.write_text(
                    json.dumps(read_set(name, work, encoder, reader, answers=only).as_json()), encoding="utf-8"
                )
            stored = json.loads(kept.read_text(encoding="utf-8"))
            sets[name] = Read(**{part: np.array(rows).reshape(-1, len(SIGNALS)) for part, rows in stored.items()})
    print(
        "| set | rule | answerable / near | missing, AUROC | missing refused at 95 % kept | near, AUROC | kept "
        "| missing refused | near refused |\n" + "|---" * 9 + "|"
    )
    constant = float(AssistantConfig().min_answer)
    for name, read in sets.items():
        parts = (read.present[:, 0] - constant, read.missing[:, 0] - constant, read.near[:, 0] - constant)
        print(row(name, f"value, {constant} (in use)", parts))
        for rule, signals in RULES.items():
            columns = [SIGNALS.index(signal) for signal in signals]
            for own in (False, True):
                units = "own units" if own else "as they are"
                print(row(name, f"{rule}, {units}", judged(name, sets, columns, own=own)), flush=True)


if __name__ == "__main__":
    main()
