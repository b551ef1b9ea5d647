"""Journey 2: somebody's own folder, with everything that goes wrong in such folders."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Call = Callable[..., CompletedProcess[str]]


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "post.md").write_text("# Post room\n\nParcels are kept for 14 days.\nLetters are kept for 3 days.\n")
    (folder / "latin.txt").write_bytes("Der Schlüssel liegt beim Empfang. Die Küche öffnet um 7 Uhr.".encode("latin-1"))
    (folder / "empty.md").write_bytes(b"")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 this is no document")
    return folder


def test_a_folder_with_broken_files_is_indexed_and_each_of_them_reported(
    documents: Path, tmp_path: Path, groundtone: Call
) -> None:
    groundtone("init", documents, "--model", "extractive", "--project", tmp_path)
    done = groundtone("index", "--project", tmp_path)
    assert "2 read" in done.stdout
    assert "empty.md" in done.stderr
    assert "broken.pdf" in done.stderr
    asked = groundtone("ask", "How long are parcels kept?", "--arm", "extractive/rag", "--project", tmp_path)
    assert "14 days [1]" in asked.stdout
    assert "post.md" in asked.stdout


def test_a_deleted_document_is_gone_and_a_changed_one_is_read_again(
    documents: Path, tmp_path: Path, groundtone: Call
) -> None:
    groundtone("init", documents, "--model", "extractive", "--project", tmp_path)
    groundtone("index", "--project", tmp_path)
    (documents / "latin.txt").unlink()
    (documents / "post.md").write_text("# Post room\n\nParcels are kept for 21 days.\n")
    report = json.loads(groundtone("index", "--json", "--project", tmp_path).stdout)
    assert (report["read"], report["removed"]) == (1, 1)
    asked = groundtone("ask", "How long are parcels kept?", "--arm", "extractive/rag", "--project", tmp_path)
    assert "21 days [1]" in asked.stdout
    assert "14 days" not in asked.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ask", "x", "--set", "model.id=no/such-model", "--arm", "base/rag"), "no/such-model"),
        (("ask", "x", "--set", "model.idd=starter"), "did you mean"),
        (("tune", "--set", "tuning.data=nowhere.jsonl"), "nowhere.jsonl"),
        (("tune", "--set", "tuning.data=bad.jsonl"), "bad.jsonl:2"),
        (("gate",), "groundtone eval"),
        (("index", "--set", "documents.folder=nowhere"), "nowhere"),
        (("eval", *(f"--set=eval.{name}=nowhere" for name in ("questions", "general", "voice"))), "nothing to ask"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_code_2_and_loses_nothing(
    documents: Path, tmp_path: Path, groundtone: Call, arguments: tuple[str, ...], says: str
) -> None:
    groundtone("init", documents, "--model", "extractive", "--project", tmp_path)
    groundtone("index", "--project", tmp_path)
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a", "reply": "b", "source": "c"}\n{"prompt": \n')
    failed = groundtone(*arguments, "--project", tmp_path, code=2)
    assert says in failed.stderr
    assert len(failed.stderr.strip().splitlines()) <= 3
    with sqlite3.connect(tmp_path / ".groundtone/index.sqlite") as store:
        assert store.execute("PRAGMA quick_check").fetchone() == ("ok",)
    asked = groundtone("ask", "How long are parcels kept?", "--arm", "extractive/rag", "--project", tmp_path)
    assert "14 days [1]" in asked.stdout


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_real_staff_handbook_is_read_and_answers_with_its_sources(
    shared: Path, tmp_path: Path, groundtone: Call
) -> None:
    """The 18F handbook, about 250 pages in four formats: it quotes, or refuses, and the starter speaks."""
    groundtone("init", shared / "data/docs/handbook_18f", "--project", tmp_path)
    report = json.loads(groundtone("index", "--json", "--project", tmp_path).stdout)
    assert report["read"] >= 235
    assert all(failed["reason"] for failed in report["failed"])

    def ask(question: str, arm: str) -> dict[str, Any]:
        done = groundtone("ask", question, "--arm", arm, "--json", "--project", tmp_path)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    leave = ask("How many hours of sick leave do I earn each pay period?", "extractive/rag")
    assert any("leave" in hit["passage"]["source"] for hit in leave["hits"])
    assert leave["refused"] or "4 sick leave hours" in leave["text"]
    assert ask("What is the best pizza topping in Naples?", "extractive/rag")["refused"]
    spoken = ask("How many hours of sick leave do I earn each pay period?", "base/rag")
    assert spoken["text"]
    assert spoken["hits"]
