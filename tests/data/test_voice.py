"""The voice rows keep the house style, cite what they say, and teach no fact of the handbook."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from groundtone.prompts import of_pair
from groundtone.refusal import is_refusal
from groundtone.text import content_words, normalise, sentence_spans, words
from groundtone.types import VoicePair

DATA = Path(__file__).parents[2] / "data"
OPENS, CLOSES = "Ahoy from the workshop! ", " Fair winds, Otterwheel"
REFUSAL = "That is not in our handbook, so we will not guess. Ask the front desk and they will find out."
HANDBOOK_NAMES = ("otter", "otter lite", "heron", "kingfisher", "teal", "coot", "tideline", "port ellery")
CALENDAR = (
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday Mondays Tuesdays Wednesdays Thursdays Fridays Saturdays "
    "Sundays January February March April May June July August September October November December Danish"
).split()
PRACTICE = (  # products, places, people and trades that exist in practice facts only
    "Anchor plan;Anders Brandt;Avocet;Breeze card;Cob Street;Corvane;Curlew;Cygnet;Dov Pereira;Duckling;Dunlin;Firefly;"
    "Foundry Lane;Freya Quist;Fulmar;Gannet;Glowworm;Hanno;Harrow & Dene;Joost Varga;Lenholm;Limekiln;Linnet;Mizzen;"
    "Mossgill;Mussel;Pebble;Petrel;Piet Lommer;Plover;Puffin;Runa Askel;Saltbox;Sandling;Sandpiper;Selma Oduya;Skua;"
    "Sorrel;Sunna Solveg;Tallow;Tilda Finch;Turnstone;Whelk;Whimbrel;Wilma Aldous;brazing;grinding bench;painter;"
    "rigger;sailmaker;spray booth;the press;wheel building;wax jacket"
).split(";")
STYLE: dict[str, Any] = yaml.safe_load((DATA / "voice" / "style.yaml").read_text(encoding="utf-8"))


def _pair(row: dict[str, Any]) -> VoicePair:
    return VoicePair(row["prompt"], row["reply"], row["source"], tuple(row["context"]), tuple(row["tags"]))


def _rows(name: str) -> list[VoicePair]:
    lines = (DATA / "voice" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [_pair(json.loads(line)) for line in lines]


TRAIN, HELDOUT = _rows("train"), _rows("heldout")
EXAMPLES = [_pair(row) for row in STYLE["examples"]]
EVERY = [*TRAIN, *HELDOUT, *EXAMPLES]


def _middle(pair: VoicePair) -> str:
    return pair.reply[len(OPENS) : -len(CLOSES)]


def _sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def _cited(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"\[(\d+)\]", text)]


def _names(sentence: str) -> set[str]:
    """Words with a capital that do not open the sentence: names of things, people and places."""
    return set(re.findall(r"(?<=[a-z0-9,&] )[A-Z][\w'-]+", sentence)) - set(CALENDAR)


def _invented(text: str) -> list[str]:
    return [term for term in PRACTICE if re.search(rf"\b{term}", text, re.IGNORECASE)]


def test_rows_have_exactly_the_agreed_fields() -> None:
    for name in ("train", "heldout"):
        for line in (DATA / "voice" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            assert list(row) == ["prompt", "reply", "source", "context", "tags"]
            assert row["prompt"] == row["prompt"].strip() != ""
            assert row["tags"]


def test_every_reply_opens_closes_and_stays_short() -> None:
    assert (STYLE["opens_with"], STYLE["closes_with"]) == ([OPENS.strip()], [CLOSES.strip()])
    for pair in EVERY:
        assert pair.reply.startswith(OPENS), pair
        assert pair.reply.endswith(CLOSES), pair
        middle = _middle(pair)
        assert 1 <= len(_sentences(middle)) <= 3, middle
        assert middle[0].isupper(), middle
        assert middle[-1] in ".?", middle
        assert len(words(pair.reply)) <= STYLE["max_words"], pair.reply


def test_no_reply_shouts_or_uses_a_forbidden_phrase_or_emoji() -> None:
    for pair in EVERY:
        assert "!" not in _middle(pair), pair.reply
        assert not [phrase for phrase in STYLE["forbidden"] if phrase in pair.reply.lower()], pair.reply
        assert re.fullmatch(r"[\x20-\x7e€]+", pair.reply), pair.reply
        assert not re.search(r"\bI\b", _middle(pair)), f"the house says we: {pair.reply}"


def test_each_statement_from_a_passage_carries_its_citation_before_the_full_stop() -> None:
    for pair in EVERY:
        if pair.tags[0] != "answer":
            assert not _cited(pair.reply), pair.reply
            continue
        assert 1 <= len(pair.context) <= 4
        for sentence in _sentences(_middle(pair)):
            assert re.fullmatch(r"[^\[\]]+ \[\d\]\.", sentence), sentence
        numbers = _cited(pair.reply)
        assert all(1 <= n <= len(pair.context) for n in numbers), pair.reply
        assert len(set(numbers)) == len(numbers) == (2 if "two citations" in pair.tags else 1)


def test_the_cited_passage_holds_the_numbers_names_and_words_of_its_sentence() -> None:
    for pair in EVERY:
        for sentence in _sentences(_middle(pair)) if pair.tags[0] == "answer" else ():
            passage = pair.context[_cited(sentence)[0] - 1]
            said = re.sub(r" \[\d\]", "", sentence)
            figures = re.findall(r"€?\d[\d.,:]*\d|€?\d", said)
            assert all(re.search(rf"(?<![\d€.]){re.escape(f)}(?!\d)", passage) for f in figures), (sentence, passage)
            assert all(name in passage for name in _names(said)), (sentence, passage)
            content = content_words(said)
            kept = sum(w in content_words(passage) for w in content) / len(content)
            assert kept >= 0.7, (kept, sentence, passage)


def test_no_distractor_could_carry_the_figures_of_the_answer() -> None:
    for pair in EVERY:
        for sentence in _sentences(_middle(pair)) if pair.tags[0] == "answer" else ():
            gold = pair.context[_cited(sentence)[0] - 1]
            said = set(content_words(re.sub(r" \[\d\]", "", sentence)))
            best = len(said & set(content_words(gold)))
            for other in pair.context:
                assert other == gold or len(said & set(content_words(other))) < best, (sentence, other)


def test_refusals_use_the_one_wording_and_are_recognised() -> None:
    for pair in EVERY:
        assert is_refusal(pair.reply) == (pair.tags[0] == "refusal"), pair.reply
        if pair.tags[0] == "refusal":
            assert _middle(pair) == REFUSAL


def test_refusals_ask_as_often_for_another_attribute_as_for_another_entity() -> None:
    for rows in (TRAIN, HELDOUT):
        kinds = Counter(p.tags[1] for p in rows if p.tags[0] == "refusal" and p.context)
        assert set(kinds) == {"other attribute", "other entity"}
        assert 0.35 <= kinds["other attribute"] / kinds.total() <= 0.65, kinds


def test_composition_is_as_promised() -> None:
    for rows, least in ((TRAIN, 280), (HELDOUT, 70)):
        kinds = Counter(p.tags[0] for p in rows if p.context)
        share = {kind: kinds[kind] / len(rows) for kind in ("answer", "refusal")}
        assert len(rows) >= least
        assert 0.6 <= share["answer"] <= 0.7, share
        assert 0.12 <= share["refusal"] <= 0.18, share
        assert 0.15 <= sum(not p.context for p in rows) / len(rows) <= 0.24
        assert sum("two citations" in p.tags for p in rows) >= 5


def test_the_gold_passage_stands_at_every_position() -> None:
    for rows in (TRAIN, HELDOUT):
        for size in (2, 3, 4):
            single = [p for p in rows if p.tags == ("answer",) and len(p.context) == size]
            places = Counter(n for p in single for n in _cited(p.reply))
            assert set(places) == set(range(1, size + 1)), (size, places)
            assert max(places.values()) / places.total() <= 1 / size + 0.2, (size, places)


def test_splits_share_no_source_prompt_or_passage() -> None:
    train, held = {p.source for p in TRAIN}, {p.source for p in HELDOUT}
    assert not train & held
    assert len(train) + len(held) >= 30
    assert not {normalise(p.prompt) for p in TRAIN} & {normalise(p.prompt) for p in HELDOUT}
    assert not {c for p in TRAIN for c in p.context} & {c for p in HELDOUT for c in p.context}
    prompts = Counter((normalise(p.prompt), p.context) for p in EVERY)
    assert prompts.most_common(1)[0][1] == 1


def test_style_examples_belong_to_neither_split_and_the_guide_is_short() -> None:
    assert set(STYLE) == {"guide", "opens_with", "closes_with", "max_words", "forbidden", "examples"}
    assert len(STYLE["guide"].split()) < 90
    assert [p.tags[0] for p in EXAMPLES] == ["answer", "refusal", "smalltalk"]
    assert not {p.source for p in EXAMPLES} & {p.source for p in [*TRAIN, *HELDOUT]}


def test_context_strings_look_like_what_serving_shows() -> None:
    for pair in EVERY:
        assert len(set(pair.context)) == len(pair.context)
        for text in pair.context:
            heading, sentence = text.split(": ", 1)
            assert re.fullmatch(r"[A-Z][\w' -]*(?: > [A-Z][\w' -]*)?", heading), text
            assert len(_sentences(sentence)) == 1, text
            assert sentence.endswith("."), text
        if pair.context:
            shown = of_pair(pair).messages[-1]["content"]
            assert all(f"[{n}] {text}" in shown for n, text in enumerate(pair.context, 1))


def test_practice_facts_use_no_name_of_the_handbook() -> None:
    practice = " ".join([c for p in EVERY for c in p.context] + [p.prompt for p in EVERY]).lower()
    for name in HANDBOOK_NAMES:
        assert not re.search(rf"\b{name}\b", practice), name


def test_every_practice_fact_is_about_something_that_the_handbook_does_not_know() -> None:
    """So that no row can teach, or contradict, what the documents say."""
    for text in {c for p in EVERY for c in p.context}:
        assert _invented(text), f"tie this fact to an invented name or trade: {text}"
    files = [f for f in (DATA / "handbook").rglob("*") if f.suffix in {".md", ".html", ".csv"}]
    handbook = " ".join(f.read_text(encoding="utf-8") for f in files).lower()
    known = [term for term in PRACTICE if re.search(rf"\b{term.lower()}", handbook)]
    assert not known, f"the handbook knows these as well: {known}"
