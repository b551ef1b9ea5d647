from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone.errors import DataError
from groundtone.models.chat_format import ChatFormat
from groundtone.types import VoicePair
from tests.tiny_models import tiny_tokenizer
from tuning.curve import learning_curve
from tuning.findings import contradicts
from tuning.memory import Batching, ran_out_of_memory, ran_out_of_space
from tuning.personal import find_personal, is_card
from tuning.report import data_report, levels_of

PRODUCTS = ("Heron", "Otter", "Teal", "Coot", "Curlew", "Plover")


def rows() -> list[VoicePair]:
    return [
        VoicePair(f"How long does the {name} take to the islands?", f"The {name} takes {n} days.", f"s{n}")
        for n, name in enumerate(PRODUCTS, 2)
    ]


def checks(report):
    return {finding.check: finding for finding in report.findings}


def test_clean_rows_pass_and_the_report_is_written(tmp_path):
    chat_format = ChatFormat(tiny_tokenizer("llama"))
    report = data_report(rows(), chat_format=chat_format, limit=512)
    report.refuse()
    report.write(tmp_path)
    assert report.refused == ()
    assert report.tokens.stop == "<|eot_id|>"
    assert 0 < report.tokens.labelled < 1
    assert len(report.tokens.previews) == 3
    assert json.loads((tmp_path / "data_report.json").read_text())["rows"] == 6
    assert "⟦The Heron takes 2 days.<|eot_id|>⟧" in (tmp_path / "data_report.md").read_text()


def test_each_fault_is_found_at_its_row():
    bad = [
        *rows(),
        VoicePair("How long does the Heron take to the islands?", "It takes 9 days.", "s9"),
        VoicePair("Where do I pay the deposit for bikes?", "To DE89 3704 0044 0532 0130 00, or ask a@b.org.", "s9"),
    ]
    asked = {"eval.questions": ["HOW LONG does the Otter take to the islands", "Unrelated question about ferries?"]}
    report = data_report(
        bad, heldout=[VoicePair("How long does the Teal take to the islands?", "x", "s4")], evaluation=asked
    )
    found = checks(report)
    assert found["contradictions"].where == ("row 0 = row 6",)
    assert found["in_evaluation"].where == ("row 1 = eval.questions 1",)
    assert found["in_heldout"].where == ("row 2 = held-out row 1",)
    assert found["shared_sources"].where == ("s4",)
    assert found["accounts"].where == ("row 7 (reply)",)
    assert found["personal_data"].where == ("row 7 (reply)",)
    with pytest.raises(DataError, match=r"row 0 = row 6.*keep the row that is right"):
        report.refuse()
    told = data_report(bad, evaluation=asked, levels=levels_of("report", {"accounts": "off"}))
    told.refuse()
    assert "accounts" not in checks(told)


def test_long_rows_and_untrained_stops_are_found():
    chat_format = ChatFormat(tiny_tokenizer("llama"))
    report = data_report(rows(), chat_format=chat_format, limit=20)
    assert len(checks(report)["too_long"].where) == 6
    early = [*rows(), VoicePair("Who are you now?", "We are<|eot_id|> here.", "s")]
    assert checks(data_report(early, chat_format=chat_format))["stop_token"].where == ("row 6",)
    tokenizer = tiny_tokenizer("plain")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    tokenizer.eos_token = None
    assert len(checks(data_report(rows(), chat_format=ChatFormat(tokenizer)))["stop_token"].where) == 6


def test_values_decide_what_contradicts():
    assert contradicts(["It takes 3 days.", "It takes 4 days."])
    assert contradicts(["Yes, we do.", "No, we do not."])
    assert not contradicts(["It takes 3 days.", "Three days is what it takes you."])
    assert not contradicts(["It takes 3 days.", "It takes 3 days and costs €4."])


def test_personal_data_needs_right_check_digits():
    text = "Card 4111 1111 1111 1111, wrong 4111 1111 1111 1112, mail jo@ex.org, call +44 20 7946 0958 by 2026-01-12."
    assert [kind for kind, _ in find_personal(text)] == ["card", "mail", "phone"]


@given(st.integers(10**14, 10**15 - 1))
def test_one_last_digit_makes_a_card(number):
    assert sum(is_card(f"{number}{digit}") for digit in range(10)) == 1


def test_a_learning_curve_says_whether_more_rows_help():
    pairs = [VoicePair(f"p{n}", "r", "s") for n in range(64)]
    steep = learning_curve(pairs, train=lambda part: [8 / len(part) + n / 1000 for n in range(20)])
    assert [point.rows for point in steep.points] == [16, 32, 64]
    assert steep.verdict == "more rows would help"
    flat = learning_curve(pairs, train=lambda part: [1.0 + 0.001 / len(part) + n / 1000 for n in range(20)])
    assert flat.verdict != "more rows would help"
    seen = []
    learning_curve(pairs, train=lambda part: seen.append(set(part)) or [1.0, 2.0])
    assert seen[0] < seen[1] < seen[2], "nested, so that only the number differs"
    with pytest.raises(DataError, match="needs 8 rows"):
        learning_curve(pairs[:3], train=lambda part: [1.0])


@given(st.integers(1, 64), st.integers(1, 16))
def test_smaller_batches_keep_the_effective_batch_and_end(size, accumulate):
    batching, seen = Batching(size, accumulate), 0
    while (smaller := batching.smaller()) is not None:
        assert smaller.size < batching.size
        assert smaller.size * smaller.accumulate == size * accumulate
        batching, seen = smaller, seen + 1
    assert batching.size == 1
    assert seen <= 7


def test_what_libraries_say_is_recognised():
    assert ran_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert ran_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not ran_out_of_memory(ValueError("out of memory"))
    assert ran_out_of_space(OSError(28, "No space left on device"))
    assert ran_out_of_space(RuntimeError("PytorchStreamWriter failed writing file data/0"))
    assert not ran_out_of_space(KeyboardInterrupt())
