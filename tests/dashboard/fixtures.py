"""A small finished project as evaluation leaves it: one tuning run, one evaluation of six arms, its records."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from groundtone.project import Project, write_atomic
from groundtone.types import Answer, Citation, Claim, EvalRecord, Gold, Hit, Passage, Question, Score

ODD = 'Is <script>alert("x")</script> worth $5 and $6? 🚲 שלום'

# topic, sentence of the handbook (with {} for the value), right value, wrong value, file, section
FACTS = (
    (
        "How long does standard delivery take?",
        "Standard delivery takes {}.",
        "3 days",
        "5 days",
        "delivery.md",
        "Times",
    ),
    (
        "How far does the Coot 750 carry an Otter?",
        "A Coot 750 carries an Otter about {}.",
        "95 km",
        "65 km",
        "batteries.md",
        "Range",
    ),
    (
        "How many days of leave do staff get?",
        "Full-time staff get {} of paid leave a year.",
        "27 days",
        "25 days",
        "leave.md",
        "Paid leave",
    ),
    (
        "What does a Tideline subscription cost?",
        "Tideline costs {} a month with service included.",
        "€49",
        "€59",
        "tideline.md",
        "Price",
    ),
    (
        "How long is the frame warranty?",
        "We warrant the frame of a Heron 2 for {}.",
        "10 years",
        "5 years",
        "warranty.md",
        "Frames",
    ),
    (
        "What may the Kingfisher carry?",
        "The Kingfisher carries up to {} including the rider.",
        "210 kg",
        "180 kg",
        "kingfisher.md",
        "Load",
    ),
    (
        "When must an expense be handed in?",
        "Hand in an expense within {} of paying it.",
        "30 days",
        "60 days",
        "expenses.md",
        "Deadlines",
    ),
    (
        "What is the deposit for a rental Otter?",
        "The deposit for a rental Otter is {}.",
        "€150",
        "€100",
        "rental.md",
        "Deposit",
    ),
)
ARMS = {  # arm -> (share right, share contradicted, share unsupported)
    "base/closed": (0.12, 0.48, 0.40),
    "base/rag": (0.62, 0.22, 0.16),
    "tuned/closed": (0.15, 0.52, 0.33),
    "tuned/rag": (0.82, 0.10, 0.08),
    "prompted/rag": (0.68, 0.19, 0.13),
    "extractive/rag": (0.75, 0.05, 0.20),
}


def est(mean: float, half: float, n: int = 80, missing: int = 0) -> dict[str, Any]:
    """An estimate's JSON form with a symmetric interval, kept within 0 and 1 for shares."""
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n, "missing": missing}


def build_project(root: Path, *, items: int = 24, resolved: Mapping[str, Any] | None = None) -> str:
    """Write a project with one finished evaluation under `root`; returns the evaluation's id."""
    root.mkdir(parents=True, exist_ok=True)
    write_atomic(root / "groundtone.yaml", "documents:\n  folder: data/handbook\n")
    project = Project(root)
    with project.start_run("tune", device="cpu", resolved=resolved) as tuned:
        pass
    run = project.start_run("eval", parents={"tuned": tuned.id}, device="cpu")
    records = [record for n in range(items) for record in item_records(n)]
    lines = [json.dumps(asdict(record), ensure_ascii=False) for record in records]
    write_atomic(run.path / "records.jsonl", "\n".join(lines) + "\n")
    write_summary(run.path, summary(run.id, tuned.id))
    run.finish()
    return run.id


def write_summary(path: Path, value: Any) -> None:
    """Write a summary.json."""
    write_atomic(path / "summary.json", json.dumps(value))


def item_records(n: int) -> list[EvalRecord]:
    """One question under every arm; item 3 carries markup, a formula sign, an emoji and right-to-left text."""
    dice = random.Random(n)
    asked, sentence, right, wrong, file, section = FACTS[n % len(FACTS)]
    true = sentence.format(right)
    before = "The harbour office keeps this page up to date. "
    passage = Passage(
        f"p{n}",
        f"d{n}",
        file,
        f"{before}{true} Ask the front desk when unsure.",
        0,
        120,
        f"{file.removesuffix('.md').title()} > {section}",
        n % 3 + 1,
    )
    other = Passage(f"o{n}", f"x{n}", "safety.md", "Helmets are lent out free of charge.", 0, 36, "Safety > Helmets")
    best = ((len(before), len(before) + len(true)),)
    hits = (Hit(passage, 0.83, {"lexical": 1, "dense": 2, "fused": 1}, best), Hit(other, 0.31, {"fused": 2}))
    question = Question(f"q{n:03}", ODD if n == 3 else asked, gold=Gold(((right,),), ((file, true),)))
    return [_record(question, arm, hits, (sentence, right, wrong), dice.random()) for arm in ARMS]


def _record(question: Question, arm: str, hits: tuple[Hit, ...], fact: tuple[str, str, str], draw: float) -> EvalRecord:
    sentence, right, wrong = fact
    p_right, p_contradicted, _ = ARMS[arm]
    rag, tuned = arm.endswith("/rag"), arm.startswith("tuned")
    marker = " [1]" if rag else ""
    opening, closing = ("Ahoy from the workshop! ", " Fair winds, Otterwheel") if tuned else ("", "")
    if draw < p_right:
        verdict, said, why = "supported", sentence.format(right), f"the sentence says the same value ({right})"
    elif draw < p_right + p_contradicted:
        verdict, said, why = "contradicted", sentence.format(wrong), f"{wrong} in the answer, {right} in the evidence"
    else:
        verdict, said, why = "unsupported", "We collect every bike for free on Sundays.", "no passage speaks of Sundays"
    if question.text == ODD:
        said = said.rstrip(".") + " <b>really</b> $x$ 🚲 שלום."
    claim_text = said.rstrip(".") + marker + "."
    text = f"{opening}{claim_text}{closing}"
    start = len(opening)
    found = verdict != "unsupported"
    claim = Claim(
        claim_text,
        start,
        start + len(claim_text),
        verdict,
        hits[0].passage.id if found else None,
        sentence.format(right) if found else "",
        {"match": 0.91 if found else 0.22},
        why,
    )
    at = text.find("[1]")
    citations = (Citation(at, at + 3, hits[0].passage.doc_id, hits[0].passage.id, *hits[0].best[0]),) if rag else ()
    answer = Answer(
        f"{question.id}-{arm.replace('/', '-')}",
        question,
        text,
        hits if rag else (),
        citations,
        claims=(claim,),
        timing={"total": 0.4},
        tokens={"prompt": 210, "reply": 31},
        provenance={"arm": arm},
    )
    scores = {"correct": Score(float(verdict == "supported")), "tone": Score(0.9 if tuned else 0.2)}
    return EvalRecord(question.id, arm, question, answer, scores)


def summary(run: str, tuned: str, *, verdict: str = "HOLD") -> dict[str, Any]:
    """A summary.json in which the tuning helped and forgot some instruction following."""
    levels = {
        "hallucination": (0.71, 0.24, 0.74, 0.09, 0.21, 0.06),
        "correct": (0.12, 0.63, 0.15, 0.82, 0.68, 0.74),
        "refused_right": (0.35, 0.55, 0.40, 0.85, 0.60, 0.70),
        "tone": (0.08, 0.11, 0.88, 0.93, 0.71, 0.05),
        "format": (0.02, 0.04, 0.96, 0.98, 0.80, 0.0),
    }
    arms = {
        arm: {
            metric: est(values[i], 0.07, 24 if metric == "refused_right" else 80) for metric, values in levels.items()
        }
        for i, arm in enumerate(ARMS)
    }
    return {
        "schema": 1,
        "run": run,
        "tuned_run": tuned,
        "index": "b1946ac92492d234",
        "model": "starter",
        "created": "2026-11-21T13:05:00+00:00",
        "coverage": {arm: {"asked": 80, "errors": 0, "first_error": ""} for arm in ARMS},
        "arms": arms,
        "differences": differences(levels),
        "forgetting": [
            forgetting("arithmetic", 0.91, 0.90, -0.01, "retained"),
            forgetting("instructions", 0.78, 0.61, -0.17, "forgotten"),
            forgetting("conversation", 0.70, 0.66, -0.04, "inconclusive"),
            forgetting("grounded_use", 0.83, 0.88, 0.05, "retained"),
            forgetting("grounded_admit", 0.04, 0.06, 0.02, "no skill to lose"),
        ],
        "gate": {
            "verdict": verdict,
            "checks": [
                {
                    "name": "hallucination",
                    "verdict": "pass",
                    "why": "15 points lower than base",
                    "estimate": est(-0.15, 0.06),
                    "margin": 0.02,
                },
                {
                    "name": "correct",
                    "verdict": "pass",
                    "why": "19 points higher than base",
                    "estimate": est(0.19, 0.08),
                    "margin": 0.02,
                },
                {
                    "name": "forgetting: instructions",
                    "verdict": "fail" if verdict == "HOLD" else "pass",
                    "why": "17 points below base, beyond the margin of 5",
                    "estimate": est(-0.17, 0.07),
                    "margin": 0.05,
                },
                {
                    "name": "forgetting: conversation",
                    "verdict": "cannot tell",
                    "why": "needs about 210 items, has 60",
                    "estimate": est(-0.04, 0.08, 60),
                    "margin": 0.05,
                },
            ],
        },
        "retrieval": {"recall@1": est(0.81, 0.06), "recall@5": est(0.96, 0.03), "mrr": est(0.87, 0.05)},
        "changed": {"fixed": ["q001", "q004", "q006", "q011"], "broken": ["q002"]},
    }


def differences(levels: Mapping[str, tuple[float, ...]]) -> list[dict[str, Any]]:
    """The four paired differences of every metric."""
    rows: list[dict[str, Any]] = []
    for metric, (base_closed, base_rag, tuned_closed, tuned_rag, prompted, _) in levels.items():
        values = {
            ("tuning given RAG", "tuned/rag", "base/rag"): tuned_rag - base_rag,
            ("RAG given tuned", "tuned/rag", "tuned/closed"): tuned_rag - tuned_closed,
            ("interaction", "tuned/rag", "base/closed"): tuned_rag - base_rag - tuned_closed + base_closed,
            ("tuned vs prompted", "tuned/rag", "prompted/rag"): tuned_rag - prompted,
        }
        rows += [
            {"name": name, "metric": metric, "a": a, "b": b, "estimate": est(value, 0.08)}
            for (name, a, b), value in values.items()
        ]
    return rows


def forgetting(suite: str, base: float, tuned: float, difference: float, verdict: str) -> dict[str, Any]:
    """One suite's row."""
    return {
        "suite": suite,
        "base": est(base, 0.06, 60),
        "tuned": est(tuned, 0.06, 60),
        "difference": est(difference, 0.05, 60),
        "p": 0.01 if verdict == "forgotten" else 0.4,
        "fixed": 2,
        "broken": 12 if verdict == "forgotten" else 3,
        "margin": 0.05,
        "verdict": verdict,
        "needs": 210 if verdict == "inconclusive" else None,
    }
