import json

import pytest

from eval.checks import CHECKS, check_problem, run_check
from eval.style import read_style
from eval.suite import read_changes, read_general, read_questions
from groundtone.errors import DataError

GOOD = {"id": "a1", "question": "How long?", "values": [["3 days"]], "quotes": [["d.md", "It takes 3 days."]]}
CHANGED = GOOD | {"changed_quote": "It takes 5 days.", "changed_values": [["5 days"]]}
GENERAL = {
    "id": "g1",
    "suite": "s",
    "prompt": "2+3?",
    "history": [["user", "Hi"]],
    "context": [],
    "check": {"type": "refuse"},
}


def write(path, *rows):
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n", encoding="utf-8")
    return path


def test_the_kind_of_a_question_is_its_file(tmp_path):
    write(tmp_path / "answerable.jsonl", GOOD, "", GOOD | {"id": "a2"})
    write(tmp_path / "unanswerable.jsonl", {"id": "u1", "question": "Boats?", "why": "No boats."})
    write(tmp_path / "changed.jsonl", CHANGED | {"id": "c1"})
    found = read_questions(tmp_path)
    assert [(q.id, q.kind) for q in found] == [
        ("a1", "answerable"), ("a2", "answerable"), ("u1", "unanswerable"), ("c1", "changed"),
    ]  # fmt: skip
    assert found[2].gold is None
    (change,) = read_changes(tmp_path)
    assert change.question == found[3]
    assert change.question.gold is not None
    assert (change.question.gold.values, change.old_values) == ((("5 days",),), (("3 days",),))
    assert change.question.gold.quotes == (("d.md", change.changed_quote),)


@pytest.mark.parametrize(
    ("file", "row", "says"),
    [
        ("answerable", "{", "is not JSON"),
        ("answerable", [1], "holds list"),
        ("answerable", GOOD | {"id": ""}, "id is ''"),
        ("answerable", GOOD | {"values": ["3 days"]}, "list of lists"),
        ("answerable", GOOD | {"quotes": []}, "verbatim quote"),
        ("answerable", GOOD | {"valeus": 1}, "unknown field 'valeus'"),
        ("two_documents", GOOD, "two sources"),
        ("changed", GOOD, "changed_quote is None"),
        ("changed", CHANGED | {"changed_quote": "It takes 3 days."}, "equals the quote"),
    ],
)
def test_a_mistake_names_file_line_and_value(tmp_path, file, row, says):
    path = write(tmp_path / f"{file}.jsonl", "", row)
    with pytest.raises(DataError, match=says) as error:
        read_questions(path)
    assert f"{path}:2" in str(error.value)


def test_ids_stand_once_and_missing_files_are_named(tmp_path):
    write(tmp_path / "answerable.jsonl", GOOD, GOOD)
    with pytest.raises(DataError, match="'a1' stands there twice"):
        read_questions(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        read_questions(tmp_path / "nowhere")
    (tmp_path / "latin.jsonl").write_bytes('{"id": "é"}'.encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        read_general(tmp_path / "latin.jsonl")


@pytest.mark.parametrize(
    ("check", "passes", "fails"),
    [
        ({"type": "value", "values": [["5", "five"]], "rivals": ["6"]}, "It is five.", "It is 5 or 6."),
        ({"type": "exact", "values": ["Paris"]}, " paris. ", "Paris, I think"),
        ({"type": "regex", "pattern": "^A+$"}, "AAA", "AAB"),
        ({"type": "refuse"}, "I do not know.", "It is 5."),
        ({"type": "cite", "numbers": [2]}, "Yes [2].", "Yes [1][2]."),
        ({"type": "any_of", "values": ["hi", "hello"]}, "Hello there", "Bye"),
        ({"type": "max_words", "n": 2}, "two words", "these three words"),
        ({"type": "all", "checks": [{"type": "max_words", "n": 2}, {"type": "any_of", "values": ["x"]}]}, "x", "x y z"),
    ],
)
def test_each_check_passes_and_fails_with_a_reason(check, passes, fails):
    assert check_problem(check) is None
    for reply, value in ((passes, 1), (fails, 0)):
        score = run_check(check, reply)
        assert score.value == value
        assert score.why


def test_the_table_of_checks_is_the_documented_one():
    assert set(CHECKS) == {"value", "exact", "regex", "refuse", "decline", "help", "cite", "any_of", "max_words", "all"}


@pytest.mark.parametrize(
    "check",
    [
        None, {"type": "magic"}, {"type": "value"}, {"type": "value", "values": ["5"]}, {"type": ["value"]},
        {"type": "regex", "pattern": "("}, {"type": "refuse", "n": 1}, {"type": "all", "checks": [{"type": "magic"}]},
    ],
)  # fmt: skip
def test_a_broken_check_is_reported_with_its_place(tmp_path, check):
    path = write(tmp_path / "s.jsonl", GENERAL | {"check": check})
    with pytest.raises(DataError, match=r"s.jsonl:1: check"):
        read_general(path)


def test_general_items_keep_history_and_context(tmp_path):
    (item,) = read_general(write(tmp_path / "s.jsonl", GENERAL | {"context": ["The sea is wide."]}))
    assert (item.suite, item.question.kind, item.context) == ("s", "general", ("The sea is wide.",))
    assert [turn.text for turn in item.question.history] == ["Hi"]


def test_the_style_file_is_read_and_its_mistakes_named(tmp_path):
    path = tmp_path / "style.yaml"
    path.write_text("opens_with: [Ahoy!]\nmax_words: 50\nexamples:\n- {prompt: Hi, reply: Ahoy!}\n")
    style = read_style(path)
    assert (style.boilerplate, style.max_words, style.examples[0].reply) == (("Ahoy!",), 50, "Ahoy!")
    for text, says in (
        ("open_with: []", "did you mean 'opens_with'"),
        ("- 1", "holds list"),
        ("max_words: many", "'many'"),
        ("forbidden: kindly", "list of phrases"),
        ("examples: [{prompt: Hi}]", "example 1"),
        ("a: [", "not YAML"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=says):
            read_style(path)
