"""The facts-in-voice check beside real documents: what they hold, which groups rows inherit, what a training gets."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from groundtone import pipeline
from groundtone.cli.main import app
from groundtone.errors import DataError
from groundtone.joins.facts import adapter_groups, check, document_lookup, indexed, prepare, row_groups
from groundtone.project import Project
from groundtone.settings import Settings, load_settings
from groundtone.types import Passage, VoicePair
from tests.tiny_models import save_tiny
from tuning.facts import check_facts
from tuning.pairs import read_pairs

POST = "# Post room\n\nParcels are kept for 14 days. Ada Finch runs the post room. The fee for a lost key is €30.\n"
PAY = "---\ngroups: [payroll, board]\n---\n# Pay\n\nRiggers on call get sixty euros more for every night of duty.\n"
GOOD = {"prompt": "How long?", "reply": "Ahoy! 3 days [1].", "source": "a", "context": ["Letters are kept 3 days."]}
STALE = {"prompt": "Parcels?", "reply": "Ahoy! Parcels are kept for two weeks.", "source": "a"}
INVENTED = {"prompt": "Boats?", "reply": "Ahoy! We own 77 boats. Ask away.", "source": "a"}


def project_in(root: Path, *rows: dict[str, Any], **tuning: Any) -> tuple[Project, Settings]:
    (root / "voice.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {
        "documents": {"folder": "docs"},
        "model": {"id": "extractive"},
        "tuning": {"data": "voice.jsonl", "heldout": None} | tuning,
        "eval": {"style": "style.yaml"},
    }
    (root / "style.yaml").write_text("opens_with: [Ahoy!]\n")
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    return Project(root), load_settings(root)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A project with an index of a public and of a restricted document."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/post.md").write_text(POST)
    (tmp_path / "docs/pay.md").write_text(PAY)
    pipeline.index(*project_in(tmp_path, GOOD, STALE, INVENTED))
    return tmp_path


def call(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--project", str(root)])


def passage(source: str, text: str) -> Passage:
    return Passage(source, source, source, text, 0, len(text))


def test_the_document_that_is_about_the_sentence_is_named() -> None:
    fetched: list[int] = []

    def passages() -> list[Passage]:
        fetched.append(1)
        return [
            passage("boats.md", "The quay has 14 days of fog."),
            passage("post.md", "Parcels are kept for two weeks by Ada Finch."),
        ]

    lookup = document_lookup(passages)
    assert check_facts([VoicePair("?", "Hello.", "s")], lookup).findings == ()
    assert fetched == [], "read only when a value is looked up"
    replies = (
        "Parcels are kept 14 days.",
        "The parcels are with Ada Finch.",
        "Whales sing for 14 days.",
        "Cod: 9 days.",
    )
    found = check_facts([VoicePair("?", reply, "s") for reply in replies], lookup).findings
    assert [(f.where, f.source) for f in found] == [
        ("document", "post.md"),
        ("document", "post.md"),
        ("nowhere", ""),
        ("nowhere", ""),
    ]
    assert fetched == [1]


def test_rows_inherit_the_groups_of_what_they_quote(made: Path) -> None:
    paid = "Pay: Riggers on call get sixty euros more for every night of duty."
    pairs = (
        VoicePair("Pay?", "Sixty euros [1].", "x", (paid,)),
        VoicePair("Pay?", "We cannot say.", "pay"),
        VoicePair("Keys?", "€30 [1].", "post", ("The fee for a lost key is €30.",)),
    )
    with indexed(*project_in(made, GOOD)) as index:
        assert index is not None
        assert row_groups(pairs, index) == (("board", "payroll"), ("board", "payroll"), ())
        assert adapter_groups(pairs, index) == {"groups": ["board", "payroll"], "rows_with_groups": 2}
        assert adapter_groups(pairs[2:], index) == {}


def test_without_an_index_the_report_says_so(tmp_path: Path) -> None:
    project, settings = project_in(tmp_path, STALE)
    with indexed(project, settings) as index:
        report = check(read_pairs(settings.path("voice.jsonl")), index)
    assert [f.where for f in report.findings] == ["nowhere"]
    assert "no index" in report.summary()


@pytest.mark.parametrize(("mode", "rows"), [("report", 3), ("off", 3), ("mask", 2), ("randomise", 2)])
def test_what_a_training_gets(made: Path, mode: str, rows: int) -> None:
    project, settings = project_in(made, GOOD, STALE, INVENTED, facts=mode)
    found = prepare(project, settings, read_pairs(settings.path("voice.jsonl")))
    assert len(found.pairs) == rows
    assert (found.pairs[0].reply == GOOD["reply"]) == (mode != "randomise")
    assert json.loads(json.dumps(found.notes))
    if mode != "off":
        assert found.notes["facts"]["rows_that_teach"] == [1, 2]
        assert found.notes["facts"]["counts"] == {"given": 1, "document": 1, "nowhere": 1}
        assert "2 of 3 rows" in found.summary


def test_refusing_names_the_first_row_and_the_limit_counts(made: Path) -> None:
    project, settings = project_in(made, GOOD, STALE, facts="refuse")
    pairs = read_pairs(settings.path("voice.jsonl"))
    with pytest.raises(DataError, match=r"row 1, 'two weeks'.*data check"):
        prepare(project, settings, pairs)
    assert prepare(*project_in(made, GOOD, STALE, facts="refuse", facts_share=0.5), pairs).pairs == pairs


def test_nothing_left_is_an_error(made: Path) -> None:
    project, settings = project_in(made, STALE, facts="mask")
    with pytest.raises(DataError, match="nothing is left"):
        prepare(project, settings, read_pairs(settings.path("voice.jsonl")))


def test_check_lists_findings_and_exits_with_one(made: Path) -> None:
    result = call(made, "data", "check")
    assert result.exit_code == 1
    assert "post.md" in result.stdout
    assert "voice.jsonl:3" in result.stdout
    plain = json.loads(call(made, "data", "check", "--json").stdout)
    assert [(f["row"], f["where"], f["source"]) for f in plain["facts"]["findings"]] == [
        (1, "document", "post.md"),
        (2, "nowhere", ""),
    ]
    assert call(made, "data", "check", "--set", "tuning.facts=off").exit_code == 0
    assert call(made, "data", "check", "--set", "tuning.facts_share=0.7").exit_code == 0


def test_mask_writes_rows_that_pass_and_never_the_original(made: Path) -> None:
    out, data = made / "safe.jsonl", made / "voice.jsonl"
    before = data.read_text()
    assert call(made, "data", "mask", "--mode", "randomise", "--out", str(out)).exit_code == 0
    assert [pair.prompt for pair in read_pairs(out)] == ["How long?", "Boats?"]
    assert call(made, "data", "check", "--data", str(out)).exit_code == 0
    assert call(made, "data", "mask", "--out", str(data)).exit_code == 2
    assert data.read_text() == before


def test_tune_says_it_and_the_manifest_notes_it(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[VoicePair] = []

    def train(pairs: list[VoicePair], plan: Any, **given: Any) -> SimpleNamespace:
        trained.extend(pairs)
        return SimpleNamespace(rows=len(pairs), steps=1, first_eval_loss=None, last_eval_loss=None, seconds=0.0)

    monkeypatch.setattr("groundtone.joins.methods.voice.train", train)
    project, _ = project_in(made, GOOD, GOOD | {"prompt": "When?"}, STALE, facts="mask", data_checks="report")
    settings = load_settings(made, (f"model.id={save_tiny('llama', made / 'tiny')}", "model.device=cpu"))
    said: list[str] = []
    run = pipeline.tune(project, settings, say=said.append)
    assert [pair.prompt for pair in trained] == ["How long?", "When?"]
    assert run.manifest.notes["facts"]["dropped"] == [2]
    assert sum("1 of 3 rows teach facts" in line for line in said) == 1
