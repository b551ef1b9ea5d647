"""Method pretrain: a model reads a domain's own documents, from files like the index does, or from a column of text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from groundtone.errors import DataError
from groundtone.files import sha256_text
from groundtone.joins.access import union
from groundtone.joins.methods.work import Work
from groundtone.project import Run
from groundtone.settings import Settings
from retrieval.loaders import FailedFile, load, load_folder
from tuning.encoder_rows import DocumentRow, RowColumns, read_documents
from tuning.encoder_rows_checks import split_rows
from tuning.estimate import RowsOf
from tuning.processes import leads
from tuning.tables import content_sha256, locate

_TABLES = (".jsonl", ".json", ".csv", ".parquet")
_DATASETS = ("state.json", "dataset_dict.json", "dataset_info.json")  # in a folder that `datasets` wrote


@dataclass(frozen=True, slots=True)
class _Read:
    documents: tuple[DocumentRow, ...]
    groups: tuple[str, ...]  # that may see them
    sha256: str
    notes: tuple[str, ...]


def tune_domain(work: Work) -> Run:
    """Raises DataError where tuning.data holds no text."""
    from tuning.pretrain import pretrain

    settings, given = work.settings, work.settings.tuning
    found = _read(settings, str(given.data))
    inputs, notes, groups = {str(given.data): found.sha256}, found.notes, found.groups
    train, heldout = found.documents, found.documents[:0]
    if isinstance(given.heldout, float):
        sides = split_rows(train, heldout=given.heldout, seed=given.seed)
        train, heldout = sides.train, sides.heldout
    elif given.heldout:
        apart = _read(settings, given.heldout)
        heldout, groups = apart.documents, union(groups, apart.groups)
        inputs[given.heldout], notes = apart.sha256, (*notes, *apart.notes)
    for line in (*notes, f"{len(train)} documents to read, {len(heldout)} held out"):
        work.say(line)
    with work.start(inputs) as run:
        if groups:
            run.note(groups=list(groups))
        made = pretrain(train, work.plan(run.path), heldout=heldout)
        if made.change is not None and leads():
            work.say(
                f"held-out bits per byte: {made.change.mean:+.3f} ({made.change.low:+.3f} to {made.change.high:+.3f}, "
                f"n {made.change.n})"
            )
        return work.finish(run, made.finished, **made.notes())


def domain_rows(settings: Settings) -> RowsOf:
    """The blocks that would be trained on, for a base that is not loaded yet."""
    from tuning.pretrain import block_size, blocks

    documents = _read(settings, str(settings.tuning.data)).documents
    return lambda base: blocks(base.tokenizer, documents, size=block_size(base, settings.tuning.max_length))


def _read(settings: Settings, named: str) -> _Read:
    """A table with a column of text, or files and folders of documents of any kind that the index reads."""
    where = locate(named, root=settings.root)
    if not isinstance(where, Path) or where.suffix in _TABLES or not where.exists() or _is_dataset(where):
        columns = settings.tuning.columns
        found = read_documents(where, columns=RowColumns(text=columns.text or "", source=columns.source or ""))
        return _Read(found.rows, (), content_sha256(where), found.notes)
    loaded = [load(where, where.parent)] if where.is_file() else list(load_folder(where))
    documents = [item for item in loaded if not isinstance(item, FailedFile)]
    refused = [item for item in loaded if isinstance(item, FailedFile) and not item.skipped]
    if not documents:
        raise DataError(f"{where}: none of its {len(loaded)} files could be read: check tuning.data")
    return _Read(
        tuple(DocumentRow(item.source, item.text, item.source) for item in documents),
        union(*(map(str, item.meta.get("groups", ())) for item in documents)),
        sha256_text("\n".join(item.id for item in documents)),
        tuple(f"{item.source}: {item.reason}" for item in refused),
    )


def _is_dataset(path: Path) -> bool:
    return any((path / name).is_file() for name in _DATASETS)
