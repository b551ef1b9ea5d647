"""Questions made by rule from sentences that nobody asked about.

A value of the sentence (a date, an amount, a count, a name) becomes the answer, and what is left of the sentence the
question: words as they are typed into a search box, or the sentence with "what", "when", "how many" in the value's
place. The rules of `retrieval.question_making` give questions whose answer is the whole sentence.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.reader.items import Item, Paragraph
from groundtone.text import STOP_WORDS, sentence_spans
from groundtone.types import Passage
from retrieval.question_making import candidates

MOST = 2  # questions of one paragraph
WHOLE_SENTENCE = 0.3  # share of the questions whose answer is a sentence, where the rules find one
WINDOW = 14  # words on either side of the value that a question may be made of
_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_SMALL = "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|fifty"
_VALUES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("when", re.compile(rf"\b(?:\d{{1,2}} )?{_MONTH}(?: \d{{1,2}})?,? \d{{4}}\b|\b{_MONTH} \d{{1,2}}\b")),
    ("what year", re.compile(r"(?<=\b[Ii]n )(?:1[5-9]|20)\d\d\b")),
    ("how much", re.compile(r"[$€£] ?\d[\d,.]*\d(?: (?:million|billion))?|\b\d[\d,.]* ?(?:%|percent\b|per cent\b)")),
    ("how many", re.compile(rf"\b(?:\d[\d,]*|{_SMALL})(?= (?P<unit>(?!percent|per|million|billion|of\b)[a-z]+s)\b)")),
    ("where", re.compile(r"(?<=\b(?:in|at) )(?:the )?[A-Z][a-z]+(?:,? (?:of |the )?[A-Z][a-z]+)*")),
    ("who", re.compile(r"(?<=\bby )[A-Z][\w.'’-]+(?: (?:of |the |de |van |von )?[A-Z][\w.'’-]+)+")),
    ("", re.compile(r"(?<=[a-z,;] )[A-Z][\w'’-]+(?: (?:of |the |and )?[A-Z][\w'’-]+)*")),
)
_ANY_NAME = ("what", "which", "who", "what is the name of the")
_CLAUSE = re.compile(r"[;:()]|, (?=and|but|which|who|while|although|because)")


def textbooks(folder: Path) -> Iterator[Paragraph]:
    """Paragraphs of four openly licensed textbooks."""
    for file in sorted((folder / "train/openstax_ccby").glob("*/text.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                for number, text in enumerate(re.split(r"\n\s*\n", json.loads(line)["text"])):
                    if len(text) > 200 and not text.startswith("#"):
                        yield Paragraph(f"openstax/{file.parent.name}/{number // 20}", "", " ".join(text.split()))


_NO_PROSE = re.compile(r"https?:|[“”\"|=]|\bed\.|\bpp?\.|accessed")


def _is_prose(sentence: str) -> bool:
    """Whether it is a sentence, not a reference, a heading or a list of names."""
    words = sentence.split()
    capitals = sum(word[:1].isupper() for word in words)
    return not _NO_PROSE.search(sentence) and len(words) >= 7 and capitals <= 0.45 * len(words)


def made_rows(paragraphs: Sequence[Paragraph], *, seed: int) -> Iterator[Item]:
    """At most `MOST` questions of each paragraph, of different sentences."""
    rng = random.Random(seed)
    for paragraph in paragraphs:
        spans = [
            s for s in sentence_spans(paragraph.text) if s[1] - s[0] <= 320 and _is_prose(paragraph.text[s[0] : s[1]])
        ]
        rng.shuffle(spans)
        made = 0
        for start, end in spans:
            if made == MOST:
                break
            item = _of_sentence(paragraph, start, end, rng)
            if item:
                made += 1
                yield item


def _of_sentence(paragraph: Paragraph, start: int, end: int, rng: random.Random) -> Item | None:
    text = paragraph.text[start:end]
    if rng.random() < WHOLE_SENTENCE:
        found = [
            q.text
            for q in candidates(Passage("", paragraph.source, "", text, 0, len(text)))
            if q.kind in ("rule", "how", "definition")
        ]
        if found:
            return _item(paragraph, rng.choice(found), start, text)
    places = [(word, match) for word, pattern in _VALUES for match in pattern.finditer(text)]
    if not places:
        return None
    # A name is found everywhere: values that say what kind they are come first in four of five sentences.
    typed = [place for place in places if place[0]]
    word, match = rng.choice(typed if typed and rng.random() < 0.8 else places)
    if paragraph.text.count(match.group()) > 1:
        return None
    question = _question(text, word, match, rng)
    return _item(paragraph, question, start + match.start(), match.group()) if question else None


def _item(paragraph: Paragraph, question: str, start: int, answer: str) -> Item:
    return Item(question, paragraph.text, start, answer, paragraph.source, paragraph.title, "made")


def _question(text: str, word: str, match: re.Match[str], rng: random.Random) -> str | None:
    """The clause around the value as a question; None where too little is left to ask."""
    word = word or rng.choice(_ANY_NAME)
    before, after = _CLAUSE.split(text[: match.start()])[-1], _CLAUSE.split(text[match.end() :])[0]
    left, right = before.split()[-WINDOW:], after.rstrip(".!? ").split()[:WINDOW]
    content = [w for w in (*left, *right) if w.strip(",.'\"").lower() not in STOP_WORDS]
    if len(content) < 3:
        return None
    if rng.random() < 0.35:  # the sentence itself, asked back
        asked = " ".join([*left, word, *right])
        return f"{asked[:1].upper()}{asked[1:]}?"
    unit = (match.groupdict().get("unit") or "") if word == "how many" else ""
    keep = rng.uniform(0.5, 0.9)
    kept = [w.strip(",.;:'\"()") for w in content if w.strip(",.") != unit and rng.random() < keep]
    if len(kept) < 2:
        return None
    if rng.random() < 0.25:  # people do not keep the order of the text
        rng.shuffle(kept)
    asked = " ".join(part for part in (word, unit, *kept) if part)
    return asked.lower() if rng.random() < 0.6 else f"{asked[:1].upper()}{asked[1:]}?"
