"""Answerers from elsewhere: what an endpoint or a file does wrong is a record of that item, counted and shown."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from typer.testing import CliRunner

from eval.records import read_records
from eval.summary import read_summary
from groundtone import pipeline
from groundtone.cli.main import app
from groundtone.errors import ConfigError, ProjectError
from groundtone.project import Project, Run
from groundtone.settings import Settings, load_settings
from tests.protocol_servers import Replying, serving

QUESTIONS = [
    {"id": f"a{n}", "question": f"How long are {what} kept?", "values": [[f"{n + 2} days"]],
     "quotes": [["post.md", f"{what.capitalize()} are kept for {n + 2} days."]]}
    for n, what in enumerate(("parcels", "letters", "keys", "badges", "crates", "coats"))
]  # fmt: skip
DOCUMENT = "# Post room\n\n" + " ".join(q["quotes"][0][1] for q in QUESTIONS) + "\n"  # type: ignore[index]


class Endpoint(Replying):
    """Answers by the question: slowly, with garbage, with nothing, with an error, with 50 kB, or another each time."""

    asked: ClassVar[dict[str, int]] = {}

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        word = next(w for w in ("parcels", "letters", "keys", "badges", "crates", "coats") if f"are {w} kept" in text)
        self.asked[word] = self.asked.get(word, 0) + 1
        if word == "letters":
            time.sleep(1.0)
        if word == "keys":
            return self.send("<html>garbage")
        if word == "badges":
            return self.send('{"error": {"message": "down"}}', status=500)
        said = {"crates": "", "coats": "Kept for 7 days. " * 3000}.get(word, f"Answer {self.asked[word]}: 2 days [1].")
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        head = {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"]}
        return self.send(json.dumps({**head, "choices": [choice], "usage": usage}))


@pytest.fixture
def address() -> Iterator[str]:
    Endpoint.asked = {}
    with serving(Endpoint) as server:
        yield f"{server}/v1"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An indexed project whose own model always claims the same."""
    root = tmp_path_factory.mktemp("project")
    (root / "docs").mkdir()
    (root / "docs/post.md").write_text(DOCUMENT)
    (root / "questions").mkdir()
    (root / "questions/answerable.jsonl").write_text("".join(json.dumps(q) + "\n" for q in QUESTIONS))
    config = {
        "documents": {"folder": "docs"},
        "model": {"id": "scripted:Parcels are kept for 2 days [1]."},
        "tuning": {"data": "none.jsonl"},
        "assistant": {"reader": None, "min_score": 0.0},
        "eval": {
            "questions": "questions", "general": "none", "voice": "none.jsonl", "style": "none.yaml", "resamples": 200,
            "batch_size": 4, "blame": False,
        },
    }  # fmt: skip
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    pipeline.index(Project(root), load_settings(root))
    return root


def opened(root: Path, *overrides: str) -> tuple[Project, Settings]:
    return Project(root), load_settings(root, overrides)


def rival(address: str, **more: Any) -> str:
    known = {"name": "gpt", "model": "m", "base_url": address, "timeout_s": 0.4, "retries": 1}
    return f"eval.rivals={json.dumps([known | more])}"


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_an_endpoint_that_misbehaves_costs_its_items_and_no_more(root: Path, address: str) -> None:
    run = pipeline.evaluate(*opened(root, rival(address), "eval.repeats=2"))
    records = {r.item_id: r for r in read_records(run.path / "records.jsonl") if r.arm == "gpt"}
    failed = {item for item, record in records.items() if record.error}
    assert len(records) == len(QUESTIONS)
    assert failed == {"a1", "a2", "a3"}, {item: r.error for item, r in records.items()}
    assert "imed out" in records["a1"].error
    assert records["a0"].answer is not None
    assert records["a0"].answer.tokens == {"prompt": 7, "reply": 3}
    assert Endpoint.asked["badges"] == 4, "once, one retry, and both again for the repeat"
    summary = read_summary(run.path)
    coverage = summary["coverage"]["gpt"]
    assert (coverage["asked"], coverage["errors"], coverage["empty"]) == (6, 3, 1)
    assert coverage["longest_chars"] > 50_000
    assert summary["repeats"]["gpt"]["changed"]["mean"] == pytest.approx(1 / 3)
    assert summary["repeats"]["gpt"]["errors"] == [3, 3]
    assert [(t["a"], t["b"]) for t in summary["side_by_side"]] == [("base/rag", "gpt")]
    report = (run.path / "report.md").read_text()
    assert "gpt: 3 of 6 questions failed" in report
    assert "gpt: 1 of 6 replies are empty" in report


def test_the_command_adds_an_arm_without_our_passages(root: Path, address: str) -> None:
    options = ("--endpoint", address, "--model", "org/m:8b", "--closed", "--limit", "1", "--json")
    done = call("eval", *options, "--project", str(root))
    assert done.exit_code == 0, done.output
    manifest = json.loads(done.stdout)
    records = read_records(Project(root).run_path(manifest["id"]) / "records.jsonl")
    (record,) = [r for r in records if r.arm == "org-m-8b"]
    assert record.answer is not None
    assert record.answer.hits == ()
    assert call("eval", "--model", "m", "--project", str(root)).exit_code == 2
    assert "--model NAME" in call("eval", "--endpoint", address, "--project", str(root)).stderr


def test_answers_from_a_file_are_reviewed_against_what_they_bring_or_what_we_find(root: Path, tmp_path: Path) -> None:
    nowhere = {"values": [["9 days"]], "quotes": [["no.md", "9 days"]]}
    moat = "The moat is 7 metres deep."
    rows = [
        {"id": "1", "question": "How long are parcels kept?", "answer": "Parcels are kept for 2 days."},
        {"id": "2", "question": "How long are letters kept?", "answer": "Letters are kept for 99 days."},
        {"id": "3", "question": "Any?", "answer": "The moat is 7 metres deep [1].", "contexts": [moat]},
        {"id": "3", "question": "Twice?", "answer": "x"},
        {"id": "4", "question": "Gold of nowhere?", "answer": "9 days", "gold": nowhere},
        {"id": "5", "question": "Nothing?", "answer": ""},
    ]  # fmt: skip
    path = tmp_path / "theirs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{half\n")
    run = pipeline.evaluate(*opened(root), answers=path)
    records = read_records(run.path / "records.jsonl")
    by_id = {record.item_id: record for record in records}
    assert [bool(r.error) for r in records] == [False, False, False, True, False, False, True]
    verdicts = {n: [c.verdict for c in by_id[n].answer.claims] for n in "123"}  # type: ignore[union-attr]
    assert verdicts == {"1": ["supported"], "2": ["contradicted"], "3": ["supported"]}
    assert by_id["1"].scores["correct"].value == 1.0, "gold of the same question of ours"
    assert by_id["3"].scores["correct"].value is None
    assert by_id["3"].scores["citation_precision"].value == 1.0
    assert by_id["4"].scores["correct"].value == 1.0
    coverage = read_summary(run.path)["coverage"]["theirs"]
    assert (coverage["asked"], coverage["errors"], coverage["empty"]) == (7, 2, 1)


def test_answers_from_a_file_stand_beside_our_own_arms(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(json.dumps({"id": "x", "question": "how long are PARCELS kept?", "answer": "2 days"}) + "\n")
    given = f"eval.rivals={json.dumps([{'name': 'theirs', 'answers': str(path)}])}"
    run = pipeline.evaluate(*opened(root, given))
    records = {r.item_id: r for r in read_records(run.path / "records.jsonl") if r.arm == "theirs"}
    assert records["a0"].scores["correct"].value == 1.0
    assert sum("holds no answer" in record.error for record in records.values()) == 5


def test_an_id_that_another_question_has_in_the_file_brings_no_answer(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "clash.jsonl"
    rows = [
        {"id": "a0", "question": "How deep is the moat?", "answer": "2 days"},
        {"id": "x", "question": "How long are parcels kept?", "answer": "3 days"},
        {"id": "a1", "answer": "2 days"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = f"eval.rivals={json.dumps([{'name': 'theirs', 'answers': str(path)}])}"
    run = pipeline.evaluate(*opened(root, given))
    records = {r.item_id: r for r in read_records(run.path / "records.jsonl") if r.arm == "theirs"}
    assert records["a0"].answer is not None
    assert records["a0"].answer.text == "3 days", "found by its text, not by an id that means another question"
    assert records["a1"].answer is not None, "a row without a question is found by its id"


def test_a_run_does_not_go_on_with_another_file_of_answers(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(json.dumps({"id": "a0", "answer": "2 days"}) + "\n")
    given = f"eval.rivals={json.dumps([{'name': 'theirs', 'answers': str(path)}])}"
    project, settings = opened(root, given)
    run = pipeline.evaluate(project, settings)
    path.write_text(json.dumps({"id": "a0", "answer": "99 days"}) + "\n")
    with pytest.raises(ProjectError, match=r"some\.jsonl"):
        pipeline.evaluate(project, settings, resume=run.id)


REPORTS = ("summary.json", "report.md")


@pytest.fixture(scope="module")
def whole(root: Path) -> Run:
    """An evaluation that nobody interrupted."""
    return pipeline.evaluate(*opened(root))


def test_two_runs_of_the_same_inputs_write_the_same_bytes(root: Path, whole: Run) -> None:
    runs = [whole, pipeline.evaluate(*opened(root))]
    for name in REPORTS:
        one, other = ((run.path / name).read_bytes() for run in runs)
        assert one == other
    timed = [json.loads((run.path / "timing.json").read_text()) for run in runs]
    assert [t["run"] for t in timed] == [run.id for run in runs]
    assert runs[0].id not in (runs[0].path / "report.md").read_text()


@pytest.mark.parametrize("kept", [3, 9])
def test_a_resumed_run_writes_the_bytes_of_an_uninterrupted_one(root: Path, whole: Run, kept: int) -> None:
    project, settings = opened(root)
    stopped = pipeline.evaluate(project, settings)
    lines = (stopped.path / "records.jsonl").read_bytes().splitlines(keepends=True)
    (stopped.path / "records.jsonl").write_bytes(b"".join(lines[:kept]) + lines[kept][:30])
    for name in (*REPORTS, "timing.json"):
        (stopped.path / name).unlink()
    stopped.fail("stopped by the user")
    again = pipeline.evaluate(project, settings, resume=stopped.id)
    assert again.id == stopped.id
    assert again.manifest.status == "done"
    for name in REPORTS:
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_a_run_goes_on_under_its_own_inputs_only(root: Path) -> None:
    project, settings = opened(root)
    run = pipeline.evaluate(project, settings)
    with pytest.raises(ProjectError, match="is done"):
        pipeline.evaluate(project, settings, resume=run.id)
    run.fail("stopped")
    with pytest.raises(ProjectError, match=r"eval.seed was 0, is 9"):
        pipeline.evaluate(*opened(root, "eval.seed=9"), resume=run.id)
    with pytest.raises(ProjectError, match=r"options.limit"):
        pipeline.evaluate(project, settings, limit=1, resume=run.id)
    wrong = opened(root, 'eval.gate=[{"metric": "corect", "direction": "up"}]')
    with pytest.raises(ConfigError, match="no metric 'corect'"):
        pipeline.evaluate(*wrong)


def test_the_passport_is_one_page_that_loads_nothing_and_escapes_everything(root: Path, tmp_path: Path) -> None:
    named = '<script>alert("x")</script>'
    rule = {"metric": "correct", "arms": ["extractive/rag"], "direction": "at least", "margin": 0.01, "name": named}
    rules = json.dumps([rule])
    run = pipeline.evaluate(*opened(root, f"eval.gate={rules}"))
    out = tmp_path / "deep" / "passport.html"
    done = call("gate", run.id, "--passport", str(out), "--project", str(root))
    verdict = read_summary(run.path)["gate"]["verdict"]
    assert done.exit_code == (0 if verdict == "PASS" else 1), done.output
    page, data = out.read_text(), json.loads(out.with_suffix(".json").read_text())
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    for outside in ("http://", "https://", "src=", "<link", "url(", "@import"):
        assert outside not in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert page.count("<svg") >= 1
    assert data["hashes"]["index"] in page
    assert data["inputs"]["questions/answerable.jsonl"] in page
    assert data["verdict"] == verdict
    assert call("gate", run.id, "--passport", str(tmp_path / "a.pdf"), "--project", str(root)).exit_code == 2
    assert call("gate", "eval-none", "--project", str(root)).exit_code == 2


def test_compare_names_items_and_settings_that_differ(root: Path) -> None:
    before = pipeline.evaluate(*opened(root))
    after = pipeline.evaluate(*opened(root, "model.id=scripted:Letters are kept for 3 days [1]."))
    done = call("compare", before.id, after.id, "--json", "--project", str(root))
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert "model.id" in [key for key, *_ in found["changed"]]
    closed = next(arm for arm in found["arms"] if arm["before"] == "base/closed")
    assert closed["flips"]["correct"] == {"fixed": ["a1"], "broken": ["a0"]}
    pair = (f"{before.id}:base/rag", f"{before.id}:extractive/rag")
    assert "extractive/rag against base/rag" in call("compare", *pair, "--project", str(root)).stdout
    assert call("compare", before.id, f"{after.id}:base/rag", "--project", str(root)).exit_code == 2
    assert "it has base/closed" in call("compare", f"{before.id}:x", f"{after.id}:x", "--project", str(root)).stderr
