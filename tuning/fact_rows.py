"""Voice pairs made safe to train on: taught values taken out (`mask`), copied values exchanged (`randomise`).

`mask` takes out the sentences of a reply that teach a fact, and drops a row of which only house phrases would remain:
a placeholder in a reply would be learned as part of the voice. `randomise` does so too, and then exchanges the values
that context and reply share, in both alike, for others of the same kind: such a row still teaches to copy, and nothing
worth remembering. The same seed gives the same rows; a row that cannot be exchanged without a doubt stays as it was.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from groundtone.text import Span, sentence_spans
from groundtone.types import Turn, VoicePair, short_hash
from tuning.exchange import exchanges, slot
from tuning.facts import Fact, FactReport, Finding, blank_house, check_facts, facts_in
from tuning.made_up import rename

__all__ = ["Mode", "Rewritten", "rewrite", "to_json_lines"]

Mode = Literal["mask", "randomise"]
_LEANS = re.compile(r"(?:it|its|they|their|this|that|these|those|he|she)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The new rows in the old order. Row numbers are those of the rows that were given, from 0."""

    pairs: tuple[VoicePair, ...]
    dropped: tuple[int, ...]  # nothing but house phrases would have remained
    cut: tuple[int, ...]  # lost the sentences that teach
    randomised: tuple[int, ...]  # had values exchanged

    def summary(self) -> str:
        """One line for people."""
        exchanged = f", {len(self.randomised)} with exchanged values" if self.randomised else ""
        return f"{len(self.pairs)} rows: {len(self.cut)} cut, {len(self.dropped)} dropped{exchanged}"


def rewrite(
    pairs: Sequence[VoicePair], report: FactReport, *, mode: Mode, seed: int = 0, house: Sequence[str] = ()
) -> Rewritten:
    """The rows without what `report`, made of these very rows, says that they teach."""
    by_row: dict[int, list[Finding]] = {}
    for finding in report.findings:
        by_row.setdefault(finding.row, []).append(finding)
    kept: list[VoicePair] = []
    dropped, cut, randomised = [], [], []
    for row, pair in enumerate(pairs):
        safe = _without(pair, by_row[row], house) if row in by_row else pair
        if safe is None:
            dropped.append(row)
            continue
        if safe != pair:
            cut.append(row)
        if mode == "randomise":
            fresh = _randomised(safe, rng=random.Random(short_hash(str(seed), str(row), pair.prompt)), house=house)
            if fresh != safe:
                randomised.append(row)
            safe = fresh
        kept.append(safe)
    return Rewritten(tuple(kept), tuple(dropped), tuple(cut), tuple(randomised))


def _without(pair: VoicePair, findings: Sequence[Finding], house: Sequence[str]) -> VoicePair | None:
    """The pair without the sentences that teach, and those that lean on them ("It is ..."); None where none remains."""
    spans = sentence_spans(blank_house(pair.reply, house))
    taught: list[Span] = []
    before: Span = (0, 0)
    for start, end in spans:
        leans = taught and taught[-1] == before and _LEANS.match(pair.reply, start)
        if leans or any(start <= f.fact.start < end for f in findings):
            taught.append((start, end))
        before = (start, end)
    if len(taught) == len(spans):
        return None
    reply = pair.reply
    for start, end in reversed(taught):
        reply = reply[:start] + reply[end:]
    return replace(pair, reply=re.sub(r"[ \t]{2,}", " ", reply).strip())


def _randomised(pair: VoicePair, *, rng: random.Random, house: Sequence[str]) -> VoicePair:
    """The pair with the values exchanged that its reply shares with its context; itself where that cannot be done.

    All values of one kind and unit are exchanged together and keep their order, so that "the longer one" stays true.
    """
    if not pair.context:
        return pair
    turns = len(pair.history)
    texts = [*(turn.text for turn in pair.history), pair.prompt, *pair.context, pair.reply]
    blanked = [*texts[:-1], blank_house(pair.reply, house)]
    facts = [facts_in(text) for text in blanked]
    passages = [fact for some in facts[turns + 1 : -1] for fact in some]
    shared = [fact for fact in facts[-1] if fact.kind != "name" and any(fact.same_as(other) for other in passages)]
    new = exchanges([fact for some in facts for fact in some if fact.kind != "name"], shared, rng=rng)
    names = [f.text for f in facts[-1] if f.kind == "name" and any(f.text in text for text in pair.context)]
    renamed = rename(names, taken=" ".join(texts), house=" ".join(house), rng=rng)
    fresh = [
        _with(text, blank, [(f, new[slot(f)]) for f in some if slot(f) in new], renamed, loose=n <= turns)
        for n, (text, blank, some) in enumerate(zip(texts, blanked, facts, strict=True))
    ]
    made = replace(
        pair,
        prompt=fresh[turns],
        reply=fresh[-1],
        context=tuple(fresh[turns + 1 : -1]),
        history=tuple(replace(turn, text=text) for turn, text in zip(pair.history, fresh, strict=False)),
    )
    worse = check_facts([made], house=house).findings and not check_facts([pair], house=house).findings
    return pair if worse else made


def _with(text: str, blank: str, changed: Sequence[tuple[Fact, str]], renamed: dict[str, str], *, loose: bool) -> str:
    """The text with its facts replaced, and with its names replaced elsewhere; what is blank stays.

    `loose` also finds names in small letters, as people write them in a question.
    """
    edits: list[tuple[Span, str]] = [((fact.start, fact.end), new) for fact, new in changed]
    taken = [span for span, _ in edits]
    for old, new in renamed.items():
        for match in re.finditer(rf"(?<!\w){re.escape(old)}(?=s?(?!\w))", blank, re.IGNORECASE if loose else 0):
            if not any(s < match.end() and match.start() < e for s, e in taken):
                edits.append((match.span(), new.lower() if match.group().islower() else new))
                taken.append(match.span())
    for (start, end), new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def to_json_lines(pairs: Sequence[VoicePair]) -> str:
    """The pairs as a file that `read_pairs` reads; as conversations where one has turns before its prompt."""
    talked = any(pair.history for pair in pairs)
    return "".join(json.dumps(_row(pair, talked), ensure_ascii=False) + "\n" for pair in pairs)


def _row(pair: VoicePair, talked: bool) -> dict[str, Any]:
    about = {"source": pair.source, "context": list(pair.context), "tags": list(pair.tags)}
    if not talked:
        return {"prompt": pair.prompt, "reply": pair.reply} | about
    turns = (*pair.history, Turn("user", pair.prompt), Turn("assistant", pair.reply))
    return {"messages": [{"role": turn.role, "content": turn.text} for turn in turns]} | about
