"""Answers of our own making, with exact spans: sentences of real documents, reworded, some of them made wrong.

An answer is put together from the sentences of up to three paragraphs of one document. A sentence may be contradicted
(value, name, negation, opposite), carry an added clause, be taken from a paragraph that is not shown, or be advice that
nobody gave. `without_support` makes the same of real summaries: what carried a sentence is taken out of the evidence.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.detector.answers import Bad, LabelledAnswer
from data.detector.corrupt import contradict, reword
from eval.detectors.features import Rarity, read_claim
from eval.evidence import Evidence
from eval.splitting import split_claims
from groundtone.text import Span, sentence_spans
from groundtone.types import Passage, short_hash
from groundtone.values import find_names

__all__ = ["documents", "instructed", "made_up", "own_answers", "without_support"]

Document = tuple[str, list[str]]  # its name and its paragraphs
ANSWERS = {"squad2_open": 140, "policyqa": 60, "medquad": 1, "handbook_18f": 3}  # made up, per document

_ADVICE = (
    "It is important to consult a professional before you decide.", "Please note that this may vary from case to case.",
    "It is always best to check with the provider first.", "I hope this helps!", "If you need more, please ask.",
    "It is recommended to read the terms carefully.", "This makes it a popular choice among many people.",
    "Results may vary depending on several factors.", "Be sure to follow the instructions of the manufacturer.",
    "Always talk to your doctor before starting any new treatment.", "This can help you save time and money.",
    "It is essential to keep a record of all correspondence.", "Make sure to double-check the details beforehand.",
    "As a result, it continues to play a crucial role today.", "This ensures the best possible outcome for everyone.",
    "It is widely regarded as one of the most influential of its kind.", "Regular maintenance is essential for safety.",
    "Patience and practice are key to success.", "Remember to stay hydrated and take breaks when needed.",
)  # fmt: skip
_INTRODUCES = (
    "Based on the provided passages, here is the answer to your question:", "Here are some key points about {}:",
    "Here are the steps:", "According to the given text, the answer is as follows:", "There are several points:",
    "Based on the passages, {} can be described as follows:", "The following is what the text says about {}:",
    "Sure, here is a summary of {}:", "The passages describe {} in some detail.", "To answer your question:",
    "Based on the information provided, the following can be said:", "Here are some of the main facts:",
    "The text gives the following information about {}:", "In conclusion, the passages cover {}.",
)  # fmt: skip
_CLAUSES = (
    "which is why it remains popular", "making it one of the best in its class", "according to recent studies",
    "as experts recommend", "which helps to reduce stress", "in order to avoid unnecessary costs",
    "and this has been confirmed by several reports", "which can lead to serious problems",
    "especially for young adults", "to ensure the best results", "which was unusual at the time",
)  # fmt: skip

_NO_PROSE = ("#", "-", "*", "|", "<", "```")


def documents(folder: Path) -> Iterator[Document]:
    """Articles, policies, health pages and a staff handbook, in paragraphs of 30 words or more."""
    for article in json.loads((folder / "qa/squad2_open/squad2_open.json").read_text(encoding="utf-8"))["data"]:
        yield f"squad2_open/{article['title']}", [p["context"] for p in article["paragraphs"]]
    with gzip.open(folder / "qa/policyqa/dev.json.gz", "rt", encoding="utf-8") as file:
        for site in json.load(file)["data"]:
            yield f"policyqa/{site['title']}", [p["context"] for p in site["paragraphs"]]
    for path in sorted((folder / "docs/handbook_18f").rglob("*.md")):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", path.read_text(encoding="utf-8", errors="replace"))
        parts = [part.strip() for part in text.split("\n\n")]
        yield (
            f"handbook_18f/{path.stem}",
            [p for p in parts if not p.startswith(("#", "-", "*", "|", "<", "```", "---"))],
        )
    with gzip.open(folder / "train/medquad/medquad_answered.jsonl.gz", "rt", encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number % 12 == 0:
                row = json.loads(line)
                text = " ".join(row["answer"].split())
                spans = sentence_spans(text)
                parts = [text[spans[i][0] : spans[min(i + 4, len(spans) - 1)][1]] for i in range(0, len(spans), 5)]
                yield f"medquad/{short_hash(text)}", parts


def own_answers(folder: Path, rng: random.Random) -> Iterator[LabelledAnswer]:
    """Answers over all documents below the folder of public data."""
    for found in documents(folder):
        yield from made_up(found, rng, answers=ANSWERS[found[0].split("/")[0]])


def made_up(found: Document, rng: random.Random, *, answers: int) -> Iterator[LabelledAnswer]:
    """Answers over one document; half of them hold something wrong."""
    name, paragraphs = found
    paragraphs = [p for p in dict.fromkeys(paragraphs) if len(p.split()) >= 30]
    if len(paragraphs) < 2:
        return
    for _ in range(answers):
        shown = rng.sample(paragraphs, min(rng.choice([1, 2, 3, 3]), len(paragraphs) - 1))
        hidden = [p for p in paragraphs if p not in shown]
        true, false = _sentences(shown), _sentences(rng.sample(hidden, min(3, len(hidden))))
        if true:
            yield _answer(name, shown, true, false, rng)


def _sentences(paragraphs: Sequence[str]) -> list[str]:
    return [p[a:b] for p in paragraphs for a, b in sentence_spans(p) if 5 <= len(p[a:b].split()) <= 50]


def _answer(
    name: str, shown: Sequence[str], true: Sequence[str], false: Sequence[str], rng: random.Random
) -> LabelledAnswer:
    count = min(len(true), rng.choice([1, 2, 3, 4, 5, 6, 8]))
    first = rng.randrange(len(true) - count + 1)
    picked = list(true[first : first + count])
    if rng.random() > 0.6:
        picked = [true[n] for n in sorted(rng.sample(range(len(true)), count))]
    wrong = set(rng.sample(range(count), min(count, rng.choice([1, 1, 2])))) if rng.random() < 0.55 else set()
    text, spans = "", []
    if rng.random() < 0.4:
        text = rng.choice(_INTRODUCES).format(rng.choice(find_names(" ".join(true)) or ["this"]))
    for n, sentence in enumerate(picked):
        said, bad = _said(sentence, n in wrong, true, false, rng)
        gap = "" if not text else rng.choice([" ", " ", " ", "\n\n", f"\n\n{n + 1}. "])
        start = len(text) + len(gap)
        text += gap + said
        spans += [Bad(start + b.start, start + b.end, b.kind) for b in bad]
    if rng.random() < 0.12:
        advice = rng.choice(_ADVICE)
        spans.append(Bad(len(text) + 1, len(text) + 1 + len(advice), "unsupported"))
        text += f" {advice}"
    return LabelledAnswer(name, tuple(shown), text, bool(spans), tuple(spans), True)


def _said(
    sentence: str, wrong: bool, true: Sequence[str], false: Sequence[str], rng: random.Random
) -> tuple[str, list[Bad]]:
    """A sentence of the answer, and what is wrong in it."""
    text = reword(sentence, rng)
    if not wrong:
        return text, []
    way = rng.choices(["contradict", "hidden", "clause"], weights=[4, 4, 2])[0]
    if way == "contradict":
        changed = contradict(text, true, rng)
        if changed is not None:
            return changed.text, [Bad(*changed.wrong, "contradicted")]
    if way == "clause" or not false:
        tail = rng.choice(_CLAUSES)
        if false and rng.random() < 0.6:
            words = rng.choice(false).rstrip(".").split()
            tail = "and " + " ".join(words[: rng.randint(4, 10)])
        body = text.rstrip(" .!")
        return f"{body}, {tail}.", [Bad(len(body) + 2, len(body) + 2 + len(tail), "unsupported")]
    other = reword(rng.choice(false), rng)
    return other, [Bad(0, len(other), "unsupported")]


def instructed(folder: Path) -> Iterator[LabelledAnswer]:
    """People's answers to questions over a text that was given with them: all that they say is taken as carried."""
    path = folder / "train/dolly_hhrlhf_small/dolly_hhrlhf_train_small.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        body = row["prompt"].partition("### Instruction:")[2].replace("### Response:", "").strip()
        _, _, text = body.partition("\n")
        if len(text) > 500 and len(row["response"].split()) >= 8:
            parts = [part for part in text.split("\n\n") if part.strip()]
            yield LabelledAnswer(f"dolly/{short_hash(text)}", tuple(parts), row["response"], False, (), True)


def without_support(row: LabelledAnswer, rarity: Rarity, rng: random.Random) -> LabelledAnswer | None:
    """The same answer over evidence that lacks what carried one of its sentences; None where that cannot be done.

    Other sentences that leaned on what was taken out are `unknown`.
    """
    passages = [Passage(f"{i}", "d", "d", text, 0, len(text)) for i, text in enumerate(row.evidence)]
    evidence, spans = Evidence(passages), split_claims(row.answer)
    if len(evidence.sentences) < 6 or not spans:
        return None
    read = [read_claim(row.answer[a:b], evidence, rarity) for a, b in spans]
    target = rng.randrange(len(spans))
    gone = set(read[target].union)
    if gone:
        first = evidence.sentences[read[target].union[0]].words
        gone |= {i for i, s in enumerate(evidence.sentences) if 2 * len(s.words & first) >= len(s.words)}
    if not gone or len(gone) > len(evidence.sentences) // 2:
        return None
    left = [s for i, s in enumerate(evidence.sentences) if i not in gone]
    by_passage = [" ".join(s.text for s in left if s.passage_id == p.id) for p in passages]
    shown = tuple(text for text in by_passage if text)
    unknown: list[Span] = [
        span for n, span in enumerate(spans) if n != target and (row.hallucinated or set(read[n].union[:2]) & gone)
    ]
    bad = (Bad(*spans[target], "unsupported"),)
    return LabelledAnswer(row.source, shown, row.answer, True, bad, True, tuple(unknown))
