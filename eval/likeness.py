"""Can a classifier tell the model's replies from the house's own? Its AUC: 1 always, 0.5 never (indistinguishable).

Both replies of a pair answer the same prompt. What is compared is style, not topic: citation markers are taken out, and
words that only few sources use become stars of their length, digits a hash (text distortion: Stamatatos 2017, ACL
E17-1107). Character n-grams of what is left go into a logistic regression that is always asked about sources that it
has not seen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

from eval.splitting import strip_markers
from groundtone.stats import auroc
from groundtone.text import STOP_WORDS
from groundtone.types import Estimate

__all__ = ["MIN_PAIRS", "Likeness", "distort", "likeness"]

MIN_PAIRS = 20  # fewer train no classifier worth its name
FOLDS = 5
COMMON = 3  # sources that must use a word before it counts as style
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+")


@dataclass(frozen=True, slots=True)
class Likeness:
    """The AUC with its interval over sources, n counting replies of both sides; `why` says why there is none."""

    auc: Estimate
    why: str = ""


def likeness(
    real: Sequence[str],
    made: Sequence[str],
    sources: Sequence[str],
    *,
    resamples: int = 500,
    seed: int = 0,
) -> Likeness:
    """`real[i]` and `made[i]` answer the same prompt, of `sources[i]`. Raises ValueError for lengths that differ.

    An AUC below 0.5 is chance as well: the classifier found nothing that holds for other sources.
    """
    if not len(real) == len(made) == len(sources):
        raise ValueError(f"{len(real)} real replies, {len(made)} made, {len(sources)} sources: give one of each")
    groups = sorted(set(sources))
    if len(real) < MIN_PAIRS or len(groups) < 2:
        told = f"{len(real)} pairs from {len(groups)} sources; {MIN_PAIRS} from 2 are needed"
        return Likeness(Estimate(None, None, None, 0, 2 * len(real)), told)
    fold_of = {source: number % min(FOLDS, len(groups)) for number, source in enumerate(groups)}
    scores: dict[int, tuple[float, float]] = {}
    for fold in sorted(set(fold_of.values())):
        held = [i for i, source in enumerate(sources) if fold_of[source] == fold]
        rest = [i for i, source in enumerate(sources) if fold_of[source] != fold]
        texts = [strip_markers(text[i]) for text in (real, made) for i in rest]
        common = _common(texts, [sources[i] for i in rest] * 2)
        found = _scores(
            [distort(text, common) for text in texts],
            [distort(strip_markers(text[i]), common) for text in (real, made) for i in held],
        )
        scores |= dict(zip(held, zip(found[: len(held)], found[len(held) :], strict=True), strict=True))
    order = range(len(real))
    area = auroc(
        [scores[i][1] for i in order],
        [scores[i][0] for i in order],
        clusters=(list(sources), list(sources)),
        resamples=resamples,
        seed=seed,
    )
    return Likeness(area)


def distort(text: str, common: Set[str]) -> str:
    """The text with every word outside `common` as stars and every number as a hash; punctuation and case stay."""

    def cover(match: re.Match[str]) -> str:
        word = match.group()
        if word.isdecimal():
            return "#"
        return word if word.lower() in common else "*" * len(word)

    return _TOKEN.sub(cover, text)


def _common(texts: Sequence[str], sources: Sequence[str]) -> frozenset[str]:
    """Function words, and those that the texts of at least COMMON sources use."""
    pairs = {
        (word.lower(), source) for text, source in zip(texts, sources, strict=True) for word in _TOKEN.findall(text)
    }
    seen = Counter(word for word, _ in pairs)
    return STOP_WORDS | {word for word, count in seen.items() if count >= COMMON}


def _scores(train: Sequence[str], asked: Sequence[str]) -> list[float]:
    """Log-odds of "made" for the texts asked about; the first half of `train` is real, the second made."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    ngrams = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), lowercase=False, sublinear_tf=True, min_df=2)
    truth = [n >= len(train) // 2 for n in range(len(train))]
    fitted = LogisticRegression(C=10.0, max_iter=1000).fit(ngrams.fit_transform(train), truth)
    return [round(float(score), 9) for score in fitted.decision_function(ngrams.transform(asked))]
