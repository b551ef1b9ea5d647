"""The cause of every unsupported or contradicted claim of an evaluation, each with its link: rows, passage, or index.

No generation and no judge: the records of the run, one deep search per item, and four passes over the answers that
have such claims.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from eval import blame
from eval.blame import Decision, Holding, Shown, Trace
from eval.blame_report import BlamedSpan, PassageLink, RowLink, fix_of
from eval.claims import check_claim
from eval.detectors import Detector
from eval.evidence import Evidence
from eval.style import Style
from eval.summary import cluster_of
from groundtone.assistant import Voice
from groundtone.grounding import select
from groundtone.joins.arms import ARMS, Models, detector_of, style_of
from groundtone.joins.blame_passes import Scored, Told, grounded_prompt, passes_of, score
from groundtone.joins.blame_rows import NearRow, RowIndex, Wanted
from groundtone.joins.retrievers import Edit
from groundtone.models.generate import LocalModel
from groundtone.models.influence import Piece
from groundtone.searching import find, phrasings
from groundtone.settings import Settings
from groundtone.types import Answer, Claim, EvalRecord, Hit, Passage, Question, Snippet
from groundtone.values import Value, find_values
from retrieval.interface import SearchableIndex

__all__ = ["DEPTH", "Suspect", "blame_spans", "flagged"]

Progress = Callable[[str, int, int], None]
DEPTH = 100  # passages within which a missed one is looked for
ROWS = 5  # training rows named per span
_DOUBTED = ("unsupported", "contradicted")
_FROM_TUNING = ("learned in tuning", "voice", "unclear")  # causes whose rows are looked up, by words
_BY_GRADIENT = ("learned in tuning", "unclear")  # and by gradient: a manner is in too many rows for that to pay


@dataclass(frozen=True, slots=True)
class Suspect:
    """A claim to be blamed, with its answer as told and the words of it that are doubtful."""

    record: EvalRecord
    answer: Answer
    claim: Claim
    told: Told
    words: tuple[tuple[int, int], ...]

    @property
    def spelled(self) -> tuple[str, ...]:
        """The doubtful words."""
        return tuple(self.answer.text[a:b] for a, b in self.words)

    @property
    def values(self) -> tuple[Value, ...]:
        """The values that the doubtful words are parts of."""
        found = find_values(self.claim.text)
        own = [(a - self.claim.start, b - self.claim.start) for a, b in self.words]
        return tuple(v for v in found if any(v.start < b and a < v.end for a, b in own))


def flagged(records: Sequence[EvalRecord], settings: Settings, *, style: Style | None = None) -> list[Suspect]:
    """Every unsupported or contradicted claim of the records, in their order."""
    known = style if style is not None else style_of(settings)
    return [
        Suspect(record, record.answer, claim, told, blame.doubtful(claim, question=record.question.text))
        for record in records
        if record.answer is not None and any(claim.verdict in _DOUBTED for claim in record.answer.claims)
        for told in (_told(record, record.answer, settings, known),)
        for claim in record.answer.claims
        if claim.verdict in _DOUBTED
    ]


def blame_spans(
    suspects: Sequence[Suspect],
    settings: Settings,
    *,
    index: SearchableIndex,
    models: Models,
    rows: RowIndex,
    rows_why: str = "",
    edits: Mapping[str, Edit] | None = None,
    progress: Progress | None = None,
) -> list[BlamedSpan]:
    """The cause and the links of every suspect, in order; what cannot be told is "unclear" with its reason."""
    tell = progress or (lambda stage, done, total: None)
    traces = _traces(suspects, settings, index=index, edits=edits or {}, detector=detector_of(settings))
    answers = {(s.record.arm, s.record.item_id): s for s in suspects}
    scored = dict(
        zip(
            answers,
            score(models, [s.told for s in answers.values()], progress=lambda d, n: tell("blame: passes", d, n)),
            strict=True,
        )
    )
    wanted = [_wanted(s) for s in suspects]
    judged = [
        _judge(s, scored[s.record.arm, s.record.item_id], rows, one) for s, one in zip(suspects, wanted, strict=True)
    ]
    near = _nearest(suspects, judged, wanted, rows, models, tell)
    return [
        _span(s, decision, scored[s.record.arm, s.record.item_id], traced, links, rows_why)
        for s, decision, traced, links in zip(suspects, judged, traces, near, strict=True)
    ]


def _told(record: EvalRecord, answer: Answer, settings: Settings, style: Style) -> Told:
    """The answer with what its arm was shown, as `arms.build_arm` shows it; other arms were shown their hits whole."""
    who, _, where = record.arm.partition("/")
    if record.arm in ARMS and where == "rag":
        given = settings.assistant
        snippets = select(answer.hits[: given.k], context=given.context, context_tokens=given.context_tokens)
    else:
        snippets = tuple(Snippet(n, hit, hit.passage.text) for n, hit in enumerate(answer.hits, 1))
    voice = Voice(style.guide, style.examples) if who == "prompted" else Voice()
    return Told(record.question, answer.text, snippets, tuned=who == "tuned", voice=voice)


def _judge(suspect: Suspect, scored: Scored, rows: RowIndex, wanted: Wanted) -> Decision:
    """The cause of one span. What no model wrote is the documents', without any pass."""
    if suspect.record.arm.startswith("extractive/") or "quoted_because" in suspect.answer.provenance:
        return Decision("documents", "the words were quoted, no model wrote them")
    if scored.why:
        return Decision("unclear", scored.why)
    if not suspect.words:
        return Decision("unclear", "the claim has no words to be scored")
    held = Holding(rows.holding(wanted), len(rows.rows), has_values=bool(suspect.values))
    return blame.decide(passes_of(scored, suspect.words), held)


def _wanted(suspect: Suspect) -> Wanted:
    piece = Piece(grounded_prompt(suspect.told), suspect.answer.text, suspect.words)
    return Wanted(suspect.claim.text, suspect.record.question.text, suspect.spelled, suspect.values, piece)


def _nearest(
    suspects: Sequence[Suspect],
    judged: Sequence[Decision],
    wanted: Sequence[Wanted],
    rows: RowIndex,
    models: Models,
    tell: Progress,
) -> list[tuple[NearRow, ...]]:
    """The rows of the spans that the tuning may have caused; none for the others."""
    adapter = models.tuned if isinstance(models.tuned, LocalModel) and models.tuned.strength else None
    found: dict[int, tuple[NearRow, ...]] = {}
    for model, causes in ((None, _FROM_TUNING), (adapter, _BY_GRADIENT)):
        asked = [n for n, (s, d) in enumerate(zip(suspects, judged, strict=True)) if s.told.tuned and d.cause in causes]
        near = rows.nearest(
            [wanted[n] for n in asked], model=model, k=ROWS, progress=lambda d, n: tell("blame: rows", d, n)
        )
        found |= dict(zip(asked, near, strict=True))
    return [found.get(n, ()) for n in range(len(suspects))]


def _span(
    suspect: Suspect,
    decision: Decision,
    scored: Scored,
    traced: tuple[Trace, Passage | None],
    near: tuple[NearRow, ...],
    rows_why: str,
) -> BlamedSpan:
    trace, passage = traced
    links = tuple(
        RowLink(n.row.where, n.row.run, n.row.pair.prompt, n.row.pair.reply, n.by_words, n.by_gradient, n.cosine)
        for n in near
    )
    row = links[0].where if links else ""
    source = passage.source if passage else ""
    return BlamedSpan(
        item=suspect.record.item_id,
        arm=suspect.record.arm,
        answer_id=suspect.answer.id,
        document=cluster_of(suspect.record.question),
        start=suspect.claim.start,
        end=suspect.claim.end,
        text=suspect.claim.text,
        verdict=suspect.claim.verdict,
        words=suspect.spelled,
        cause=decision.cause,
        why=decision.why,
        trace=trace.kind,
        trace_why=trace.why,
        fix=fix_of(decision.cause, trace.kind, row=row, passage=source, rank=trace.rank),
        scores=_scores(suspect, scored),
        rows=links,
        rows_why="" if links or not suspect.told.tuned else rows_why,
        passage=PassageLink(passage.id, passage.source, passage.text) if passage else None,
        rank=trace.rank,
    )


def _scores(suspect: Suspect, scored: Scored) -> dict[str, float | None]:
    """The four log-probabilities and the pulls; what is not finite is None, for JSON has no word for it."""
    passes = passes_of(scored, suspect.words)
    found = blame.pulls(passes)
    named = {
        "logp_on_ctx": passes.on_ctx,
        "logp_on_bare": passes.on_bare,
        "logp_off_ctx": passes.off_ctx,
        "logp_off_bare": passes.off_bare,
        "context_pull": found.context,
        "adapter_pull": found.adapter,
        "base_prior": found.prior,
        "interaction": found.interaction,
    }
    return {k: None if v is None or not math.isfinite(v) else round(v, 4) for k, v in named.items()}


def _traces(
    suspects: Sequence[Suspect],
    settings: Settings,
    *,
    index: SearchableIndex,
    edits: Mapping[str, Edit],
    detector: Detector,
) -> list[tuple[Trace, Passage | None]]:
    """What retrieval did about each span, with the passage that it names."""
    questions = {s.record.item_id: s.record.question for s in suspects}
    deep = {item: _search(index, question) for item, question in questions.items()}
    gold = {item: _gold(index, question, edits.get(item)) for item, question in questions.items()}
    found = []
    for suspect in suspects:
        item = suspect.record.item_id
        right = gold[item] or [_supporting(index, suspect, detector)]
        known = {p.id: p for p in (*(hit.passage for hit in suspect.answer.hits), *(p for some in right for p in some))}
        trace = blame.trace(
            suspect.spelled,
            suspect.values,
            claim=suspect.claim,
            shown=_shown(suspect.told),
            searched=bool(suspect.told.snippets),
            right=[[passage.id for passage in some] for some in right],
            ranks={hit.passage.id: n for n, hit in enumerate(deep[item], 1)},
            depth=DEPTH,
            answerable=None if suspect.record.question.kind == "voice" else suspect.record.question.gold is not None,
        )
        found.append((trace, known.get(trace.passage_id or "")))
    return found


def _shown(told: Told) -> list[Shown]:
    """What could be copied: the snippets, and what the style's examples show and say."""
    examples = [Shown("", "the style's examples", "\n".join((*e.context, e.reply))) for e in told.voice.examples]
    return [Shown(s.hit.passage.id, s.hit.passage.source, s.text) for s in told.snippets] + examples


def _search(index: SearchableIndex, question: Question) -> list[Hit]:
    asked = [phrasings(question.text, question.history)]
    return find(index, asked, k=DEPTH, groups=question.groups)[0]


def _gold(index: SearchableIndex, question: Question, edit: Edit | None) -> list[list[Passage]]:
    """For each gold quote the passages that hold it, if any do; of an edited document, where the quote stood."""
    quotes = [(edit.source, edit.quote)] if edit else list(question.gold.quotes) if question.gold else []
    indexed = set(index.documents())
    located = [list(index.locate(source, quote)) for source, quote in quotes if source in indexed]
    return [some for some in located if some]


def _supporting(index: SearchableIndex, suspect: Suspect, detector: Detector) -> list[Passage]:
    """A passage of the corpus that says what the claim says after all; none where nothing does."""
    hits = index.search(suspect.claim.text, k=3, groups=suspect.record.question.groups)
    if not hits:
        return []
    judged = check_claim(suspect.claim.text, Evidence([hit.passage for hit in hits]), detector=detector)
    return [hit.passage for hit in hits if judged.verdict == "supported" and hit.passage.id == judged.passage_id]
