"""The nouns hold their invariants, cannot be changed, survive JSON, and need nothing but the standard library."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone import types
from groundtone.types import Answer, Citation, Claim, Document, Estimate, EvalRecord, Question, Score, short_hash

NOUNS = [c for _, c in inspect.getmembers(types, dataclasses.is_dataclass) if c.__module__ == "groundtone.types"]


@pytest.mark.parametrize("noun", NOUNS)
def test_every_noun_is_frozen_slotted_and_documented(noun: Any) -> None:
    assert noun.__dataclass_params__.frozen
    assert "__slots__" in vars(noun)
    assert noun.__doc__
    assert not noun.__doc__.startswith(f"{noun.__name__}("), "a docstring of its own, not the generated one"


@pytest.mark.parametrize("noun", NOUNS)
def test_sequences_are_tuples(noun: Any) -> None:
    for field in dataclasses.fields(noun):
        assert not field.type.startswith(("list", "dict", "set", "Sequence")), f"{noun.__name__}.{field.name}"


@given(st.lists(st.text(max_size=8).filter(lambda t: "\x1f" not in t), min_size=1, max_size=4), st.data())
def test_short_hash_knows_where_parts_end(parts: list[str], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.text(max_size=8).filter(lambda t: "\x1f" not in t), min_size=1, max_size=4))
    assert (short_hash(*parts) == short_hash(*other)) == (parts == other)
    assert len(short_hash(*parts)) == 16


def test_a_document_changes_its_id_with_text_and_source() -> None:
    ids = {Document.of(source, text).id for source in ("a", "b") for text in ("x", "y")}
    assert len(ids) == 4
    assert Document.of("a", "x", title="t").id == Document.of("a", "x").id


def test_a_refusal_cites_nothing() -> None:
    citation = Citation(0, 3, "d", "p", 0, 1)
    with pytest.raises(AssertionError):
        Answer("a", Question("q", "?"), "[1]", citations=(citation,), refused=True)
    assert Answer("a", Question("q", "?"), "[1]", citations=(citation,)).citations == (citation,)


def test_a_score_is_never_nan_and_none_is_not_zero() -> None:
    with pytest.raises(AssertionError):
        Score(float("nan"))
    assert Score(None) != Score(0.0)


@pytest.mark.parametrize(("mean", "n"), [(None, 3), (0.5, 0)])
def test_an_estimate_of_nothing_has_no_mean(mean: float | None, n: int) -> None:
    with pytest.raises(AssertionError):
        Estimate(mean, mean, mean, n)


def test_a_claim_key_tells_answer_and_span() -> None:
    claims = [Claim("x", start, end) for start in (0, 1) for end in (11, 111)]
    assert len({c.key(answer) for c in claims for answer in ("a", "b")}) == 8


def test_a_record_survives_json() -> None:
    record = EvalRecord("q1", "base/rag", Question("q1", "?"), None, {"correct": Score(None, "no gold")}, "broke")
    assert json.loads(json.dumps(dataclasses.asdict(record))) == {
        "item_id": "q1",
        "arm": "base/rag",
        "question": {"id": "q1", "text": "?", "history": [], "groups": [], "gold": None, "kind": "answerable"},
        "answer": None,
        "scores": {"correct": {"value": None, "why": "no gold"}},
        "error": "broke",
    }


def test_nouns_and_errors_need_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules); import groundtone.types, groundtone.errors;"
        "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    foreign = set(done.stdout.split()) - set(sys.stdlib_module_names) - {"groundtone"}
    assert foreign == set()
