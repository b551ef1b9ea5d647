"""One update of an index: changed files are read, cut, encoded and stored; what is gone is removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundtone.errors import DocumentError
from groundtone.files import sha256_file
from groundtone.models.encoders import Encoder
from groundtone.types import short_hash
from retrieval.chunk import CHUNKER_VERSION, Chunk, chunk
from retrieval.loaders import LOADERS_VERSION, FailedFile, failed, load, walk
from retrieval.store import Store, Version

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What an update did, in files; `passages` is how many the index holds now."""

    read: int
    unchanged: int
    removed: int
    passages: int
    failed: tuple[FailedFile, ...] = ()
    skipped: tuple[FailedFile, ...] = ()


def update_store(
    store: Store,
    encoder: Encoder,
    folder: Path,
    *,
    chunk_tokens: int,
    max_file_mb: int,
    progress: Progress | None = None,
) -> IndexReport:
    """Bring the store in line with the folder; see `Index.update`."""
    cut = short_hash(str(LOADERS_VERSION), str(CHUNKER_VERSION), str(chunk_tokens), encoder.name)
    entries = list(walk(folder))
    skipped = tuple(e for e in entries if isinstance(e, FailedFile) and e.skipped)
    bad = [e for e in entries if isinstance(e, FailedFile) and not e.skipped]
    files = [e for e in entries if isinstance(e, Path)]
    known = store.versions()
    read = unchanged = 0
    for done, path in enumerate(files, 1):
        source = path.relative_to(folder).as_posix()
        try:
            if _update_file(
                store, encoder, path, folder, cut, known.get(source), chunk_tokens=chunk_tokens, max_mb=max_file_mb
            ):
                read += 1
            else:
                unchanged += 1
        except DocumentError as error:
            report = failed(path, folder, error)
            kept = "; the version read before stays in the index" if source in known else ""
            bad.append(FailedFile(source, report.reason + kept))
        if progress:
            progress("index", done, len(files))
    gone = sorted(set(known) - {path.relative_to(folder).as_posix() for path in files} - {e.source for e in bad})
    for source in gone:
        store.remove(source)
    return IndexReport(read, unchanged, len(gone), store.passage_count(), tuple(bad), skipped)


def _update_file(
    store: Store,
    encoder: Encoder,
    path: Path,
    folder: Path,
    cut: str,
    known: Version | None,
    *,
    chunk_tokens: int,
    max_mb: int,
) -> bool:
    """Whether the file had to be read again."""
    try:
        version = Version(sha256_file(path), cut)
    except OSError as error:
        raise DocumentError(f"cannot be read ({error.strerror or error}); check its permissions") from error
    if version == known:
        return False
    doc = load(path, folder, max_file_mb=max_mb)
    chunks = chunk(doc, encoder, chunk_tokens=chunk_tokens)
    if not chunks:
        raise DocumentError("it has a front matter but no sentences below; write some or remove it")
    store.put(doc, chunks, vectors=_encode(encoder, chunks), version=version)
    return True


def _encode(encoder: Encoder, chunks: Sequence[Chunk]) -> list[NDArray[np.float32]]:
    """One block of vectors per passage; a text that occurs twice (a passage of one sentence) is encoded once."""
    texts = [made.embedded() for made in chunks]
    unique = list(dict.fromkeys(text for block in texts for text in block))
    row = {text: i for i, text in enumerate(unique)}
    vectors = encoder.encode(unique)
    return [vectors[[row[text] for text in block]] for block in texts]
