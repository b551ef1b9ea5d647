"""Training rows with the passages that the assistant would show: the project's own search, order and sentences.

A row's own passages are ranked together with what the index finds for its prompt. The index scores a passage by
cosine and words, words scaled to the best cosine; a passage that is in no index is given its cosine, which is what the
index would give the passage that words fit best. Then the configured reader reads them all, as it does when serving.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from groundtone.answer_spans import READ_DEPTH, PassageReader, mark, ordered, value
from groundtone.errors import ProjectError
from groundtone.grounding import CHARS_PER_TOKEN, select
from groundtone.joins.arms import reader_of, style_of
from groundtone.joins.facts import house_phrases, indexed, row_groups
from groundtone.joins.indexing import silent
from groundtone.models.encoders import Encoder, load_encoder
from groundtone.project import Project
from groundtone.prompts import render_snippets
from groundtone.refusal import is_refusal
from groundtone.searching import find, phrasings
from groundtone.settings import Settings
from groundtone.text import normalise
from groundtone.types import Hit, Passage, VoicePair, short_hash
from retrieval.interface import SearchableIndex
from tuning.raft import Candidate, RaftRows, make_rows

__all__ = ["like_runtime", "notes_of", "shown_text"]

Progress = Callable[[str, int, int], None]
_BATCH = 32  # rows that are searched and read at once
_DEPTH = 5  # hits beyond what is shown, so that enough are left when those that answer are taken out
_HEADING = re.compile(r"([^:.!?\n]{1,120}): (?=\S)")
_OWN = "row"  # doc_id of a row's own passage; documents have hexadecimal ids


def like_runtime(
    project: Project,
    settings: Settings,
    pairs: Sequence[VoicePair],
    *,
    share: float | None = None,
    progress: Progress = silent,
) -> RaftRows:
    """The rows with `share` of them (default: tuning.raft.share) rebuilt; all as they were where that is 0.

    Every row is searched as a caller who is in the groups that the row has inherited already, so that a public row
    quotes public documents only. Raises ProjectError where there is no index.
    """
    given, asked = settings.tuning.raft, settings.assistant
    share = given.share if share is None else share
    if not share:
        return RaftRows(tuple(pairs), ())
    with indexed(project, settings) as index:
        if index is None:
            raise ProjectError(
                f"{share:g} of the rows are to be rebuilt, but there is no index to take passages from: run "
                "`groundtone index` first, or set tuning.raft.share to 0"
            )
        show = _Search(settings, index, progress)
        return make_rows(
            pairs,
            lambda rows: show.many(rows, row_groups(rows, index)),
            share=share,
            no_gold=given.no_gold,
            shown=asked.k,
            budget_chars=asked.context_tokens * CHARS_PER_TOKEN,
            refusals=_refusals(settings, pairs),
            distractors=given.distractors,
            house=house_phrases(settings),
            seed=settings.tuning.seed if given.seed is None else given.seed,
        )


def notes_of(rows: RaftRows) -> dict[str, Any]:
    """For the manifest: what was rebuilt, where the cited passage stands, and which documents the rows now quote."""
    if not rows.made:
        return {}
    kinds = [row.kind for row in rows.made]
    return {
        "raft": {
            "rows": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
            "cited_first_at": {str(place): n for place, n in rows.first_places.items()},
            "documents": list(rows.documents),
        }
    }


def shown_text(hit: Hit, *, context: str) -> str:
    """What a prompt shows of a hit, without its number: `VoicePair.context` of that text makes the same prompt."""
    snippet = select([hit], context=context, context_tokens=1)[0]
    return render_snippets([snippet]).removeprefix(f"[{snippet.number}] ")


def _refusals(settings: Settings, pairs: Sequence[VoicePair]) -> list[str]:
    """How the house refuses: the style file's examples, then the rows' own refusals over passages, each once."""
    examples = (pair.reply for pair in style_of(settings).examples)
    told = (pair.reply for pair in pairs if pair.context)
    return list(dict.fromkeys(reply for reply in (*examples, *told) if is_refusal(reply)))


class _Search:
    """The assistant's way from a prompt to passages, with a row's own passages among them."""

    def __init__(self, settings: Settings, index: SearchableIndex, progress: Progress) -> None:
        self._index = index
        self._progress = progress
        self._encoder: Encoder = load_encoder(settings.retrieval.encoder, runtime=settings.retrieval.runtime)
        self._reader: PassageReader | None = reader_of(settings)
        self._min_answer = settings.assistant.min_answer
        self._context = settings.assistant.context
        self._k = settings.search_k + _DEPTH

    def many(self, pairs: Sequence[VoicePair], groups: Sequence[tuple[str, ...]]) -> list[list[Candidate]]:
        """For each row its candidates, best first; rows of the same groups are searched and read together."""
        found: dict[int, list[Candidate]] = {}
        for allowed in dict.fromkeys(groups):
            numbers = [n for n, own in enumerate(groups) if own == allowed]
            for start in range(0, len(numbers), _BATCH):
                some = numbers[start : start + _BATCH]
                self._progress("rows like the runtime", len(found), len(pairs))
                found |= zip(some, self._together([pairs[n] for n in some], allowed), strict=True)
        return [found[n] for n in range(len(pairs))]

    def _together(self, pairs: Sequence[VoicePair], groups: tuple[str, ...]) -> list[list[Candidate]]:
        asked = [phrasings(pair.prompt, pair.history) for pair in pairs]
        queries = [phrased[-1] for phrased in asked]
        hits = find(self._index, asked, k=self._k, groups=groups)
        near = [[*own, *some[:READ_DEPTH]] for own, some in zip(self._own(queries, pairs), hits, strict=True)]
        far = [some[READ_DEPTH:] for some in hits]
        ranked = self._ranked(queries, near, far)
        return [
            _without_copies([self._candidate(pair, hit) for hit in row])
            for pair, row in zip(pairs, ranked, strict=True)
        ]

    def _ranked(self, queries: Sequence[str], near: list[list[Hit]], far: list[list[Hit]]) -> list[list[Hit]]:
        """Best first: by how well they answer where somebody reads, else by score."""
        if self._reader is None:
            return [sorted([*a, *b], key=lambda hit: -hit.score) for a, b in zip(near, far, strict=True)]
        rows = [(q, h.passage.heading, h.passage.text) for q, a in zip(queries, near, strict=True) for h in a]
        read = iter(self._reader.read_many(rows) if rows else ())
        return [
            [*ordered(mark(query, a, list(islice(read, len(a))))), *b]
            for query, a, b in zip(queries, near, far, strict=True)
        ]

    def _own(self, queries: Sequence[str], pairs: Sequence[VoicePair]) -> list[list[Hit]]:
        """The passages that each row brings, with their cosine to its query."""
        vectors = self._encoder.encode([*queries, *(text for pair in pairs for text in pair.context)])
        passages = iter(vectors[len(queries) :])
        return [
            [
                Hit(_own_passage(number, text), min(1.0, max(0.0, float(next(passages) @ query))))
                for number, text in enumerate(pair.context)
            ]
            for query, pair in zip(vectors[: len(queries)], pairs, strict=True)
        ]

    def _candidate(self, pair: VoicePair, hit: Hit) -> Candidate:
        if hit.passage.doc_id == _OWN:
            return Candidate(pair.context[int(hit.passage.source)], own=int(hit.passage.source))
        worth = value(hit)
        answers = None if worth is None else worth >= self._min_answer
        return Candidate(shown_text(hit, context=self._context), source=hit.passage.source, answers=answers)


def _own_passage(number: int, text: str) -> Passage:
    """A row's own passage, which knows its number in the row."""
    heading, said = _split(text)
    return Passage(short_hash(_OWN, str(number), text), _OWN, str(number), said, 0, len(said), heading)


def _without_copies(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Each statement once, at its best place: a passage that a row quotes from the index stands as the row has it."""
    kept: list[Candidate] = []
    for candidate in candidates:
        twin = next((n for n, other in enumerate(kept) if _same(candidate, other)), None)
        if twin is None:
            kept.append(candidate)
        elif candidate.own is not None and kept[twin].own is None:
            kept[twin] = candidate
    return kept


def _same(one: Candidate, other: Candidate) -> bool:
    """Whether the document's text holds what the row's own says, whatever the headings; own passages all differ."""
    if (one.own is None) == (other.own is None):
        return one.own is None and normalise(one.text) == normalise(other.text)
    own, found = (one, other) if one.own is not None else (other, one)
    return normalise(_split(own.text)[1]) in normalise(found.text)


def _split(text: str) -> tuple[str, str]:
    """The heading that a row wrote before its passage ("Delivery > Times: ..."), and the passage."""
    match = _HEADING.match(text)
    return (match.group(1), text[match.end() :]) if match else ("", text)
