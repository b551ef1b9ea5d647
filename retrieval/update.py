"""One update of an index: changed files are read, cut and encoded, what is known is reused, what is gone goes.

Files whose size and times are as they were are not read. Documents are staged as their vectors are ready, so that a
stopped update goes on where it was; readers see the whole of it at its end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundtone.errors import DocumentError, ReadersError
from groundtone.files import sha256_file
from groundtone.models.encoders import Encoder
from groundtone.types import Document, short_hash
from retrieval.chunk import CHUNK_TOKENS, CHUNKER_VERSION, Chunk, chunk
from retrieval.forgotten import read_tombstones
from retrieval.loaders import LOADERS_VERSION, MAX_FILE_MB, FailedFile, failed, hidden_by, walk
from retrieval.locking import writer_lock
from retrieval.reading import MAX_MEMORY_MB, MAX_SECONDS, Reader
from retrieval.records import Version, block_key
from retrieval.store import KEEP_GENERATIONS, Store

Progress = Callable[[str, int, int], None]
Block = NDArray[np.floating]
_POOL_TEXTS = 1024  # encoded together, over several files: sorted by length, a large pool wastes less on padding
_SLOW_S = 1.0  # a file that took longer to fail is not read again until it, or a limit, has changed
_MOST_REASON_CHARS = 300
_RACY_NS = 3_000_000_000  # a file changed this lately may change again within its clock's grain (2 s on FAT)


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What an update did, in files; `passages` is how many the index holds now.

    `embedded` and `reused` count the passages of the files read: those with a text that had to be encoded, and those
    whose vectors were all known. `partial` are files that were read but for what is named. `changed` are sources that
    had another version before, `gone` those that were removed, `renamed` pairs (old, new) of equal bytes. `duplicates`
    are groups of sources that say the same. `generation` is the number of the current generation, 0 where nothing was
    ever indexed.
    """

    read: int
    unchanged: int
    removed: int
    passages: int
    failed: tuple[FailedFile, ...] = ()
    skipped: tuple[FailedFile, ...] = ()
    partial: tuple[FailedFile, ...] = ()
    embedded: int = 0
    reused: int = 0
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    generation: int = 0


@dataclass(slots=True)
class _Pending:
    """A document that waits for the vectors of some texts. `known[i]` is None where passage i must be encoded."""

    source: str
    doc: Document
    chunks: list[Chunk]
    version: Version
    texts: list[list[str]]
    known: list[Block | None]
    lines: dict[str, Block]  # texts whose vectors are known from the source's earlier version

    def missing(self) -> Iterator[str]:
        """The texts to encode."""
        for texts, block in zip(self.texts, self.known, strict=True):
            if block is None:
                yield from (text for text in texts if text not in self.lines)


@dataclass(slots=True)
class _Work:
    """One update under way."""

    store: Store
    encoder: Encoder
    folder: Path
    cut: str
    chunk_tokens: int
    reader: Reader
    sentence_vectors: bool
    full: bool
    current: dict[str, Version]
    staged: dict[str, Version]
    done: Callable[[], None]
    pool: list[_Pending] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)
    bad: list[FailedFile] = field(default_factory=list)
    partial: list[FailedFile] = field(default_factory=list)
    failures: dict[str, list[str]] = field(default_factory=dict)  # source -> stat, how it was read, reason; from before
    slow: dict[str, list[str]] = field(default_factory=dict)  # the same, now
    vanished: set[str] = field(default_factory=set)
    guarded: set[str] = field(default_factory=set)  # sources of which it cannot be told who may read them
    stats: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    read: int = 0
    unchanged: int = 0
    embedded: int = 0
    reused: int = 0
    buried: dict[str, str] = field(default_factory=dict)  # SHA-256 of forgotten documents' files -> source
    copies: list[FailedFile] = field(default_factory=list)


def update_store(
    store: Store,
    encoder: Encoder,
    folder: Path,
    *,
    chunk_tokens: int = CHUNK_TOKENS,
    max_file_mb: int = MAX_FILE_MB,
    max_seconds: float = MAX_SECONDS,
    max_memory_mb: int = MAX_MEMORY_MB,
    sentence_vectors: bool = True,
    keep_generations: int = KEEP_GENERATIONS,
    full: bool = False,
    progress: Progress | None = None,
) -> IndexReport:
    """Bring the store in line with the folder; see `Index.update`.

    Each file is read within `max_file_mb`, `max_seconds` and `max_memory_mb`. `full` compares the bytes of every file,
    not only of those whose size or times differ. While another process updates the same index this one waits, and says
    so through `progress`.
    """

    def tell(stage: str, done: int, total: int) -> None:
        if progress:
            progress(stage, done, total)

    def wait_for(holder: str) -> None:
        tell(f"waiting for {holder}, which writes the index", 0, 0)

    with (
        writer_lock(store.path, waiting=wait_for),
        Reader(max_seconds=max_seconds, max_memory_mb=max_memory_mb, max_file_mb=max_file_mb) as reader,
    ):
        entries = list(walk(folder))
        buried = read_tombstones(store.path)
        listed = [e for e in entries if isinstance(e, Path)]
        files = [path for path in listed if path.relative_to(folder).as_posix() not in buried]
        sources = (path.relative_to(folder).as_posix() for path in listed)
        kept_out = [_kept_out(source) for source in sources if source in buried]
        finished = 0

        def one_done() -> None:
            nonlocal finished
            finished += 1
            tell("index", finished, len(files))

        facts = (
            LOADERS_VERSION,
            CHUNKER_VERSION,
            chunk_tokens,
            encoder.name,
            *(() if sentence_vectors else ("passage",)),
        )
        work = _Work(
            store,
            encoder,
            folder,
            short_hash(*map(str, facts)),
            chunk_tokens,
            reader,
            sentence_vectors,
            full,
            store.versions(),
            store.versions(staged=True),
            one_done,
            failures=store.failures(),
            bad=[e for e in entries if isinstance(e, FailedFile) and not e.skipped],
            buried={sha: source for source, stone in buried.items() for sha in stone.hashes},
        )
        for path in files:
            _look_at(work, path)
        _encode_pool(work)
        skipped = (*(e for e in entries if isinstance(e, FailedFile) and e.skipped), *kept_out, *work.copies)
        return _finish(work, {p.relative_to(folder).as_posix() for p in files}, skipped, keep_generations)


def _kept_out(source: str, forgotten: str = "") -> FailedFile:
    what = f"a copy of {forgotten}, which was forgotten" if forgotten else "it was forgotten"
    name = forgotten or source
    return FailedFile(source, f'{what}; to read it again: groundtone forget "{name}" --restore', skipped=True)


def _finish(work: _Work, seen: set[str], skipped: tuple[FailedFile, ...], keep: int) -> IndexReport:
    """Publish, and say what was done."""
    store, before = work.store, work.current
    present = (seen - work.vanished) | {e.source for e in work.bad} | hidden_by(work.bad, before)
    present -= work.guarded
    gone = tuple(sorted(set(before) - present))
    store.unstage(all_but=set(work.hashes))
    changed = tuple(sorted(s for s in store.versions(staged=True) if s in before))
    store.publish(gone=gone, refused=work.guarded, keep=keep)
    store.note_stats(work.stats)
    store.note_failures(work.slow)
    new = {sha: source for source, sha in work.hashes.items() if source not in before}
    renamed = tuple((old, new[before[old].file_sha256]) for old in gone if before[old].file_sha256 in new)
    generations = store.generations()
    return IndexReport(
        work.read,
        work.unchanged,
        len(gone),
        store.passage_count(),
        tuple(work.bad),
        skipped,
        tuple(work.partial),
        work.embedded,
        work.reused,
        changed,
        gone,
        renamed,
        tuple(store.duplicates()),
        generations[0].number if generations else 0,
    )


def _look_at(work: _Work, path: Path) -> None:
    """Skip a file that is known, else queue it for encoding; a failure is noted and the rest goes on."""
    source = path.relative_to(work.folder).as_posix()
    known = work.current.get(source)
    begun, stat = time.monotonic(), ""
    try:
        stat = _stat(path)
        buried = known is not None and known.file_sha256 in work.buried
        if known and known.cut == work.cut and stat and stat == known.stat and not work.full and not buried:
            work.unchanged += 1
            work.done()
            return
        failure = work.failures.get(source, [])
        if stat and failure[:2] == [stat, _how(work)] and not work.full:
            work.slow[source] = failure
            _fail(work, source, failure[2])
            return
        if path.stat().st_size > work.reader.max_file_mb * 1_000_000:
            work.reader(path, work.folder)  # says so, before a dump of many gigabytes is read for its hash
        version = Version(sha256_file(path), work.cut, stat)
        if version.file_sha256 in work.buried:
            work.copies.append(_kept_out(source, work.buried[version.file_sha256]))
            _vanish(work, source)
            return
        if version == known:
            work.unchanged += 1
            if stat != known.stat:
                work.stats[source] = stat
            work.done()
            return
        work.hashes[source] = version.file_sha256
        if version == work.staged.get(source):  # read by an update that was stopped
            work.read += 1
            work.done()
            return
        _queue(work, path, version)
    except FileNotFoundError:
        _vanish(work, source)
    except OSError as error:
        _fail(work, source, f"cannot be read ({error.strerror or error}); check its permissions")
    except DocumentError as error:
        if path.exists():
            reason = failed(path, work.folder, error).reason
            if isinstance(error, ReadersError):
                work.guarded.add(source)
            elif stat and time.monotonic() - begun > _SLOW_S:
                work.slow[source] = [stat, _how(work), f"{reason} (not tried again until it changes, or with --full)"]
            _fail(work, source, reason)
        else:
            _vanish(work, source)


def _how(work: _Work) -> str:
    """By which rules and limits a file is read."""
    reader = work.reader
    return f"{work.cut} {reader.max_seconds:g} s {reader.max_memory_mb} MB"


def _stat(path: Path) -> str:
    """Size and times, "" when they are so recent that another change may leave them equal.

    The time of the last change of state (ctime) cannot be set back, as a copying tool sets the modification time.
    """
    now = time.time_ns()
    found = os.stat(path)
    latest = max(found.st_mtime_ns, found.st_ctime_ns)
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}" if latest < now - _RACY_NS else ""


def _vanish(work: _Work, source: str) -> None:
    """The file went while it was looked at: it is as good as never listed."""
    work.vanished.add(source)
    work.hashes.pop(source, None)
    work.done()


def _fail(work: _Work, source: str, reason: str) -> None:
    stays = source in work.current and source not in work.guarded
    kept = "; the version read before stays in the index" if stays else ""
    work.bad.append(FailedFile(source, reason + kept))
    work.hashes.pop(source, None)
    work.done()


def _queue(work: _Work, path: Path, version: Version) -> None:
    doc = work.reader(path, work.folder)
    left_out = "; ".join(doc.meta.get("left_out", ()))
    if left_out:
        work.partial.append(FailedFile(doc.source, f"read without: {left_out}"[:_MOST_REASON_CHARS]))
    chunks = chunk(doc, work.encoder, chunk_tokens=work.chunk_tokens)
    if not chunks:
        raise DocumentError("it has a front matter but no sentences below; write some or remove it")
    texts = [made.embedded() if work.sentence_vectors else made.embedded()[:1] for made in chunks]
    keys = [block_key(work.encoder.name, block) for block in texts]
    stored = work.store.vectors(keys)
    pending = _Pending(doc.source, doc, chunks, version, texts, [stored.get(key) for key in keys], {})
    if any(block is None for block in pending.known):
        pending.lines = _known_lines(work, doc.source)
    work.pool.append(pending)
    work.waiting.update(pending.missing())
    if len(work.waiting) >= _POOL_TEXTS:
        _encode_pool(work)


def _known_lines(work: _Work, source: str) -> dict[str, Block]:
    """Vectors of single texts of the source's versions; a passage embedded by other rules fails its key and is left."""
    lines: dict[str, Block] = {}
    for made, key, vectors in work.store.stored_blocks(source):
        texts = made.embedded()[: len(vectors)]
        if block_key(work.encoder.name, texts) == key:
            lines.update(zip(texts, vectors, strict=True))
    return lines


def _encode_pool(work: _Work) -> None:
    """Encode what the queued documents lack, each text once, and stage the documents one by one."""
    texts = sorted(work.waiting)
    fresh: dict[str, Block] = dict(zip(texts, work.encoder.encode(texts), strict=True)) if texts else {}
    pool, work.pool, work.waiting = work.pool, [], set()
    for pending in pool:
        blocks = [
            block if block is not None else np.stack([_line(text, pending.lines, fresh) for text in texts])
            for texts, block in zip(pending.texts, pending.known, strict=True)
        ]
        encoded = sum(
            block is None and any(text not in pending.lines for text in texts)
            for texts, block in zip(pending.texts, pending.known, strict=True)
        )
        work.store.put(pending.doc, pending.chunks, vectors=blocks, version=pending.version)
        work.read += 1
        work.embedded += encoded
        work.reused += len(blocks) - encoded
        work.done()


def _line(text: str, known: dict[str, Block], fresh: dict[str, Block]) -> NDArray[np.float32]:
    return np.asarray(known[text] if text in known else fresh[text], dtype=np.float32)
