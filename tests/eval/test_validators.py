"""Every validator: what keeps the rule, what breaks it and where, and rules that are no rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics.format import CITES, format_faults, house_format
from eval.style import Style, read_style
from eval.validators import VALIDATORS, faults, read_rules
from groundtone.errors import DataError
from tests.eval.worlds import answer, passage, question

SCHEMA = {"type": "object", "required": ["price"], "properties": {"price": {"type": "integer"}}}
CASES = [
    ({"kind": "regex", "pattern": r"\[\d+\]"}, "It is 3 [1].", "It is 3.", "It is 3."),
    ({"kind": "regex", "pattern": "(?i)asap", "must": "not match"}, "Soon.", "Come ASAP now.", "ASAP"),
    ({"kind": "json_schema", "schema": SCHEMA}, '```json\n{"price": 3}\n```', '{"price": "3"}', '"price":'),
    ({"kind": "headings", "required": ["Steps", "Cost"]}, "# Steps\na\n## Cost\nb", "# Cost\na\n# Steps\nb", ""),
    ({"kind": "headings", "max_level": 1}, "# One\ntext", "# One\n### Deep\ntext", "### Deep"),
    ({"kind": "length", "max": 3}, "One two three [1].", "One two [1] three four", "four"),
    ({"kind": "length", "unit": "sentences", "max": 1}, "It is so.", "It is so. And more.", "And more."),
    ({"kind": "length", "unit": "characters", "min": 4}, "Well, it is.", "No.", "No."),
    ({"kind": "banned", "phrases": ["as per"]}, "As perfect as can be.", "It is, As  per rule, so.", "As  per"),
    ({"kind": "required", "phrases": ["thank you"]}, "Thank you!", "Thanks!", "Thanks!"),
    ({"kind": "glossary", "terms": {"customer": "client"}}, "A client.", "Our Customers win.", "Customers"),
    ({"kind": "opening", "phrases": ["Ahoy", "Hi"]}, " Hi there", "Hello there", "Hell"),
    ({"kind": "closing", "phrases": ["Bye"]}, "It is. Bye\n", "It is. See you", "you"),
]


@pytest.mark.parametrize(("rule", "good", "bad", "place"), CASES)
def test_a_rule_holds_or_names_the_place(rule: dict[str, object], good: str, bad: str, place: str) -> None:
    (read,) = read_rules([rule], where="style.yaml")
    assert faults(read, good) == []
    found = faults(read, bad)
    assert found
    assert bad[found[0].start : found[0].end] == place
    assert found[0].why


def test_every_kind_of_the_table_has_a_case() -> None:
    assert {case[0]["kind"] for case in CASES} == set(VALIDATORS)


@given(st.text(max_size=80))
def test_places_lie_in_the_text_whatever_it_is(text: str) -> None:
    for rule in read_rules([case[0] for case in CASES], where="x"):
        for fault in faults(rule, text) or ():
            assert 0 <= fault.start <= fault.end <= len(text)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"kind": "magic"}, "validator 1: .*'magic'"),
        ({"kind": "regex", "pattern": "("}, "validator 1, pattern: .*regular expression"),
        ({"kind": "json_schema", "schema": {"type": "objct"}}, "no JSON schema"),
        ({"kind": "length", "min": 3, "max": 1}, "max is 1, below min 3"),
        ({"kind": "headings", "required": 4}, "validator 1, required"),
        ({"kind": "banned", "phrases": ["a"], "words": 1}, "validator 1, words: Extra"),
        ("x", "validator 1"),
    ],
)
def test_what_is_no_rule_is_named(tmp_path: Path, rule: object, says: str) -> None:
    path = tmp_path / "style.yaml"
    path.write_text(json.dumps({"validators": [rule]}))
    with pytest.raises(DataError, match=says):
        read_style(path)


@pytest.mark.parametrize("ref", ["https://example.org/x.json", "#/$defs/none", "other.json"])
def test_a_schema_leads_nowhere_else(ref: str) -> None:
    with pytest.raises(DataError, match="leads nowhere in the schema; nothing is fetched"):
        read_rules([{"kind": "json_schema", "schema": {"items": {"$ref": ref}}}], where="x")
    inside = {"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n"}
    (rule,) = read_rules([{"kind": "json_schema", "schema": inside}], where="x")
    assert faults(rule, "3") == []
    assert faults(rule, "true")


def test_a_rule_for_refusals_is_not_asked_of_answers() -> None:
    (rule,) = read_rules([{"kind": "required", "phrases": ["front desk"], "applies": "refusals"}], where="x")
    assert faults(rule, "It is 3.") is None
    assert faults(rule, "I do not know.", refused=True)


def test_the_short_fields_and_the_validators_make_one_format() -> None:
    rules = read_rules([{"kind": "glossary", "terms": {"customer": "client"}, "name": "our words"}], where="x")
    style = Style(opens_with=("Ahoy!",), max_words=9, validators=rules)
    asked = question(0)
    replied = answer(asked, "Ahoy! Every customer pays €10 [1].", [passage("Every customer pays €10.")])
    found = format_faults(style, replied)
    assert list(found) == ["opening: phrases Ahoy!", "length: max 9", "our words", CITES]
    assert [title for title, broken in found.items() if broken] == ["our words"]
    score = house_format(style)(asked, replied)
    assert score.value == 0
    assert "our word is 'client'" in score.why
