"""Scoring and the harness of the side-by-side benchmark, with systems of which it is known what they find."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.data_sets import Asked
from benchmarks.retrieval.envs import REQUIREMENTS, ROOT
from benchmarks.retrieval.peers.harness import Found, Item, Job, Search, main, write_items
from benchmarks.retrieval.scoring import by_id, by_quote

IDS = [f"p{i}" for i in range(30)]


def asked(relevant: Sequence[str]) -> Asked:
    return Asked("q", "?", "c", frozenset(relevant))


@settings(deadline=None)  # scoring itself takes a tenth of a millisecond; a busy machine does not
@given(st.permutations(IDS), st.sets(st.sampled_from(IDS), min_size=1))
def test_scores_lie_between_0_and_1_and_a_perfect_ranking_has_1(order: list[str], relevant: set[str]) -> None:
    scores = by_id([order], [asked(sorted(relevant))])
    assert all(0 <= value <= 1 for values in (scores.ndcg, scores.r1, scores.r10) for value in values)
    perfect = by_id([sorted(IDS, key=lambda id: id not in relevant)], [asked(sorted(relevant))])
    assert perfect.ndcg[0] == pytest.approx(1)
    assert (perfect.r1, perfect.r10) == ([1.0], [1.0])


def test_ndcg_of_one_relevant_passage_is_that_of_its_rank() -> None:
    scores = by_id([["a", "b", "c"], ["x"]], [asked(["c"]), asked(["c"])])
    assert scores.ndcg == [pytest.approx(1 / math.log2(4)), 0.0]
    assert scores.r1 == [0.0, 0.0]
    assert scores.r10 == [1.0, 0.0]


def test_a_quote_counts_at_the_first_text_that_holds_all_of_it() -> None:
    question = Asked("q", "?", "c", quotes=(("a.md", "pays  240 hours"),))
    scores = by_quote([["it pays 24", "*It* pays 240\nhours.", "pays 240 hours"], ["nothing"]], [question, question])
    assert scores.ndcg == [pytest.approx(1 / math.log2(3)), 0.0]


def test_two_quotes_in_one_text_are_one_relevant_result() -> None:
    question = Asked("q", "?", "c", quotes=(("a.md", "one"), ("a.md", "two")))
    assert by_quote([["one and two", "other"]], [question]).ndcg == [1.0]
    assert by_quote([["one", "other"]], [question]).ndcg[0] < 1


class Echo:
    """Finds the items whose text is the question, and notes what it was given."""

    def load(self, model: Path, *, building: bool) -> None:
        self.building = building

    def build(self, job: Job) -> int:
        self.items = job.items
        (job.store / "items").write_text("\n".join(item.id for item in job.items), encoding="utf-8")
        return len(job.items)

    def reopen(self, store: Path) -> None:
        self.items = [Item(id, "") for id in (store / "items").read_text(encoding="utf-8").splitlines()]

    def arms(self, *, k: int) -> Mapping[str, Search]:
        def search(query: str) -> list[Found]:
            return [Found(item.id, item.text) for item in self.items if item.text == query] * 2

        return {"main": search, "other": search}


def run_echo(folder: Path, mode: str) -> dict[str, object]:
    write_items(folder / "passages.jsonl", [Item("a", "x\ny"), Item("b", "z")])
    write_items(folder / "questions.jsonl", [Item("q1", "z"), Item("q2", "x\ny")])
    paths = {"passages": "passages.jsonl", "questions": "questions.jsonl", "out": "out.json"}
    arguments = [text for key, name in paths.items() for text in (f"--{key}", str(folder / name))]
    main(Echo, [*arguments, "--model", ".", "--documents", ".", "--store", str(folder), "--mode", mode])
    result: dict[str, object] = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    return result


def test_the_harness_writes_each_id_once_and_a_latency_per_question(tmp_path: Path) -> None:
    result = run_echo(tmp_path, "given")
    assert result["rankings"] == {"main": [["b"], ["a"]], "other": [["b"], ["a"]]}
    assert len(result["latencies_s"]) == 2  # type: ignore[arg-type]
    assert result["pieces"] == 2


def test_texts_come_back_where_systems_cut_themselves_and_cold_builds_nothing(tmp_path: Path) -> None:
    assert run_echo(tmp_path, "cut")["texts"] == [["z", "z"], ["x\ny", "x\ny"]]
    assert "build_s" not in run_echo(tmp_path, "cold")


@pytest.mark.parametrize("peer", sorted(path.stem for path in REQUIREMENTS.glob("*.txt")))
def test_every_peer_is_pinned_torch_first_and_its_file_needs_nothing_of_ours(peer: str) -> None:
    lines = (REQUIREMENTS / f"{peer}.txt").read_text(encoding="utf-8").split()
    assert lines[0].startswith("torch==")
    assert all("==" in line for line in lines)
    code = (
        f"import sys, benchmarks.retrieval.peers.{peer}\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('groundtone', 'retrieval', 'torch', 'numpy')])"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
