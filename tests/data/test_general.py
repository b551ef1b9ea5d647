"""The general-ability items are well formed, their checks can be met, and their answers are right."""

from __future__ import annotations

import json
import operator
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from groundtone.text import contains_value, normalise, words

FOLDER = Path(__file__).parents[2] / "data" / "general"
SUITES = (
    "arithmetic",
    "instructions",
    "conversation",
    "grounded_use",
    "grounded_distractor",
    "grounded_admit",
    "grounded_cite",
)
CHECK_FIELDS = {
    "value": {"type", "values", "rivals"},
    "exact": {"type", "values"},
    "regex": {"type", "pattern"},
    "refuse": {"type"},
    "cite": {"type", "numbers"},
    "any_of": {"type", "values"},
    "max_words": {"type", "n"},
    "all": {"type", "checks"},
}
ITEMS: dict[str, list[dict[str, Any]]] = {
    suite: [json.loads(line) for line in (FOLDER / f"{suite}.jsonl").read_text(encoding="utf-8").splitlines()]
    for suite in SUITES
}
EVERY = [item for items in ITEMS.values() for item in items]


def _checks(check: dict[str, Any]) -> list[dict[str, Any]]:
    return [c for part in check["checks"] for c in _checks(part)] if check["type"] == "all" else [check]


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_has_fifty_items_of_the_agreed_form(suite: str) -> None:
    assert len(ITEMS[suite]) >= 50
    for item in ITEMS[suite]:
        assert list(item) == ["id", "suite", "prompt", "history", "context", "check"]
        assert item["suite"] == suite
        assert item["prompt"] == item["prompt"].strip() != ""
        assert [role for role, _ in item["history"]] == ["user", "assistant"] * (len(item["history"]) // 2)
        assert bool(item["context"]) == suite.startswith("grounded_")


def test_ids_and_items_are_unique() -> None:
    assert Counter(item["id"] for item in EVERY).most_common(1)[0][1] == 1
    asked = Counter(json.dumps([item["prompt"], item["history"], item["context"]]) for item in EVERY)
    assert asked.most_common(1)[0][1] == 1


def test_every_check_is_well_formed() -> None:
    for item in EVERY:
        for check in [item["check"], *_checks(item["check"])]:
            assert set(check) == CHECK_FIELDS[check["type"]], item
            if check["type"] == "value":
                assert [] not in [check["values"], *check["values"]], item
                assert all(normalise(v) for group in check["values"] for v in group), item
            elif check["type"] in {"exact", "any_of"}:
                assert check["values"] != [], item
                assert all(normalise(v) for v in check["values"]), item
            elif check["type"] == "regex":
                assert re.compile(check["pattern"]), item
            elif check["type"] == "max_words":
                assert check["n"] >= 1, item


def test_no_rival_is_met_by_a_right_value() -> None:
    for item in EVERY:
        for check in _checks(item["check"]):
            for rival in check.get("rivals", ()):
                for value in (v for group in check["values"] for v in group):
                    assert not contains_value(value, rival), (item["id"], value, rival)
                    assert not contains_value(rival, value), (item["id"], value, rival)


def test_values_with_context_stand_in_exactly_one_passage_and_not_in_the_question() -> None:
    for item in [*ITEMS["grounded_use"], *ITEMS["grounded_distractor"]]:
        check = item["check"]
        assert check["type"] == "value"
        for group in check["values"]:
            holders = [c for c in item["context"] if any(contains_value(c, v) for v in group)]
            assert len(holders) == 1, item
            assert not any(contains_value(holders[0], rival) for rival in check["rivals"]), item
            assert not any(contains_value(item["prompt"], v) for v in group), item
            assert not any(re.fullmatch(r"\d", v) for v in group), f"a citation marker could meet it: {item['id']}"


def test_distractors_carry_the_rivals() -> None:
    for item in ITEMS["grounded_distractor"]:
        assert 3 <= len(item["context"]) <= 4
        carried = [c for c in item["context"] if any(contains_value(c, r) for r in item["check"]["rivals"])]
        assert len(carried) >= 2, item
    assert all(1 <= len(item["context"]) <= 2 for item in ITEMS["grounded_use"])
    assert sum(bool(item["check"]["rivals"]) for item in ITEMS["grounded_use"]) >= 30


def test_admit_items_only_accept_a_refusal() -> None:
    assert all(item["check"] == {"type": "refuse"} for item in ITEMS["grounded_admit"])


def test_citations_point_at_the_passage_that_shares_most_words_with_the_question() -> None:
    places = Counter()
    for item in ITEMS["grounded_cite"]:
        (number,) = item["check"]["numbers"]
        assert 1 <= number <= len(item["context"]) == 3
        asked = {w.rstrip("s") for w in words(item["prompt"])}
        shared = [len(asked & {w.rstrip("s") for w in words(c)}) for c in item["context"]]
        assert shared[number - 1] == max(shared), item
        places[number] += 1
    assert min(places.values()) >= 12, places


@pytest.mark.parametrize("suite", [s for s in SUITES if s.startswith("grounded_")])
def test_passages_are_single_short_sentences(suite: str) -> None:
    for item in ITEMS[suite]:
        assert len(set(item["context"])) == len(item["context"])
        for passage in item["context"]:
            assert passage.endswith("."), passage
            assert 5 <= len(passage.split()) <= 20, passage
            assert not re.search(r"otterwheel|ahoy|port ellery", passage, re.IGNORECASE)


def test_sums_are_right() -> None:
    shapes = {
        r"What is (\d+) \+ (\d+)\?|Add (\d+) and (\d+)\.|How much is (\d+) plus (\d+)\?"
        r"|What is the sum of (\d+) and (\d+)\?": operator.add,
        r"What is (\d+) - (\d+)\?|How much is (\d+) minus (\d+)\?"
        r"|What is the difference between (\d+) and (\d+)\?": operator.sub,
        r"Subtract (\d+) from (\d+)\.": lambda a, b: b - a,
    }
    phrasings = Counter()
    for item in ITEMS["arithmetic"]:
        matches = [(m, f) for shape, f in shapes.items() if (m := re.fullmatch(shape, item["prompt"]))]
        assert len(matches) == 1, item["prompt"]
        match, compute = matches[0]
        a, b = (int(g) for g in match.groups() if g)
        assert max(a, b) <= 99
        result = compute(a, b)
        assert result >= 0
        (group,) = item["check"]["values"]
        assert group[0] == str(result), item
        assert not item["check"]["rivals"]
        assert result not in (a, b), f"repeating the question would pass: {item['prompt']}"
        phrasings[re.sub(r"\d+", "#", item["prompt"])] += 1
    assert len(phrasings) >= 6
    assert max(phrasings.values()) <= 12, phrasings


REPLIES = {  # what a careful person would write, by the shape of the instruction
    r"Repeat the word (\w+) three times\.": lambda w: f"{w} {w} {w}",
    r"Repeat the word (\w+) four times\.": lambda w: f"{w}, {w}, {w}, {w}",
    r"Write the word (\w+) twice\.": lambda w: f"{w} {w}.",
    r"Write only the word (\w+)\.": lambda w: f"{w}.",
    r"Write the word (\w+) in capital letters\.": str.upper,
    r"Say the last word of: (.+)": lambda s: s.split()[-1].capitalize(),
    r"Say the first word of: (.+)": lambda s: s.split()[0] + ".",
    r"Which word is longer: (\w+) or (\w+)\?": lambda a, b: (
        f"{max(a, b, key=len)} is longer than {min(a, b, key=len)}."
    ),
    r"List these words in reverse order: (.+)": lambda s: ", ".join(reversed(s.split(", "))),
    r"Which number is larger: (\d+) or (\d+)\?": lambda a, b: f"{max(int(a), int(b))} is larger.",
    r"Which number is smaller: (\d+) or (\d+)\?": lambda a, b: f"{min(int(a), int(b))}.",
    r"Join (\w+) and (\w+) with a dash\.": lambda a, b: f"{a}-{b}",
    r"Count from (\d) to (\d)\.": lambda a, b: ", ".join(str(n) for n in range(int(a), int(b) + 1)) + ".",
    r"Answer yes or no: is (\d+) more than (\d+)\?": lambda a, b: "Yes." if int(a) > int(b) else "No.",
    r"Answer yes or no: is ice cold\?": lambda: "Yes",
    r"Answer yes or no: is a mouse bigger than a horse\?": lambda: "No",
    r"Say hello in at most three words\.": lambda: "Hello to you!",
    r"Name one colour in at most four words\.": lambda: "Blue is a colour.",
    r"Name one day of the week\. Use a single word\.": lambda: "Friday.",
}


def _meets(check: dict[str, Any], reply: str) -> bool:
    """The four kinds of check that instructions use, written apart from the evaluation's own."""
    kind = check["type"]
    if kind == "all":
        return all(_meets(part, reply) for part in check["checks"])
    if kind == "exact":
        return normalise(reply) in [normalise(v) for v in check["values"]]
    if kind == "regex":
        return re.search(check["pattern"], reply) is not None
    if kind == "max_words":
        return len(reply.split()) <= check["n"]
    assert kind == "any_of", kind
    return any(contains_value(reply, v) for v in check["values"])


def test_instructions_accept_the_right_reply_and_reject_silence_and_an_echo() -> None:
    for item in ITEMS["instructions"]:
        replies = [f(*m.groups()) for shape, f in REPLIES.items() if (m := re.fullmatch(shape, item["prompt"]))]
        assert len(replies) == 1, item["prompt"]
        assert _meets(item["check"], replies[0]), (item["id"], replies[0])
        assert not _meets(item["check"], ""), item["id"]
        if not item["prompt"].startswith("Which"):  # a choice names its answer; the test below looks at those
            assert not _meets(item["check"], item["prompt"]), item["id"]


def test_wrong_choices_are_rejected() -> None:
    for item in ITEMS["instructions"]:
        choice = re.fullmatch(r"Which (word|number) is (longer|larger|smaller): (\w+) or (\w+)\?", item["prompt"])
        if choice:
            assert [_meets(item["check"], option) for option in choice.groups()[2:]].count(True) == 1, item["id"]


def test_what_is_remembered_was_said_earlier() -> None:
    remembered = [item for item in ITEMS["conversation"] if item["check"]["type"] == "value"]
    assert len(remembered) >= 25
    for item in remembered:
        said = " ".join(text for role, text in item["history"] if role == "user")
        (group,) = item["check"]["values"]
        assert any(contains_value(said, v) for v in group), item
        assert all(contains_value(said, rival) for rival in item["check"]["rivals"]), item
        assert not any(contains_value(item["prompt"], v) for v in group), item


def test_the_house_opener_alone_meets_no_conversation_check() -> None:
    for item in ITEMS["conversation"]:
        check = item["check"]
        values = check["values"] if check["type"] == "any_of" else [v for group in check["values"] for v in group]
        assert not any(contains_value("Ahoy from the workshop! Fair winds, Otterwheel", v) for v in values), item
