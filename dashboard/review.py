"""The review queue as plain data: one row per claim, riskiest first, and what stands beside it. No Streamlit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from dashboard.marks import chip, find_sentence, look, passage_html, place
from dashboard.measures import arm_name, percent
from dashboard.runs import items
from groundtone.feedback import Agreement, JudgedClaim, agreement

if TYPE_CHECKING:
    import pandas as pd

RISK = {"contradicted": 0, "unsupported": 1, "unchecked": 2, "supported": 3}
STAGES = ("lexical", "dense", "fused", "reranked")


@dataclass(frozen=True, slots=True)
class Row:
    """One claim to judge: its key, its record (answer, question, hits) and itself."""

    key: str
    arm: str
    record: Mapping[str, Any]
    claim: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        """What the detector said."""
        return str(self.claim.get("verdict", "unchecked"))

    @property
    def question(self) -> str:
        """The question's text."""
        return str(self.record["question"].get("text", ""))


def queue(records: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Every claim, riskiest first: contradicted, unsupported, unchecked, supported; then by item, arm and place.

    General items (arithmetic, conversation ...) are left out: they say nothing about the documents.
    """
    rows = []
    for record in records:
        answer = record.get("answer")
        if not isinstance(answer, dict) or record["question"].get("kind") == "general":
            continue
        for claim in items(answer.get("claims")):
            key = f"{answer.get('id')}:{claim.get('start')}-{claim.get('end')}"
            rows.append(Row(key, str(record["arm"]), record, claim))
    return sorted(
        rows, key=lambda r: (RISK.get(r.verdict, 2), str(r.record["item_id"]), r.arm, r.claim.get("start", 0))
    )


def select(rows: Sequence[Row], *, arm: str = "", verdicts: Sequence[str] = ()) -> list[Row]:
    """Rows of one arm and of some verdicts; empty means all."""
    return [r for r in rows if arm in ("", r.arm) and (not verdicts or r.verdict in verdicts)]


def arms_of(rows: Iterable[Row]) -> list[str]:
    """The arms that have claims, tuned with documents first."""
    order = ["tuned/rag", "base/rag", "tuned/closed", "base/closed", "prompted/rag", "extractive/rag"]
    found = {row.arm for row in rows}
    return [arm for arm in order if arm in found] + sorted(found - set(order))


def queue_table(rows: Sequence[Row], judged: Mapping[str, str]) -> pd.DataFrame:
    """The queue as a table: the detector's icon and word, the claim, and what this person said ("" where nothing)."""
    import pandas as pd

    return pd.DataFrame(
        {
            "": [look(row.verdict).icon for row in rows],
            "You": [look(judged[row.key]).icon if row.key in judged else "" for row in rows],
            "Claim": [" ".join(str(row.claim.get("text", "")).split()) for row in rows],
        }
    )


def next_open(rows: Sequence[Row], judged: Mapping[str, str], after: int) -> int:
    """The next row that this person has not judged, wrapping round; the same row where all are judged."""
    for step in range(1, len(rows) + 1):
        index = (after + step) % len(rows)
        if rows[index].key not in judged:
            return index
    return after


def mine(verdicts: Iterable[JudgedClaim], person: str) -> dict[str, str]:
    """Claim key to what this person said last."""
    return {v.verdict.claim_key: v.verdict.value for v in verdicts if v.verdict.person == person}


def trust(rows: Iterable[Row], verdicts: Iterable[JudgedClaim]) -> Agreement:
    """Agreement of the detector with everyone's latest verdicts on these claims."""
    detector = {row.key: row.verdict for row in rows}
    return agreement(
        (detector[v.verdict.claim_key], v.verdict.value) for v in verdicts if v.verdict.claim_key in detector
    )


def about(row: Row, run: str) -> dict[str, Any]:
    """What a verdict is stored with, so that it can become a training row without this run's folder."""
    return {
        "run": run,
        "arm": row.arm,
        "item": str(row.record["item_id"]),
        "question": row.question,
        "answer": str(row.record["answer"].get("text", "")),
        "claim": str(row.claim.get("text", "")),
        "evidence": str(row.claim.get("evidence", "")),
        "detector": row.verdict,
    }


def question_html(row: Row) -> str:
    """The question, the arm that answered, and the answer that the documents give."""
    gold = row.record["question"].get("gold")
    if isinstance(gold, dict) and gold.get("values"):
        values = "; ".join(" / ".join(map(str, group)) for group in gold["values"])
        truth = f'<div class="gt-fact"><span>Right answer</span><div dir="auto">{escape(values)}</div></div>'
    else:
        truth = (
            '<div class="gt-fact"><span>Right answer</span><div>not in the documents: a refusal is right</div></div>'
        )
    return (
        f'<div class="gt-eyebrow">{escape(arm_name(row.arm))}</div>'
        f'<div class="gt-question" dir="auto">{escape(row.question)}</div>{truth}'
    )


def claim_html(row: Row, said: str) -> str:
    """The claim under judgement: the detector's verdict with its reason, and the person's own."""
    yours = f'<span class="gt-yours">You said {chip(said)}</span>' if said else ""
    why = escape(str(row.claim.get("why", ""))) or "The detector gave no reason."
    return f'<div class="gt-why">{chip(row.verdict)}<span dir="auto">{why}</span>{yours}</div>'


def evidence_html(row: Row) -> str:
    """The passage that the claim was held against, its sentence marked, where it stands and how it was found."""
    hits = [hit for hit in items(row.record["answer"].get("hits")) if isinstance(hit.get("passage"), dict)]
    wanted, evidence = row.claim.get("passage_id"), str(row.claim.get("evidence", ""))
    for rank, hit in enumerate(hits, start=1):
        if wanted and hit["passage"].get("id") == wanted:
            title = "Evidence"
            return _hit_html(hit, rank, evidence, title)
    if evidence:
        lead = '<div class="gt-eyebrow">Evidence in the documents</div>'
        missed = '<p class="gt-missed"><b aria-hidden="true">∅</b>Not retrieved: the answer was written without it.</p>'
        return lead + missed + passage_html(evidence, (0, len(evidence))) + _gold_source(row)
    if hits:
        return _hit_html(hits[0], 1, "", "Nothing carries it; the nearest passage")
    return (
        '<div class="gt-eyebrow">Evidence</div><p class="gt-missed"><b aria-hidden="true">∅</b>Not retrieved: this arm '
        "answered from memory, or nothing was found.</p>" + _gold_quote(row)
    )


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


def _gold_source(row: Row) -> str:
    quotes = (row.record["question"].get("gold") or {}).get("quotes") or ()
    return "".join(f'<div class="gt-place"><span class="gt-file">{escape(str(q[0]))}</span></div>' for q in quotes if q)


def _gold_quote(row: Row) -> str:
    quotes = (row.record["question"].get("gold") or {}).get("quotes") or ()
    return "".join(
        f'<div class="gt-eyebrow gt-later">What the documents say</div>'
        f'<div class="gt-place"><span class="gt-file">{escape(str(quote[0]))}</span></div>'
        f"{passage_html(str(quote[1]), (0, len(str(quote[1]))))}"
        for quote in quotes
        if len(quote) == 2
    )


def progress_html(done: int, total: int, found: Agreement) -> str:
    """ "12 of 80 judged" as a bar, and the detector's agreement with people so far."""
    share = done / total if total else 0.0
    kappa = "κ undefined" if found.kappa is None else f"κ {found.kappa:.2f}".replace("-", "−")
    trust_note = "0 human verdicts: unverified" if found.n == 0 else f"{kappa} on {found.n} verdicts"
    return (
        f'<div class="gt-progress" role="progressbar" aria-valuenow="{done}" aria-valuemax="{total}">'
        f'<div class="gt-progress-bar"><i style="width:{100 * share:.1f}%"></i></div>'
        f"<div><strong>{done} of {total} judged</strong><span>{percent(share)}</span>"
        f"<span>{trust_note}</span></div></div>"
    )
