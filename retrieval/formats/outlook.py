"""Outlook messages (msg) through olefile -> Markdown; properties and their numbers as in MS-OXMSG and MS-OXPROPS."""

from __future__ import annotations

import io
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from groundtone.errors import DocumentError
from retrieval.formats.encodings import decode
from retrieval.formats.extract import Attachment, Extract
from retrieval.formats.mail import body, compose

if TYPE_CHECKING:
    from olefile import OleFileIO

_CLASS, _SUBJECT, _BODY, _HTML, _RTF = "001A", "0037", "1000", "1013", "1009"
_SENDER, _SENDER_MAIL, _SENDER_SMTP, _TO, _CC, _BCC = "0C1A", "0C1F", "5D01", "0E04", "0E03", "0E02"
_FILE_DATA, _FILE_LONG, _FILE_SHORT, _FILE_SHOWN = "3701", "3707", "3704", "3001"
_ENCRYPTED = (".pgp-encrypted", ".p7m", ".asc")
_DATES = (0x0039, 0x0E06, 0x3007)  # sent, delivered, created
_TOP_HEADER_BYTES, _INNER_HEADER_BYTES, _ENTRY_BYTES = 32, 24, 16
_MOST_DEPTH = 3


def read_msg(data: bytes) -> Extract:
    """The message as a document. Raises DocumentError for one that is encrypted, or no message."""
    import olefile

    if not data.startswith(olefile.MAGIC):
        raise DocumentError("its content is not .msg; save it again from Outlook, or as .eml")
    with olefile.OleFileIO(io.BytesIO(data)) as ole:
        if not ole.exists("__properties_version1.0"):
            raise DocumentError("it is an Office file but no Outlook message; check its suffix")
        return _message(ole, (), 0)


def _message(ole: OleFileIO, at: tuple[str, ...], depth: int) -> Extract:
    if "SMIME" in _string(ole, at, _CLASS).upper():
        raise DocumentError("the message is encrypted or signed (S/MIME); save it decrypted from Outlook")
    page = _bytes(ole, at, f"{_HTML}0102")
    plain = _string(ole, at, _BODY)
    left_out = []
    if not plain.strip() and not page and _bytes(ole, at, f"{_RTF}0102"):
        left_out.append("its body: it is stored as compressed rich text alone; save the message as .eml")
    attachments = []
    for name in sorted({entry[len(at)] for entry in ole.listdir() if tuple(entry[: len(at)]) == at}):
        if name.startswith("__attach_version1.0_"):
            attachment = _attachment(ole, (*at, name), depth)
            if attachment:
                attachments.append(attachment)
            else:
                left_out.append("an attachment that is nested too deeply or is no file")
    if left_out and any(one.name.lower().endswith(_ENCRYPTED) for one in attachments):
        raise DocumentError("the message is encrypted; save it decrypted from Outlook")
    sender, mail = _string(ole, at, _SENDER), _string(ole, at, _SENDER_SMTP) or _string(ole, at, _SENDER_MAIL)
    who = f"{sender} <{mail}>" if sender and "@" in mail and mail != sender else sender or mail
    others = [(name, _string(ole, at, tag)) for name, tag in (("To", _TO), ("Cc", _CC), ("Bcc", _BCC))]
    text = body([plain] if plain.strip() else [], [decode(page).text] if page else [])
    subject = " ".join(_string(ole, at, _SUBJECT).split())
    return compose(subject, [("From", who), *others], _sent(ole, at), text, attachments=attachments, left_out=left_out)


def _attachment(ole: OleFileIO, at: tuple[str, ...], depth: int) -> Attachment | None:
    name = _string(ole, at, _FILE_LONG) or _string(ole, at, _FILE_SHORT) or _string(ole, at, _FILE_SHOWN)
    inner = (*at, f"__substg1.0_{_FILE_DATA}000D")
    if ole.exists("/".join(inner)):  # a message inside the message, in the same file
        if depth >= _MOST_DEPTH or not ole.exists("/".join((*inner, "__properties_version1.0"))):
            return None
        found = _message(ole, inner, depth + 1)
        return Attachment(name or found.title or "message", message=found)
    return Attachment(" ".join(name.replace("/", "_").split()) or "unnamed", _bytes(ole, at, f"{_FILE_DATA}0102"))


def _string(ole: OleFileIO, at: tuple[str, ...], tag: str) -> str:
    wide = _bytes(ole, at, f"{tag}001F")
    if wide:
        return wide.decode("utf-16-le", "replace").rstrip("\x00")
    narrow = _bytes(ole, at, f"{tag}001E").rstrip(b"\x00")
    return decode(narrow).text if narrow else ""


def _bytes(ole: OleFileIO, at: tuple[str, ...], tag: str) -> bytes:
    place = "/".join((*at, f"__substg1.0_{tag}"))
    return ole.openstream(place).read() if ole.exists(place) else b""


def _sent(ole: OleFileIO, at: tuple[str, ...]) -> datetime | None:
    """The first of the dates that the fixed-size properties hold: 100 ns since 1601."""
    place = "/".join((*at, "__properties_version1.0"))
    stored = ole.openstream(place).read()
    start = _INNER_HEADER_BYTES if at else _TOP_HEADER_BYTES
    dates = {}
    for offset in range(start, len(stored) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        kind, tag, _, value = struct.unpack_from("<HHIQ", stored, offset)
        if kind == 0x40 and 0 < value < 2650467743990000000:  # the year 9999
            dates[tag] = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=value // 10)
    return next((dates[tag] for tag in _DATES if tag in dates), None)
