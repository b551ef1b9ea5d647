"""Files -> documents. Each file yields a document with text in it, or a reason why not; never a silent empty document.

Line ends become "\\n"; offsets elsewhere count characters of the text made here. Meta holds "title", and where known
"effective" (ISO date from which it holds), "date" (ISO, when it was written, from the file's properties), "groups",
"pages" (offset at which each page or slide begins), "encoding" when it is not UTF-8, "from" of a mail, and "left_out"
(a list, in words: what the file holds that could not be read).

What reads complex formats belongs into a process of its own, with limits of time and memory: `retrieval.reading`.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from groundtone.errors import DocumentError, ReadersError
from groundtone.types import Document
from retrieval import markup, pdf
from retrieval.formats import book, mail, opendocument, outlook, records, sheets, slides, word
from retrieval.formats.attached import with_attachments
from retrieval.formats.encodings import decode, one_line_end
from retrieval.formats.extract import Extract
from retrieval.front_matter import front_matter_end, groups_of, read_front_matter
from retrieval.meta import describe
from retrieval.wraps import unwrap

LOADERS_VERSION = 5  # raise it when the same bytes give another text: indexes then read every file again
MAX_FILE_MB = 50
_MAX_REASON_CHARS = 300
_HIDDEN = "hidden or temporary"
_NO_DOCUMENTS = frozenset(  # folders of programs and systems, most of them of deleted and former files
    "node_modules __pycache__ __macosx $recycle.bin recycler #recycle @recycle @eadir "
    "#snapshot ~snapshot lost+found".split()
)
_CONTENTS = (  # what a file's first bytes say that it is, whatever its name
    (b"%PDF-", "PDF"),
    (b"PK\x03\x04", "a zip or Office file"),
    (b"\xd0\xcf\x11\xe0", "an old Office file"),
    (b"{\\rtf", "rich text"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "gzip"),
    (b"SQLite format 3\x00", "a SQLite database"),
    (b"\x7fELF", "a program"),
)


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that gave no document. `skipped`: it was not meant to (hidden, or of a kind that is not read).

    `folder`: it is a folder that could not be listed, so that nothing is known of the files below it.
    """

    source: str
    reason: str
    skipped: bool = False
    folder: bool = False


def load(path: Path, root: Path, *, max_file_mb: int = MAX_FILE_MB) -> Document:
    """One file as a document whose source is its path below `root`.

    Raises DocumentError that names the file, what is wrong and what to do; ReadersError, which is one, where it cannot
    be told who may read it.
    """
    source = path.relative_to(root).as_posix()
    try:
        return _load(path, source, max_file_mb=max_file_mb)
    except DocumentError as error:
        raise type(error)(f"{source}: {error}") from error
    except FileNotFoundError as error:
        raise DocumentError(f"{source}: it went away while the folder was read; run the command again") from error
    except OSError as error:
        raise DocumentError(f"{source}: cannot be read ({error.strerror or error}); check its permissions") from error


def _load(path: Path, source: str, *, max_file_mb: int) -> Document:
    suffix = path.suffix.lower()
    if suffix not in LOADERS:
        raise DocumentError(f"files of kind {path.suffix!r} are not read; convert it to one of {_kinds()}")
    found = _extract(_bytes(path, max_file_mb=max_file_mb), suffix)
    text = _storable(one_line_end(found.text))
    if not any(c.isalnum() for c in text):
        raise DocumentError("no words were found in it; if it is a scan, run it through OCR first")
    meta = describe(text, unicodedata.normalize("NFC", path.stem), title=found.title, published=found.published)
    return Document.of(source, text, **{**meta, **found.meta})


def _bytes(path: Path, *, max_file_mb: int) -> bytes:
    """The bytes of a plain file within the limit, also of one that grows while it is read."""
    limit = max_file_mb * 1_000_000
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise DocumentError("it is not a plain file; move it out of the folder")
        size = status.st_size
        data = file.read(limit + 1) if size <= limit else b""
    if size > limit or len(data) > limit:
        raise DocumentError(
            f"{max(size, len(data)) / 1e6:.0f} MB is above the limit of {max_file_mb} MB; split it or raise "
            "retrieval.max_file_mb"
        )
    if not data:
        raise DocumentError("the file has 0 bytes; restore or remove it")
    return data


def _without_waiting(name: str, flags: int) -> int:
    """Opens a named pipe without waiting for a writer that never comes; plain files open as ever."""
    return os.open(name, flags | (os.O_NONBLOCK if os.name == "posix" else 0))


def _extract(data: bytes, suffix: str, depth: int = 0) -> Extract:
    """What the loader of this suffix finds. Whatever a parser raises on a hostile file becomes a DocumentError."""
    try:
        return with_attachments(LOADERS[suffix](data), depth, kinds=LOADERS, read=_extract)
    except ReadersError:
        raise
    except DocumentError as error:
        content = _content(data)
        if content and content not in _EXPECTED.get(suffix, ()):
            raise DocumentError(f"its content is {content}, not {suffix}; give it the suffix that it is") from error
        raise
    except RecursionError as error:
        raise DocumentError("its parts are nested too deeply to be read; save it again") from error
    except (MemoryError, OSError):
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}".rstrip(": ")[:120]
        raise DocumentError(f"it is broken or not {suffix} ({what}); save it again") from error


def _content(data: bytes) -> str:
    return next((name for mark, name in _CONTENTS if data.lstrip(b" \t\r\n").startswith(mark)), "")


def _storable(text: str) -> str:
    """Text that every store takes: no NUL, no lone surrogates; each is replaced by one character, so offsets stay."""
    return text.replace("\x00", " ").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


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


def hidden_by(reports: Iterable[FailedFile], sources: Iterable[str]) -> set[str]:
    """Which of these sources lie below a folder that could not be listed: whether they are there is not known."""
    above = tuple(f"{report.source}/" for report in reports if report.folder)
    return {source for source in sources if source.startswith(above)} if above else set()


def walk(root: Path) -> Iterator[Path | FailedFile]:
    """Files below `root` that have a loader, and reports of those left out. Raises DocumentError for a bad folder.

    Symbolic links that lead out of `root` are reported, not followed: they would index what was never put there. A
    folder that holds hidden files alone counts as empty: what the system leaves behind in the place of a share.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DocumentError(f"the documents folder {root} {what}; set documents in groundtone.yaml")
    found = False
    for entry in _entries(root, root.resolve()):
        found |= entry.skip != _HIDDEN
        source = entry.path.relative_to(root).as_posix()
        if entry.skip:
            yield FailedFile(_printable(source), entry.skip, skipped=not entry.unlisted, folder=entry.unlisted)
        elif _printable(source) != source:
            yield FailedFile(_printable(source), "its name is not valid Unicode; rename it")
        else:
            yield entry.path
    if not found:
        raise DocumentError(f"the documents folder {root} is empty; put files of these kinds into it: {_kinds()}")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file or a folder that is left out, with the reason to skip it ("": none); `unlisted`: it was not seen into."""

    path: Path
    skip: str = ""
    unlisted: bool = False


def _entries(folder: Path, root: Path) -> Iterator[_Entry]:
    """Each file below. A folder that is left out counts as one."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda e: e.name)
    except OSError as error:  # no permission, or it went while the others were read
        if folder.resolve() == root:
            raise DocumentError(f"the folder {folder} cannot be read ({error.strerror}); check it") from error
        what = (
            f"the folder cannot be read ({error.strerror}); check its permissions: what was read from it before stays"
        )
        yield _Entry(folder, what, unlisted=True)
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith((".", "~$")):
            yield _Entry(path, _HIDDEN)
        elif entry.is_symlink() and (reason := _why_not_follow(path, root)):
            yield _Entry(path, reason)
        elif entry.name.lower() in _NO_DOCUMENTS and entry.is_dir():
            yield _Entry(path, _HIDDEN)
        elif entry.is_dir():
            yield from _entries(path, root)
        elif path.suffix.lower() not in LOADERS:
            kind = path.suffix or "without a suffix"
            yield _Entry(path, f"files of kind {kind!r} are not read; convert it to one of {_kinds()}")
        elif not entry.is_file():
            yield _Entry(path, "not a plain file")
        else:
            yield _Entry(path)


def _why_not_follow(link: Path, root: Path) -> str:
    """The reason to skip a symbolic link; "" for one to a file inside of `root`."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # a loop is the one or the other, by the version of Python
        return "a symbolic link that leads nowhere or in a circle; remove it"
    if not target.is_relative_to(root):
        return "a symbolic link that leads out of the folder; copy the file itself"
    return "a symbolic link to a folder inside; its files are read where they are" if target.is_dir() else ""


def _printable(source: str) -> str:
    return source.encode("utf-8", "replace").decode("utf-8")


def _markdown(data: bytes) -> Extract:
    found = decode(data)
    return Extract(markup.outer_pipes(markup.without_comments(one_line_end(found.text))), meta=found.meta())


def _plain(data: bytes) -> Extract:
    found = decode(data)
    text = one_line_end(found.text)
    body = front_matter_end(text)  # YAML lives by its line breaks
    return Extract(text[:body] + unwrap(text[body:]), meta=found.meta())


def _html(data: bytes) -> Extract:
    """A page, also one with a front matter above its markup, where a parser of HTML would lose it."""
    declares = re.search(rb"charset\s*=|<\?xml[^>]+encoding", data[:4096], re.IGNORECASE)
    found = None if declares else decode(data)
    if found:
        page = one_line_end(found.text)
        front = read_front_matter(page)
        above, rest = page[: front.end], page[front.end :]
        text, title, published = markup.read_html(rest)
    else:
        raw = data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")
        front = read_front_matter(raw.decode("latin-1"))  # one character per byte, so that its end is one of bytes
        above = decode(raw[: front.end]).text
        text, title, published = markup.read_html(raw[front.end :] if front.end else data)
    groups_of(front)  # what it cannot understand is refused here, for it stands no longer above the text
    return Extract(above + text, title, published, meta=found.meta() if found else {})


LOADERS: dict[str, Callable[[bytes], Extract]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".txt": _plain,
    ".html": _html,
    ".htm": _html,
    ".xhtml": _html,
    ".pdf": pdf.read_pdf,
    ".docx": word.read_docx,
    ".rtf": word.read_rtf,
    ".odt": opendocument.read_odt,
    ".pptx": slides.read_pptx,
    ".xlsx": sheets.read_xlsx,
    ".csv": sheets.read_csv,
    ".tsv": sheets.read_csv,
    ".eml": mail.read_eml,
    ".msg": outlook.read_msg,
    ".epub": book.read_epub,
    ".json": records.read_json,
    ".jsonl": records.read_jsonl,
    ".ndjson": records.read_jsonl,
}
_ZIPPED = dict.fromkeys((".docx", ".pptx", ".xlsx", ".odt", ".epub"), ("a zip or Office file", "an old Office file"))
_EXPECTED: dict[str, tuple[str, ...]] = {
    **_ZIPPED,
    ".msg": ("an old Office file",),
    ".pdf": ("PDF",),
    ".rtf": ("rich text",),
}


def _kinds() -> str:
    return ", ".join(sorted(suffix[1:] for suffix in LOADERS))
