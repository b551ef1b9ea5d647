"""The bundled reader on articles, policies and questions that it never saw.

    python -m benchmarks.reader [--shared FOLDER] [--reader FOLDER] [--choose]

spans       the passage is given: token F1 of the span with the best of people's answers (SQuAD's measure)
near miss   AUROC between questions that the paragraph answers and questions that people wrote so that it does not
among four  the passage stands among three others of its document, or only the others are shown: the quotation holds
            the answer within 40 words; F1 of refusing
Half of the held-out documents chose the bound and the weight of the search score (`--choose` prints how); the figures
are from the other half. Intervals are 95 %, bootstrapped over paragraphs.
"""

from __future__ import annotations

import argparse
import random
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.data_sets import SHARED
from data.reader.rows import Item, held_out, policyqa, squad
from groundtone.answer_spans import SEARCH_SHARE, mark
from groundtone.models.encoders import MINILM, load_encoder
from groundtone.models.reader import Reader, Reading, bundled_reader
from groundtone.quoting import answers
from groundtone.settings import AssistantConfig
from groundtone.stats import auroc, mean_interval
from groundtone.text import normalise
from groundtone.types import Estimate, Hit, Passage, Snippet, short_hash

CHOOSING = {"squad2_open/Construction", "policyqa/fool.com", "policyqa/washingtonian.com"}
OTHERS = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """One question with its four passages, read: `hits` best first by the search score alone."""

    item: Item
    hits: tuple[Hit, ...]
    answerable: bool


def token_f1(found: str, spellings: Sequence[str]) -> float:
    """SQuAD's F1: tokens without articles and punctuation, the best of the accepted spellings."""
    return max((_f1(_tokens(found), _tokens(gold)) for gold in spellings), default=0.0)


def _tokens(text: str) -> list[str]:
    text = "".join(" " if c in string.punctuation else c for c in text.lower())
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def _f1(a: Sequence[str], b: Sequence[str]) -> float:
    same = sum((Counter(a) & Counter(b)).values())
    return 2 * same / (len(a) + len(b)) if same else 0.0


def passage_of(item: Item, text: str) -> Passage:
    """The context as a passage below its document's title."""
    return Passage(short_hash(item.source, text), item.source, item.source, text, 0, len(text), item.title)


def among_four(items: Sequence[Item], reader: Reader, *, seed: int = 0) -> list[Shown]:
    """Each question over its paragraph and three others of its document; half of the answerable ones without it."""
    rng = random.Random(seed)
    encoder = load_encoder(MINILM)
    contexts: dict[str, list[str]] = {}
    for item in items:
        contexts.setdefault(item.source, [])
        if item.context not in contexts[item.source]:
            contexts[item.source].append(item.context)
    vectors = {
        source: encoder.encode([f"{_title(items, source)} {text}" for text in texts])
        for source, texts in contexts.items()
    }
    asked = encoder.encode([item.question for item in items])
    shown: list[tuple[Item, list[Hit], bool]] = []
    for item, vector in zip(items, asked, strict=True):
        scores = vectors[item.source] @ vector
        texts = contexts[item.source]
        here = item.start < 0 or rng.random() < 0.7
        others = [i for i in np.argsort(-scores).tolist() if texts[i] != item.context and not _says(texts[i], item)]
        chosen = [texts.index(item.context)] * here + others[: OTHERS + (not here)]
        hits = [Hit(passage_of(item, texts[i]), float(scores[i])) for i in sorted(chosen, key=lambda i: -scores[i])]
        shown.append((item, hits, item.start >= 0 and here))
    rows = [(item.question, hit.passage.heading, hit.passage.text) for item, hits, _ in shown for hit in hits]
    readings = iter(reader.read_many(rows))
    return [Shown(item, tuple(mark(hit, next(readings)) for hit in hits), found) for item, hits, found in shown]


def _title(items: Sequence[Item], source: str) -> str:
    return next(item.title for item in items if item.source == source)


def _says(text: str, item: Item) -> bool:
    """Whether another paragraph happens to hold the answer; a question without one has none to hold."""
    return any(normalise(s) in normalise(text) for s in item.spellings)


def best(shown: Shown, share: float) -> tuple[Hit, float]:
    """The hit that answers best and how well, with that weight of the search score."""
    values = [(hit.answer_score or 0.0) + share * hit.score for hit in shown.hits]
    at = int(np.argmax(values))
    return shown.hits[at], values[at]


def quotes_the_answer(shown: Shown, share: float) -> bool:
    """Whether the sentence quoted holds an accepted answer."""
    hit, _ = best(shown, share)
    said = answers([Snippet(1, hit, hit.passage.text)])
    return bool(said) and any(normalise(s) in normalise(said[0].text) for s in shown.item.spellings)


def choose(rows: Sequence[Shown]) -> tuple[float, float]:
    """The weight of the search score and the bound that get most right: answered with the value, or refused."""
    tried = []
    for share in (0.0, 4.0, 8.0, 12.0, 16.0, 24.0):
        values = np.array([best(row, share)[1] for row in rows])
        right = np.array([quotes_the_answer(row, share) for row in rows])
        answerable = np.array([row.answerable for row in rows])
        for bound in np.quantile(values, np.linspace(0.02, 0.9, 45)):
            said = values >= bound
            # both kinds of question count alike, however many there are of each
            score = (said & right)[answerable].mean() + (~said)[~answerable].mean()
            tried.append((float(score), share, float(bound)))
            if bound == np.quantile(values, 0.5):
                print(f"  share {share:>4}: {score / 2:.3f} at bound {bound:.2f}")
    score, share, bound = max(tried)
    print(f"chosen: share {share}, bound {bound:.2f} (mean of both rates {score / 2:.3f}, n={len(rows)})")
    return share, bound


def report(items: Sequence[Item], reader: Reader, rows: Sequence[Shown], *, share: float, bound: float) -> None:
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
        said = [best(row, share)[1] >= bound for row in some]
        keys = [short_hash(row.item.context) for row in some]
        right = [
            float(s and quotes_the_answer(row, share)) if row.answerable else None
            for s, row in zip(said, some, strict=True)
        ]
        refused = [None if row.answerable else float(not s) for s, row in zip(said, some, strict=True)]
        print(f"{name:<12} quoted rightly      {cell(mean_interval(right, clusters=keys))}")
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
    parser.add_argument("--choose", action="store_true", help="choose bound and weight anew on the choosing half")
    given = parser.parse_args()
    reader = Reader.load(given.reader or bundled_reader())
    data = given.shared / "data"
    items = [replace(i) for i in (*squad(data), *policyqa(data)) if held_out(i)]
    first = [i for i in items if i.source in CHOOSING]
    second = [i for i in items if i.source not in CHOOSING]
    share, bound = SEARCH_SHARE, float(AssistantConfig().min_answer)
    if given.choose:
        share, bound = choose(among_four(first, reader))
    print(f"weight of the search score {share}, bound {bound:.2f}")
    report(second, reader, among_four(second, reader), share=share, bound=bound)


if __name__ == "__main__":
    main()
