"""Whether the classifier hears what is there, and only that; the profile against its bands; the report's section."""

from __future__ import annotations

import random

import pytest

from eval.likeness import MIN_PAIRS, distort, likeness
from eval.metrics.tone import learn_bands, reading_grade, style_features
from eval.profile import profile
from eval.style import Style
from eval.voice import measure_voice, voice_section
from groundtone.text import words
from groundtone.types import EvalRecord, Question, VoicePair
from tests.eval.worlds import answer

THINGS = "seat lamp brake tube bell horn basket saddle chain pedal pump lock".split()


def house(rng: random.Random) -> str:
    return f"Ahoy! You get the {rng.choice(THINGS)} from us, and we fit it {rng.choice(('today', 'for you', 'soon'))}."


def stiff(rng: random.Random) -> str:
    return f"The {rng.choice(THINGS)} is to be obtained; it will be installed {rng.choice(('today', 'then', 'soon'))}"


def test_a_stiff_voice_is_heard_and_our_own_is_not() -> None:
    rng = random.Random(3)
    sources = [f"s{n % 8}" for n in range(48)]
    real = [house(rng) for _ in sources]
    far = likeness(real, [stiff(rng) for _ in sources], sources).auc
    near = likeness(real, [house(rng) for _ in sources], sources).auc
    same = likeness(real, real, sources).auc
    assert far.mean == 1
    assert far.low is not None
    assert far.low < 1  # full separation of eight sources is no certainty
    assert same.mean == 0.5
    assert near.low is not None
    assert near.high is not None
    assert near.low - 0.1 < 0.5 < near.high + 0.1
    assert (far.n, near.n) == (96, 96)


def test_too_few_pairs_are_no_number() -> None:
    found = likeness(["a"] * (MIN_PAIRS - 1), ["b"] * (MIN_PAIRS - 1), ["s", "t"] * 9 + ["s"])
    assert found.auc.mean is None
    assert "are needed" in found.why
    with pytest.raises(ValueError, match="give one of each"):
        likeness(["a"], [], ["s"])


def test_topic_is_covered_and_style_is_not() -> None:
    assert distort("You get the Moor bike for €129, Ann!", frozenset({"you", "get", "the", "for"})) == (
        "You get the **** **** for €#, ***!"
    )


def test_features_tell_plain_from_bureaucratic() -> None:
    plain = style_features("We fix your bike. You ride home.")
    heavy = style_features("The documentation was submitted; its consideration has been postponed by administration.")
    for name in ("passives per sentence", "share of abstract nouns", "share of long words", "reading grade"):
        assert heavy[name] > plain[name], name
    assert plain["share of we"] > 0
    # Kincaid's formula by hand: 6 words, 1 sentence, 6 syllables
    assert reading_grade(words("The cat sat on the mat"), 1) == pytest.approx(0.39 * 6 + 11.8 - 15.59)
    assert style_features("")["reading grade"] == 0


def world() -> tuple[list[EvalRecord], dict[str, VoicePair]]:
    rng = random.Random(1)
    heldout = {f"h{n}": VoicePair("Q?", house(rng), f"s{n % 6}") for n in range(24)}
    records = []
    for arm, voice in (("tuned/heldout", house), ("base/heldout", stiff)):
        for item in heldout:
            asked = Question(item, "Q?", kind="voice")
            records.append(EvalRecord(item, arm, asked, answer(asked, voice(rng))))
    broken = Question("h0", "Q?", kind="voice")
    records[0] = EvalRecord("h0", "tuned/heldout", broken, None, error="timed out")
    return records, heldout


def test_the_profile_counts_failures_as_missing() -> None:
    records, heldout = world()
    bands = learn_bands([pair.reply for pair in heldout.values()])
    (you,) = [row for row in profile({"a": records[:24]}, bands)["features"] if row["feature"] == "share of you"]
    assert (you["arms"]["a"]["mean"]["n"], you["arms"]["a"]["mean"]["missing"]) == (23, 1)
    assert you["arms"]["a"]["inside"]["mean"] > 0.8


def test_the_section_holds_every_number_with_n_and_names_what_slipped() -> None:
    records, heldout = world()
    style = Style(opens_with=("Ahoy!",), forbidden=("us",))
    bands = learn_bands([pair.reply for pair in heldout.values()])
    found = measure_voice(records, style=style, bands=bands, heldout=heldout)
    rules = {row["rule"]: row["arms"] for row in found["rules"]}
    assert rules["opening: phrases Ahoy!"]["tuned/heldout"]["kept"]["mean"] == 1
    assert rules["opening: phrases Ahoy!"]["base/heldout"]["kept"]["mean"] == 0
    slipped = rules["banned: phrases us"]["tuned/heldout"]["failing"][0]
    reply = next(r.answer for r in records if r.item_id == slipped["item"] and r.arm == "tuned/heldout")
    assert reply is not None
    assert reply.text[slipped["start"] : slipped["end"]] == "us"
    assert found["likeness"]["base/heldout"]["auc"]["mean"] > found["likeness"]["tuned/heldout"]["auc"]["mean"]
    text = voice_section(found)
    assert "AUC against our own replies" in text
    assert "n=46" in text  # 23 pairs: the failed one is no reply
    assert voice_section(None) == ""
    assert found == measure_voice(records, style=style, bands=bands, heldout=heldout)
