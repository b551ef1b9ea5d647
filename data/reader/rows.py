"""Rows that teach the reader: questions with a passage and the span that answers them, or with none.

    python -m data.reader.rows PUBLIC_DATA --out data/reader/.groundtone/rows --rounds 3

reads squad2_open, policyqa, qed_nq and the extractive parts of t0_p3_sample below PUBLIC_DATA and writes train.jsonl
and heldout.jsonl. To people's questions come questions made by rule (`made_rows`) and invented companies
(`house_rows`). Held out by document: two Wikipedia articles, four websites, and the dev part of qed_nq. The same
seed gives the same files.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.reader.hard_negatives import changed_question, lexical_neighbours, without_answer
from data.reader.house_rows import house_rows
from data.reader.items import Item, Paragraph
from data.reader.made_rows import made_rows, textbooks
from groundtone.files import write_atomic
from groundtone.text import sentence_spans

HELD_ARTICLES = {"Construction", "Scottish_Parliament"}
HELD_SITES = {"cariboucoffee.com", "fool.com", "mlb.mlb.com", "washingtonian.com"}
SHORTEST, LONGEST = 40, 130  # words of a passage, as an index cuts them


def squad(folder: Path) -> Iterator[Item]:
    """Wikipedia paragraphs; half of the questions were written by people so that the paragraph does not answer."""
    for article in json.loads((folder / "qa/squad2_open/squad2_open.json").read_text(encoding="utf-8"))["data"]:
        title = article["title"].replace("_", " ")
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                source = f"squad2_open/{article['title']}"
                if qa["is_impossible"]:
                    yield Item(qa["question"], paragraph["context"], -1, "", source, title, "human none")
                else:
                    answer = min(qa["answers"], key=lambda a: len(a["text"]))
                    yield Item(
                        qa["question"],
                        paragraph["context"],
                        answer["answer_start"],
                        answer["text"],
                        source,
                        title,
                        spellings=tuple(dict.fromkeys(a["text"] for a in qa["answers"])),
                    )


def policyqa(folder: Path) -> Iterator[Item]:
    """Privacy policies; answers are clauses and sentences."""
    with gzip.open(folder / "qa/policyqa/dev.json.gz", "rt", encoding="utf-8") as file:
        for site in json.load(file)["data"]:
            for paragraph in site["paragraphs"]:
                for qa in paragraph["qas"]:
                    answer = qa["answers"][0]
                    yield Item(
                        qa["question"],
                        paragraph["context"],
                        answer["answer_start"],
                        answer["text"],
                        f"policyqa/{site['title']}",
                        f"Privacy policy of {site['title']}",
                        spellings=tuple(dict.fromkeys(a["text"] for a in qa["answers"])),
                    )


def natural_questions(folder: Path, pattern: str) -> Iterator[Item]:
    """Questions typed into a search engine; Wikipedia text in tokens, joined again as people write."""
    for path in sorted((folder / "qa/qed_nq").glob(pattern)):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            spans = _answer_spans(row)
            if len(spans) != 1:
                continue
            start, end = spans[0]
            text = row["paragraph_text"]
            before, inside = _joined(text[:start]), _joined(text[start:end]).strip()
            before = before if not before or before.endswith((" ", "(", "“")) or not inside else before + " "
            context = (before + inside + _joined(" " + text[end:])).rstrip()
            if context[len(before) : len(before) + len(inside)] == inside and inside:
                yield Item(
                    row["question_text"], context, len(before), inside, f"qed_nq/{row['title_text']}", row["title_text"]
                )


def _answer_spans(row: dict[str, Any]) -> list[tuple[int, int]]:
    """Train rows name the spans; dev rows list several people's, of which the shortest of the first is taken."""
    if "answer_spans" in row:
        return [(a, b) for a, b in row["answer_spans"]]
    given = row.get("original_nq_answers") or [[]]
    if any(len(answer) != 1 for answer in given):
        return []
    shortest = min((answer[0] for answer in given), key=lambda part: part["end"] - part["start"])
    return [(shortest["start"], shortest["end"])]


def _joined(text: str) -> str:
    """Tokens -> text: " ," and "( 1994 )" lose their blanks."""
    text = re.sub(r"``\s?|\s?''", '"', text)
    text = re.sub(r" ([,.;:!?%)\]’]|'s\b|n't\b)", r"\1", text)
    return re.sub(r"([(\[$“]) ", r"\1", text)


_P3 = (
    ("adversarial_qa/*_based_on", r"Question: (?P<q>.+?)\nContext: (?P<c>.+)"),
    ("adversarial_qa/*_answer_the_following_q", r'passage\s+"(?P<c>.+)",\s+answer the.+?Question: (?P<q>.+)'),
    ("adversarial_qa/*_question_context_answer", r'Question: "(?P<q>.+?)"\s+Context: "(?P<c>.+)"\s+Answer:'),
    ("adversarial_qa/*_tell_what_it_is", r'question "(?P<q>.+?)" is in "(?P<c>.+)"\. Can you'),
    ("quoref/*_Given_Context_Answer_Question", r"(?P<q>.+?)\n\n.+?\n\n(?P<c>.+)"),
    ("quoref/*_Answer_Question_Given_Context", r"context:\s+(?P<c>.+)\s+answer the following question:\s+(?P<q>.+)"),
    ("quoref/*_Read_And_Extract_", r"question: (?P<q>.+?\?):?\s+(?P<c>.+)"),
    ("ropes/*_background_new_situation_answer", r"background: (?P<c>.+)\s+Answer this question please: (?P<q>.+)"),
    ("ropes/*_prompt_bottom_hint_beginning", r"Background: (?P<c>.+)\s+Given the paragraph above.+?: (?P<q>.+)"),
    ("duorc_SelfRC/*_extract_answer", r"Question: (?P<q>.+?)\nTitle: .+?\nMovie plot: (?P<c>.+)"),
    ("duorc_SelfRC/*_answer_question", r"Question: (?P<q>.+?)\nMovie plot title: .+?\nMovie plot: (?P<c>.+)"),
)


def instructions(folder: Path) -> Iterator[Item]:
    """The extractive questions of t0_p3_sample, taken out of their instructions; only answers that stand verbatim."""
    seen: set[tuple[str, str]] = set()
    for glob, pattern in _P3:
        for path in sorted((folder / "train/t0_p3_sample").glob(f"{glob}.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                found = re.search(pattern, row["prompt"].strip(), re.DOTALL)
                answer = row["completion"].removesuffix("<|endoftext|>").strip().rstrip(".")
                if not found or not answer:
                    continue
                question, context = found["q"].strip(), found["c"].strip()
                places = [m.start() for m in re.finditer(re.escape(answer), context, re.IGNORECASE)]
                if len(places) == 1 and (question, answer) not in seen:
                    seen.add((question, answer))
                    text = context[places[0] : places[0] + len(answer)]
                    yield Item(question, context, places[0], text, f"t0_p3/{path.parent.name}/{hash_of(context)}")


def hash_of(text: str) -> str:
    """A short name for a context without one."""
    from groundtone.types import short_hash

    return short_hash(text)[:8]


def window(item: Item, rng: random.Random) -> Item:
    """The context cut to a passage of random length at sentence bounds; the answer stays inside it.

    A row whose question has no answer is cut too, at a random place unless people wrote it against this very text.
    """
    spans = sentence_spans(item.context)
    sizes = [len(item.context[a:b].split()) for a, b in spans]
    limit = rng.randint(SHORTEST, LONGEST)
    if not spans or sum(sizes) <= limit or item.kind == "human none":
        return item if sum(sizes) <= 2 * LONGEST else _around(item, spans, sizes, 2 * LONGEST, rng)
    return _around(item, spans, sizes, limit, rng)


def _around(item: Item, spans: Sequence[tuple[int, int]], sizes: Sequence[int], limit: int, rng: random.Random) -> Item:
    end = item.start + len(item.text)
    if item.start >= 0:
        inside = [i for i, (a, b) in enumerate(spans) if a < end and item.start < b]
    else:
        inside = [rng.randrange(len(spans))]
    if not inside:
        return item
    low, high = inside[0], inside[-1]
    words = sum(sizes[low : high + 1])
    while True:
        ways = [d for d, at in (("low", low - 1), ("high", high + 1)) if 0 <= at < len(spans)]
        ways = [d for d in ways if words + sizes[low - 1 if d == "low" else high + 1] <= limit]
        if not ways:
            break
        if rng.choice(ways) == "low":
            low -= 1
            words += sizes[low]
        else:
            high += 1
            words += sizes[high]
    first, last = spans[low][0], spans[high][1]
    start = item.start - first if item.start >= 0 else -1
    return _replace(item, context=item.context[first:last], start=start)


def _replace(item: Item, **changes: Any) -> Item:
    return Item(**(asdict(item) | changes))


def expand(items: Sequence[Item], *, rounds: int, seed: int) -> Iterator[Item]:
    """Each question `rounds` times: cut anew, and in most rounds followed by a twin that has no answer."""
    rng = random.Random(seed)
    of_source: dict[str, list[str]] = defaultdict(list)
    questions: dict[str, list[str]] = defaultdict(list)
    for item in items:
        of_source[item.source].append(item.context)
        questions[item.source].append(item.question)
    contexts = {source: list(dict.fromkeys(found)) for source, found in of_source.items()}
    neighbours = lexical_neighbours(list(dict.fromkeys(item.context for item in items)))
    answered: dict[str, set[str]] = defaultdict(set)  # a policy is asked the same question at several places
    for item in items:
        if item.start >= 0:
            answered[item.question].add(item.context)
    for turn in range(rounds):
        for item in items:
            yield window(item if turn == 0 else _replace(item, question=_typed(item.question, rng)), rng)
            if item.start < 0:
                continue
            near = [c for c in contexts[item.source] if c not in answered[item.question]]
            twin = _twin(item, near, questions[item.source], neighbours, rng)
            if twin is not None:
                yield window(twin, rng)


def _typed(question: str, rng: random.Random) -> str:
    """The question as somebody in a hurry types it, in three of ten cases; two words in ten may be missing then."""
    if rng.random() >= 0.3:
        return question
    words = question.rstrip("?").split()
    kept = [w for n, w in enumerate(words) if n == 0 or rng.random() >= 0.2]
    return " ".join(kept if len(kept) > 3 else words).lower()


def _twin(item: Item, near: Sequence[str], asked: Sequence[str], neighbours: Any, rng: random.Random) -> Item | None:
    """The same question where it has no answer, in one of four ways; None where that way does not work out."""
    way = rng.choices(["changed", "cut", "swapped", "far", "none"], weights=[3, 2, 2, 1, 2])[0]
    if way == "none":
        return None
    if way == "changed":
        question = changed_question(item.question, asked, rng)
        return _replace(item, question=question, start=-1, text="", kind="changed") if question else None
    if way == "cut":
        rest = without_answer(item.context, item.start, item.text)
        return _replace(item, context=rest, start=-1, text="", kind="cut") if rest else None
    pool = near if way == "swapped" else neighbours(item.question)
    others = [c for c in pool if c != item.context and item.text.lower() not in c.lower()]
    if not others:
        return None
    return _replace(item, context=rng.choice(others[:8] if way == "far" else others), start=-1, text="", kind="swapped")


def _paragraphs(folder: Path, items: Sequence[Item]) -> list[Paragraph]:
    """The text that the questions are about, and textbooks."""
    own = {item.context: Paragraph(item.source, item.title, item.context) for item in items}
    return [*own.values(), *textbooks(folder)]


def held_out(item: Item) -> bool:
    """Whether the row's document is one that the reader must never see."""
    data_set, _, document = item.source.partition("/")
    return (data_set == "squad2_open" and document in HELD_ARTICLES) or (
        data_set == "policyqa" and document in HELD_SITES
    )


def to_row(item: Item, rng: random.Random, *, heading: float) -> dict[str, Any]:
    """A row as `groundtone tune` reads it; `heading` is how often the title stands above the passage."""
    return {
        "question": item.question,
        "context": item.context,
        "heading": item.title if rng.random() < heading else "",
        "answer": {"start": item.start, "text": item.text} if item.start >= 0 else None,
        "source": item.source,
        "tags": [item.kind],
    }


def main() -> None:
    """Write train.jsonl and heldout.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with qa/ and train/")
    parser.add_argument("--out", type=Path, default=Path(".groundtone/reader"))
    parser.add_argument("--rounds", type=int, default=3, help="how often each question is used, cut differently")
    parser.add_argument("--made", type=int, default=13_000, help="questions made by rule from unasked sentences")
    parser.add_argument("--houses", type=int, default=10_000, help="questions over pages of invented companies")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    everything = [*squad(given.data), *policyqa(given.data)]
    kept_apart = [item for item in everything if held_out(item)]
    train = [item for item in everything if not held_out(item)]
    train += [*natural_questions(given.data, "nq-train-*"), *instructions(given.data)]
    dev = list(natural_questions(given.data, "qed-dev*"))[:400]
    seen = {item.context for item in (*kept_apart, *dev)}
    train = [item for item in train if item.context not in seen]
    for item in (*train, *kept_apart, *dev):
        assert item.context[item.start : item.start + len(item.text)] == item.text or item.start < 0, item
    rng = random.Random(given.seed)
    rows = [to_row(item, rng, heading=0.6) for item in expand(train, rounds=given.rounds, seed=given.seed)]
    made = list(made_rows(_paragraphs(given.data, train), seed=given.seed))
    made = rng.sample(made, min(given.made, len(made)))
    rows += [to_row(item, rng, heading=0.6) for item in expand(made, rounds=1, seed=given.seed)]
    rows += [to_row(item, rng, heading=0.9) for item in house_rows(given.houses, seed=given.seed)]
    rng.shuffle(rows)
    held = [to_row(item, rng, heading=1.0) for item in expand([*kept_apart, *dev], rounds=1, seed=given.seed + 1)]
    given.out.mkdir(parents=True, exist_ok=True)
    for name, made in (("train", rows), ("heldout", held)):
        write_atomic(given.out / f"{name}.jsonl", "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in made))
        kinds: dict[str, int] = defaultdict(int)
        for row in made:
            kinds[f"{row['source'].split('/')[0]}, {row['tags'][0]}"] += 1
        print(f"{name}: {len(made)} rows; " + "; ".join(f"{kind} {n}" for kind, n in sorted(kinds.items())))


if __name__ == "__main__":
    main()
