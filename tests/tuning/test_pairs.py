from __future__ import annotations

import json

import pytest

from groundtone.errors import DataError
from groundtone.types import VoicePair
from tuning.pairs import lint, read_pairs, split_by_source
from tuning.replay import mix, read_replay

GOOD = {"prompt": "How long?", "reply": "3 days [1].", "source": "a", "context": ["T: 3 days."], "tags": ["fact"]}


def write(path, *rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_rows_come_back_as_they_were_written(tmp_path):
    closed = {"prompt": "Hi", "reply": "Ahoy!", "source": "b"}
    found = read_pairs(write(tmp_path / "p.jsonl", GOOD, "", closed))
    assert found == (
        VoicePair("How long?", "3 days [1].", "a", ("T: 3 days.",), ("fact",)),
        VoicePair("Hi", "Ahoy!", "b"),
    )
    (tmp_path / "bom.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps(closed).encode())
    assert read_pairs(tmp_path / "bom.jsonl") == found[1:]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('{"prompt": "a"', "broken JSON"),
        ("[1]", "a list where an object"),
        ({**GOOD, "reply": " "}, "reply is empty"),
        ({"prompt": "a", "source": "s"}, "field 'reply' is missing"),
        ({"prompt": "a", "reply": "b"}, "field 'source' is missing"),
        ({**GOOD, "reply": 3}, "reply is a int"),
        ({**GOOD, "reply": "x [2] and [7]"}, r"cites \[2\], \[7\] but the row has 1 context"),
        ({**GOOD, "reply": "x [0]"}, r"cites \[0\]"),
        ({**GOOD, "context": "T: 3 days."}, "context must be a list"),
        ({**GOOD, "context": [""]}, "context must be a list of texts, none empty"),
        ({**GOOD, "replies": "x"}, "unknown field 'replies'"),
    ],
)
def test_a_problem_names_its_file_and_line(tmp_path, row, problem):
    path = write(tmp_path / "p.jsonl", GOOD, "", row)
    with pytest.raises(DataError, match=rf"p\.jsonl:3: .*{problem}"):
        read_pairs(path)


def test_all_problems_come_at_once_up_to_twenty(tmp_path):
    path = write(tmp_path / "p.jsonl", "{", GOOD, {**GOOD, "reply": "", "prompt": ""})
    with pytest.raises(DataError) as caught:
        read_pairs(path)
    assert [f":{n}:" in str(caught.value) for n in (1, 2, 3)] == [True, False, True]
    assert str(caught.value).count(":3:") == 2
    with pytest.raises(DataError, match="and 10 more"):
        read_pairs(write(path, *["{"] * 30))


def test_files_that_hold_nothing_or_are_no_text_are_named(tmp_path):
    with pytest.raises(DataError, match="holds no rows"):
        read_pairs(write(tmp_path / "empty.jsonl"))
    with pytest.raises(DataError, match="cannot be read"):
        read_pairs(tmp_path / "missing.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b"\xe4")
    with pytest.raises(DataError, match="not UTF-8"):
        read_pairs(tmp_path / "latin.jsonl")


def pair(prompt: str, reply: str = "Ahoy!", source: str = "s", *context: str) -> VoicePair:
    return VoicePair(prompt, reply, source, context)


def test_lint_finds_what_is_odd_and_only_that():
    long = "The Otter takes three days from the workshop to your door when you order before noon on a weekday"
    rows = [
        pair("How long does it take?", "3 days [1].", "a", long),
        pair("how long does it take", "3 days [1]", "a", long),  # 1: the same but for case and marks
        pair("How long does it take?", "4 days [1].", "b", long),  # 2: says otherwise, and overlaps 0 and 1
        pair("Who are you?", "We mend bikes.", "c"),
        pair("What is your hat size?", "That is not in our handbook, so we will not guess.", "c"),
    ]
    report = lint(rows, heldout=[pair("WHO ARE YOU?", source="c")], count_tokens=lambda p: len(p.reply), max_tokens=20)
    assert report.exact_duplicates == ((0, 1),)
    assert report.contradictions == ((0, 1, 2),)
    assert {(a, b) for a, b, _ in report.near_duplicates} == {(0, 2), (1, 2)}
    assert all(0.9 <= overlap <= 1 for *_, overlap in report.near_duplicates)
    assert report.in_heldout == (3,)
    assert report.shared_sources == ("c",)
    assert [row for row, _ in report.over_length] == [4]
    assert (report.rows, report.sources, report.share_with_context, report.share_refusals) == (5, 3, 0.6, 0.2)
    assert len(report.problems()) == 6
    clean = lint(rows[3:])
    assert clean.problems() == []
    assert clean.longest_tokens is None


def test_near_duplicates_equal_a_comparison_of_all_pairs():
    import random

    from groundtone.text import words

    random.seed(3)
    vocabulary = [f"w{n}" for n in range(40)]
    texts = [" ".join(random.sample(vocabulary, 25)) for _ in range(30)]
    texts += [" ".join([*t.split()[1:], random.choice(vocabulary)]) for t in texts]
    rows = [pair(text, "ok") for text in texts]
    sets = [set(words(f"{p.prompt} ok")) for p in rows]
    expected = {
        (a, b)
        for b in range(len(sets))
        for a in range(b)
        if len(sets[a] & sets[b]) / len(sets[a] | sets[b]) >= 0.9 and rows[a] != rows[b]
    }
    assert {(a, b) for a, b, _ in lint(rows).near_duplicates} == expected
    assert expected


@pytest.mark.parametrize("seed", range(5))
def test_a_split_shares_no_source_and_loses_no_row(seed):
    rows = [pair(f"p{n}", "r", f"s{n % 7}") for n in range(50)]
    train, held = split_by_source(rows, heldout=0.2, seed=seed)
    assert not {p.source for p in train} & {p.source for p in held}
    assert sorted(p.prompt for p in (*train, *held)) == sorted(p.prompt for p in rows)
    assert 5 <= len(held) <= 15
    assert split_by_source(rows, heldout=0.2, seed=seed) == (train, held)
    with pytest.raises(DataError, match="one source"):
        split_by_source(rows[:1])


def test_replay_makes_up_its_share_and_refuses_when_rows_are_short(tmp_path):
    general = read_replay(write(tmp_path / "g.jsonl", *[{"prompt": f"{n}+1?", "reply": str(n + 1)} for n in range(9)]))
    voice = [pair(f"p{n}") for n in range(16)]
    mixed = mix(voice, general, share=0.2, seed=1)
    assert list(mixed[:16]) == voice
    assert len(mixed) == 20
    assert len(set(mixed)) == 20
    assert mixed == mix(voice, general, share=0.2, seed=1) != mix(voice, general, share=0.2, seed=2)
    assert mix(voice, (), share=0.0, seed=1) == tuple(voice)
    with pytest.raises(DataError, match="needs 16 general rows, but there are 9"):
        mix(voice, general, share=0.5, seed=1)
    with pytest.raises(DataError, match="between 0 and 1"):
        mix(voice, general, share=1.5, seed=1)
