"""Formats that are a zip of XML files (docx, pptx, xlsx, odt, epub): opened only after their sizes were checked.

A zip of a few kilobytes can inflate to gigabytes. Members are counted by the size that they declare and by the size
that they really have, before any parser sees them; XML that declares entities is refused.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from groundtone.errors import DocumentError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_INFLATED_MB = 200  # of all members together; parsed XML takes about ten times its size in memory
MAX_MEMBERS = 10_000
_XML_SUFFIXES = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx")
_PIECE_BYTES = 1 << 20
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"


def open_zip(data: bytes, suffix: str) -> zipfile.ZipFile:
    """The zip that a file of this suffix is, checked. Raises DocumentError with the limit and the size seen."""
    if data.startswith(_OLD_OFFICE):
        raise DocumentError(
            f"it is password-protected or an old Office file, not {suffix}; save it unprotected as {suffix}"
        )
    if not data.startswith(b"PK"):
        raise DocumentError(f"its content is not {suffix}; open it in its program and save it again")
    try:
        packed = zipfile.ZipFile(io.BytesIO(data))
        _check(packed)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, OSError, ValueError, EOFError) as error:
        raise DocumentError(f"it is cut short or broken ({error}); save it again or get another copy") from error
    return packed


def _check(packed: zipfile.ZipFile) -> None:
    members = packed.infolist()
    if len(members) > MAX_MEMBERS:
        raise DocumentError(f"it is a zip of {len(members)} members, above the limit of {MAX_MEMBERS}; split it")
    if any(member.flag_bits & 1 for member in members):
        raise DocumentError("it is protected by a password; save a copy without one")
    inflated = sum(member.file_size for member in members)
    if inflated > MAX_INFLATED_MB * 1_000_000:
        raise DocumentError(
            f"it inflates to {inflated / 1e6:.0f} MB, above the limit of {MAX_INFLATED_MB} MB; split it or remove what "
            "is large in it"
        )
    for member in members:
        if member.filename.lower().endswith(_XML_SUFFIXES):
            _check_xml(packed, member)


def _check_xml(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Inflates a member in pieces; zipfile stops at the declared size and finds more than that by the checksum."""
    tail = b""
    with packed.open(member) as stream:
        while piece := stream.read(_PIECE_BYTES):
            if b"<!ENTITY" in tail + piece:
                raise DocumentError(f"its part {member.filename!r} declares XML entities, which no program needs here")
            tail = piece[-16:]


def parse(xml: bytes, what: str) -> Element:
    """The root of a piece of XML; entities, references to other files and broken XML are a DocumentError."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        return fromstring(xml)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise DocumentError(f"its part {what!r} is no readable XML ({error}); save it again") from error


def part(packed: zipfile.ZipFile, name: str, suffix: str) -> bytes:
    """The bytes of a member that the format requires."""
    try:
        return packed.read(name)
    except KeyError as error:
        raise DocumentError(f"it has no part {name!r}, so it is not {suffix}; save it again as {suffix}") from error
