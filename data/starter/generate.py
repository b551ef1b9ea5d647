"""Training rows for the starter: prompts as `groundtone.prompts` writes them, and the replies that it should learn.

`rows(seed, level)` never ends. Level 0 shows one passage with one fact; level 4 shows up to five passages with headings,
table rows, compound sentences and look-alike names. Every reply to a grounded question copies the sentence that
answers it and puts the passage's number before the full stop, or refuses.

Where the folder of public data is there (GROUNDTONE_SHARED, default ../shared), real questions over real paragraphs
are mixed in; articles are held out by the hash of their title, so that reading can be measured on unseen ones.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.starter import frames, skills
from groundtone import prompts
from groundtone.text import contains_value, content_words, sentence_spans
from groundtone.types import Prompt, short_hash

TOP_LEVEL = 4
LEADS = (
    "From {m}, |In {m}, |For members, |As a rule, |At present, |By agreement, |This year, |In most cases, |On request, |"
    "Since {m}, |During the season, |For new customers, |Inside the city, |If nothing else is agreed, "
).split("|")
TAILS = (
    ", including tax| on working days|, also during holidays| for everyone| unless we agree otherwise|, as long as stocks last|"
    " in every season| when booked online|, and no exceptions are made|, rain or shine| for the first year| per person|"
    ", as shown on the receipt| at all our sites"
).split("|")
FILLERS = (
    "We are glad to help.|This page was checked in {m}.|Please keep a copy for your records.|Most people find this easy.|"
    "Our guests tell us that they like it.|Nobody has to do this alone.|The rules changed a little last year.|"
    "Safety comes first in everything we do.|A friendly word goes a long way.|You can read more on the notice board.|"
    "The team wrote this page together.|It has worked well for years.|Ask when something is unclear."
).split("|")
GENERIC = (
    "access level|altitude|annual fee|average score|base rate|battery type|bonus|booking fee|brake type|cancellation fee|"
    "case number|catalogue number|cleaning fee|completion date|contract length|cooling time|core hours|cost centre|cover limit|"
    "daily rate|depth|diameter|door code|energy use|entry fee|exam date|expiry date|export limit|file size|final score|"
    "fuel type|gear count|grade|ground clearance|guest limit|handling fee|heat setting|height|hourly rate|inspection date|"
    "interest rate|inventory number|invoice limit|item number|key number|kilometre rate|launch date|licence number|life span|"
    "limit|line number|lot size|maintenance cost|meal allowance|membership fee|mileage|minimum order|minimum stay|model year|"
    "noise level|order limit|output|overtime rate|parking fee|pass mark|password length|pay grade|penalty|planned cost|"
    "postal code|power|print run|processing time|production time|purchase price|quota|reference|refund limit|rent|repair cost|"
    "replacement cost|retention period|review date|risk level|room number|salary|sample size|scale|score|seat height|"
    "serial number|setup fee|shelf life|shipping cost|sick pay|spare part number|spending limit|staff count|starting salary|"
    "stock level|storage fee|target|tariff|term|ticket price|time limit|tolerance|training fee|transfer fee|trial period|"
    "trip allowance|turning circle|vacation carry-over|visitor count|volume|waiting list|waiting time|wage|water depth|"
    "wheel size|width|wind limit|working temperature"
).split("|")
SENTENCE_STARTS = (
    "The ",
    "A ",
    "We ",
    "You ",
    "On ",
    "Ask ",
    "Write ",
    "Call ",
    "Use ",
    "Keep ",
    "Store ",
    "Order ",
    "Allow ",
    "Plan ",
    "Members ",
    "Everyone ",
    "Staff ",
    "Returns ",
    "Questions ",
    "Requests ",
    "Delivery ",
    "Approval ",
    "Tighten ",
    "Book ",
    "Doors ",
    "Last ",
    "There ",
    "Being ",
    "Each ",
    "At ",
    "Hand ",
    "Without ",
)
_GENERIC_VALUES = (
    frames.money,
    frames.days,
    frames.date,
    frames.code,
    frames.percent,
    frames.measure("kg", "km", "mm", "W", "m", "hours"),
    frames.count(1, 5000),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt, its reply, and what kind of skill it teaches."""

    prompt: Prompt
    reply: str
    kind: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence, the questions that it answers, and what it is about."""

    sentence: str
    questions: tuple[str, ...]
    entity: str
    label: str
    kind: str


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def make_frame(rng: random.Random) -> frames.Frame:
    """One of the written frames, or (one in three) a generic attribute with an invented value."""
    if rng.random() < 0.67:
        return rng.choice(frames.FRAMES)
    a = rng.choice(GENERIC)
    return frames.Frame(
        a,
        rng.choice(("any", "item", "topic", "place", "team")),
        rng.choice(_GENERIC_VALUES),
        (
            f"The {a} of {{e}} is {{v}}",
            f"The {a} for {{e}} is {{v}}",
            f"{{e}} has a {a} of {{v}}",
            f"{{v}} is the {a} of {{e}}",
            f"We set the {a} for {{e}} at {{v}}",
        ),
        (
            f"What is the {a} of {{e}}?",
            f"What is the {a} for {{e}}?",
            f"Which {a} does {{e}} have?",
            f"{a} of {{e}}?",
            f"Tell me the {a} of {{e}}.",
        ),
    )


def make_fact(rng: random.Random, frame: frames.Frame, entity: str, *, level: int) -> Fact:
    value = frame.value(rng)
    template = rng.choice(frame.statements)
    sentence = template.format(e=entity, v=value)
    if level >= 2 and rng.random() < 0.35:
        if rng.random() < 0.5:
            opening = (
                sentence
                if sentence.startswith(entity) or not template.startswith(SENTENCE_STARTS)
                else sentence[0].lower() + sentence[1:]
            )
            sentence = rng.choice(LEADS).format(m=rng.choice(frames.MONTHS)) + opening
        else:
            sentence += rng.choice(TAILS)
    return Fact(
        capital(sentence) + ".", tuple(q.format(e=entity) for q in frame.questions), entity, frame.label, frame.kind
    )


def compound(rng: random.Random, first: Fact, second: Fact) -> Fact | None:
    """Two facts about one entity in one sentence; it answers the questions of both."""
    subject = capital(first.entity)
    if not (first.sentence.startswith(subject + " ") and second.sentence.startswith(subject + " ")):
        return None
    sentence = first.sentence[:-1] + " and" + second.sentence[len(subject) :]
    return Fact(sentence, rng.choice((first.questions, second.questions)), first.entity, first.label, first.kind)


def look_alike(rng: random.Random, entity: str, kind: str) -> str:
    """Another name of the same kind; for products often one that differs in its number or suffix only."""
    base = re.sub(r" (?:\d+S?|Lite|Max|Mini|Pro)$", "", entity)
    if not entity.startswith("the ") and kind in ("item", "any") and entity[0].isupper() and rng.random() < 0.5:
        for _ in range(5):
            other = base + rng.choice((" 2", " 3", " 4", " 2S", " Lite", " Max", " Mini", " Pro", ""))
            if other != entity:
                return other
    return rng.choice(frames.KINDS[kind])(rng)


def phrase(rng: random.Random, question: str) -> str:
    """A question as people type it."""
    roll = rng.random()
    if roll < 0.06:
        question = question.lower()
    elif roll < 0.12:
        question = question.rstrip("?")
    elif roll < 0.20:
        question = (
            rng.choice(
                ("Hi, ", "Hello! ", "Quick question: ", "Please tell me: ", "A customer asks: ", "Do you know: ")
            )
            + question[0].lower()
            + question[1:]
        )
    return capital(question) if roll >= 0.06 else question


def with_marker(sentence: str, number: int) -> str:
    """The sentence with its citation before the full stop."""
    sentence = sentence.rstrip()
    end = sentence[-1] if sentence[-1] in ".!?" else "."
    return f"{sentence.rstrip('.!?')} [{number}]{end}"


def headed(rng: random.Random, sentences: list[str], title: str, *, level: int) -> str:
    """A snippet as serving shows it: "Title > Section: sentences"."""
    text = " ".join(sentences)
    if level < 2 or rng.random() < 0.25:
        return text
    section = rng.choice(
        (
            capital(rng.choice(frames.ACTIVITIES)),
            "Overview",
            "Details",
            "Costs",
            "Rules",
            "At a glance",
            capital(rng.choice(frames.QUALITIES)) + " notes",
        )
    )
    return rng.choice((f"{title}: ", f"{title} > {section}: ", f"{title} > {section}: ")) + text


def grounded_row(rng: random.Random, level: int) -> Row:
    """A question over one to five invented passages; a refusal in three of ten, half of them near misses."""
    frame = make_frame(rng)
    entity = rng.choice(frames.KINDS[frame.kind])(rng)
    n = 1 if level == 0 else rng.randint(1 if rng.random() < 0.2 else min(2, level), level + 1)
    gold = make_fact(rng, frame, entity, level=level)
    fillers = [_distractor(rng, frame, entity, gold, level) for _ in range(n - 1)]
    question = phrase(rng, rng.choice(gold.questions))
    refuse = rng.random() < 0.30
    if refuse:
        gold_slot = _distractor(rng, frame, entity, gold, level, near=True)
    else:
        gold_slot = gold
        if level >= 2 and rng.random() < 0.2:
            other = make_fact(rng, _other_frame(rng, frame), entity, level=0)
            gold_slot = compound(rng, gold, other) or gold
    facts = ranked(rng, gold_slot, fillers)
    number = next(i for i, fact in enumerate(facts, 1) if fact is gold_slot)
    texts = [_passage(rng, fact, gold, level) for fact in facts]
    prompt = prompts.grounded(question, prompts.context_snippets(texts))
    return (
        Row(prompt, prompts.REFUSAL, "refuse")
        if refuse
        else Row(prompt, with_marker(gold_slot.sentence, number), "grounded")
    )


def ranked(rng: random.Random, gold: Any, others: list[Any]) -> list[Any]:
    """As a search would return them: the right one is first in six of ten rows, anywhere in the rest."""
    order = [*others]
    order.insert(0 if rng.random() < 0.5 else rng.randint(0, len(others)), gold)
    return order


def _passage(rng: random.Random, fact: Fact, gold: Fact, level: int) -> str:
    sentences = [fact.sentence]
    if level >= 2 and rng.random() < 0.4:
        extra = rng.choice(FILLERS).format(m=rng.choice(frames.MONTHS))
        if rng.random() < 0.6 and level >= 3:
            frame = _other_frame(rng, gold)
            entity = (
                fact.entity
                if rng.random() < 0.5 and fact.kind in (frame.kind, "any")
                else rng.choice(frames.KINDS[frame.kind])(rng)
            )
            extra = make_fact(rng, frame, entity, level=0).sentence
        sentences.insert(rng.randint(0, 1), extra)
    title = capital(fact.entity) if rng.random() < 0.5 else capital(rng.choice(frames.KINDS["any"])(rng))
    return headed(rng, sentences, title, level=level)


def _other_frame(rng: random.Random, than: frames.Frame | Fact) -> frames.Frame:
    """A frame with another label, of the same kind where one turns up."""
    other = make_frame(rng)
    for _ in range(12):
        if other.label != than.label and other.kind == than.kind:
            break
        other = make_frame(rng)
    return other if other.label != than.label else frames.FRAMES[0 if than.label != "price" else 1]


def _distractor(
    rng: random.Random, frame: frames.Frame, entity: str, gold: Fact, level: int, *, near: bool = False
) -> Fact:
    """A fact that does not answer the question: another attribute of the entity, or the attribute of another entity."""
    roll = rng.random()
    if roll < (0.5 if near else 0.3):
        other = _other_frame(rng, gold)
        return make_fact(rng, other, entity, level=level)
    if roll < (0.92 if near else 0.75):
        other_name = look_alike(rng, entity, frame.kind)
        return make_fact(rng, frame, other_name if other_name != entity else other_name + " 9", level=level)
    other = _other_frame(rng, gold)
    return make_fact(rng, other, rng.choice(frames.KINDS[other.kind])(rng), level=level)


def table_row(rng: random.Random, level: int) -> Row:
    """A question over rows of a table, spelled out as serving spells them; the reply names the row and the cell."""
    kind = rng.choice(("item", "topic", "place"))
    chosen = rng.sample(
        [f for f in frames.FRAMES if f.kind in (kind, "any") and f.value is not frames.name], rng.randint(2, 4)
    )
    key = {
        "item": ("Model", "Item", "Product", "Part"),
        "topic": ("Service", "Topic", "Case"),
        "place": ("Site", "Place", "Location"),
    }[kind]
    first, title = rng.choice(key), capital(rng.choice(frames.KINDS["any"])(rng))
    entity = rng.choice(frames.KINDS[kind])(rng)
    names = [entity]
    while len(names) < min(level + 1, rng.randint(1, 4)):
        other = look_alike(rng, entity, kind)
        if other not in names:
            names.append(other)
    names = ranked(rng, entity, names[1:])
    columns = [capital(f.label) for f in chosen]
    rows, reply = [], prompts.REFUSAL
    asked = rng.randrange(len(chosen))
    for number, row_name in enumerate(names, 1):
        cells = [f.value(rng) for f in chosen]
        shown = capital(row_name.removeprefix("the "))
        body = "; ".join([f"{first}: {shown}", *(f"{c}: {v}" for c, v in zip(columns, cells, strict=True))])
        rows.append(f"{title}: {body}")
        if row_name == entity:
            reply = f"{first}: {shown}; {columns[asked]}: {cells[asked]} [{number}]."
    if rng.random() < 0.25:
        wrong = _other_frame(rng, chosen[asked])
        if wrong.label not in {f.label for f in chosen}:
            chosen[asked], reply = wrong, prompts.REFUSAL
    question = phrase(rng, rng.choice(chosen[asked].questions).format(e=entity))
    return Row(
        prompts.grounded(question, prompts.context_snippets(rows)),
        reply,
        "table" if reply != prompts.REFUSAL else "refuse",
    )


def two_facts_row(rng: random.Random, level: int) -> Row:
    """One question for two facts that stand in two passages."""
    f1, f2 = rng.sample(frames.FRAMES, 2)
    facts = [make_fact(rng, f, rng.choice(frames.KINDS[f.kind])(rng), level=0) for f in (f1, f2)]
    q1, q2 = (rng.choice(f.questions).rstrip("?.") for f in facts)
    order = [*facts, *(_distractor(rng, f1, facts[0].entity, facts[0], level) for _ in range(max(0, level - 2)))]
    rng.shuffle(order)
    question = f"{q1}, and {q2[0].lower()}{q2[1:]}?"
    reply = " ".join(with_marker(f.sentence, 1 + next(i for i, o in enumerate(order) if o is f)) for f in facts)
    texts = [headed(rng, [f.sentence], capital(f.entity), level=level) for f in order]
    return Row(prompts.grounded(phrase(rng, question), prompts.context_snippets(texts)), reply, "two facts")


def reading_row(rng: random.Random, items: list[Reading], level: int) -> Row:
    """A real question over sentences of its real paragraph, or of another one (then it is refused)."""
    item = rng.choice(items)
    if item.gold is None and rng.random() < 0.8:  # near misses in real prose are beyond this size: a few are enough
        item = rng.choice(items)
    swapped = item.gold is None or rng.random() < 0.12
    source = rng.choice(items) if swapped and item.gold is not None else item
    everything = list(range(len(source.sentences)))
    rng.shuffle(everything)
    if swapped or item.gold is None:
        picked = everything[: level + 1]
    else:
        others = [i for i in everything if i != item.gold]
        picked = ranked(rng, item.gold, others[: rng.randint(0, level)])
    texts = [f"{source.title}: {source.sentences[i]}" if rng.random() < 0.7 else source.sentences[i] for i in picked]
    prompt = prompts.grounded(
        capital(item.question) if rng.random() < 0.7 else item.question, prompts.context_snippets(texts)
    )
    if source is not item or item.gold is None:
        return Row(prompt, prompts.REFUSAL, "refuse")
    return Row(prompt, with_marker(item.sentences[item.gold], 1 + picked.index(item.gold)), "reading")


@dataclass(frozen=True, slots=True)
class Reading:
    """A real question; `gold` is the index of the sentence that holds the answer, None where none does."""

    question: str
    sentences: tuple[str, ...]
    gold: int | None
    title: str


def held_out(title: str) -> bool:
    """Whether an article or policy is kept apart for measuring (about half of them)."""
    return int(short_hash(title), 16) % 2 == 0


def read_reading(shared: Path, *, test: bool = False) -> list[Reading]:
    """Questions of qed_nq (train), squad2_open and policyqa; empty where the folder of public data is absent."""
    if not shared.is_dir():
        return []
    items: list[Reading] = []
    for file in sorted((shared / "data/qa/qed_nq").glob("nq-train-*")) if not test else []:
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row.get("answer_text"):
                items += _reading(
                    row["question_text"],
                    _detokenise(row["paragraph_text"]),
                    _detokenise(row["answer_text"][0]),
                    row["title_text"],
                )
    squad = json.loads((shared / "data/qa/squad2_open/squad2_open.json").read_text(encoding="utf-8"))
    with gzip.open(shared / "data/qa/policyqa/dev.json.gz", "rt", encoding="utf-8") as file:
        policies = json.load(file)
    for article in [*squad["data"], *policies["data"]]:
        if held_out(article["title"]) == test:
            for paragraph in article["paragraphs"]:
                for qa in paragraph["qas"]:
                    answer = qa["answers"][0]["text"] if qa["answers"] and not qa.get("is_impossible") else None
                    items += _reading(qa["question"], paragraph["context"], answer, article["title"].replace("_", " "))
    return items


def _reading(question: str, text: str, answer: str | None, title: str) -> list[Reading]:
    sentences = tuple(" ".join(text[a:b].split()) for a, b in sentence_spans(text))
    sentences = tuple(s for s in sentences if 12 <= len(s) <= 260)[:14]
    if answer is None:
        return [Reading(question, sentences, None, title)] if sentences else []
    holding = [i for i, s in enumerate(sentences) if contains_value(s, answer) or answer in s]
    if not holding:
        return []
    asked = set(content_words(question))
    gold = max(holding, key=lambda i: len(asked & set(content_words(sentences[i]))))
    return [Reading(question, sentences, gold, title)]


def _detokenise(text: str) -> str:
    """Natural Questions is stored with spaces around its punctuation."""
    text = re.sub(r" ([.,;:!?%)\]])", r"\1", text)
    text = re.sub(r"([(\[$€£]) ", r"\1", text)
    text = re.sub(r"(\w) (n't|'s|'re|'ve|'ll|'d)\b", r"\1\2", text)
    return re.sub(r"`` | ''", '"', text).replace(" -- ", " – ")


def shared_folder() -> Path:
    default = Path(__file__).resolve().parents[3] / "shared"
    return Path(os.environ.get("GROUNDTONE_SHARED", default))


def rows(seed: int, level: int) -> Iterator[Row]:
    """Rows without end. Three of ten are easier than `level`, so that what was learned stays learned."""
    rng = random.Random(seed)
    items = read_reading(shared_folder())
    while True:
        at = level if rng.random() < 0.7 else rng.randint(0, level)
        roll = rng.random()
        if at >= 1 and roll < 0.08:
            yield table_row(rng, at)
        elif at >= 2 and roll < 0.12:
            yield two_facts_row(rng, at)
        elif items and at >= 2 and roll < 0.34:
            yield reading_row(rng, items, at)
        elif roll < (0.64 if at >= 2 else 0.24):
            prompt, reply, kind = skills.row(rng)
            yield Row(prompt, reply, kind)
        else:
            yield grounded_row(rng, at)
