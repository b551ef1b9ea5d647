"""The bundled reader on articles, policies and questions that it never saw.

    python -m benchmarks.reader [--shared FOLDER] [--reader FOLDER] [--choose]

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
from groundtone.stats import auroc, mean_interval
from groundtone.text import normalise
from groundtone.types import Estimate, Hit, Snippet, short_hash
from retrieval.index import Index

CHOOSING = {"squad2_open/Construction", "policyqa/fool.com", "policyqa/washingtonian.com"}
DEPTH = 4
KEPT = 0.9  # share of right quotations that the bound must let pass


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


def report(
    items: Sequence[Item], reader: Reader, rows: Sequence[Shown], *, words: float, share: float, bound: float
) -> None:
    """The three tables."""
    own: list[Reading] = reader.read_many([(i.question, i.title, i.context) for i in items])
    for name in ("squad2_open", "policyqa"):
        mine = [(i, r) for i, r in zip(items, own, strict=True) if i.source.startswith(name)]
        answered = [(i, r) for i, r in mine if i.start >= 0]
        f1 = [token_f1(r.text, i.spellings) for i, r in answered]
        keys = [short_hash(i.context) for i, _ in answered]
        print(f"{name:<12} span F1             {cell(mean_interval(f1, clusters=keys))}")
        if name == "squad2_open":
            none = [(i, r) for i, r in mine if i.start < 0]
            print(f"{name:<12} near-miss AUROC     {cell(auroc_interval(answered, none))}")
        some = [row for row in rows if row.item.source.startswith(name)]
        there = [float(row.found) if row.answerable else None for row in some]
        chosen = [best(row, words, share) for row in some]
        said = [v >= bound for _, v in chosen]
        keys = [short_hash(row.item.context) for row in some]
        right = [
            float(s and holds_the_answer(hit, row.item)) if row.answerable else None
            for s, (hit, _), row in zip(said, chosen, some, strict=True)
        ]
        refused = [None if row.answerable else float(not s) for s, row in zip(said, some, strict=True)]
        wrongly = [float(not s) if row.answerable else None for s, row in zip(said, some, strict=True)]
        print(f"{name:<12} paragraph found     {cell(mean_interval(there, clusters=keys))}")
        print(f"{name:<12} quoted rightly      {cell(mean_interval(right, clusters=keys))}")
        print(f"{name:<12} wrongly refused     {cell(mean_interval(wrongly, clusters=keys))}")
        if name == "squad2_open":
            print(f"{name:<12} rightly refused     {cell(mean_interval(refused, clusters=keys))}")
            print(f"{name:<12} F1 of refusing      {refusal_f1(some, said):.3f}  n={len(some)}")


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


def cell(estimate: Estimate) -> str:
    """A mean with its interval and n."""
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return f"not measured  n={estimate.n}"
    return f"{estimate.mean:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]  n={estimate.n}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--reader", type=Path, default=None, help="an adapter's folder; the bundled one by default")
    parser.add_argument(
        "--choose", action="store_true", help="print what each pair of weights gives on the choosing half"
    )
    given = parser.parse_args()
    reader = Reader.load(given.reader or bundled_reader())
    data = given.shared / "data"
    items = [i for i in (*squad(data), *policyqa(data)) if held_out(i)]
    second = [i for i in items if i.source not in CHOOSING]
    words, share, bound = WORDS_SHARE, SEARCH_SHARE, float(AssistantConfig().min_answer)
    with TemporaryDirectory() as folder:
        rows = searched(items, reader, Path(folder))
    if given.choose:
        choose([row for row in rows if row.item.source in CHOOSING])
    print(f"in use: words {words}, search score {share}, bound {bound:.2f}")
    report(
        second, reader, [row for row in rows if row.item.source not in CHOOSING], words=words, share=share, bound=bound
    )


if __name__ == "__main__":
    main()
