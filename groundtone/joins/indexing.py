"""The index of a project: filled from its documents, watched, rolled back, opened for searching."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from groundtone.errors import ProjectError
from groundtone.joins.freshness import Stale
from groundtone.joins.freshness import stale as find_stale
from groundtone.models.encoders import Encoder, load_encoder
from groundtone.project import Project
from groundtone.settings import Settings
from retrieval.generations import Generation
from retrieval.index import Index, IndexReport
from retrieval.interface import SearchableIndex
from retrieval.postgres.connect import resolve_dsn
from retrieval.rerank import load_reranker
from retrieval.store import Store
from retrieval.update import update_store

if TYPE_CHECKING:
    from groundtone.joins.adapt import AdaptReport

Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """The progress of somebody who does not look."""


def index(project: Project, settings: Settings, *, full: bool = False, progress: Progress = silent) -> IndexReport:
    """Bring the index up to date with the documents; only what changed is read and embedded again.

    `full` compares the bytes of every file, not only of those whose size or times differ. Raises ProjectError for an
    index in PostgreSQL, which `groundtone ingest` fills.
    """
    if resolve_dsn(settings.retrieval.store):
        raise ProjectError("retrieval.store names a database: fill it with `groundtone ingest`, from any machine")
    with _opened_store(project, settings) as (store, encoder):
        return _update(store, encoder, settings, full=full, progress=progress)


def stale(project: Project, settings: Settings, report: IndexReport) -> Stale:
    """What an update has made stale: stored answers, evaluation questions, voice pairs and what was tuned on them."""
    with closing(Store(project.index_path)) as store:
        return find_stale(project, settings, store, changed=report.changed, removed=report.gone)


def adapt(project: Project, settings: Settings, *, progress: Progress = silent) -> AdaptReport:
    """Tune the encoder on the indexed documents; kept only where it finds more in documents that it never saw."""
    from groundtone.joins.adapt import adapt as adapt_encoder

    return adapt_encoder(project, settings, progress=progress)


def watch(
    project: Project,
    settings: Settings,
    *,
    report: Callable[[IndexReport], None],
    failed: Callable[[Exception], None],
    progress: Progress = silent,
) -> None:
    """`index` now and whenever the documents change, until interrupted; errors are handed over and end nothing."""
    from retrieval.watch import watch as watch_folder

    with _opened_store(project, settings) as (store, encoder):
        watch_folder(
            settings.path(settings.documents.folder),
            lambda: _update(store, encoder, settings, full=False, progress=progress),
            report=report,
            failed=failed,
        )


def generations(project: Project) -> list[Generation]:
    """The states of the index that are kept, newest first; the first one is current."""
    with closing(Store(project.index_path)) as store:
        return store.generations()


def roll_back(project: Project, *, generation: int | None = None) -> int:
    """Go back to an earlier state of the index (default: the one before the current); returns its number."""
    with closing(Store(project.index_path)) as store:
        return store.roll_back(generation)


@contextmanager
def _opened_store(project: Project, settings: Settings) -> Iterator[tuple[Store, Encoder]]:
    encoder = load_encoder(settings.retrieval.encoder, runtime=settings.retrieval.runtime)
    with closing(Store(project.index_path, encoder=encoder.name, dim=encoder.dim)) as store:
        yield store, encoder


def _update(store: Store, encoder: Encoder, settings: Settings, *, full: bool, progress: Progress) -> IndexReport:
    given = settings.retrieval
    return update_store(
        store,
        encoder,
        settings.path(settings.documents.folder),
        chunk_tokens=given.chunk_tokens,
        max_file_mb=given.max_file_mb,
        max_seconds=given.max_seconds,
        max_memory_mb=given.max_memory_mb,
        sentence_vectors=given.sentence_vectors,
        keep_generations=given.keep_generations,
        full=full,
        progress=progress,
    )


def open_index(project: Project, settings: Settings, *, create: bool = False) -> SearchableIndex:
    """The project's index, in its file or in PostgreSQL (`retrieval.store`).

    Raises ProjectError where there is none and `create` is not set.
    """
    dsn = resolve_dsn(settings.retrieval.store)
    if dsn:
        from retrieval.postgres.index import PgIndex

        return PgIndex.open(
            dsn,
            encoder=load_encoder(settings.retrieval.encoder, runtime=settings.retrieval.runtime),
            fusion_weight=settings.retrieval.fusion_weight,
        )
    if not create and not project.index_path.is_file():
        raise ProjectError(f"there is no index at {project.index_path}: run `groundtone index` first")
    project.folder.mkdir(parents=True, exist_ok=True)
    encoder = load_encoder(settings.retrieval.encoder, runtime=settings.retrieval.runtime)
    given = settings.retrieval
    return Index.open(
        project.index_path,
        encoder=encoder,
        fusion_weight=given.fusion_weight,
        vectors=given.vectors,
        mmr=given.mmr,
        reranker=load_reranker(given.reranker) if given.reranker else None,
    )
