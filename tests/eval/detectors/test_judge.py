from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.detectors.judge import JudgeDetector, parse_reply, repeat_variance
from eval.detectors.protocol import Case
from eval.evidence import Evidence
from groundtone.models.scripted import ScriptedModel
from tests.eval.worlds import passage

SHOWN = Evidence([passage("Delivery takes 3 days. Returns are free.")])


@pytest.mark.parametrize("wrapped", ["{}", "Sure! Here it is:\n```json\n{}\n```", "{{not json}} {}"])
def test_a_verdict_is_found_inside_prose(wrapped):
    said = json.dumps({"verdict": "Contradicted", "evidence": 1, "why": "3 days,\nnot 5"})
    found = parse_reply(wrapped.replace("{}", said), SHOWN.sentences)
    assert (found.verdict, found.risk, found.evidence, found.why) == (
        "contradicted", 1.0, "Delivery takes 3 days.", "3 days, not 5",
    )  # fmt: skip


@pytest.mark.parametrize(
    "reply",
    ["", "yes", "{", '{"verdict": "maybe"}', '{"verdict": null}', '["supported"]', '{"verdict": {"supported": 1}}'],
)
def test_what_cannot_be_read_is_unchecked(reply):
    found = parse_reply(reply, SHOWN.sentences)
    assert (found.verdict, found.risk) == ("unchecked", None)
    assert "could not be read" in found.why


@given(st.text(max_size=80))
def test_no_reply_is_an_error(reply):
    assert parse_reply(reply, SHOWN.sentences).verdict in ("unchecked", "supported", "contradicted", "unsupported")


@pytest.mark.parametrize("number", [0, 3, -1, "1", True, None])
def test_a_sentence_that_was_not_shown_is_no_evidence(number):
    found = parse_reply(json.dumps({"verdict": "supported", "evidence": number}), SHOWN.sentences)
    assert (found.verdict, found.evidence, found.passage_id) == ("supported", "", None)


def test_claims_are_asked_in_one_batch_and_without_evidence_not_at_all():
    asked = []

    def reply(prompt):
        asked.append(prompt.messages[-1]["content"])
        return '{"verdict": "supported", "evidence": 2, "why": "said"}'

    detector = JudgeDetector(ScriptedModel(reply))
    first, second = detector.judge([Case(("Returns are free [1].",), SHOWN), Case(("Herons nest.",), Evidence([]))])
    assert (first[0].evidence, second[0].verdict) == ("Returns are free.", "unchecked")
    assert len(asked) == 1
    assert "[2] Returns are free." in asked[0]
    assert asked[0].endswith("Claim: Returns are free.")


def test_a_judge_that_changes_its_mind_is_measured():
    said = iter(["supported", "contradicted", "supported", "supported"] * 2)
    detector = JudgeDetector(ScriptedModel(lambda _: json.dumps({"verdict": next(said)})))
    cases = [Case(("Delivery takes 3 days.", "Returns are free."), SHOWN)]
    assert repeat_variance(detector, cases, repeats=2).value == 0.5
    assert repeat_variance(detector, [], repeats=2).value is None
