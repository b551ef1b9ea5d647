"""A slip in a UTF-8 text costs its own bytes; text in another encoding is still told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.formats.encodings import decode
from retrieval.loaders import load

GERMAN = "Die Kündigungsfrist für Mitarbeiter beträgt sechs Wochen. Über Änderungen wird schriftlich informiert. " * 3
CHINESE = "员工的离职通知期为六周。任何更改将以书面形式通知。" * 4


@pytest.mark.parametrize(
    ("data", "text", "lost"),
    [
        (GERMAN.encode() + b"\xff end", f"{GERMAN}\ufffd end", 1),
        (b"\xef\xbb\xbf" + GERMAN.encode() + b"\x92 end", f"{GERMAN}\ufffd end", 1),
        (CHINESE.encode()[:-1], f"{CHINESE[:-1]}\ufffd", 2),
        ("Nur ein ü und ein abgeschnittenes ü".encode()[:-1], "Nur ein ü und ein abgeschnittenes \ufffd", 1),
    ],
)
def test_a_bad_byte_costs_itself(data: bytes, text: str, lost: int) -> None:
    found = decode(data)
    assert (found.text, found.encoding, found.lost_bytes) == (text, "utf-8", lost)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_another_encoding_is_not_taken_for_broken_utf_8(encoding: str) -> None:
    for text in (GERMAN, "Un café", "Tout est payé"):
        found = decode(text.encode(encoding))
        assert (found.text, found.lost_bytes) == (text, 0)
    assert decode(CHINESE.encode("gb18030")).lost_bytes == 0


def test_more_slips_than_one_in_a_hundred_signs_are_another_encoding() -> None:
    assert decode(GERMAN.encode() + b"\xe4 \xf6 \xfc \xdf " * 9).lost_bytes == 0


def test_what_was_lost_is_said(tmp_path: Path) -> None:
    for name in ("a.md", "a.txt", "a.csv", "a.html"):
        (tmp_path / name).write_bytes(GERMAN.encode() + b"\xff end")
        doc = load(tmp_path / name, tmp_path)
        assert doc.meta["left_out"] == ["1 byte(s) that are no UTF-8"]
        assert "Kündigungsfrist" in doc.text
