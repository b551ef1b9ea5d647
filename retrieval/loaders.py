"""Files -> documents. Each file yields a document with text in it, or a reason why not; never a silent empty document.

Line ends become "\\n"; offsets elsewhere count characters of the text made here. Meta holds "title", and where known
"effective" (ISO date), "groups", "pages" (offset at which each page begins), "encoding" when it is not UTF-8.
"""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundtone.errors import DocumentError
from groundtone.types import Document
from retrieval import markup, pdf
from retrieval.meta import describe
from retrieval.wraps import unwrap

LOADERS_VERSION = 1  # raise it when the same bytes give another text: indexes then read every file again
MAX_FILE_MB = 50
_MAX_REASON_CHARS = 300
_MARKS = (  # byte order marks, the longer ones first
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_WESTERN = frozenset(
    "àáâãäåæçèéêëìíîïñòóôõöøùúûüýÿœßÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝŒŠšŽž–—‘’‚“”„…•€£§°«»¿¡·©®™½¼¾²³µ×±\xa0"
)


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that gave no document. `skipped`: it was not meant to (hidden, or of a kind that is not read)."""

    source: str
    reason: str
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Extract:
    """What one loader got out of a file: its text and what the file's own properties say."""

    text: str
    title: str = ""
    published: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


def load(path: Path, root: Path, *, max_file_mb: int = MAX_FILE_MB) -> Document:
    """One file as a document whose source is its path below `root`.

    Raises DocumentError that names the file, what is wrong and what to do.
    """
    source = path.relative_to(root).as_posix()
    try:
        return _load(path, source, max_file_mb=max_file_mb)
    except DocumentError as error:
        raise DocumentError(f"{source}: {error}") from error
    except OSError as error:
        raise DocumentError(f"{source}: cannot be read ({error.strerror or error}); check its permissions") from error


def _load(path: Path, source: str, *, max_file_mb: int) -> Document:
    loader = LOADERS.get(path.suffix.lower())
    if loader is None:
        raise DocumentError(f"files of kind {path.suffix!r} are not read; convert it to one of {_kinds()}")
    size = path.stat().st_size
    if size == 0:
        raise DocumentError("the file has 0 bytes; restore or remove it")
    if size > max_file_mb * 1_000_000:
        raise DocumentError(
            f"{size / 1e6:.0f} MB is above the limit of {max_file_mb} MB; split it or raise retrieval.max_file_mb"
        )
    found = loader(path.read_bytes())
    text = _one_line_end(found.text)
    if not any(c.isalnum() for c in text):
        raise DocumentError("no words were found in it; if it is a scan, run it through OCR first")
    meta = describe(text, path.stem, title=found.title, published=found.published)
    return Document.of(source, text, **{**meta, **found.meta})


def load_folder(root: Path, *, max_file_mb: int = MAX_FILE_MB) -> Iterator[Document | FailedFile]:
    """Every file below `root` in the order of their names, as a document or with the reason why it is none."""
    for found in walk(root):
        if isinstance(found, FailedFile):
            yield found
            continue
        try:
            yield load(found, root, max_file_mb=max_file_mb)
        except DocumentError as error:
            yield failed(found, root, error)


def failed(path: Path, root: Path, error: DocumentError) -> FailedFile:
    """The report of a file that `load` refused, without repeating its name."""
    source = path.relative_to(root).as_posix()
    return FailedFile(source, str(error).removeprefix(f"{source}: ")[:_MAX_REASON_CHARS])


def walk(root: Path) -> Iterator[Path | FailedFile]:
    """Files below `root` that have a loader, and reports of those left out. Raises DocumentError for a bad folder.

    Symbolic links that lead out of `root` are reported, not followed: they would index what was never put there.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DocumentError(f"the documents folder {root} {what}; set documents in groundtone.yaml")
    found = False
    for path, skip in _entries(root, root.resolve()):
        found = True
        source = path.relative_to(root).as_posix()
        if skip:
            yield FailedFile(_printable(source), skip, skipped=True)
        elif _printable(source) != source:
            yield FailedFile(_printable(source), "its name is not valid Unicode; rename it")
        else:
            yield path
    if not found:
        raise DocumentError(f"the documents folder {root} is empty; put files of these kinds into it: {_kinds()}")


def _entries(folder: Path, root: Path) -> Iterator[tuple[Path, str]]:
    """Each file below, with the reason to skip it ("": none). A folder that is left out counts as one."""
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda e: e.name)
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith((".", "~$")):
            yield path, "hidden or temporary"
        elif entry.is_symlink() and not path.resolve().is_relative_to(root):
            yield path, "a symbolic link that leads out of the folder; copy the file itself"
        elif entry.is_symlink() and entry.is_dir():
            yield path, "a symbolic link to a folder inside; its files are read where they are"
        elif entry.is_dir():
            yield from _entries(path, root)
        elif path.suffix.lower() not in LOADERS:
            yield (
                path,
                f"files of kind {path.suffix or 'without a suffix'!r} are not read; convert it to one of {_kinds()}",
            )
        elif not entry.is_file():
            yield path, "not a plain file"
        else:
            yield path, ""


def _printable(source: str) -> str:
    return source.encode("utf-8", "replace").decode("utf-8")


def decode(data: bytes) -> tuple[str, str]:
    """Text and encoding of bytes: a byte order mark, UTF-8, UTF-16 by its zero bytes, then the likeliest by content.

    Raises DocumentError for bytes that are no text.
    """
    name = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "") or _zeros_say(data) or "utf-8"
    try:
        text = data.decode(name)
    except UnicodeDecodeError:
        text, name = _guess(data)
    odd = sum(unicodedata.category(c) == "Cc" and c not in "\t\n\r\f\v\x1f" for c in text[:20_000])
    if "\x00" in text or odd > 0.02 * min(len(text), 20_000):
        raise DocumentError(
            f"it looks binary, not like text (read as {name}); check that the file is what its name says"
        )
    return text, "utf-8" if name == "utf-8-sig" else name


def _zeros_say(data: bytes) -> str:
    """UTF-16 without a mark: mostly Latin text has a zero in every second byte."""
    head = data[:4000]
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) < 0.4 * len(head) / 2 or min(even, odd) > 0.02 * len(head):
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def _guess(data: bytes) -> tuple[str, str]:
    """The likeliest one-byte or Asian encoding. Western European text wins ties: detectors often miss it."""
    from charset_normalizer import from_bytes

    matches = from_bytes(data)
    best = matches.best()
    if best is None:
        raise DocumentError("its encoding cannot be told; save it as UTF-8")
    rivals = [m for m in matches if m.coherence >= 0.8 * best.coherence]
    if best.coherence == 0 or any("cp1252" in (m.encoding, *m.could_be_from_charset) for m in rivals):
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError:
            text = ""
        accents = [c for c in text if not c.isascii()]
        western = sum(c in _WESTERN for c in accents)
        if accents and western >= 0.95 * len(accents) and len(accents) < 0.5 * len(text):
            return text, "cp1252"
    return str(best), best.encoding


def _markdown(data: bytes) -> Extract:
    text, encoding = decode(data)
    return Extract(markup.outer_pipes(_one_line_end(text)), meta={} if encoding == "utf-8" else {"encoding": encoding})


def _plain(data: bytes) -> Extract:
    text, encoding = decode(data)
    return Extract(unwrap(_one_line_end(text)), meta={} if encoding == "utf-8" else {"encoding": encoding})


def _one_line_end(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _csv(data: bytes) -> Extract:
    """The table as Markdown: the first row names the columns."""
    text, encoding = decode(data)
    try:
        dialect: Any = csv.Sniffer().sniff(text[:8192], delimiters=",;\t|")
    except csv.Error:  # one column, or too few rows to tell: commas are the format's name
        dialect = csv.excel
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), dialect) if any(c.strip() for c in row)]
    except csv.Error as error:
        raise DocumentError(f"it is no readable CSV ({error}); save it again as CSV with quoted cells") from error
    if not rows:
        raise DocumentError("the table has no rows; fill it or remove it")
    return Extract(markup.table(rows), meta={} if encoding == "utf-8" else {"encoding": encoding})


def _pdf(data: bytes) -> Extract:
    pages, title = pdf.read(data)
    starts, length = [], 0
    for page in pages:
        starts.append(length)
        length += len(page) + 2
    return Extract("\n\n".join(pages), title, meta={"pages": starts})


def _html(data: bytes) -> Extract:
    declares = re.search(rb"charset\s*=|<\?xml[^>]+encoding", data[:4096], re.IGNORECASE)
    text, title, published = markup.read_html(data if declares else decode(data)[0])
    return Extract(text, title, published)


def _docx(data: bytes) -> Extract:
    return Extract(markup.read_office(data, ".docx"))


def _xlsx(data: bytes) -> Extract:
    return Extract(markup.read_office(data, ".xlsx"))


LOADERS: dict[str, Callable[[bytes], Extract]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".txt": _plain,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".docx": _docx,
    ".xlsx": _xlsx,
    ".csv": _csv,
    ".tsv": _csv,
}


def _kinds() -> str:
    return ", ".join(sorted(suffix[1:] for suffix in LOADERS))
