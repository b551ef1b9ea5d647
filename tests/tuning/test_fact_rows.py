"""Masked and randomised rows: they teach nothing, they still copy, and formats, dates and order stay valid."""

from __future__ import annotations

import random
import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.style import read_style
from groundtone.types import Turn, VoicePair
from tuning.exchange import exchanges
from tuning.fact_rows import rewrite, to_json_lines
from tuning.facts import check_facts, facts_in
from tuning.made_up import rename
from tuning.pairs import citation_problem, read_pairs

DATA = Path(__file__).resolve().parents[2] / "data" / "voice"
HOUSE = ("Ahoy from the workshop!", "Fair winds, Otterwheel")


def rows(*pairs: VoicePair, mode: str = "randomise", seed: int = 0) -> tuple[VoicePair, ...]:
    made = rewrite(
        pairs, check_facts(pairs, house=HOUSE), mode="mask" if mode == "mask" else "randomise", seed=seed, house=HOUSE
    )
    return made.pairs


def moved(text: str, *, seed: int = 0) -> list[str]:
    """New texts of all values of a sentence, in order."""
    facts = facts_in(text)
    found = exchanges(facts, facts, rng=random.Random(seed))
    return [found.get((f.kind, f.value.dimension if f.value else "", f.key, f.text), f.text) for f in facts]


def test_masking_takes_out_what_teaches_and_what_leans_on_it() -> None:
    reply = (
        "Ahoy from the workshop! It takes 3 days [1]. It costs €7. That is fair. We are glad. Fair winds, Otterwheel"
    )
    only = "Ahoy from the workshop! It costs €7. Fair winds, Otterwheel"
    context = ("It takes 3 days.",)
    made = rows(VoicePair("?", reply, "s", context), VoicePair("?", only, "s"), mode="mask")
    assert [pair.reply for pair in made] == [
        "Ahoy from the workshop! It takes 3 days [1]. We are glad. Fair winds, Otterwheel"
    ]
    assert made[0].context == context


def test_a_shared_value_is_exchanged_in_prompt_context_and_reply_alike() -> None:
    old = VoicePair(
        "is the plover 3 ok for 14 days?",
        "Ahoy from the workshop! Yes, your Plover 3 is yours for two weeks [1]. Fair winds, Otterwheel",
        "s",
        ("Hire: The Plover 3 can be kept for 14 days.", "Hire: The Gannet can be kept for 20 days."),
    )
    (new,) = rows(old)
    days = [int(n) for n in re.findall(r"(\d+) days", " ".join((new.prompt, *new.context)))]
    weeks = re.search(r"for (\w+) weeks", new.reply)
    assert weeks is not None
    assert days[0] == days[1] != 14
    assert days[0] % 7 == 0, "said in weeks too"
    assert days[1] < days[2], "the Gannet is still kept longer"
    assert "Plover" not in " ".join((new.reply, *new.context))
    assert "plover" not in new.prompt
    assert "Gannet" in new.context[1]
    assert check_facts([new], house=HOUSE).findings == ()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("It costs €49.90 now", r"€\d+\.\d\d"),
        ("It costs EUR 49.90 now", r"EUR \d+\.\d\d"),
        ("It costs 1,250 euros now", r"(\d,)?\d{3} euros"),
        ("It takes 3 days now", r"\d days"),
        ("It takes five weeks now", r"[a-z]+ weeks"),
        ("You get 60% off", r"\d{2}%"),
        ("It runs at 7:40 now", r"\d{1,2}:\d\d"),
        ("It runs at 7 pm now", r"\d{1,2} [ap]m"),
        ("It comes on Wednesdays now", r"[A-Z][a-z]+days"),
        ("It starts on 03.04.2026 now", r"\d\d\.\d\d\.\d{4}"),
        ("It starts on the 3rd of May 2026 now", r"\d{1,2}(st|nd|rd|th) of [A-Z][a-z]+ 202\d"),
        ("The code is AB-1234 now", r"[A-Z]{2}-\d{4}"),
        ("Call +44 1632 960 417 now", r"\+44 \d{4} \d{3} \d{3}"),
        ("Write to desk@otter.example now", r"[a-z]+@otter\.example"),
    ],
)
def test_another_value_keeps_unit_and_format(text: str, pattern: str, seed: int) -> None:
    old = [fact.text for fact in facts_in(text)]
    new = moved(text, seed=seed)
    assert len(new) == 1
    assert new != old
    assert re.fullmatch(pattern, new[0])


@given(st.dates(date(2000, 3, 1), date(2040, 12, 1)), st.integers(0, 99))
def test_dates_stay_valid_and_on_their_weekday(day: date, seed: int) -> None:
    (new,) = moved(f"It starts on {day.isoformat()} here", seed=seed)
    assert date.fromisoformat(new) != day
    assert date.fromisoformat(new).weekday() == day.weekday()


@given(st.lists(st.integers(2, 500), min_size=1, max_size=6, unique=True), st.integers(0, 99))
@settings(deadline=None)
def test_amounts_of_one_unit_keep_their_order(amounts: list[int], seed: int) -> None:
    text = ", ".join(f"box {chr(97 + n)} has {amount} litres" for n, amount in enumerate(amounts))
    new = [int(value.split()[0]) for value in moved(text, seed=seed)]
    assert sorted(range(len(new)), key=new.__getitem__) == sorted(range(len(new)), key=amounts.__getitem__)
    assert len(set(new)) == len(new)


def test_times_move_together() -> None:
    old, new = ["7:40", "11:20"], moved("It runs from 7:40 to 11:20 here")
    minutes = [[int(h) * 60 + int(m) for h, m in (value.split(":") for value in some)] for some in (old, new)]
    assert minutes[1][1] - minutes[1][0] == minutes[0][1] - minutes[0][0]
    assert new != old


def test_names_keep_their_kind_their_shape_and_the_house() -> None:
    found = rename(
        ["Foundry Lane", "Plover 3S", "Ada Finch", "Otterwheel"],
        taken="",
        house="Fair winds, Otterwheel",
        rng=random.Random(1),
    )
    assert "Lane" not in found
    assert "Otterwheel" not in found
    assert found["Ada"][0] in "AEIOU", "an Ada, an Elvane"
    assert re.fullmatch(rf"{found['Plover']} \d[A-Z]", found["Plover 3S"])
    assert len(set(found.values())) == len(found)


def test_the_sample_voice_randomised_still_copies_and_repeats_by_seed() -> None:
    pairs = read_pairs(DATA / "train.jsonl")
    house = read_style(DATA / "style.yaml").boilerplate
    report = check_facts(pairs, house=house)
    made = rewrite(pairs, report, mode="randomise", seed=3, house=house)
    assert check_facts(made.pairs, house=house).findings == ()
    assert len(made.pairs) == len(pairs) - len(made.dropped)
    assert len(made.randomised) > len(pairs) / 2
    assert all(not citation_problem(pair.reply, len(pair.context)) for pair in made.pairs)
    assert all(pair.reply.startswith(house[0]) and pair.reply.endswith(house[1]) for pair in made.pairs)
    assert rewrite(pairs, report, mode="randomise", seed=3, house=house) == made
    assert rewrite(pairs, report, mode="randomise", seed=4, house=house).pairs != made.pairs
    kept = [row for row in range(len(pairs)) if row not in made.dropped]
    for row, new in zip(kept, made.pairs, strict=True):
        if row in made.randomised:
            old = pairs[row]
            assert [len(re.findall(r"\[\d+\]", t)) for t in (old.reply, new.reply)] in ([1, 1], [2, 2])
            assert len(facts_in(new.reply)) == len(facts_in(old.reply)), (old.reply, new.reply)


def test_rows_are_written_so_that_they_are_read_again(tmp_path: Path) -> None:
    plain = VoicePair("Hello?", "Hi.", "s", ("One.",), ("tag",))
    talked = VoicePair(
        "And 3 days?", "Yes, 3 days [1].", "s", ("It is 3 days.",), (), (Turn("user", "Hi"), Turn("assistant", "Ho"))
    )
    for pairs in ((plain,), (plain, talked)):
        path = tmp_path / f"{len(pairs)}.jsonl"
        path.write_text(to_json_lines(pairs))
        assert read_pairs(path) == pairs


def test_what_was_said_before_moves_along() -> None:
    before = (Turn("user", "Is it 3 days?"), Turn("assistant", "It is 3 days."))
    (new,) = rows(VoicePair("Really 3 days?", "Yes, 3 days [1].", "s", ("It is 3 days.",), (), before))
    texts = [*(turn.text for turn in new.history), new.prompt, new.reply, *new.context]
    found = {match[1] for text in texts if (match := re.search(r"(\d+) days", text))}
    assert len(found) == 1
    assert found != {"3"}
