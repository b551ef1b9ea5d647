"""Answers for detectors and judges: the sample's own, quoted and tuned, each with the passages it was shown."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.evaluation.sample import Sample
from data.detector.answers import LabelledAnswer, passages_of, ragtruth
from groundtone.errors import DataError
from groundtone.files import write_atomic
from groundtone.joins.asking import ask_questions
from groundtone.joins.indexing import open_index, silent
from groundtone.types import Passage

__all__ = ["Row", "labelled_rows", "read_rows", "sample_rows", "write_rows"]

ARMS = ("extractive/rag", "tuned/rag")


@dataclass(frozen=True, slots=True)
class Row:
    """An answer that says something, and the passages that it may rest on. `groundtone eval --answers` reads it too."""

    id: str
    question: str
    answer: str
    contexts: tuple[str, ...]

    def passages(self) -> list[Passage]:
        """The contexts as our detectors take them."""
        return [Passage(f"{self.id}-{n}", self.id, self.id, text, 0, len(text)) for n, text in enumerate(self.contexts)]


def sample_rows(sample: Sample, *, arms: Sequence[str] = ARMS) -> list[Row]:
    """What these arms answer to the sample's questions, refusals left out: they claim nothing."""
    with open_index(sample.project, sample.settings) as index, tempfile.TemporaryDirectory() as folder:
        records = ask_questions(
            sample.settings,
            sample.material,
            sample.models,
            index=index,
            out_dir=Path(folder),
            progress=silent,
            only=arms,
        )
    return [
        Row(
            f"{record.arm}:{record.item_id}",
            record.question.text,
            record.answer.text,
            tuple(hit.passage.text for hit in record.answer.hits),
        )
        for record in records
        if record.answer is not None and not record.error and not record.answer.refused and record.answer.hits
    ]


def labelled_rows(folder: Path, count: int) -> list[Row]:
    """The first answers of RAGTruth QA, which are several times as long; none where the folder is not there."""
    if not folder.is_dir():
        return []
    rows: list[Row] = []
    for labelled in ragtruth(folder):
        if len(rows) == count:
            break
        rows.append(_row(f"ragtruth:{len(rows)}", labelled))
    return rows


def _row(name: str, labelled: LabelledAnswer) -> Row:
    return Row(name, labelled.source, labelled.answer, tuple(passage.text for passage in passages_of(labelled)))


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """One JSON object a line."""
    write_atomic(path, "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows))


def read_rows(path: Path) -> list[Row]:
    """Rows of such a file. Raises DataError for one that cannot be read or a line without what a judge needs."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a file of JSON lines") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            data = json.loads(line)
            contexts = tuple(text if isinstance(text, str) else text["text"] for text in data["contexts"])
            rows.append(Row(str(data.get("id", number)), data["question"], data["answer"], contexts))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number}: {error!r}; give question, answer and contexts") from error
    return rows
