"""E-books (epub) -> Markdown: the chapters in the order of the spine (EPUB 3.3, section 5)."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote
from zipfile import ZipFile

from groundtone.errors import DocumentError
from retrieval import markup
from retrieval.formats.extract import Extract, dated, own_title
from retrieval.formats.packed import open_zip, parse, part

_CONTAINER = "META-INF/container.xml"
_OPF = "{http://www.idpf.org/2007/opf}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_SELF_CLOSED = re.compile(rb"<(title|script|style|a|div|p|span)(\s[^<>]*)?/>")  # HTML reads these as left open
_INNER_HREF = re.compile(
    rb"(<a\b[^<>]*?)\shref=[\"'](?![a-z]+:)[^\"'<>]*[\"']", re.IGNORECASE
)  # of chapters that are one text


def read_epub(data: bytes) -> Extract:
    """Title, date and chapters. Raises DocumentError for a book whose chapters are encrypted."""
    with open_zip(data, ".epub") as packed:
        container = parse(part(packed, _CONTAINER, ".epub"), _CONTAINER)
        place = next((e.get("full-path", "") for e in container.iter() if e.tag.endswith("}rootfile")), "")
        package = parse(part(packed, place, ".epub"), place)
        files = {item.get("id"): item.get("href", "") for item in package.iter(f"{_OPF}item")}
        spine = [files.get(item.get("idref"), "") for item in package.iter(f"{_OPF}itemref")]
        folder = posixpath.dirname(place)
        chapters = [posixpath.normpath(posixpath.join(folder, unquote(href))) for href in spine if href]
        _refuse_encrypted(packed, chapters)
        names = set(packed.namelist())
        texts = [_chapter(packed.read(name)) for name in chapters if name in names]
    missing = [name for name in chapters if name not in names]
    if not texts:
        raise DocumentError("its list of chapters names no file that it holds; save it again")
    meta: dict[str, object] = dict(dated(next((e.text for e in package.iter(f"{_DC}date")), "")))
    if missing:
        meta["left_out"] = [f"chapter {name}: not in the file" for name in missing]
    title = next((own_title(e.text) for e in package.iter(f"{_DC}title")), "")
    return Extract("\n\n".join(text for text in texts if text), title, meta=meta)


def _chapter(page: bytes) -> str:
    page = _INNER_HREF.sub(rb"\1", _SELF_CLOSED.sub(rb"<\1\2></\1>", page))
    return markup.read_html(page)[0].strip()


def _refuse_encrypted(packed: ZipFile, chapters: list[str]) -> None:
    """Fonts may be obfuscated in a book that everyone can read; encrypted chapters are a copy protection."""
    name = "META-INF/encryption.xml"
    if name not in packed.namelist():
        return
    root = parse(packed.read(name), name)
    locked = {unquote(e.get("URI", "")) for e in root.iter() if e.tag.endswith("}CipherReference")}
    if locked & set(chapters):
        raise DocumentError("its chapters are encrypted (copy protection); use a copy without")
