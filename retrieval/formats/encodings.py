"""Bytes -> text: byte order marks, UTF-8, UTF-16 by its zero bytes, then the likeliest encoding by content."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

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


_ASCII = bytes(range(128))
_TELLING = 10  # signs of several bytes that are valid UTF-8: text in another encoding has next to none by chance
_MOST_LOST = 0.01  # undecodable bytes, as a share of those signs, of a text that is UTF-8 with slips in it
_CUT_OFF_BYTES = 3  # at most, of a sign whose end is missing


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, the encoding it was read in, and how many of its bytes were no such text and gave U+FFFD."""

    text: str
    encoding: str
    lost_bytes: int = 0

    def meta(self) -> dict[str, object]:
        """What to say of it: an encoding other than UTF-8, and what was lost."""
        named: dict[str, object] = {"encoding": self.encoding} if self.encoding != "utf-8" else {}
        lost = f"{self.lost_bytes} byte(s) that are no UTF-8"
        return named | ({"left_out": [lost]} if self.lost_bytes else {})


def decode(data: bytes) -> Decoded:
    """Text and encoding of bytes. Raises DocumentError for bytes that are no text.

    A slip in a long UTF-8 text costs its own bytes; anything else that is no UTF-8 is guessed as a whole.
    """
    name = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "") or _zeros_say(data) or "utf-8"
    lost = 0
    try:
        text = data.decode(name)
    except UnicodeDecodeError:
        lost = _slips(data) if name.startswith("utf-8") else 0
        text, name = (data.decode(name, "replace"), name) if lost else _guess(data)
    odd = sum(unicodedata.category(c) == "Cc" and c not in "\t\n\r\f\v\x1f" for c in text[:20_000])
    if "\x00" in text or odd > 0.02 * min(len(text), 20_000):
        raise DocumentError(
            f"it looks binary, not like text (read as {name}); check that the file is what its name says"
        )
    return Decoded(text, "utf-8" if name == "utf-8-sig" else name, lost)


def _slips(data: bytes) -> int:
    """How many bytes are in the way where the rest is UTF-8 beyond doubt; 0 where it is not."""
    kept = data.decode("utf-8", "ignore")
    valid = kept.encode()
    lost, telling = len(data) - len(valid), len(kept) - (len(data) - len(data.translate(None, _ASCII)))
    cut_off = lost <= _CUT_OFF_BYTES and data.startswith(valid)
    few = lost <= max(1, _MOST_LOST * telling)
    return lost if telling >= (1 if cut_off else _TELLING) and (cut_off or few) else 0


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
