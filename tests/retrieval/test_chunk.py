from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundtone.models.encoders import Encoder
from groundtone.prompts import split_heading
from groundtone.types import Document
from retrieval.chunk import Chunk, chunk, embedded_text
from retrieval.front_matter import front_matter_end
from tests.retrieval.hashing_encoder import HashingEncoder

_words = st.lists(
    st.sampled_from(
        ["bike", "Otter", "€4.90", "3", "days", "v2", "naïve", "日本語", "—", "*bold*", "a|b", "e.g.", "🚲", "x" * 90]
    ),
    min_size=1,
    max_size=40,
).map(" ".join)
_blocks = st.one_of(
    _words.map(lambda w: f"{w}."),
    _words,
    st.tuples(st.integers(1, 4), _words).map(lambda t: f"{'#' * t[0]} {t[1]}"),
    st.tuples(_words, st.lists(_words, max_size=6)).map(
        lambda t: "\n".join(
            ["| A | B |", "|---|---|", *(f"| {w.replace('|', '')} | {t[0].replace('|', '')} |" for w in t[1])]
        )
    ),
    _words.map(lambda w: f"- {w}\n- {w}"),
    _words.map(lambda w: f"{w}\n==="),
    _words.map(lambda w: f"```\n# {w}\n```"),
    st.text(max_size=60),
)
_documents = st.lists(_blocks, min_size=1, max_size=12).map("\n\n".join)


def _chunks(text: str, encoder: Encoder | None = None, *, tokens: int = 48) -> list[Chunk]:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return chunk(Document.of("a.md", text, title="Title"), encoder or HashingEncoder(), chunk_tokens=tokens)


def _problems(text: str, made: list[Chunk], encoder: Encoder, tokens: int) -> list[str]:
    """What is wrong with the passages of a document: offsets, overlaps, too many tokens, words in none of them."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    covered, last, found = [False] * len(text), 0, []
    for item in made:
        p = item.passage
        if text[p.start : p.end] != p.text:
            found.append(f"{p.text!r} does not stand at {p.start}")
        if p.start < last:
            found.append(f"{p.text!r} overlaps the passage before")
        last = p.end
        if (item.sentences[0][0], item.sentences[-1][1]) != (0, len(p.text)) or any(a >= b for a, b in item.sentences):
            found.append(f"{p.text!r} is not made of its sentences {item.sentences}")
        shown = (f"{p.heading}: {p.text}", embedded_text(p.heading, p.text))
        found += [f"{w!r} has more than {tokens} tokens" for w in shown if len(encoder.token_offsets(w)) > tokens - 2]
        for at in range(p.start, p.end):
            covered[at] = True
    for a, b in _sentence_lines(text):
        if any(not covered[i] and text[i].isalnum() for i in range(a, b)):
            found.append(f"{text[a:b]!r} is in no passage")
    return found


def _sentence_lines(text: str) -> list[tuple[int, int]]:
    """Lines, without their bullets, that are neither headings, nor the header of a table, nor front matter."""
    found = []
    at = front_matter_end(text)
    while at < len(text):
        line, _, rest = text[at:].partition("\n")
        below = rest.partition("\n")[0].strip()
        underlined = bool(below) and (
            set(below) in ({"="}, {"-"}) or ("|" in below and "-" in below and not set(below) - set("|-: "))
        )
        bullet = re.match(r"\s*(?:[-*+•>]|\d{1,3}[.)])\s+", line)
        if not underlined and not line.lstrip().startswith("#"):
            found.append((at + (bullet.end() if bullet else 0), at + len(line)))
        at += len(line) + 1
    return found


@settings(max_examples=150, deadline=None)
@given(_documents, st.sampled_from([32, 48, 180]))
def test_offsets_coverage_and_token_bound(text: str, tokens: int) -> None:
    encoder = HashingEncoder()
    assert _problems(text, _chunks(text, encoder, tokens=tokens), encoder, tokens) == []


def test_the_same_holds_in_the_real_tokenizer(minilm: Encoder) -> None:
    @settings(max_examples=40, deadline=None)
    @given(_documents)
    def holds(text: str) -> None:
        assert _problems(text, _chunks(text, minilm, tokens=64), minilm, 64) == []

    holds()


@settings(max_examples=50, deadline=None)
@given(_documents)
def test_chunking_is_a_function_of_the_document(text: str) -> None:
    assert _chunks(text) == _chunks(text)


def test_headings_are_a_path_without_the_repeated_title() -> None:
    made = _chunks("# Title\n\nIntro.\n\n## Prices\n\nOne.\n\n### Old\n\nTwo.\n\n## Time\n\nThree.\n")
    assert [c.passage.heading for c in made] == ["Title", "Title > Prices", "Title > Prices > Old", "Title > Time"]


def test_table_rows_carry_their_columns_and_header_lines_are_no_passage() -> None:
    made = _chunks("# Title\n\n| Method | Price |\n|---|---:|\n| Parcel | €4.90 |\n| Courier | €19 |\n")
    (only,) = made
    assert split_heading(only.passage.heading) == ("Title", ["Method", "Price"])
    assert only.passage.text == "| Parcel | €4.90 |\n| Courier | €19 |"
    assert only.embedded() == [
        "Title: Method: Parcel; Price: €4.90. Method: Courier; Price: €19",
        "Title: Method: Parcel; Price: €4.90",
        "Title: Method: Courier; Price: €19",
    ]


def test_the_header_below_a_blank_one_names_the_columns() -> None:
    (only,) = _chunks("|  |  |\n|---|---|\n| Method | Price |\n| Parcel | €4.90 |\n")
    assert split_heading(only.passage.heading)[1] == ["Method", "Price"]
    assert only.passage.text == "| Parcel | €4.90 |"


def test_headings_cannot_pass_for_columns() -> None:
    (only,) = _chunks("# Title\n\n## Otter | Heron > all\n\nText.\n")
    assert split_heading(only.passage.heading) == ("Title > Otter / Heron › all", [])


def test_front_matter_is_not_a_passage_and_a_heading_alone_is() -> None:
    made = _chunks("---\ntitle: Title\nsecret: words\n---\n# Title\n\n## Closed on Sundays\n")
    assert [c.passage.text for c in made] == ["Closed on Sundays"]


def test_a_comment_in_code_is_no_heading() -> None:
    made = _chunks("# Title\n\n```\n# not a heading\nrun\n```\n\nAfter.\n")
    assert {c.passage.heading for c in made} == {"Title"}


def test_an_overlong_sentence_is_cut_at_white_space() -> None:
    encoder = HashingEncoder()
    text = " ".join(f"word{n}" for n in range(200)) + "."
    made = _chunks(text, encoder)
    assert len(made) > 1
    assert " ".join(c.passage.text for c in made) == text


_unspaced = st.one_of(
    st.text(alphabet="北京市民可以在工作日申请退休金，、。", max_size=400),
    st.text(alphabet="กขคงจฉชซทธนบปผพฟมยรลวสหอ่้๊็ิีึืุู", max_size=400),
    st.text(alphabet="नमस्तेकिताबें", max_size=300),
    st.lists(st.sampled_from(["👩‍👩‍👧", "🇩🇪", "é", "a"]), max_size=200).map("".join),
    st.tuples(
        st.sampled_from(["x", "ab1", "=", "/+", "-", "_", "あ", "ก", "\u0301", "\u200d", ".", "!"]),
        st.integers(1, 3000),
    ).map(lambda t: t[0] * t[1]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_unspaced, min_size=1, max_size=4).map("\n\n".join), st.sampled_from([32, 180]))
def test_scripts_without_spaces_and_endless_words_keep_every_bound(text: str, tokens: int) -> None:
    encoder = HashingEncoder()
    made = _chunks(text, encoder, tokens=tokens)
    assert _problems(text, made, encoder, tokens) == []
    assert all(len(c.passage.text) <= 16 * tokens for c in made)


def test_the_same_holds_in_the_real_tokenizer_for_scripts_without_spaces(minilm: Encoder) -> None:
    @settings(max_examples=30, deadline=None)
    @given(st.lists(_unspaced, min_size=1, max_size=3).map("\n\n".join))
    def holds(text: str) -> None:
        made = _chunks(text, minilm, tokens=64)
        assert _problems(text, made, minilm, 64) == []
        assert all(len(c.passage.text) <= 16 * 64 for c in made)

    holds()


@pytest.mark.parametrize("line", ["x" * 100_000, "データ" * 33_333])
def test_a_line_of_100_kb_is_cut_into_passages_that_the_encoder_reads_whole(minilm: Encoder, line: str) -> None:
    text = f"# Title\n\n{line}\n\nAfter it."
    made = _chunks(text, minilm, tokens=180)
    assert len(made) > 30
    assert _problems(text, made, minilm, 180) == []
    assert max(len(c.passage.text) for c in made) <= 16 * 180


@pytest.mark.parametrize("line", ["QUJD+/9" * 14_285, "a.b" * 33_333, "wort, " * 16_666, "=" * 100_000, "ก" * 100_000])
def test_any_line_of_100_kb_is_cut(line: str) -> None:
    text, encoder = f"# Title\n\n{line}\n\nAfter it.", HashingEncoder()
    made = _chunks(text, encoder, tokens=180)
    assert len(made) > 30 or not line[0].isalnum(), "a line without words is no sentence"
    assert _problems(text, made, encoder, 180) == []
    assert max(len(c.passage.text) for c in made) <= 16 * 180
    assert made[-1].passage.text.endswith("After it.")


def test_a_cut_never_parts_a_character_from_its_marks() -> None:
    text = "ก้ำ" * 400 + "\n\n" + "e\u0301" * 600
    for made in _chunks(text):
        assert unicodedata.category(made.passage.text[0]) not in ("Mn", "Mc")


def test_a_long_sentence_without_spaces_is_cut_at_a_pause() -> None:
    made = _chunks("北京市民可以在工作日申请退休金，" * 40 + "完")
    assert len(made) > 2
    assert all(c.passage.text.endswith("，") for c in made[:-1])


def test_a_passage_stands_on_one_page() -> None:
    doc = Document.of("a.pdf", "First page.\n\nSecond page. More of it.", title="T", pages=[0, 13])
    made = chunk(doc, HashingEncoder())
    assert [(c.passage.text, c.passage.page) for c in made] == [("First page.", 1), ("Second page. More of it.", 2)]
    assert chunk(Document.of("a.md", "Text.", title="T"), HashingEncoder())[0].passage.page is None
