"""The fusion weight, chosen on documents that it is not reported on.

    python -m benchmarks.fusion_weight [NAME ...] [--work FOLDER]

NAME: sample, squad2_open, policyqa, tatqa, qed_nq (by default these), cranfield (its queries need all 1,400 abstracts).
Each set's documents are halved (cranfield: its queries): at most 250 questions a set, and of a large set as many whole
documents as hold about 600 passages, so that all is done in some six minutes of one core. The curve is nDCG@10 on the
choosing halves. Then for each set: the weight that the choosing halves of the *other* sets choose, against the default,
on this set's reporting half, paired, intervals clustered by document. One search per question: the scores of both
stages are mixed here for every weight.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks import data_sets
from benchmarks.natural_questions import natural_questions
from benchmarks.remembering import remembering
from eval.estimates import short
from groundtone.joins.retrieval_eval import Sought, units_of, values_of
from groundtone.models.encoders import Encoder
from groundtone.stats import mean_interval, paired_difference
from groundtone.types import short_hash
from retrieval.config import RetrievalConfig
from retrieval.index import Index
from retrieval.search import convex

WEIGHTS = tuple(round(0.05 * step, 2) for step in range(21))
DEFAULT = float(RetrievalConfig.model_fields["fusion_weight"].default)
MEASURE = "nDCG@10"
MOST_PASSAGES, MOST_QUESTIONS, DEPTH = 600, 250, 100
WHOLE = "cranfield"  # a query's relevant abstracts are all over it
SETS: dict[str, Callable[[], data_sets.DataSet]] = {
    "squad2_open": data_sets.squad2_open,
    "policyqa": data_sets.policyqa,
    "tatqa": data_sets.tatqa,
    "cranfield": data_sets.cranfield,
    "qed_nq": natural_questions,
}


@dataclass(frozen=True)
class Half:
    """nDCG@10 by weight and question, and the document that each question hangs together with."""

    values: Mapping[float, Mapping[str, float | None]]
    clusters: Mapping[str, str]

    def list_of(self, weight: float) -> list[float | None]:
        """The values of one weight in the order of the clusters."""
        return [self.values[weight][question] for question in self.clusters]


def open_set(name: str, work: Path, encoder: Encoder) -> tuple[Index, list[Sought], dict[str, str]]:
    """An index of the set, its questions, and each question's cluster."""
    folder = work / "passages" / name
    if name == "sample":
        made = data_sets.sample_company()
        folder, asked = made.folder, data_sets.sample(made.questions, MOST_QUESTIONS)
        sought = [Sought(q.id, q.text, q.quotes) for q in asked]
    else:
        given = SETS[name]()
        documents = len({p.source for p in given.passages})
        part = 1.0 if name == WHOLE else min(1.0, MOST_PASSAGES / len(given.passages))
        given = given.sampled(questions=MOST_QUESTIONS, sources=max(1, round(part * documents)))
        given.write_passages(folder)
        asked = list(given.questions)
        sought = [Sought(q.id, q.text, tuple((f"{i}.md", "") for i in sorted(q.relevant))) for q in asked]
    index = Index.open(work / f"fusion-{name}.sqlite", encoder=encoder)
    index.update(folder)
    source = {} if name == "sample" else {p.id: p.source for p in given.passages}
    clusters = {q.id: source[min(q.relevant)] if len(q.relevant) == 1 else q.cluster for q in asked}
    return index, sought, clusters


def halves(index: Index, sought: Sequence[Sought], clusters: Mapping[str, str]) -> tuple[Half, Half]:
    """The choosing and the reporting half: by a hash of the document, so that they stay the same."""
    units = {item.id: units_of(index, item) for item in sought}
    mixed: dict[float, dict[str, list[str]]] = {weight: {} for weight in WEIGHTS}
    for item in sought:
        found = index.explain(item.question, k=DEPTH)
        lexical = np.array([e.scores.get("lexical", 0.0) for e in found], dtype=np.float32)
        dense = np.array([e.scores.get("dense", 0.0) for e in found], dtype=np.float32)
        for weight in WEIGHTS:
            order = np.argsort(-convex(lexical, dense, weight), kind="stable")
            mixed[weight][item.id] = [found[at].hit.passage.id for at in order]
    values = {weight: values_of(run, units)[MEASURE] for weight, run in mixed.items()}
    parts = []
    for wanted in (0, 1):
        mine = {i: c for i, c in clusters.items() if int(short_hash("half", c), 16) % 2 == wanted}
        parts.append(Half(values, mine))
    return parts[0], parts[1]


def choose(choosing: Sequence[Half]) -> float:
    """The weight with the highest mean over sets of the mean over questions."""

    def quality(weight: float) -> float:
        return fmean(fmean(v for v in half.list_of(weight) if v is not None) for half in choosing)

    return max(WEIGHTS, key=quality)


def main() -> None:
    """Print the curve and what leaving each set out chooses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--work", type=Path, help="where indexes and vectors are kept for the next run")
    args = parser.parse_args()
    names = args.names or ["sample", *(name for name in SETS if name != WHOLE)]
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        encoder = remembering(work)
        both = {name: halves(*open_set(name, work, encoder)) for name in names}
    print(f"| dense share | {' | '.join(names)} |\n|---{'|---' * len(names)}|")
    for weight in WEIGHTS:
        cells = [
            short(mean_interval(half.list_of(weight), clusters=list(half.clusters.values())))
            for half, _ in both.values()
        ]
        print(f"| {weight:.2f} | {' | '.join(cells)} |")
    print(
        f"\nall choosing halves choose {choose([half for half, _ in both.values()]):.2f}; the default is {DEFAULT:.2f}"
    )
    for name, (_, reporting) in both.items():
        others = [half for other, (half, _) in both.items() if other != name]
        if not others:
            continue
        chosen = choose(others)
        gain = paired_difference(
            reporting.list_of(chosen), reporting.list_of(DEFAULT), clusters=list(reporting.clusters.values())
        )
        low, high = (f"{x:+.4f}" if x is not None else "?" for x in (gain.low, gain.high))
        print(
            f"{name}: the others choose {chosen:.2f}: {gain.mean or 0:+.4f} [{low}, {high}] n={gain.n} to the default"
        )


if __name__ == "__main__":
    main()
