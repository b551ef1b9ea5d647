"""The review queue as plain data: one row per claim, riskiest first, and what stands beside it. No Streamlit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from dashboard.claims import RANDOM, Claims, Entry, Order
from dashboard.marks import chip, find_sentence, look, passage_html, place
from dashboard.measures import arm_name
from dashboard.runs import items
from dashboard.views_retrieval import is_gold
from groundtone.feedback import JudgedClaim
from groundtone.joins.review import PICKED

if TYPE_CHECKING:
    import pandas as pd

STAGES = ("lexical", "dense", "fused", "reranked")
ARM_ORDER = ("tuned/rag", "base/rag", "tuned/closed", "base/closed", "prompted/rag", "extractive/rag")


@dataclass(frozen=True, slots=True)
class Row:
    """One claim to judge, in full: its place in the queue, its record (answer, question, hits) and itself.

    `source` is the document of the passage that it was held against, "" where no record knows.
    """

    entry: Entry
    record: Mapping[str, Any]
    claim: Mapping[str, Any]
    source: str = ""

    @property
    def key(self) -> str:
        """What verdicts on it are stored under."""
        return self.entry.key

    @property
    def arm(self) -> str:
        """The arm that said it."""
        return self.entry.arm

    @property
    def verdict(self) -> str:
        """What the detector said."""
        return self.entry.verdict

    @property
    def question(self) -> str:
        """The question's text."""
        return str(self.record["question"].get("text", ""))


def open_row(claims: Claims, entry: Entry) -> Row | None:
    """The claim with its record; None where the record cannot be read any more."""
    record = claims.record(entry.line)
    answer = record.get("answer") if record is not None else None
    if record is None or not isinstance(answer, dict):
        return None
    for claim in items(answer.get("claims")):
        if (claim.get("start"), claim.get("end")) == (entry.start, entry.stop):
            return Row(entry, record, claim, claims.source(str(claim.get("passage_id") or "")))
    return None


def in_order(arms: Iterable[str]) -> list[str]:
    """Arms, tuned with documents first."""
    found = set(arms)
    return [arm for arm in ARM_ORDER if arm in found] + sorted(found - set(ARM_ORDER))


def queue_table(rows: Sequence[Entry], judged: Mapping[str, str], *, blind: bool = False) -> pd.DataFrame:
    """The queue as a table: the detector's icon, what this person said once they said something, the claim.

    `blind` hides what the detector said until this person has judged.
    """
    import pandas as pd

    hidden = [blind and row.key not in judged for row in rows]
    table = {"": ["·" if hide else look(row.verdict).icon for row, hide in zip(rows, hidden, strict=True)]}
    if any(row.key in judged for row in rows):
        table["You"] = [look(judged[row.key]).icon if row.key in judged else "" for row in rows]
    return pd.DataFrame(table | {"Claim": [row.text for row in rows]})


def next_open(rows: Sequence[Entry], judged: Mapping[str, str], after: int) -> int:
    """The next row that this person has not judged, wrapping round; the same row where all are judged."""
    for step in range(1, len(rows) + 1):
        index = (after + step) % len(rows)
        if rows[index].key not in judged:
            return index
    return after


def mine(verdicts: Iterable[JudgedClaim], person: str) -> dict[str, str]:
    """Claim key to what this person said last."""
    return {v.verdict.claim_key: v.verdict.value for v in verdicts if v.verdict.person == person}


def corrected(verdicts: Iterable[JudgedClaim], person: str) -> dict[str, str]:
    """Claim key to what this person last wrote that it should have said; "" where they wrote nothing."""
    return {v.verdict.claim_key: v.verdict.correction for v in verdicts if v.verdict.person == person}


def contested(verdicts: Iterable[JudgedClaim]) -> list[str]:
    """Keys of the claims that people judged differently: they need a third opinion first."""
    said: dict[str, set[str]] = {}
    for one in verdicts:
        said.setdefault(one.verdict.claim_key, set()).add(one.verdict.value)
    return [key for key, values in said.items() if len(values - {"unsure"}) > 1]


def about(row: Row, run: str, *, order: Order) -> dict[str, Any]:
    """What a verdict is stored with, so that it can become a training row without this run's folder.

    A claim that was met in order of its risk is no random one: its verdict is marked, and rates are not taken from it.
    """
    return {
        "run": run,
        "arm": row.arm,
        "item": str(row.record["item_id"]),
        "question": row.question,
        "answer": str(row.record["answer"].get("text", "")),
        "claim": str(row.claim.get("text", "")),
        "evidence": str(row.claim.get("evidence", "")),
        "detector": row.verdict,
        PICKED: "random" if order == RANDOM else "active",
    }


def question_html(row: Row) -> str:
    """The question, the arm that answered, and the answer that the documents give."""
    gold = row.record["question"].get("gold")
    if isinstance(gold, dict) and gold.get("values"):
        spelt = [list(map(str, group)) for group in gold["values"] if isinstance(group, list) and group]
        values, every = " and ".join(group[0] for group in spelt), "; ".join(" or ".join(group) for group in spelt)
        truth = (
            f'<div class="gt-fact" title="{escape(every)}"><span>Right answer</span>'
            f'<div dir="auto">{escape(values)}</div></div>'
        )
    else:
        truth = (
            '<div class="gt-fact"><span>Right answer</span><div>not in the documents: a refusal is right</div></div>'
        )
    return (
        f'<div class="gt-eyebrow">{escape(arm_name(row.arm))}</div>'
        f'<div class="gt-question" dir="auto">{escape(row.question)}</div>{truth}'
    )


def claim_html(row: Row, said: str, *, blind: bool = False) -> str:
    """The claim under judgement: the detector's verdict with its risk and reason, and the person's own.

    `blind` hides what the detector said until the person has judged.
    """
    if blind and not said:
        return '<div class="gt-why">The detector\'s guess is hidden until you have judged.</div>'
    yours = f'<span class="gt-yours">You said {chip(said)}</span>' if said else ""
    why = escape(str(row.claim.get("why", ""))) or "The detector gave no reason."
    risk = f"<span>risk {row.entry.risk:.2f}</span>"
    return f'<div class="gt-why">{chip(row.verdict)}{risk}<span dir="auto">{why}</span>{yours}</div>'


def evidence_html(row: Row, span: Mapping[str, Any] | None = None) -> str:
    """The passage that the claim was held against, its sentence marked, where it stands and how it was found.

    `span` is the claim in blame.json: it knows at which rank of the whole corpus a missed passage stands.
    """
    hits = [hit for hit in items(row.record["answer"].get("hits")) if isinstance(hit.get("passage"), dict)]
    wanted, evidence = row.claim.get("passage_id"), str(row.claim.get("evidence", ""))
    for rank, hit in enumerate(hits, start=1):
        if wanted and hit["passage"].get("id") == wanted:
            title = "Evidence"
            return _hit_html(hit, rank, evidence, title)
    if evidence:
        carried = row.verdict in ("supported", "contradicted")
        title = "Evidence in the documents" if carried else "Nearest in the documents; it does not carry the claim"
        missed = _missed(span, "the answer was written without it")
        source = f'<div class="gt-place"><span class="gt-file">{escape(row.source)}</span></div>' if row.source else ""
        return f'<div class="gt-eyebrow">{title}</div>{missed}{passage_html(evidence, (0, len(evidence)))}{source}'
    if hits:
        known = _missed(span, "") + _span_passage(span) if span and span.get("rank") else ""
        return known + _hit_html(hits[0], 1, "", "Nothing carries it; the nearest passage")
    missed = _missed(span, "this arm answered from memory, or nothing was found")
    return f'<div class="gt-eyebrow">Evidence</div>{missed}{_gold_quote(row)}'


def missed_quotes(row: Row) -> tuple[tuple[str, str], ...]:
    """The gold quotes of a claim's question where none stands in a retrieved passage; () where one does."""
    gold = row.record["question"].get("gold")
    stored = gold.get("quotes") if isinstance(gold, dict) else None
    quotes = tuple((str(q[0]), str(q[1])) for q in stored or () if isinstance(q, list) and len(q) == 2)
    hits = [hit["passage"] for hit in items(row.record["answer"].get("hits")) if isinstance(hit.get("passage"), dict)]
    return () if any(is_gold(passage, quotes) for passage in hits) else quotes


def _missed(span: Mapping[str, Any] | None, why: str) -> str:
    rank = (span or {}).get("rank")
    said = f"Not retrieved, but in the corpus at rank {rank}" if rank else "Not retrieved"
    return f'<p class="gt-missed"><b aria-hidden="true">∅</b>{said}{f": {why}" if why else ""}.</p>'


def _span_passage(span: Mapping[str, Any] | None) -> str:
    passage = (span or {}).get("passage")
    if not isinstance(passage, dict):
        return ""
    return place(passage) + passage_html(str(passage.get("text", "")), None)


def _hit_html(hit: Mapping[str, Any], rank: int, evidence: str, title: str) -> str:
    passage, ranks = hit["passage"], hit.get("ranks") or {}
    sentence = find_sentence(passage, evidence, hit.get("best") or ())
    score = hit.get("score")
    found = [("Shown as", f"[{rank}]")] + [
        (stage.title(), f"rank {ranks[stage]}") for stage in STAGES if stage in ranks
    ]
    if isinstance(score, (int, float)):
        found.append(("Score", f"{score:.2f}"))
    facts = "".join(f"<div><span>{escape(name)}</span>{escape(value)}</div>" for name, value in found)
    return (
        f'<div class="gt-eyebrow">{escape(title)}</div>{place(passage)}'
        f'{passage_html(str(passage.get("text", "")), sentence)}<div class="gt-facts">{facts}</div>'
    )


def _gold_quote(row: Row) -> str:
    quotes = (row.record["question"].get("gold") or {}).get("quotes") or ()
    return "".join(
        f'<div class="gt-eyebrow gt-later">What the documents say</div>'
        f'<div class="gt-place"><span class="gt-file">{escape(str(quote[0]))}</span></div>'
        f"{passage_html(str(quote[1]), (0, len(str(quote[1]))))}"
        for quote in quotes
        if len(quote) == 2
    )
