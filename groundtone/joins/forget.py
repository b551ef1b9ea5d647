"""Forgetting a document for good: index, people's verdicts, stored answers, voice pairs; and the proof that it is gone.

Without `really` nothing is written: the same search tells what would go. What goes is not kept anywhere. The index goes
last, because its text is what the rest is searched for: a forgetting that was stopped can be run again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from groundtone.errors import DataError, ProjectError
from groundtone.feedback import Feedback
from groundtone.files import sha256_file, write_atomic
from groundtone.joins.freshness import StaleItem, names_source, pair_files, trained_documents
from groundtone.joins.redact import Redactor
from groundtone.joins.traces import Traces
from groundtone.project import Project
from groundtone.settings import Settings
from groundtone.types import Document
from retrieval.forgotten import bury, forgotten_path, read_tombstones
from retrieval.postgres.connect import resolve_dsn
from retrieval.store import Purged, Store

__all__ = ["Forgotten", "Proof", "forget", "prove"]

Progress = Callable[[str, int, int], None]
_SQLITE = (".sqlite", ".sqlite-wal", ".sqlite-shm")


@dataclass(frozen=True, slots=True)
class Proof:
    """Files that were read byte by byte for `runs` runs of words that only this document holds, and where any was."""

    files: int
    runs: int
    hits: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What went, or in a dry run would go. `redacted` maps files to changed lines, `rows` voice files to rows.

    `adapters` are runs that learned from it: only training them again makes them forget. `quoted` are files of the
    user's own that still quote it and were left alone. `proof` is None in a dry run.
    """

    source: str
    done: bool
    purged: Purged
    redacted: dict[str, int]
    verdicts: int
    votes: int
    rows: dict[str, int]
    adapters: tuple[StaleItem, ...]
    quoted: tuple[str, ...]
    file: str
    file_removed: bool = False
    run: str = ""
    proof: Proof | None = None


def forget(
    project: Project,
    settings: Settings,
    name: str,
    *,
    really: bool = False,
    delete_file: bool = False,
    progress: Progress,
) -> Forgotten:
    """Remove a document by its source, or by its path; `delete_file` removes the document's own file as well.

    A file that stays is kept out of the index by a tombstone (`retrieval.forgotten`). Copies and former names of it go
    with it: whatever was read from the same bytes. Raises ProjectError where there is no index file, DataError for a
    document that it never held.
    """
    if resolve_dsn(settings.retrieval.store):
        raise ProjectError(
            f"the documents are in a database (retrieval.store): remove the file of {name!r} and run `groundtone "
            "ingest`, which takes it out there; verdicts, answers and voice pairs are not searched for it"
        )
    with closing(Store(project.index_path)) as store:
        source = _source(store, settings, name)
        file = settings.path(settings.documents.folder) / source
        hashes = _hashes(store, source, file)
        held = store.held(source, copies_of=hashes)
        gone = {doc.id for doc in held}
        others = [doc.text for doc in store.documents() if doc.id not in gone]
        traces = Traces(_texts(store, held), others=others)
        redactor = Redactor(source, frozenset(gone), traces)
        would = store.would_purge(source, copies_of=hashes)
        found = Forgotten(
            source,
            False,
            would,
            dict(_redact(project, redactor, really=False, progress=progress)),
            0,
            0,
            dict(_rows(settings, redactor, really=False)),
            tuple(_learned(project, settings, redactor)),
            tuple(_quoted(settings, traces)),
            str(file) if file.is_file() else "",
        )
        feedback = Feedback(project.feedback_path)
        if not really:
            verdicts, votes = feedback.forget(redactor.quoted_by, dry_run=True)
            return replace(found, verdicts=verdicts, votes=votes)
        bury(project.index_path, source, file_sha256=hashes[0] if hashes else "", earlier=hashes[1:])
        dict(_redact(project, redactor, really=True, progress=progress))
        verdicts, votes = feedback.forget(redactor.quoted_by)
        dict(_rows(settings, redactor, really=True))
        purged = store.purge(source, copies_of=hashes)
    if delete_file and found.file:
        file.unlink()
    done = replace(
        found,
        done=True,
        purged=purged,
        verdicts=verdicts,
        votes=votes,
        file_removed=delete_file and bool(found.file),
        proof=prove(project, traces, progress=progress),
    )
    return _recorded(project, done)


def _recorded(project: Project, done: Forgotten) -> Forgotten:
    """A run "forget" says what was done and which adapters must be trained again; it holds none of the text."""
    assert done.proof is not None, "written after the proof"
    with project.start_run("forget", parents={item.location: "learned from it" for item in done.adapters}) as run:
        run.finish(
            source=done.source,
            versions=done.purged.versions,
            passages=done.purged.passages,
            vectors=done.purged.vectors,
            copies=list(done.purged.copies),
            redacted=done.redacted,
            verdicts=done.verdicts,
            votes=done.votes,
            rows=done.rows,
            retrain=[item.location for item in done.adapters],
            files_read=done.proof.files,
            hits=[name for name, _ in done.proof.hits],
        )
    return replace(done, run=run.id)


def _source(store: Store, settings: Settings, name: str) -> str:
    """The source that a name or a path means, in whatever generation. Raises DataError naming the nearest."""
    known = set(store.versions()) | set(store.versions(staged=True)) | set(read_tombstones(store.path))
    folder = settings.path(settings.documents.folder).resolve()
    path = Path(name).expanduser().resolve()
    for source in (name, path.relative_to(folder).as_posix() if path.is_relative_to(folder) else name):
        if source in known or store.stored_blocks(source):
            return source
    near = get_close_matches(name, sorted(known), n=3, cutoff=0.4)
    raise DataError(
        f"no document {name!r} in {store.path}; "
        + (f"did you mean {' or '.join(near)}?" if near else 'name one that `groundtone search "..."` shows')
    )


def _hashes(store: Store, source: str, file: Path) -> list[str]:
    """SHA-256 of the files that held it, the present one first; what has one of them is a copy of it.

    Its earlier bytes that another document has now are left out: a template is no copy of what was made of it.
    """
    stored = [sha for sha in reversed(store.file_hashes(source)) if sha]
    present = [sha256_file(file)] if file.is_file() else []
    buried = read_tombstones(store.path).get(source)
    others = {version.file_sha256 for other, version in store.versions().items() if other != source}
    earlier = {*stored[1:], *(buried.hashes if buried else ())} - others
    return list(dict.fromkeys([*present, *stored[:1], *sorted(earlier)]))


def _texts(store: Store, held: Sequence[Document]) -> list[str]:
    """The text of every version that goes, and their passages as they were cut."""
    gone = {doc.id for doc in held}
    blocks = [made.passage for source in {doc.source for doc in held} for made, _, _ in store.stored_blocks(source)]
    return [*(doc.text for doc in held), *(passage.text for passage in blocks if passage.doc_id in gone)]


def _redact(project: Project, redactor: Redactor, *, really: bool, progress: Progress) -> Iterator[tuple[str, int]]:
    """Every file of the project folder that is text; databases are seen to by their owners."""
    kept = {project.index_path, forgotten_path(project.index_path), project.feedback_path}
    files = [p for p in _files(project) if p not in kept and not p.name.endswith(_SQLITE)]
    for done, path in enumerate(files, 1):
        new, changed = redactor.file(path)
        if changed:
            if really:
                write_atomic(path, new)
            yield path.relative_to(project.folder).as_posix(), changed
        progress("redact" if really else "look for it", done, len(files))


def _files(project: Project) -> list[Path]:
    return sorted(p for p in project.folder.rglob("*") if p.is_file() and not p.is_symlink())


def _rows(settings: Settings, redactor: Redactor, *, really: bool) -> Iterator[tuple[str, int]]:
    """Voice pairs that hold the document's words or name it as their source; other lines stay byte for byte."""
    for name, path in pair_files(settings).items():
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if not _is_row_of(line, redactor)]
        if len(kept) < len(lines):
            if really:
                write_atomic(path, b"".join(kept))
            yield name, len(lines) - len(kept)


def _is_row_of(line: bytes, redactor: Redactor) -> bool:
    try:
        row: Any = json.loads(line)
    except ValueError:
        return False
    if not isinstance(row, dict):
        return False
    label = str(row.get("source", ""))
    return names_source(label, redactor.source) or redactor.traces.within(json.dumps(row, ensure_ascii=False))


def _learned(project: Project, settings: Settings, redactor: Redactor) -> Iterator[StaleItem]:
    """Runs whose training file holds rows of it, as it was when they read it or as it is now; encoders tuned on it."""
    rows = dict(_rows(settings, redactor, really=False))
    files = pair_files(settings)
    for manifest in project.runs():
        for name, count in rows.items():
            if name in manifest.inputs and manifest.kind != "eval":
                same = manifest.inputs[name] == sha256_file(files[name])
                held = f"{name} holds {count} rows of it"
                yield StaleItem(
                    manifest.id,
                    redactor.source,
                    f"trained when {held}" if same else f"trained on an earlier {name}; {held}",
                )
        if redactor.source in trained_documents(project, manifest):
            yield StaleItem(manifest.id, redactor.source, "its encoder was tuned on it")


def _quoted(settings: Settings, traces: Traces) -> Iterator[str]:
    """Question files of the user's own that quote it: "questions/answerable.jsonl: 2 lines"."""
    path = settings.path(settings.eval.questions)
    for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path] if path.is_file() else []:
        count = sum(traces.within(line) for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
        if count:
            yield f"{file}: {count} lines"


def prove(project: Project, traces: Traces, *, progress: Progress) -> Proof:
    """Read every file of the project folder, databases and weights included."""
    files = _files(project)
    hits: list[tuple[str, int]] = []
    for done, path in enumerate(files, 1):
        count = traces.count_in_file(path) if len(traces) else 0
        hits += [(path.relative_to(project.folder).as_posix(), count)] if count else []
        progress("prove it", done, len(files))
    return Proof(len(files), len(traces), tuple(hits))


def summary(found: Forgotten) -> Sequence[str]:
    """For the terminal."""
    went = "went" if found.done else "would go"
    p = found.purged
    shown = [
        f"{found.source}: {p.versions} versions, {p.passages} passages and {p.vectors} vectors of the index {went}",
        *([f"  {went} too, as copies or former names of it: {', '.join(p.copies)}"] if p.copies else []),
        *(f"  {name}: {count} lines redacted" for name, count in found.redacted.items()),
        f"  {found.verdicts} verdicts and {found.votes} votes of people {went}",
        *(f"  {name}: {count} voice pairs {went}, no backup is kept" for name, count in found.rows.items()),
    ]
    shown += [f"must be trained again: {item.location} ({item.why})" for item in found.adapters]
    shown += [f"left alone, mend it yourself: {line}" for line in found.quoted]
    if found.file:
        state = "removed" if found.file_removed else "stays (--file removes it), and is kept out of the index"
        shown.append(f"the file {found.file} {state}")
    if found.proof is not None:
        proof = found.proof
        shown.append(
            f"proof: {proof.files} files read for {proof.runs} runs of its words, {len(proof.hits)} files hold any"
        )
        shown += [f"  {name}: {count}" for name, count in proof.hits]
        if not proof.runs:
            shown.append("  nothing in it is its own: too short, or other documents say the same")
    return shown
