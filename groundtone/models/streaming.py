"""Pieces of a growing text that, joined, equal the finished text without its outer white space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_UNFINISHED = "\ufffd"  # what a tokenizer decodes the first bytes of a split character to


def settled(grown: Iterable[str], *, stops: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields what each longer version of a text adds, holding back what the next one may still change.

    `grown` yields prefixes of one text, the last one being the whole. Held back until something follows: white
    space, unfinished characters, and the beginnings of `stops`, at which the text is cut.
    """
    sent = ""
    whole = ""
    for whole in grown:
        text = whole.rstrip(_UNFINISHED)
        for stop in stops:
            begun = next((n for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n])), 0)
            text = text[: len(text) - begun]
        text = finish_text(text, stops=stops)
        if len(text) > len(sent) and text.startswith(sent):
            yield text[len(sent) :]
            sent = text
    rest = finish_text(whole, stops=stops)[len(sent) :]
    if rest:
        yield rest


def finish_text(text: str, *, stops: tuple[str, ...] = ()) -> str:
    """The text up to the first of `stops`, without outer white space."""
    for stop in stops:
        text = text.split(stop, 1)[0]
    return text.strip()
