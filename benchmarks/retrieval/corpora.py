"""Data sets -> tasks: the same passages, questions and relevance for every system, as files that the systems read."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data_sets import Asked, DataSet, Documents, sample
from benchmarks.retrieval.peers.harness import Item, write_items
from groundtone.errors import DataError
from groundtone.types import Document
from retrieval.chunk import embedded_text
from retrieval.index import Index


@dataclass(frozen=True)
class Task:
    """What one table is about. `folder` holds passages.jsonl, questions.jsonl and documents/ (or `documents` itself).

    In mode "cut" every system cuts the documents itself; by_quote: a result counts when its text holds a quote.
    `ours_from` names the task whose run of ours serves here too.
    """

    name: str
    mode: str
    folder: Path
    documents: Path
    questions: tuple[Asked, ...]
    note: str
    by_quote: bool = False
    ours_from: str = ""
    passages: int = 0

    @property
    def title(self) -> str:
        """As tables name it."""
        return f"{self.name}, own cutting" if self.mode == "cut" else self.name


def given(data: DataSet, work: Path, *, note: str) -> Task:
    """Passages as the data set cuts them: peers get title and text, ours the same as one Markdown file each."""
    folder = _fresh(work / data.name)
    data.write_passages(folder / "documents")
    items = [Item(p.id, p.titled()) for p in data.passages]
    _write(folder, items, data.questions)
    return Task(data.name, "given", folder, folder / "documents", data.questions, note, passages=len(items))


def cut(task: Task) -> Task:
    """The same documents, which every peer cuts as it does by default; a document stands where its best piece does."""
    return Task(
        task.name,
        "cut",
        task.folder,
        task.documents,
        task.questions,
        "each document cut by the system itself",
        ours_from=task.title,
        passages=task.passages,
    )


def whole(data: Documents, work: Path, *, limit: int = 0) -> Task:
    """The folder as it is, before anything is cut: what our run needs. `with_passages` makes the peers' tasks of it."""
    folder = _fresh(work / data.name)
    questions = tuple(sample(data.questions, limit))
    if not questions:
        raise DataError(f"{data.name} has no answerable questions; benchmarks/questions must hold some")
    _write(folder, [], questions)
    return Task(data.name, "cut", folder, data.folder, questions, "", by_quote=True)


def with_passages(task: Task, index: Index) -> tuple[Task, Task]:
    """The task on our passages (with their headings), and the one on whole documents, from our index of the folder.

    Questions whose quote cannot be located in the documents' text are left out of both.
    """
    passages = index.passages()
    documents = {p.doc_id: index.document(p.doc_id) for p in passages}
    located = tuple(q for q in (_located(question, index) for question in task.questions) if q.relevant)
    lost = len(task.questions) - len(located)
    same = _fresh(task.folder / "same")
    _write(same, [Item(p.id, embedded_text(p.heading, p.text)) for p in passages], located)
    own = _fresh(task.folder / "own")
    _write(own, [Item(d.source, _titled(d)) for d in documents.values()], located)
    left_out = f"; {lost} questions left out, their quote is not in the text" if lost else ""
    ours_from = task.title
    return (
        Task(
            task.name,
            "given",
            same,
            task.documents,
            located,
            f"passages as ours cuts them, headings included{left_out}",
            ours_from=ours_from,
            passages=len(passages),
        ),
        Task(
            task.name,
            "cut",
            own,
            task.documents,
            located,
            f"each document cut by the system itself; found when the text holds the whole quote{left_out}",
            by_quote=True,
            ours_from=ours_from,
            passages=len(documents),
        ),
    )


def _located(question: Asked, index: Index) -> Asked:
    known = set(index.documents())
    found = [index.locate(source, quote) if source in known else [] for source, quote in question.quotes]
    ids = frozenset(p.id for passages in found for p in passages) if all(found) else frozenset()
    return Asked(question.id, question.text, question.cluster, ids, question.quotes)


def _titled(document: Document) -> str:
    title = str(document.meta.get("title", ""))
    return document.text if title in document.text[:400] else f"{title}\n\n{document.text}"


def _write(folder: Path, items: Sequence[Item], questions: Sequence[Asked]) -> None:
    write_items(folder / "passages.jsonl", items)
    write_items(folder / "questions.jsonl", [Item(q.id, q.text) for q in questions])


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
