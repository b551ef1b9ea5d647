"""`groundtone ingest`: read the documents into PostgreSQL together with workers on other machines."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from groundtone.cli.options import JsonOption, ProjectOption, SetOption, open_project
from groundtone.cli.show import next_step, note, print_json, progress_bars
from groundtone.errors import ConfigError


def ingest(
    join: Annotated[
        bool, typer.Option("--join", help="Only take files that another machine has queued; list none, remove none.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Only say how far the queue is and what failed.")] = False,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Throw away what the tables hold and begin anew, such as for a new encoder."),
    ] = False,
    lease: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="A worker that is silent for so long loses its file.")
    ] = 60.0,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read the documents into PostgreSQL (retrieval.store); start it on more machines to share the work."""
    from groundtone.models.encoders import load_encoder
    from retrieval.postgres import ingest as shared
    from retrieval.postgres.connect import resolve_dsn
    from retrieval.postgres.index import PgIndex

    _, settings = open_project(project, overrides)
    given = settings.retrieval
    dsn = resolve_dsn(given.store)
    if dsn is None:
        raise ConfigError(["retrieval.store names no PostgreSQL server; for an index in a file run `groundtone index`"])
    if status:
        counts, failures = shared.status(dsn)
        _show({"files": counts, "failures": failures}, as_json=as_json)
        return
    folder = settings.path(settings.documents.folder)
    encoder = load_encoder(given.encoder, runtime=given.runtime)
    removed = 0
    if not join:
        PgIndex.open(dsn, encoder=encoder, rebuild=rebuild).close()
        removed = shared.enqueue(dsn, folder).removed
    with progress_bars() as progress:
        report = shared.work(
            dsn,
            folder,
            encoder=encoder,
            chunk_tokens=given.chunk_tokens,
            max_file_mb=given.max_file_mb,
            max_seconds=given.max_seconds,
            max_memory_mb=given.max_memory_mb,
            sentence_vectors=given.sentence_vectors,
            lease_s=lease,
            progress=progress,
        )
    counts, failures = shared.status(dsn)
    _show({"worker": report, "removed": removed, "files": counts, "failures": failures}, as_json=as_json)
    if not as_json:
        next_step('groundtone ask "..."', "ask the documents a question", project=project)


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    counts, worker = found["files"], found.get("worker")
    if worker:
        print(f"this worker: {worker.read} read, {worker.unchanged} unchanged; {found['removed']} documents removed")
    print(f"files: {counts.done} done, {counts.waiting} waiting, {counts.running} being read, {counts.failed} failed")
    for failure in found["failures"]:
        note(f"  {failure.source}: {failure.reason}")
