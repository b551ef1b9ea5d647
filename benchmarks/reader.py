"""The bundled reader on articles, policies and questions that it never saw.

    python -m benchmarks.reader [--shared FOLDER] [--reader FOLDER] [--against FOLDER] [--choose]

spans       the passage is given: token F1 of the span with the best of people's answers (SQuAD's measure)
near miss   AUROC between questions that the paragraph answers and questions that people wrote so that it does not
searched    the real path over the question's document, four passages read: the quotation of at most 40 words holds the
            answer; refusing questions that people wrote so that their paragraph does not answer
The weights of shared words and search score and the bound were chosen on one of the two held-out articles, two of the
four policies (`--choose` prints them) and the sample company's questions; the figures are from the others. Intervals
are 95 %, bootstrapped over paragraphs.
"""

from __future__ import annotations

import argparse
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.data_sets import SHARED
from data.reader.rows import Item, held_out, policyqa, squad
from groundtone.answer_spans import SEARCH_SHARE, WORDS_SHARE, mark
from groundtone.models.encoders import MINILM, load_encoder
from groundtone.models.reader import Reader, Reading, bundled_reader
from groundtone.quoting import answers
from groundtone.settings import AssistantConfig
from groundtone.stats import auroc, mean_interval, paired_difference
from groundtone.text import normalise
from groundtone.types import Estimate, Hit, Snippet, short_hash
from retrieval.index import Index

CHOOSING = {"squad2_open/Construction", "policyqa/fool.com", "policyqa/washingtonian.com"}
DEPTH = 4
KEPT = 0.95  # share of right quotations that the bound must let pass


@dataclass(frozen=True, slots=True)
class Shown:
    """One question with the passages that were found, read; `found` says whether its own paragraph is among them."""

    item: Item
    hits: tuple[Hit, ...]
    readings: tuple[Reading, ...]
    answerable: bool
    found: bool


def token_f1(found: str, spellings: Sequence[str]) -> float:
    """SQuAD's F1: tokens without articles and punctuation, the best of the accepted spellings."""
    return max((_f1(_tokens(found), _tokens(gold)) for gold in spellings), default=0.0)


def _tokens(text: str) -> list[str]:
    text = "".join(" " if c in string.punctuation else c for c in text.lower())
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def _f1(a: Sequence[str], b: Sequence[str]) -> float:
    same = sum((Counter(a) & Counter(b)).values())
    return 2 * same / (len(a) + len(b)) if same else 0.0


def searched(items: Sequence[Item], reader: Reader, folder: Path) -> list[Shown]:
    """Each question with what a search over its document's paragraphs found, read."""
    contexts = list(dict.fromkeys((item.source, item.title, item.context) for item in items))
    names: dict[str, str] = {}
    for source, title, context in contexts:
        name = f"{short_hash(source)}-{short_hash(context)}.md"
        (folder / name).write_text(f"---\ntitle: {title}\ndate: 2000-01-01\n---\n{context}\n", encoding="utf-8")
        names[context] = name
    encoder = load_encoder(MINILM)
    with Index.open(folder / "index.sqlite", encoder=encoder) as index:
        index.update(folder)
        found = _within_documents(index, items)
    rows = [
        (item.question, hit.passage.heading, hit.passage.text)
        for item, hits in zip(items, found, strict=True)
        for hit in hits
    ]
    readings = iter(reader.read_many(rows))
    shown = []
    for item, hits in zip(items, found, strict=True):
        own = tuple(next(readings) for _ in hits)
        there = any(hit.passage.source == names[item.context] for hit in hits)
        shown.append(Shown(item, tuple(hits), own, item.start >= 0, there))
    return shown


def _within_documents(index: Index, items: Sequence[Item]) -> list[list[Hit]]:
    """The hits of each question in its own document: the policies are all asked the same questions."""
    found: dict[int, list[Hit]] = {}
    for source in sorted({item.source for item in items}):
        mine = [i for i, item in enumerate(items) if item.source == source]
        where = {"source": f"{short_hash(source)}-*"}
        hits = index.search_many([items[i].question for i in mine], k=DEPTH, where=where)
        found |= dict(zip(mine, hits, strict=True))
    return [found[i] for i in range(len(items))]


def best(shown: Shown, words: float, share: float) -> tuple[Hit, float]:
    """The hit that answers best with those weights of shared words and search score, and how well any hit answers."""
    marked = mark(shown.item.question, shown.hits, shown.readings, words=words, search=share)
    worth = max((hit.answer_score or 0.0) + share * hit.score for hit, _ in marked)
    return max(marked, key=lambda pair: pair[1])[0], worth


def holds_the_answer(hit: Hit, item: Item) -> bool:
    """Whether the sentence quoted holds an accepted answer."""
    said = answers([Snippet(1, hit, hit.passage.text)])
    return bool(said) and any(normalise(spelling) in normalise(said[0].text) for spelling in item.spellings)


def choose(rows: Sequence[Shown]) -> tuple[float, float, float]:
    """The bound that keeps KEPT of the right quotations, and the weight with which it gets most right.

    Right is a right quotation that is kept, or a refusal where people wrote the question so that nothing answers.
    """
    tried = []
    for words, share in product((0.0, 6.0, 12.0, 18.0), (0.0, 8.0, 16.0, 24.0)):
        chosen = [best(row, words, share) for row in rows]
        right = [
            v for (hit, v), row in zip(chosen, rows, strict=True) if row.answerable and holds_the_answer(hit, row.item)
        ]
        rate = len(right) / sum(row.answerable for row in rows)
        bound = float(np.quantile(right, 1 - KEPT))
        refused = float(np.mean([v < bound for (_, v), row in zip(chosen, rows, strict=True) if not row.answerable]))
        print(f"  words {words:>4} search {share:>4}: quotes {rate:.3f}; bound {bound:.2f} refuses {refused:.3f}")
        tried.append((KEPT * rate + refused, words, share, bound))
    _, words, share, bound = max(tried)
    print(f"best here: words {words}, search {share}, bound {bound:.2f} (n={len(rows)})")
    return words, share, bound


@dataclass(frozen=True, slots=True)
class Measured:
    """What one reader came to: one value per item (None where the measure does not apply), and the near misses."""

    values: dict[str, list[float | None]]
    clusters: dict[str, list[str]]  # the paragraph of each item, under the same names
    answered: tuple[tuple[Item, Reading], ...]  # of squad2_open
    none: tuple[tuple[Item, Reading], ...]
    refusal: float
    asked: int  # questions behind `refusal`


def measure(
    items: Sequence[Item], reader: Reader, rows: Sequence[Shown], *, words: float, share: float, bound: float
) -> Measured:
    """All measures of the docstring above over one part of the held-out documents."""
    own = reader.read_many([(i.question, i.title, i.context) for i in items])
    pairs = list(zip(items, own, strict=True))
    values: dict[str, list[float | None]] = {}
    clusters: dict[str, list[str]] = {}
    for name in ("squad2_open", "policyqa"):
        answered = [(i, r) for i, r in pairs if i.source.startswith(name) and i.start >= 0]
        some = [row for row in rows if row.item.source.startswith(name)]
        chosen = [best(row, words, share) for row in some]
        said = [worth >= bound for _, worth in chosen]
        told = {
            "paragraph found": [float(row.found) if row.answerable else None for row in some],
            "quoted rightly": [
                float(s and holds_the_answer(hit, row.item)) if row.answerable else None
                for s, (hit, _), row in zip(said, chosen, some, strict=True)
            ],
            "wrongly refused": [float(not s) if row.answerable else None for s, row in zip(said, some, strict=True)],
            "rightly refused": [None if row.answerable else float(not s) for s, row in zip(said, some, strict=True)],
        }
        values[f"{name:<12} span F1"] = [token_f1(r.text, i.spellings) for i, r in answered]
        clusters[f"{name:<12} span F1"] = [short_hash(i.context) for i, _ in answered]
        for measure_name, found in told.items():
            values[f"{name:<12} {measure_name}"] = found
            clusters[f"{name:<12} {measure_name}"] = [short_hash(row.item.context) for row in some]
        if name == "squad2_open":
            refusal, asked = refusal_f1(some, said), len(some)
    squad_pairs = [(i, r) for i, r in pairs if i.source.startswith("squad2_open")]
    return Measured(
        values,
        clusters,
        tuple((i, r) for i, r in squad_pairs if i.start >= 0),
        tuple((i, r) for i, r in squad_pairs if i.start < 0),
        refusal,
        asked,
    )


def report(found: Measured) -> None:
    """The table of one reader."""
    for name, values in found.values.items():
        if any(value is not None for value in values):
            print(f"{name:<32} {cell(mean_interval(values, clusters=found.clusters[name]))}")
    print(f"{'squad2_open  near-miss AUROC':<32} {cell(auroc_interval(found.answered, found.none))}")
    print(f"{'squad2_open  F1 of refusing':<32} {found.refusal:.3f}  n={found.asked}")


def compare(one: Measured, other: Measured) -> None:
    """The first reader less the second, item by item; of the near misses the two areas resampled together."""
    print("difference, item by item")
    for name, values in one.values.items():
        if any(value is not None for value in values):
            difference = paired_difference(values, other.values[name], clusters=one.clusters[name])
            print(f"{name:<32} {cell(difference, sign='+')}")
    print(f"{'squad2_open  near-miss AUROC':<32} {cell(auroc_difference(one, other), sign='+')}")


def auroc_difference(one: Measured, other: Measured, *, resamples: int = 500) -> Estimate:
    """The difference of the two areas, both over the same resampled paragraphs."""
    keys = sorted({short_hash(i.context) for i, _ in (*one.answered, *one.none)})
    place = {key: at for at, key in enumerate(keys)}
    rng = np.random.default_rng(0)
    drawn = [np.ones(len(keys))] + [
        np.bincount(rng.integers(0, len(keys), len(keys)), minlength=len(keys)).astype(float) for _ in range(resamples)
    ]
    areas = []
    for found in (one, other):
        up = np.array([r.score for _, r in found.answered])
        down = np.array([r.score for _, r in found.none])
        wins = (up[:, None] > down[None, :]) + (up[:, None] == down[None, :]) / 2
        at_up = np.array([place[short_hash(i.context)] for i, _ in found.answered])
        at_down = np.array([place[short_hash(i.context)] for i, _ in found.none])
        areas.append(np.array([w[at_up] @ wins @ w[at_down] / (w[at_up].sum() * w[at_down].sum()) for w in drawn]))
    differences = areas[0] - areas[1]
    low, high = np.quantile(differences[1:], [0.025, 0.975])
    return Estimate(float(differences[0]), float(low), float(high), len(one.answered) + len(one.none))


def refusal_f1(rows: Sequence[Shown], said: Sequence[bool]) -> float:
    """F1 of saying nothing where nothing answers."""
    right = sum(not s and not row.answerable for s, row in zip(said, rows, strict=True))
    total = sum(not s for s in said) + sum(not row.answerable for row in rows)
    return 2 * right / total if total else 0.0


def auroc_interval(answered: Sequence[tuple[Item, Reading]], none: Sequence[tuple[Item, Reading]]) -> Estimate:
    """The share of pairs in which the answerable question scores higher, bootstrapped over paragraphs."""
    return auroc(
        [r.score for _, r in answered],
        [r.score for _, r in none],
        clusters=([short_hash(i.context) for i, _ in answered], [short_hash(i.context) for i, _ in none]),
    )


def cell(estimate: Estimate, *, sign: str = "") -> str:
    """A mean with its interval and n."""
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return f"not measured  n={estimate.n}"
    shown = [f"{value:{sign}.3f}" for value in (estimate.mean, estimate.low, estimate.high)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]  n={estimate.n}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--reader", type=Path, default=None, help="an adapter's folder; the bundled one by default")
    parser.add_argument("--against", type=Path, default=None, help="another adapter, compared item by item")
    parser.add_argument("--against-bound", type=float, default=5.1, help="the bound of that one")
    parser.add_argument(
        "--choose", action="store_true", help="print what each pair of weights gives on the choosing half"
    )
    given = parser.parse_args()
    data = given.shared / "data"
    items = [i for i in (*squad(data), *policyqa(data)) if held_out(i)]
    second = [i for i in items if i.source not in CHOOSING]
    words, share, bound = WORDS_SHARE, SEARCH_SHARE, float(AssistantConfig().min_answer)
    named = given.reader or bundled_reader()
    measured = []
    for folder, limit in ((named, bound), *([(given.against, given.against_bound)] if given.against else [])):
        reader = Reader.load(folder)
        with TemporaryDirectory() as work:
            rows = searched(items, reader, Path(work))
        if given.choose:
            choose([row for row in rows if row.item.source in CHOOSING])
        kept = [row for row in rows if row.item.source not in CHOOSING]
        print(f"{folder}: words {words}, search score {share}, bound {limit:.2f}")
        measured.append(measure(second, reader, kept, words=words, share=share, bound=limit))
        report(measured[-1])
    if given.against:
        compare(*measured)


if __name__ == "__main__":
    main()
