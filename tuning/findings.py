"""The checks of the data report: each looks at rows and says what it found, at which rows, and what mends it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from groundtone.refusal import is_refusal
from groundtone.stats import wilson_interval
from groundtone.text import content_words, normalise
from groundtone.types import VoicePair
from groundtone.values import find_values, missing_values
from tuning.checks import CheckName
from tuning.lint import NEAR, Rows, lint
from tuning.near import near_pairs
from tuning.personal import find_personal
from tuning.rows import IGNORED, Row

NEAR_PROMPT = 0.8  # overlap of content words from which two questions count as nearly the same
_LEAST_WORDS = 3  # shorter questions overlap by accident
_FEW_LABELS = 0.05
_FEW_ROWS = 5  # of a tag: too few to learn from
_MOST_PAIRS = 100_000  # near pairs that are counted; more means that the data repeats itself
_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `where` names the rows, all of them, groups joined by " = "."""

    check: CheckName
    why: str
    where: tuple[str, ...]
    fix: str


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one tag or source."""

    kind: Literal["tag", "source"]
    name: str
    rows: int
    refusals: int
    mean_reply_words: float


def repeated(pairs: Sequence[VoicePair], where: Sequence[str]) -> Iterator[Finding]:
    """Duplicates, and prompts with replies that cannot both be right."""
    found = lint(pairs)
    if found.exact_duplicates:
        places = tuple(_joined(where, group) for group in found.exact_duplicates)
        yield Finding(
            "exact_duplicates", "groups of rows say the same", places, "keep one row of each, or lower tuning.epochs"
        )
    if near := list(islice(found.near_duplicates, _MOST_PAIRS)):
        places = tuple(f"{_joined(where, (a, b))} ({overlap:.0%})" for a, b, overlap in near)
        yield Finding("near_duplicates", f"pairs of rows share {NEAR:.0%} of their words or more", places, "vary them")
    if clash := [group for group in found.contradictions if contradicts([pairs[n].reply for n in group])]:
        places = tuple(_joined(where, group) for group in clash)
        fix = "keep the row that is right, or give each the passages that it rests on"
        yield Finding("contradictions", "prompts have replies with different values to the same passages", places, fix)


def contradicts(replies: Sequence[str]) -> bool:
    """Whether two of the replies hold values that the other lacks, or one says yes and one no, or only one refuses."""
    values = [find_values(reply) for reply in replies]
    said = {match.group().lower() for reply in replies if (match := _YES_NO.search(reply))}
    if len(said) > 1 or len({is_refusal(reply) for reply in replies}) > 1:
        return True
    return any(missing_values(a, b) and missing_values(b, a) for n, a in enumerate(values) for b in values[n + 1 :])


def overlapping(
    pairs: Sequence[VoicePair],
    where: Sequence[str],
    *,
    heldout: Sequence[VoicePair],
    evaluation: Mapping[str, Sequence[str]],
) -> Iterator[Finding]:
    """Prompts that are also held out or asked in an evaluation; `evaluation` maps a file's name to its prompts."""
    prompts = [pair.prompt for pair in pairs]
    exact, near = _met(prompts, {"held-out row": [pair.prompt for pair in heldout]}, where)
    fix = "take them out of one side; tuning.heldout as a share splits by source"
    if exact:
        yield Finding("in_heldout", "prompts are also held out: the held-out loss would measure memory", exact, fix)
    if near:
        yield Finding("near_heldout", "prompts are nearly the same as held-out ones", near, fix)
    shared = {pair.source for pair in pairs} & {pair.source for pair in heldout}
    if shared:
        yield Finding("shared_sources", "sources stand in both train and held-out", tuple(sorted(shared)), fix)
    exact, near = _met(prompts, evaluation, where)
    fix = "take these rows out of tuning.data: what was trained on cannot be examined"
    if exact:
        yield Finding("in_evaluation", "prompts are evaluation items", exact, fix)
    if near:
        yield Finding(
            "near_evaluation",
            "prompts are nearly the same as evaluation items, or everyday phrases that are asked there too",
            near,
            fix,
        )


def _met(
    prompts: Sequence[str], others: Mapping[str, Sequence[str]], where: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Rows whose prompt is among the others, and rows whose prompt nearly is."""
    asked = [(f"{name} {n}", text) for name, texts in others.items() for n, text in enumerate(texts, 1)]
    same: dict[str, str] = {}
    for name, text in asked:
        same.setdefault(normalise(text), name)
    met = {n: same[normalise(text)] for n, text in enumerate(prompts) if normalise(text) in same}
    exact = {n: name for n, name in met.items() if not _everyday(prompts[n])}
    sets = [frozenset(content_words(text)) for text in (*prompts, *(text for _, text in asked))]
    sets = [row if len(row) >= _LEAST_WORDS else frozenset() for row in sets]
    near = {n: name for n, name in met.items() if n not in exact} | {
        a: asked[b - len(prompts)][0]
        for a, b, _ in islice(near_pairs(sets, at=NEAR_PROMPT, apart=len(prompts)), _MOST_PAIRS)
        if a not in exact
    }
    return _named(exact, where), _named(near, where)


def _everyday(prompt: str) -> bool:
    """ "Hello!" and "Who are you?": what anyone says, and no item that training gives away."""
    return len(content_words(prompt)) < _LEAST_WORDS and not re.search(r"\d", prompt)


def _named(found: Mapping[int, str], where: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{where[n]} = {name}" for n, name in sorted(found.items()))


def in_tokens(
    rows: Sequence[Row], where: Sequence[str], *, stop_id: int | None, limit: int | None
) -> Iterator[Finding]:
    """Rows that do not fit, a stop token that is not trained or stands inside a reply, and few labels."""
    long = tuple(f"{where[r.index]} ({len(r.ids)} tokens)" for r in rows if limit is not None and len(r.ids) > limit)
    if long:
        fix = "shorten them, raise tuning.max_length, or set tuning.over_length to drop"
        yield Finding("too_long", f"rows are longer than {limit} tokens", long, fix)
    masked = tuple(where[r.index] for r in rows if stop_id is None or r.labels[-1] != stop_id)
    if masked:
        why = "rows do not train the token that ends a reply, so the model would not learn to stop"
        yield Finding("stop_token", why, masked, "give the model a chat template that ends a reply with its stop token")
    early = tuple(where[r.index] for r in rows if stop_id is not None and stop_id in r.labels[:-1])
    if early:
        yield Finding("stop_token", "replies hold the stop token before their end", early, "take it out of the text")
    labelled = sum(label != IGNORED for row in rows for label in row.labels)
    total = sum(len(row.ids) for row in rows)
    if total and labelled / total < _FEW_LABELS:
        why = f"only {labelled / total:.1%} of the tokens are labelled: most of the time goes into reading prompts"
        yield Finding("few_labels", why, (), "show fewer passages per row")


def personal(pairs: Sequence[VoicePair], where: Sequence[str]) -> Iterator[Finding]:
    """Rows with mail addresses, phone numbers, bank accounts or cards, by kind."""
    rows: dict[str, list[str]] = defaultdict(list)
    for pair, place in zip(pairs, where, strict=True):
        for part, text in (("reply", pair.reply), ("prompt", pair.prompt), ("context", "\n".join(pair.context))):
            for kind in sorted({kind for kind, _ in find_personal(text)}):
                rows[kind].append(f"{place} ({part})")
    fix = "replace them by invented ones, or by a placeholder: what is trained on can be recited"
    for kind in ("IBAN", "card"):
        if rows[kind]:
            yield Finding("accounts", f"texts hold a valid {kind} number", tuple(rows[kind]), fix)
    for kind in ("mail", "phone"):
        if rows[kind]:
            yield Finding("personal_data", f"texts hold a {kind} address or number", tuple(rows[kind]), fix)


def groups_of(pairs: Sequence[VoicePair]) -> tuple[Group, ...]:
    """Rows, refusals and length by tag and by source, the largest first."""
    rows: dict[tuple[Literal["tag", "source"], str], list[VoicePair]] = defaultdict(list)
    for pair in pairs:
        rows["source", pair.source].append(pair)
        for tag in dict.fromkeys(pair.tags):
            rows["tag", tag].append(pair)
    found = [
        Group(
            kind,
            name,
            len(inside),
            sum(is_refusal(pair.reply) for pair in inside),
            round(sum(len(pair.reply.split()) for pair in inside) / len(inside), 1),
        )
        for (kind, name), inside in rows.items()
    ]
    return tuple(sorted(found, key=lambda g: (g.kind, -g.rows, g.name)))


def imbalance(groups: Iterable[Group], *, rows: int) -> Iterator[Finding]:
    """Groups that dominate, that are too few to learn from, or that are refused more or less than the rest."""
    groups = list(groups)
    sources = [group for group in groups if group.kind == "source"]
    refused = sum(group.refusals for group in sources)
    if len(sources) > 1 and sources[0].rows > rows / 2:
        why = f"{sources[0].rows} of {rows} rows come from one source"
        yield Finding("imbalance", why, (sources[0].name,), "add rows of other sources")
    few = tuple(f"{g.name} ({g.rows} rows)" for g in groups if g.kind == "tag" and g.rows < _FEW_ROWS)
    if few:
        yield Finding("imbalance", f"tags have fewer than {_FEW_ROWS} rows", few, "add rows, or merge tags")
    share = refused / rows if rows else 0.0
    apart = []
    for group in sources:
        one = wilson_interval(group.refusals, group.rows)
        if one.low is not None and one.high is not None and not one.low <= share <= one.high:
            span = f"{one.mean:.0%} [{one.low:.0%}, {one.high:.0%}], n={group.rows}"
            apart.append(f"{group.name} (refused {span}, all rows {share:.0%})")
    if apart:
        why = "sources are refused more or less often than the rest: the model may learn to refuse by topic"
        yield Finding("imbalance", why, tuple(apart), "add answers, or refusals, to these sources")


def _joined(where: Sequence[str], rows: Rows) -> str:
    return " = ".join(where[n] for n in rows)
