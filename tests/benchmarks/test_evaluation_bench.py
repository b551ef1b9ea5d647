"""The benchmark of evaluation: plain loop, scripted judge, the harness of the tools, the report of known figures."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from benchmarks.evaluation.answers import Row, read_rows, write_rows
from benchmarks.evaluation.detectors import Rate, measure_detectors
from benchmarks.evaluation.judge_server import BREAKS, Judge, broken, judge_server, verdict_of
from benchmarks.evaluation.judges import REQUIREMENTS, TOOLS, Turn, ours, summed_up
from benchmarks.evaluation.peers.harness import Endpoint, Item, Outcome, main, outcome
from benchmarks.evaluation.report import detectors_section, judges_section, render, speed_section, spread
from benchmarks.evaluation.speed import PlainLoop, Speed, Way, same_answers
from groundtone import prompts
from groundtone.errors import DataError
from groundtone.models.generate import LocalModel
from groundtone.stats import wilson_interval
from groundtone.types import Answer, EvalRecord, Question
from tests.tiny_models import save_tiny

CONTEXTS = ("Parcels are kept for 14 days.", "Letters are kept for 3 days.")
ROWS = [Row("1", "How long?", "Parcels are kept for 14 days. Letters are kept for 3 days.", CONTEXTS)]
RAGAS = 'Example\nInput: {{"answer": "x"}}\nNow perform the same with the following input\ninput: {}\nOutput: '
DEEPEVAL = "return JSON with the 'claims' key as a list of strings.\n\nText:\nIt is blue. It is new.\n\nJSON:\n"
VERDICTS = "the 'verdicts' key, each with 'reason'.\n\nClaims:\n['It is blue.', \"It's new.\"]\n\nJSON:\n"


def test_the_plain_loop_writes_what_a_batch_writes(tmp_path: Path) -> None:
    model = LocalModel.load(str(save_tiny("llama", tmp_path)))
    asked = [prompts.closed_book("How long does delivery take?" * n) for n in (1, 3)]
    loop = PlainLoop(model, model.model)
    written = loop.generate(asked, max_new_tokens=8)
    assert written == model.generate(asked, max_new_tokens=8)
    assert "".join(loop.stream(asked[0], max_new_tokens=8)) == written[0].text


def record(arm: str, item: str, text: str | None) -> EvalRecord:
    question = Question(item, "?")
    return EvalRecord(item, arm, question, None if text is None else Answer("a", question, text))


def test_equal_answers_are_counted_by_arm_and_item_and_a_failure_equals_nothing() -> None:
    one = [record("a", "1", "x"), record("a", "2", "y"), record("b", "1", "z"), record("b", "2", None)]
    other = [record("b", "1", "z"), record("b", "2", None), record("a", "1", "x"), record("a", "2", "other")]
    same = same_answers(one, other)
    assert (same.mean, same.n) == (0.5, 4)


def speed(plain_s: float) -> Speed:
    ours, plain = Way([], 12.0, 10.0, 4.0), Way([], plain_s, 40.0, 40.0)
    return Speed(200, 4, 1000, [ours, ours], [plain, plain], [2.0, 2.0], wilson_interval(199, 200))


def test_the_ratio_is_told_with_the_search_and_without_and_so_is_the_target() -> None:
    text = speed_section(speed(60.0))
    assert "| the whole evaluation | 60.0 (60.0 to 60.0) | 12.0 (12.0 to 12.0) | 5.0 (5.0 to 5.0) |" in text
    assert "| writing replies alone | 40.0 (40.0 to 40.0) | 4.0 (4.0 to 4.0) | 10.0 (10.0 to 10.0) |" in text
    assert "seconds of the cores | 40.0 (40.0 to 40.0) | 10.0 (10.0 to 10.0) | 4.0 (4.0 to 4.0) |" in text
    assert "reading passages | 38.0 (38.0 to 38.0) | 8.0 (8.0 to 8.0) | 4.8 (4.8 to 4.8) |" in text
    assert "times as fast; reached" in text
    assert "times as fast; **missed**" in speed_section(speed(59.0))


def test_a_single_value_has_no_range() -> None:
    assert (spread([2.0]), spread([3.0, 1.0, 2.0])) == ("2.0", "2.0 (1.0 to 3.0)")


def test_detectors_are_rated_by_the_clock_and_the_slowest_row_counts() -> None:
    (rate,) = measure_detectors(["explicit"], {"ours": ROWS}, repeats=1)
    assert (rate.count, rate.claims, rate.words) == (1, 2, 12)
    assert rate.per_minute[0] > 0
    text = detectors_section(
        [Rate(name, "a", 10, 90, 20, [rate], [2 * rate]) for name, rate in (("fast", 5000.0), ("slow", 999.0))]
    )
    assert "| fast | a | 10 | 9 | 2.0 | 5,000 | 10,000 |" in text
    assert "**missed**" in text


def test_the_scripted_judge_answers_what_the_tools_ask() -> None:
    given = json.dumps({"question": "q", "answer": "It is blue. It is new."})
    assert verdict_of(RAGAS.format(given)) == {"statements": ["It is blue.", "It is new."]}
    mend = json.dumps({"output_string": "Sure!", "prompt_value": RAGAS.format(given)})
    mended = verdict_of(RAGAS.format(mend))
    assert mended is not None
    assert json.loads(mended["text"]) == verdict_of(RAGAS.format(given))
    judged = verdict_of(RAGAS.format(json.dumps({"context": "c", "statements": ["a", "b"]})))
    assert judged is not None
    assert [s["verdict"] for s in judged["statements"]] == [1, 1]
    assert verdict_of(DEEPEVAL) == {"claims": ["It is blue.", "It is new."]}
    verdicts = verdict_of(VERDICTS)
    assert verdicts is not None
    assert len(verdicts["verdicts"]) == 2
    assert verdict_of("Tell me a joke") is None


def test_a_broken_reply_is_not_what_was_asked_for() -> None:
    text = json.dumps(verdict_of(DEEPEVAL))
    for way in range(len(BREAKS)):
        spoiled = broken(text, way=way)
        try:
            assert "claims" not in json.loads(spoiled)
        except ValueError:
            assert spoiled != text


def test_the_same_replies_are_broken_in_every_run_and_asking_again_may_help() -> None:
    asked = [f"{DEEPEVAL}{n}" for n in range(200)]
    first, second = Judge(broken_share=0.3), Judge(broken_share=0.3)
    once = [first.reply(prompt) for prompt in asked]
    assert once == [second.reply(prompt) for prompt in asked]
    assert once != [first.reply(prompt) for prompt in asked]
    whole = Judge(broken_share=0.0)
    spoiled = sum(text != whole.reply(prompt) for text, prompt in zip(once, asked, strict=True))
    assert 40 <= spoiled <= 80
    assert first.traffic.calls == 400


def test_the_judge_serves_what_clients_of_openai_expect() -> None:
    judge = Judge(broken_share=0.0)
    parts = [{"role": "user", "content": [{"type": "text", "text": DEEPEVAL}]}]
    with judge_server(judge) as url:
        body = json.dumps({"model": "m", "messages": parts}).encode()
        with urlopen(Request(f"{url}/chat/completions", body, {"Content-Type": "application/json"})) as reply:
            found = json.loads(reply.read())
    assert json.loads(found["choices"][0]["message"]["content"]) == verdict_of(DEEPEVAL)
    assert (judge.traffic.calls, judge.traffic.prompt_chars) == (1, len(DEEPEVAL))


class Tool:
    """Scores 1 where the answer is long, NaN elsewhere."""

    def load(self, endpoint: Endpoint) -> None:
        self.url = endpoint.url

    def score(self, items: Sequence[Item]) -> list[Outcome]:
        return [outcome(1.0 if len(item.answer) > 5 else math.nan) for item in items if item.answer]


def run(tool: Tool, rows: Sequence[Row], folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    write_rows(rows, folder / "answers.jsonl")
    given = {"answers": folder / "answers.jsonl", "url": "http://x", "model": "m", "timeout": 1, "out": folder / "out"}
    flags = [text for key, value in given.items() for text in (f"--{key}", str(value))]
    monkeypatch.setattr(sys, "argv", ["tool", *flags])
    main(tool)
    found: dict[str, object] = json.loads((folder / "out").read_text())
    return found


def test_nan_is_a_failure_and_every_answer_has_an_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Row("2", "?", "no", CONTEXTS)
    found = run(Tool(), [*ROWS, short], tmp_path, monkeypatch)["outcomes"]
    assert found == {"1": {"score": 1.0, "error": ""}, "2": {"score": None, "error": "NaN"}}
    assert summed_up(found) == {"NaN": 1}  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="2 answers, 1 outcomes"):
        run(Tool(), [*ROWS, Row("3", "?", "", CONTEXTS)], tmp_path, monkeypatch)


def test_failures_are_counted_by_kind() -> None:
    errors = ["ValidationError: a", "ValidationError: b", "TimeoutError", ""]
    outcomes = {str(n): {"score": None, "error": text} for n, text in enumerate(errors)}
    assert summed_up(outcomes | {"x": {"score": 0.0, "error": ""}}) == {
        "ValidationError": 2, "TimeoutError": 1, "no score": 1,
    }  # fmt: skip


def test_rows_are_read_as_written_and_contexts_may_be_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_rows(ROWS, path)
    assert read_rows(path) == ROWS
    path.write_text(json.dumps({"question": "q", "answer": "a", "contexts": [{"text": "c"}]}) + "\n")
    assert read_rows(path) == [Row("1", "q", "a", ("c",))]
    path.write_text('{"question": "q"}\n')
    with pytest.raises(DataError, match="line 1"):
        read_rows(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_rows(tmp_path / "none")


def test_the_report_tells_calls_failures_and_what_judged() -> None:
    judge = Judge(broken_share=0.1)
    judge.reply(DEEPEVAL)
    theirs = Turn("T 1", "scripted", 4, 2.0, 1.0, wilson_interval(1, 4), {"NaN": 1}, judge.traffic)
    text = judges_section([ours(ROWS, "explicit"), theirs])
    assert "| groundtone, explicit | none |" in text
    assert "| T 1 | scripted | 0.5000 | 1.0 | 0.25 [" in text
    assert "- T 1, scripted: NaN (1)" in text
    assert render([text], about="Here.").startswith("# Evaluation side by side\n\nWritten by `make bench-eval`")


def test_every_tool_has_pinned_requirements_without_torch() -> None:
    for _, package in TOOLS.values():
        lines = (REQUIREMENTS / f"{package}.txt").read_text(encoding="utf-8").splitlines()
        assert any(line.startswith(f"{package}==") for line in lines)
        assert all("==" in line and not line.startswith("torch") for line in lines)
