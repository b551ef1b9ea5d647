"""Journey 1: the sample company from documents to a gate, with the starter, on a small part of each file."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

Call = Callable[..., CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[2]
PAIRS, ITEMS = 48, 4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, groundtone: Call) -> Path:
    """A project over the sample company's files, indexed, tuned for one epoch and evaluated on a few items each."""
    root = tmp_path_factory.mktemp("company")
    data = root / "pairs.jsonl"
    with (ROOT / "data/voice/train.jsonl").open(encoding="utf-8") as file:
        data.write_text("".join(islice(file, PAIRS)), encoding="utf-8")
    given = yaml.safe_load((ROOT / "groundtone.yaml").read_text(encoding="utf-8"))
    given["documents"]["folder"] = str(ROOT / "data/handbook")
    given["tuning"] |= {"data": "pairs.jsonl", "epochs": 1}
    del given["tuning"]["heldout"]
    given["tuning"]["replay_data"] = str(ROOT / given["tuning"]["replay_data"])
    given["eval"] = {
        key: str(ROOT / set_to) if isinstance(set_to, str) else set_to for key, set_to in given["eval"].items()
    }
    (root / "groundtone.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
    groundtone("index", "--project", root)
    groundtone("tune", "--project", root)
    groundtone("eval", "--limit", str(ITEMS), "--project", root)
    return root


def newest(root: Path, kind: str) -> Path:
    return sorted((root / ".groundtone/runs").glob(f"{kind}-*"))[-1]


def test_every_arm_was_asked_every_item_and_nothing_failed(company: Path) -> None:
    summary = json.loads((newest(company, "eval") / "summary.json").read_text())
    assert list(summary["coverage"])[:6] == [
        "base/closed", "base/rag", "tuned/closed", "tuned/rag", "prompted/rag", "extractive/rag",
    ]  # fmt: skip
    assert {c["asked"] for c in list(summary["coverage"].values())[:6]} == {4 * ITEMS}
    assert all(c["errors"] == 0 for c in summary["coverage"].values())
    assert summary["retrieval"]["recall@5"]["mean"] >= 0.9


def test_every_number_of_the_summary_carries_n_and_an_interval(company: Path) -> None:
    summary = json.loads((newest(company, "eval") / "summary.json").read_text())
    estimates = [e for arm in summary["arms"].values() for e in arm.values()]
    estimates += [row["estimate"] for row in summary["differences"]]
    assert estimates
    for estimate in estimates:
        assert set(estimate) == {"mean", "low", "high", "n", "missing"}
        assert (estimate["n"] == 0) == (estimate["mean"] is None)
        if estimate["n"] > 1 and estimate["low"] is not None:
            assert estimate["low"] <= estimate["mean"] <= estimate["high"]


def test_the_report_reads_like_one_and_the_gate_exits_by_its_verdict(company: Path, groundtone: Call) -> None:
    report = (newest(company, "eval") / "report.md").read_text()
    assert "## Forgetting" in report
    assert "n=" in report
    decided = groundtone("gate", "--project", company, code=None)
    verdict = decided.stdout.split()[0]
    assert decided.returncode == (0 if verdict == "PASS" else 1)


def test_the_tuned_voice_answers_with_a_citation_that_leads_into_the_document(company: Path, groundtone: Call) -> None:
    asked = groundtone("ask", "What does the Coot 750 weigh?", "--arm", "tuned/rag", "--json", "--project", company)
    answer = json.loads(asked.stdout)
    assert answer["hits"]
    for citation in answer["citations"]:
        hit = next(h for h in answer["hits"] if h["passage"]["id"] == citation["passage_id"])
        start = hit["passage"]["start"]
        assert start <= citation["evidence_start"] < citation["evidence_end"] <= hit["passage"]["end"]


def test_the_manifest_names_inputs_parents_and_versions(company: Path) -> None:
    manifest = json.loads((newest(company, "eval") / "manifest.json").read_text())
    assert manifest["parents"]["tune"] == newest(company, "tune").name
    assert any(name.endswith("answerable.jsonl") for name in manifest["inputs"])
    assert manifest["versions"]["torch"]
    assert manifest["status"] == "done"


def test_a_second_index_reads_nothing_again(company: Path, groundtone: Call) -> None:
    report = json.loads(groundtone("index", "--json", "--project", company).stdout)
    assert report["read"] == 0
    assert report["unchanged"] == 35


def test_chat_speaks_the_worker_protocol(company: Path, groundtone: Call) -> None:
    requests = [
        {"id": "1", "arm": "base/rag", "question": "What does the Coot 750 weigh?", "history": []},
        {"id": "2", "arm": "no/arm", "question": "x", "history": []},
    ]
    lines = "".join(json.dumps(r) + "\n" for r in requests)
    events = [
        json.loads(line) for line in groundtone("chat", "--json", "--project", company, stdin=lines).stdout.splitlines()
    ]
    assert events[0] == {"event": "ready"}
    whole = next(e["answer"]["text"] for e in events if e["event"] == "answer")
    assert "".join(e["text"] for e in events if e["event"] == "piece").strip() == whole
    assert "no/arm" in next(e["message"] for e in events if e["event"] == "error")


def test_runs_lists_what_was_done(company: Path, groundtone: Call) -> None:
    listed = groundtone("runs", "--project", company).stdout
    assert newest(company, "tune").name in listed
    assert newest(company, "eval").name in listed
