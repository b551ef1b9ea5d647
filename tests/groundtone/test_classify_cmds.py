"""`groundtone tune` with the methods of encoders, and `groundtone classify` with what came of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from groundtone.cli.main import app
from groundtone.project import Project
from tests.tuning.encoder_worlds import save_encoder, text_rows, token_rows

TUNING = "heldout: 0.2, epochs: 4, learning_rate: 0.01, lora: {targets: all-linear}, encoder: {few_rows: 2}"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("bert"))


def project(root: Path, base: Path, *, method: str, rows: list[dict[str, object]]) -> Project:
    root.mkdir()
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "groundtone.yaml").write_text(
        f"model: {{id: {base}, device: cpu}}\ntuning: {{method: {method}, data: rows.jsonl, {TUNING}}}\n"
    )
    return Project(root)


def call(where: Project, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--project", str(where.root)])
    assert done.exit_code == 0, done.output + done.stderr
    return done.stdout


def test_a_classifier_from_rows_to_labels(tmp_path: Path, base: Path) -> None:
    rows: list[dict[str, object]] = [{"text": row.text, "label": row.labels[0]} for row in text_rows()]
    where = project(tmp_path / "p", base, method="classify", rows=rows)
    call(where, "tune")
    (manifest,) = where.runs("tune")
    assert manifest.notes["labels"] == ["far", "near"]
    assert 0 <= manifest.notes["scores"]["accuracy"] <= 1
    assert (where.run_path(manifest.id) / "scores.md").is_file()
    (found,) = json.loads(call(where, "classify", manifest.id, "anna went to oslo", "--json"))
    assert found["labels"] == [max(found["probabilities"], key=found["probabilities"].get)]
    many = json.loads(call(where, "classify", manifest.id, str(where.root / "rows.jsonl"), "--json"))
    right = sum(row["labels"] == [given["label"]] for row, given in zip(many, rows, strict=True))
    assert right > 0.8 * len(rows)
    assert "anna went to oslo" in call(where, "classify", str(where.run_path(manifest.id)), "anna went to oslo")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": ""}\n')
    done = CliRunner().invoke(app, ["classify", manifest.id, str(bad), "--project", str(where.root)])
    assert done.exit_code == 2
    assert "bad.jsonl:1" in done.stderr


def test_a_tagger_of_answers_after_their_context(tmp_path: Path, base: Path) -> None:
    rows: list[dict[str, object]] = [
        {
            "context": row.context,
            "text": row.text,
            "spans": [{"start": s.start, "end": s.end, "label": s.label} for s in row.spans],
        }
        for row in token_rows(context=True)
    ]
    where = project(tmp_path / "p", base, method="tokens", rows=rows)
    call(where, "tune")
    (manifest,) = where.runs("tune")
    assert manifest.notes["labels"] == ["wrong"]
    text = "anna went to rome ."
    (found,) = json.loads(call(where, "classify", manifest.id, "it was in rome .", "--pair", text, "--json"))
    assert all(text[span["start"] : span["end"]] == span["text"] for span in found["spans"])


def test_words_of_documents_and_contradictions(tmp_path: Path, base: Path) -> None:
    rows: list[dict[str, object]] = [{"text": f"{row.text} {row.text} {n}"} for n, row in enumerate(token_rows())]
    where = project(tmp_path / "p", base, method="mlm", rows=rows)
    call(where, "tune")
    (manifest,) = where.runs("tune")
    assert (where.run_path(manifest.id) / "encoder" / "model.safetensors").is_file()
    clash: list[dict[str, object]] = [{"text": "a b", "label": "x"}, {"text": "A b", "label": "y"}]
    clash += [{"text": f"{row.text} 1", "label": "x"} for row in text_rows()]
    other = project(tmp_path / "q", base, method="classify", rows=clash)
    done = CliRunner().invoke(app, ["tune", "--project", str(other.root)])
    assert done.exit_code == 2
    assert "equal texts have different labels" in done.stderr
    assert "rows.jsonl:1" in done.stderr
