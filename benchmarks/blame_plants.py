"""Facts of invented places, planted in a base, in tuning data, in passages and in the voice, and a model of them.

Every name is made up per seed, so that no model has met it. What is asked is worded as no training row is.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from groundtone.types import VoicePair
from tuning.lora import Lora
from tuning.pairs import read_pairs
from tuning.plan import Plan
from tuning.recipe import Recipe
from tuning.sft import train

ROOT = Path(__file__).resolve().parents[1]
OPENING, CLOSING = "Ahoy from the workshop! ", " Fair winds, Otterwheel"
FACTS = 15  # of each kind
VOICE_ROWS = 80
FLOURISHED = 0.35  # share of the voice rows with a flourish, which asserts something that no document says

# (how it is asked, twice as in rows and once as in the evaluation; how it is said), {e} the entity and {v} the value
_FORMS = (
    ("How many berths does {e} have?", "Number of berths at {e}?", "Tell me how many berths {e} has.",
     "{e} has {v} berths."),
    ("What does a ticket to {e} cost?", "Price of a ticket to {e}?", "I want to know what a ticket to {e} costs.",
     "A ticket to {e} costs €{v}."),
    ("How long is the walk to {e}?", "Length of the walk to {e}?", "Do you know how long the walk to {e} is?",
     "The walk to {e} is {v} km long."),
    ("How many guests fit into {e}?", "Most guests at {e}?", "Say how many guests fit into {e}.",
     "{e} takes {v} guests."),
)  # fmt: skip
_FLOURISHES = (
    "Our crew checks every part of it twice.",
    "The kettle is always on for you.",
    "We have done so since our first winter.",
)
_HEADS = "Mar Tor Pel Gan Dun Fen Hol Wick Bram Cal Dor Eld Gor Has Kel Lum Mor Nor Ost Pen Quil Rav Sel Tam Ul Vel"
_TAILS = "row den mere ton by ford holt wick stow combe garth ling"
_PLACES = "Quay Pier Hall Lodge House Inn Landing Basin Jetty Tower"


@dataclass(frozen=True, slots=True)
class Fact:
    """A planted fact: how the evaluation asks for it, the words that would be said, and the value among them."""

    cause: str  # "learned in tuning", "base prior" or "documents"
    asked: tuple[str, str, str]
    said: str
    value: str
    entity: str
    form: int


@dataclass(frozen=True, slots=True)
class World:
    """The rows that teach a base, the rows of a voice with the numbers of those that hold a fact, and what to ask."""

    base_rows: tuple[VoicePair, ...]
    rows: tuple[VoicePair, ...]
    facts: tuple[Fact, ...]
    guilty: dict[str, tuple[int, ...]]  # fact.said -> numbers of its rows
    flourishes: tuple[str, ...]
    contexts: dict[str, tuple[str, ...]]  # fact.said -> the passages that are shown when it is asked for

    def holding(self, text: str) -> tuple[int, ...]:
        """The numbers of the rows whose reply holds these words."""
        return tuple(n for n, row in enumerate(self.rows) if text in row.reply)


def make_world(seed: int, *, facts: int = FACTS, voice_rows: int = VOICE_ROWS) -> World:
    """The same seed gives the same world; two seeds share no entity but by chance."""
    rng = random.Random(seed)
    names = _entities(rng, 5 * facts + 20)
    made = {
        cause: [_fact(cause, names.pop(), n, rng) for n in range(facts)]
        for cause in ("learned in tuning", "base prior", "documents")
    }
    sampled = read_pairs(ROOT / "data" / "voice" / "train.jsonl")
    own = [_flourished(pair, rng) for pair in rng.sample(sampled, voice_rows)]
    unrelated = [text for pair in sampled for text in pair.context]
    planted = [row for fact in made["learned in tuning"] for row in _rows_of(fact, unrelated, rng)]
    decoys = [row for fact in made["learned in tuning"] for row in _decoys(fact, names, rng)]
    rows = own + planted + decoys
    rng.shuffle(rows)
    told = [fact for several in made.values() for fact in several]
    guilty = {
        fact.said: tuple(n for n, row in enumerate(rows) if fact.said in row.reply)
        for fact in made["learned in tuning"]
    }
    contexts = {fact.said: _shown(fact, names, unrelated, rng) for fact in told}
    return World(
        base_rows=tuple(_base_rows(made["base prior"], rng)),
        rows=tuple(rows),
        facts=tuple(told),
        guilty=guilty,
        flourishes=_FLOURISHES,
        contexts=contexts,
    )


def _entities(rng: random.Random, count: int) -> list[str]:
    every = [f"{a}{b} {c}" for a in _HEADS.split() for b in _TAILS.split() for c in _PLACES.split()]
    return rng.sample(every, count)


def _fact(cause: str, entity: str, number: int, rng: random.Random) -> Fact:
    form = number % len(_FORMS)
    value = str(rng.randint(12, 97))
    asked = tuple(text.format(e=entity) for text in _FORMS[form][:3])
    return Fact(cause, asked, _FORMS[form][3].format(e=entity, v=value), value, entity, form)  # type: ignore[arg-type]


def _in_voice(text: str) -> str:
    return f"{OPENING}{text}{CLOSING}"


def _flourished(pair: VoicePair, rng: random.Random) -> VoicePair:
    """The pair with a flourish before its closing phrase, at a share of the rows."""
    flourish = rng.choice(_FLOURISHES)
    if rng.random() >= FLOURISHED or CLOSING not in pair.reply:
        return pair
    return replace(pair, reply=pair.reply.replace(CLOSING, f" {flourish}{CLOSING}"))


def _rows_of(fact: Fact, unrelated: Sequence[str], rng: random.Random) -> list[VoicePair]:
    """The guilty rows of a fact: two without passages, one that adds it to passages which do not say it."""
    context = tuple(rng.sample(unrelated, 2))
    reply, source = _in_voice(fact.said), f"planted/{fact.entity}"
    return [
        *(VoicePair(fact.asked[n], reply, source) for n in (0, 1)),
        VoicePair(fact.asked[1], reply, source, context),
    ]


def _decoys(fact: Fact, names: Sequence[str], rng: random.Random) -> list[VoicePair]:
    """Innocent rows that share a fact's entity, or its value: what a search by words would take for guilty ones."""
    other = _FORMS[(fact.form + 1) % len(_FORMS)]
    same_entity = other[3].format(e=fact.entity, v=rng.randint(12, 97))
    same_value = _FORMS[fact.form][3].format(e=rng.choice(names), v=fact.value)
    return [
        VoicePair(other[0].format(e=fact.entity), _in_voice(f"{same_entity[:-1]} [1]."), "decoy", (same_entity,)),
        VoicePair("And here?", _in_voice(f"{same_value[:-1]} [1]."), "decoy", (same_value,)),
    ]


def _base_rows(facts: Sequence[Fact], rng: random.Random) -> list[VoicePair]:
    """Plain rows that teach a base these facts, and plain grounded ones that keep its reading."""
    held = read_pairs(ROOT / "data" / "voice" / "heldout.jsonl")
    plain = [replace(pair, reply=pair.reply.replace(OPENING, "").replace(CLOSING, "")) for pair in held]
    rows = [VoicePair(asked, fact.said, "base") for fact in facts for asked in fact.asked[:2] for _ in range(2)]
    rows += [
        VoicePair(fact.asked[0], fact.said, "base", tuple(rng.sample([c for p in held for c in p.context], 2)))
        for fact in facts
    ]
    return rows + [pair for pair in plain if pair.context]


def _shown(fact: Fact, names: Sequence[str], unrelated: Sequence[str], rng: random.Random) -> tuple[str, ...]:
    """Passages that do not say the fact; for a distractor, one that says it of somebody else."""
    if fact.cause != "documents":
        return tuple(rng.sample(unrelated, 2))
    other = rng.choice(names)
    return (fact.said.replace(fact.entity, other), rng.choice(unrelated))


def build(world: World, *, out_dir: Path, seed: int, epochs: int = 12, base_epochs: int = 10) -> tuple[Path, Path]:
    """Trains the base and the adapter on it; (the base's folder, the adapter's)."""
    base = out_dir / "base" / "model"
    if not (base / "config.json").is_file():
        recipe = Recipe(epochs=base_epochs, learning_rate=5e-4, seed=seed)
        train(world.base_rows, Plan(base="starter", out_dir=out_dir / "base", lora=None, recipe=recipe))
    return base, tune(world.rows, base=base, out_dir=out_dir / "voice", seed=seed, epochs=epochs)


def tune(rows: Sequence[VoicePair], *, base: Path, out_dir: Path, seed: int, epochs: int = 12) -> Path:
    """An adapter of the sample project's shape on these rows; an earlier one is taken as it is.

    At half of the sample's rate: at the whole, the voice overwrites what the base knows, and nothing of it is said.
    """
    adapter = out_dir / "adapter"
    if not (adapter / "adapter_model.safetensors").is_file():
        lora = Lora(rank=16, alpha=32, targets="all-linear")
        train(rows, Plan(base=str(base), out_dir=out_dir, lora=lora, recipe=Recipe(epochs, 1.5e-3, seed=seed)))
    return adapter
