"""The strict mode: a model may say in the house voice what was quoted, and nothing else.

The reply stands when every number, date, unit, name and negation in it is the quotation's, the words that answer are
still there, and no word is invented: a small model's slips are mostly words that nobody uses. Else the quotation itself
is the answer, between the voice's fixed phrases.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from groundtone.conflicts import compare
from groundtone.models.everyday import everyday_words
from groundtone.quoting import Quotation, answers, sentences
from groundtone.refusal import is_refusal
from groundtone.text import STOP_WORDS, content_words, sentence_spans, stem, words
from groundtone.types import Snippet
from groundtone.values import find_names, find_values, missing_values

KEPT = 0.6  # share of the answer's content words that the reply must still hold
OWN = 0.3  # share of the reply's content words that neither a passage nor the question may hold
MOST = 0.5  # share of everyday words from which a text is taken for English
_MARKER = re.compile(r"\[(\d+)\]")


def broken(reply: str, snippets: Sequence[Snippet], *, question: str, fixed: Sequence[str] = ()) -> str:
    """Why the reply is no restyling of the snippets; "" when it is one. `fixed` phrases of the voice say nothing."""
    body = without(reply, fixed)
    if is_refusal(body):
        return "it declines what a passage answers"
    shown = {snippet.number: snippet for snippet in snippets}
    spoken = [(body[a:b], _cited(body[a:b], shown)) for a, b in sentence_spans(body)]
    if not any(cited for _, cited in spoken):
        return "it cites no passage"
    said = " ".join(_text(snippet) for snippet in snippets)
    values = missing_values(find_values(_MARKER.sub("", body)), find_values(said))
    if values:
        return f"no passage says {values[0].text}"
    allowed = f"{said} {question}".casefold()
    strange = next((name for name in find_names(body) if name.casefold() not in allowed), None)
    if strange is not None:
        return f"no passage names {strange}"
    known = set(content_words(allowed))
    strange_words = [word for word in content_words(body) if word not in known]
    invented = next((word for word in words(_MARKER.sub("", body)) if not _is_word(word, known)), None)
    if invented is not None and _is_english(said):
        return f"{invented!r} is no word of the passages or of everyday English"
    if len(strange_words) > OWN * len(content_words(body)):
        return f"it says other words: {' '.join(strange_words[:5])}"
    for sentence, cited in spoken:
        said_here = set(content_words(sentence))
        if not cited and said_here and not said_here & known:
            return f"no passage says {sentence!r}"
        for snippet in cited:
            found = compare(_MARKER.sub("", sentence), snippet.text, context=snippet.hit.passage.heading)
            if found:
                return found[0].why
    return _lost(body, snippets)


def _is_word(word: str, known: Collection[str]) -> bool:
    """Whether each part of it is known or an everyday word; single letters, pairs and numbers are judged elsewhere."""
    if word in STOP_WORDS or stem(word) in known:
        return True
    parts = re.findall(r"[^\W\d_]{3,}", word)
    return all(stem(part) in known or stem(part) in everyday_words() for part in parts)


def _is_english(text: str) -> bool:
    """Whether most of its words are everyday ones; False where nobody knows which words are."""
    said = content_words(text)
    return sum(word in everyday_words() for word in said) > MOST * len(said)


def _lost(body: str, snippets: Sequence[Snippet]) -> str:
    """Whether the words that answer, where a reader marked them, are gone from the reply."""
    marked = next((s.hit for s in snippets if s.hit.answer is not None), None)
    if marked is None or marked.answer is None:
        return ""
    answer = marked.passage.text[marked.answer[0] : marked.answer[1]]
    wanted = set(content_words(answer))
    gone = missing_values(find_values(answer), find_values(body))
    if gone:
        return f"it leaves out {gone[0].text}"
    if wanted and len(wanted & set(content_words(body))) < KEPT * len(wanted):
        return f"it leaves out {answer!r}"
    return ""


def quoted(snippets: Sequence[Snippet]) -> str:
    """The best quotation of the snippets with its marker; empty where they hold no sentence."""
    best: Quotation | None = next(iter(answers(snippets)), None)
    if best is None:
        best = next((q for snippet in snippets for q in sentences(snippet)), None)
    return best.cited() if best else ""


def without(text: str, phrases: Sequence[str]) -> str:
    """The text without the given phrases."""
    for phrase in phrases:
        text = text.replace(phrase, " ")
    return " ".join(text.split())


def _cited(sentence: str, shown: dict[int, Snippet]) -> list[Snippet]:
    return [shown[int(n)] for n in _MARKER.findall(sentence) if int(n) in shown]


def _text(snippet: Snippet) -> str:
    return f"{snippet.hit.passage.heading} {snippet.text}"
