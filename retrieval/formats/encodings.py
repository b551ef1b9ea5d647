"""Bytes -> text: byte order marks, UTF-8, UTF-16 by its zero bytes, then the likeliest encoding by content."""

from __future__ import annotations

import unicodedata

from groundtone.errors import DocumentError

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
_SAMPLE_BYTES = 1_000_000  # enough to tell an encoding by; the detector tries each on all that it is given


def decode(data: bytes) -> tuple[str, str]:
    """Text and encoding of bytes. Raises DocumentError for bytes that are no text."""
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


def encoding_meta(encoding: str) -> dict[str, str]:
    """Meta that names an encoding other than UTF-8."""
    return {} if encoding == "utf-8" else {"encoding": encoding}


def one_line_end(text: str) -> str:
    """Text whose lines all end in a line feed."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


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

    matches = from_bytes(data[:_SAMPLE_BYTES])
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
    if len(data) <= _SAMPLE_BYTES:
        return str(best), best.encoding
    return data.decode(best.encoding, "replace"), best.encoding
