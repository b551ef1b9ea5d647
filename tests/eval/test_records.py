import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.records import from_json, read_records, to_json
from groundtone.errors import IntegrityError
from groundtone.types import Claim, EvalRecord, Gold, Question, Score, Turn
from tests.eval.worlds import answer, evidence_of, question, right


@given(st.text(), st.text(), st.floats(0, 1))
@settings(max_examples=100)
def test_a_record_read_back_equals_the_one_written(text, why, value):
    text, why = (t.encode("utf-8", "replace").decode() for t in (text, why))
    asked = Question("q", text, (Turn("user", why),), ("staff",), Gold(((text, why), (why,)), ((why, text),)))
    given_answer = answer(asked, text, evidence_of(question(1)), claims=(Claim(why, 0, 1, scores={"support": value}),))
    record = EvalRecord("q", "base/rag", asked, given_answer, {"correct": Score(value, why), "tone": Score(None)})
    assert from_json(to_json(record)) == record
    assert "\n" not in to_json(record)


def test_an_error_record_has_no_answer_and_comes_back():
    record = EvalRecord("q", "base/rag", question(1), None, error="it broke")
    assert from_json(to_json(record)) == record


def test_fields_of_later_versions_are_ignored():
    record = EvalRecord("q", "base/rag", question(0), answer(question(0), right(question(0)), evidence_of(question(0))))
    data = json.loads(to_json(record))
    data["later"] = data["question"]["later"] = data["answer"]["hits"][0]["passage"]["later"] = [1]
    assert from_json(json.dumps(data)) == record


def test_a_half_written_last_line_is_dropped_and_a_broken_one_names_its_place(tmp_path):
    lines = [to_json(EvalRecord(f"q{i}", "a", question(i), None, error="x")) for i in range(3)]
    path = tmp_path / "records.jsonl"
    path.write_text("\n".join(lines)[:-10])
    assert [record.item_id for record in read_records(path)] == ["q0", "q1"]
    path.write_text(f"{lines[0]}\n{{}}\n")
    with pytest.raises(IntegrityError, match=r"records.jsonl:2"):
        read_records(path)
