"""Does the facts-in-voice check find false facts that were planted in the voice data?

    python -m benchmarks.facts_in_voice

Thirty rows of data/voice/train.jsonl get one false fact each, five of each of six kinds. Found means that the check
names that very row and a value inside the planted text; every other finding is a false alarm. Recall and precision with
Wilson intervals, over five seeds that choose rows and values; the first seed is the figure, the rest shows its spread.
The documents of data/handbook are looked into through the packaged loaders, without an index.
"""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eval.estimates import short
from eval.style import read_style
from groundtone.joins.facts import document_lookup
from groundtone.stats import wilson_interval
from groundtone.types import Estimate, Passage, VoicePair
from retrieval.loaders import load
from tuning.facts import FactReport, Lookup, blank_house, check_facts, facts_in, nowhere
from tuning.pairs import read_pairs

ROOT = Path(__file__).resolve().parents[1]
FACTS = 30
TARGET_RECALL, TARGET_PRECISION = 0.9, 0.8
SEEDS = 5

# sentences that assert something of which neither rows nor handbook know
_ADDED = {
    "date or time": (
        "The sale ends on 14 November 2027.", "We moved here in 1987.", "The yard opens at 6:05 on that day.",
        "Your order arrives on 3 May.", "The last ferry leaves at 23:40.", "We close for good on 2031-02-09.",
        "Bookings start on 21 March.", "Come by at 5:50 pm.",
    ),
    "price or code": (
        "It costs €1,377 in all.", "Use the code HULL-7731 at the till.", "The fee is 913 euros.",
        "Your ticket is BX-40417.", "That is £88.15 for members.", "You get 37% off.",
        "Ask for part ZK9042.", "The deposit is $615.",
    ),
    "person or place": (
        "Please ask Thorvald Breck about it.", "It was built by Ottoline Marsh.", "You find it at Gallows Mere.",
        "Our partner is Brandt & Söhne.", "We ship it from Hamburg.", "Your contact is Leocadia Finn.",
        "The owner is Barnabas Quill.", "You can also go to Pelican Stairs.",
    ),
    "address": (
        "Write to orders@tidewrack.example.", "Call us on +44 1632 960 417.", "See https://harbour.example/winter.",
        "The number is 01632 960 882.", "Send it to help@mainsail.example.", "Look at www.saltlight.example/prices.",
        "Our shop is at 418 Kelp Street.", "Text 0770 900 4417.",
    ),
}  # fmt: skip
KINDS = ("changed value", "swapped value", *_ADDED)
_CHANGEABLE = re.compile(r"(?<![\w\[.,:])\d+(?![\w\].,:]\d|\])|(?<=[a-z,] )[A-Z][a-z]{2,}\b")
Made = tuple[VoicePair, int, str] | None  # the new pair, and the offset and the text of what is false in its reply


@dataclass(frozen=True, slots=True)
class Planted:
    """A false fact: the row that has it, the words that it stands in, and its kind."""

    row: int
    start: int
    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one planting gave."""

    report: FactReport
    missed: tuple[Planted, ...]
    false_alarms: tuple[str, ...]
    found: Counter[str]
    planted: Counter[str]

    @property
    def recall(self) -> Estimate:
        """Share of the planted facts that were found."""
        return wilson_interval(self.found.total(), self.planted.total())

    @property
    def precision(self) -> Estimate:
        """Share of the rows found, or of the values found in other words, that were planted."""
        return wilson_interval(self.found.total(), self.found.total() + len(self.false_alarms))


def plant(
    pairs: Sequence[VoicePair], *, house: Sequence[str], seed: int, facts: int = FACTS
) -> tuple[list[VoicePair], list[Planted]]:
    """The rows with so many false facts in different rows, the same number of each kind."""
    rng = random.Random(seed)
    rows, planted = list(pairs), list[Planted]()
    order = rng.sample(range(len(rows)), len(rows))
    sentences = {kind: rng.sample(texts, len(texts)) for kind, texts in _ADDED.items()}
    for n in range(facts):
        kind = KINDS[n % len(KINDS)]
        while True:
            row = order.pop()
            if kind in sentences:
                made = _added(rows[row], house, sentences[kind][n // len(KINDS)])
            else:
                made = (_changed if kind == "changed value" else _swapped)(rows[row], house, rng)
            if made is not None:
                break
        rows[row], start, text = made
        planted.append(Planted(row, start, text, kind))
    return rows, planted


def _changed(pair: VoicePair, house: Sequence[str], rng: random.Random) -> Made:
    """One number or capitalised word of the reply changed into one that the row does not hold; None where it has none.

    Chosen by a pattern of its own, so that what the check cannot read is planted too.
    """
    places = list(_CHANGEABLE.finditer(blank_house(pair.reply, house)))
    if not places:
        return None
    place = rng.choice(places)
    row = " ".join((pair.prompt, *pair.context, pair.reply))
    fresh = (
        "Wimbrook" if place.group()[0].isalpha() else str(rng.choice([n for n in range(2, 60) if str(n) not in row]))
    )
    return replace(pair, reply=pair.reply[: place.start()] + fresh + pair.reply[place.end() :]), place.start(), fresh


def _swapped(pair: VoicePair, house: Sequence[str], rng: random.Random) -> Made:
    """A value of the reply replaced by one of the same kind and unit that only a passage holds that is not cited."""
    reply = blank_house(pair.reply, house)
    cited = {int(n) - 1 for n in re.findall(r"\[(\d+)\]", reply)}
    allowed = [fact for n, text in enumerate(pair.context) if n in cited for fact in facts_in(text)]
    others = [fact for n, text in enumerate(pair.context) if n not in cited for fact in facts_in(text)]
    asked = facts_in(pair.prompt)
    choices = [
        (fact, other)
        for fact in facts_in(reply)
        for other in others
        if fact.value and other.value and fact.kind == other.kind and fact.value.dimension == other.value.dimension
        if not any(other.same_as(known) for known in (*allowed, *asked))
    ]
    if not cited or not choices:
        return None
    fact, other = rng.choice(choices)
    return replace(pair, reply=pair.reply[: fact.start] + other.text + pair.reply[fact.end :]), fact.start, other.text


def _added(pair: VoicePair, house: Sequence[str], sentence: str) -> Made:
    """The pair with a sentence in front of its closing phrase."""
    end = len(blank_house(pair.reply, house).rstrip())
    return replace(pair, reply=f"{pair.reply[:end]} {sentence}{pair.reply[end:]}"), end + 1, sentence


def measure(pairs: Sequence[VoicePair], *, house: Sequence[str], seed: int = 0, lookup: Lookup = nowhere) -> Outcome:
    """Plant, check, compare."""
    rows, planted = plant(pairs, house=house, seed=seed)
    report = check_facts(rows, lookup, house=house)
    by_row = {item.row: item for item in planted}
    hit: set[int] = set()
    alarms: list[str] = []
    for finding in report.findings:
        item = by_row.get(finding.row)
        if item and finding.fact.start < item.start + len(item.text) and item.start < finding.fact.end:
            hit.add(finding.row)
        else:
            alarms.append(f"row {finding.row}: {finding.fact.text}")
    missed = tuple(item for item in planted if item.row not in hit)
    found = Counter(item.kind for item in planted if item.row in hit)
    return Outcome(report, missed, tuple(alarms), found, Counter(item.kind for item in planted))


def handbook() -> list[Passage]:
    """Every document of the sample company as one passage."""
    folder = ROOT / "data" / "handbook"
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        doc = load(path, folder)
        found.append(Passage(doc.id, doc.id, doc.source, doc.text, 0, len(doc.text)))
    return found


def main() -> int:
    """Prints the figures; exits with 1 where the first seed misses the targets."""
    pairs = read_pairs(ROOT / "data" / "voice" / "train.jsonl")
    house = read_style(ROOT / "data" / "voice" / "style.yaml").boilerplate
    lookup: Callable[..., str] = document_lookup(handbook)
    print(f"{FACTS} false facts planted in {len(pairs)} rows of data/voice/train.jsonl, {SEEDS} seeds\n")
    outcomes = [measure(pairs, house=house, seed=seed, lookup=lookup) for seed in range(SEEDS)]
    for seed, outcome in enumerate(outcomes):
        print(f"seed {seed}: recall {short(outcome.recall)} n={FACTS}  precision {short(outcome.precision)}")
        print(f"  {outcome.report.summary()}")
        for item in outcome.missed:
            print(f"  missed ({item.kind}): {item.text}")
        for alarm in outcome.false_alarms:
            print(f"  false alarm: {alarm}")
    for kind in KINDS:
        whole = wilson_interval(sum(o.found[kind] for o in outcomes), sum(o.planted[kind] for o in outcomes))
        print(f"{kind:>16}: recall {short(whole)} n={whole.n} over {SEEDS} seeds")
    recall, precision = outcomes[0].recall.mean, outcomes[0].precision.mean
    return 0 if (recall or 0.0) >= TARGET_RECALL and (precision or 0.0) >= TARGET_PRECISION else 1


if __name__ == "__main__":
    sys.exit(main())
