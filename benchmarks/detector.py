"""The claim detector against labelled hallucinations: precision, recall, F1 and AUROC, beside "always positive".

    python -m benchmarks.detector [DATA] [--rows 600] [--choose]

DATA (default: $GROUNDTONE_SHARED/data/hallucination) is a folder with any of halueval/, summedits/, begin/ and
ragtruth_qa_train_NC/ as their projects publish them.
Positive means hallucinated: an answer is flagged when one of its claims is contradicted or unsupported, and ranked by
its least supported claim. Thresholds are chosen (--choose) on HaluEval and BEGIN only; the passages of RAGTruth are
non-commercial, so it is measured and never fitted. Intervals are 95 %, bootstrapped over sources.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.claims import SUPPORT_THRESHOLD, check_claims
from groundtone.types import Claim, Passage, short_hash

RESAMPLES = 1000


@dataclass(frozen=True)
class Row:
    """One labelled answer; `source` is what rows are sampled and bootstrapped by."""

    source: str
    evidence: tuple[str, ...]
    answer: str
    hallucinated: bool


def _open(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as file:
        yield from file


def halueval(folder: Path) -> Iterator[Row]:
    """Each question's right and hallucinated answer; right ones are mostly short."""
    seen: set[str] = set()
    for line in _open(folder / "qa_one-turn_data.json"):
        row = json.loads(line)
        if row["question"] in seen:
            continue
        seen.add(row["question"])
        for key, label in (("right_answer", False), ("hallucinated_answer", True)):
            yield Row(row["question"], (row["knowledge"],), row[key], label)


def summedits(folder: Path, domains: Sequence[str]) -> Iterator[Row]:
    """Summaries, consistent or with one inconsistent edit."""
    for domain in domains:
        for path in folder.glob(f"summedits_{domain}.json*"):
            for row in json.loads("".join(_open(path))):
                yield Row(short_hash(row["doc"]), (row["doc"],), row["summary"], row["label"] == 0)


def begin(folder: Path) -> Iterator[Row]:
    """Replies of dialogue models to a piece of knowledge; generic replies are left out."""
    for path in sorted(folder.glob("*/begin_*.tsv")):
        for row in csv.DictReader(_open(path), delimiter="\t"):
            if row["begin_label"] in ("Fully attributable", "Not fully attributable"):
                label = row["begin_label"] == "Not fully attributable"
                yield Row(row["knowledge"], (row["knowledge"],), row["response"], label)


def ragtruth(folder: Path) -> Iterator[Row]:
    """Answers over three web passages with human span labels."""
    sources: dict[str, Any] = {r["source_id"]: r for r in map(json.loads, _open(folder / "QA_sources.jsonl.gz"))}
    for path in sorted(folder.glob("*hallucination.jsonl.gz")):
        for row in map(json.loads, _open(path)):
            passages = sources[row["source_id"]]["source_info"]["passages"].strip().split("\n\n")
            yield Row(row["source_id"], tuple(passages), row["response"], bool(row["labels"]))


def sample(rows: Iterable[Row], count: int) -> list[Row]:
    """Whole sources in a fixed random order until `count` rows are there."""
    by_source: dict[str, list[Row]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    order = sorted(by_source)
    random.Random(0).shuffle(order)
    taken: list[Row] = []
    for source in order:
        if len(taken) >= count:
            break
        taken += by_source[source]
    return taken


def passages_of(row: Row) -> list[Passage]:
    """The evidence as passages."""
    return [Passage(f"{i}", "d", "d", text, 0, len(text)) for i, text in enumerate(row.evidence)]


def suspicion(claims: Sequence[Claim]) -> float:
    """How suspicious an answer is: one minus the support of its weakest claim; 0 where nothing is asserted."""
    return max((1 - claim.scores["support"] for claim in claims), default=0.0)


def flagged(claims: Sequence[Claim]) -> bool:
    """Whether the detector's verdicts call the answer hallucinated."""
    return any(claim.verdict in ("contradicted", "unsupported") for claim in claims)


def f1(labels: np.ndarray, flags: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F1 in percent."""
    hits = float((labels & flags).sum())
    precision, recall = hits / max(1.0, flags.sum()), hits / max(1.0, labels.sum())
    return 100 * precision, 100 * recall, 100 * 2 * precision * recall / max(1e-9, precision + recall)


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; ties count half (Mann-Whitney)."""
    order = np.sort(scores[~labels])
    positive = scores[labels]
    if not len(order) or not len(positive):
        return float("nan")
    below, upto = np.searchsorted(order, positive, "left"), np.searchsorted(order, positive, "right")
    return float((below + upto).mean() / 2 / len(order))


def interval(measure: Callable[[np.ndarray], float], sources: Sequence[str]) -> str:
    """A bootstrap interval of `measure(row indices)` over resampled sources."""
    codes = np.unique(np.asarray(sources), return_inverse=True)[1]
    groups = [np.flatnonzero(codes == c) for c in range(codes.max() + 1)]
    generator = np.random.default_rng(0)
    draws = generator.integers(0, len(groups), (RESAMPLES, len(groups)))
    values = [measure(np.concatenate([groups[g] for g in draw])) for draw in draws]
    low, high = np.nanquantile(values, [0.025, 0.975])
    return f"[{low:.3f}, {high:.3f}]" if high <= 1 else f"[{low:.1f}, {high:.1f}]"


def report(name: str, rows: Sequence[Row], *, choose: bool) -> None:
    """Print the rows of one data set."""
    started = time.perf_counter()
    claims = [check_claims(row.answer, passages_of(row)) for row in rows]
    spent = time.perf_counter() - started
    labels = np.array([row.hallucinated for row in rows])
    flags = np.array([flagged(found) for found in claims])
    scores = np.array([suspicion(found) for found in claims])
    sources = [row.source for row in rows]
    print(f"\n{name}: n={len(rows)}, {labels.mean():.1%} positive, {1000 * spent / len(rows):.1f} ms an answer")
    for label, chosen in (("always positive", np.ones_like(labels)), ("claim detector", flags)):
        p, r, f = f1(labels, chosen)
        ranked = scores if label == "claim detector" else np.zeros(len(rows))
        f_range = interval(lambda i, c=chosen: f1(labels[i], c[i])[2], sources)  # type: ignore[misc]
        a_range = interval(lambda i, s=ranked: auroc(labels[i], s[i]), sources)  # type: ignore[misc]
        area = auroc(labels, ranked)
        print(f"  {label:16} P {p:5.1f}  R {r:5.1f}  F1 {f:5.1f} {f_range}  AUROC {area:.3f} {a_range}")
    verdicts = [any(c.verdict == "contradicted" for c in found) for found in claims]
    p, r, _ = f1(labels, np.array(verdicts))
    print(f"  contradicted only P {p:5.1f}  R {r:5.1f}")
    if choose:
        for threshold in np.arange(0.4, 0.96, 0.04):
            p, r, f = f1(labels, np.array([1 - threshold < s for s in scores]))
            balanced = (r + 100 - 100 * float((~labels & (scores > 1 - threshold)).sum()) / float((~labels).sum())) / 2
            print(
                f"    support < {threshold:.2f}: P {p:5.1f}  R {r:5.1f}  F1 {f:5.1f}  balanced accuracy {balanced:5.1f}"
            )


def main() -> None:
    """Measure whatever data sets the folder holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("GROUNDTONE_SHARED", "../shared")) / "data" / "hallucination"
    parser.add_argument("data", type=Path, nargs="?", default=default)
    parser.add_argument("--rows", type=int, default=600, help="answers per data set, whole sources")
    parser.add_argument("--choose", action="store_true", help="also print the table that thresholds are chosen from")
    options = parser.parse_args()
    if not options.data.is_dir():
        raise SystemExit(f"no labelled answers at {options.data}: name their folder or set GROUNDTONE_SHARED")
    sets: list[tuple[str, str, Callable[[Path], Iterator[Row]], bool]] = [
        ("HaluEval QA", "halueval", halueval, True),
        ("SummEdits news", "summedits", lambda f: summedits(f, ["news"]), False),
        ("SummEdits other", "summedits", lambda f: summedits(f, ["podcast", "qmsumm", "sales_call", "scitldr"]), False),
        ("BEGIN", "begin", begin, True),
        ("RAGTruth QA (NC)", "ragtruth_qa_train_NC", ragtruth, False),
    ]
    print(f"SUPPORT_THRESHOLD {SUPPORT_THRESHOLD}")
    for name, folder, read, tuned_on in sets:
        if (options.data / folder).is_dir():
            rows = sample(read(options.data / folder), options.rows)
            report(name + (" (chosen on)" if tuned_on else ""), rows, choose=options.choose and tuned_on)
        else:
            print(f"\n{name}: no folder {folder} in {options.data}, left out")


if __name__ == "__main__":
    main()
