"""A project with an index, stored answers, questions, pairs, a tuned run and people's verdicts, without any weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from eval.records import to_json
from groundtone.feedback import Feedback, Vote
from groundtone.files import sha256_file
from groundtone.project import Project
from groundtone.settings import Settings, load_settings
from groundtone.types import (
    Answer,
    Citation,
    Claim,
    EvalRecord,
    Gold,
    Hit,
    Passage,
    Preference,
    Question,
    Score,
    Verdict,
)
from retrieval.store import Store
from retrieval.update import IndexReport, update_store
from tests.retrieval.hashing_encoder import HashingEncoder

PARCELS = "Parcels that nobody collects from the harbour desk are kept for 14 days."
LETTERS = "Letters are kept in the blue cupboard for 3 days and then sent back to their sender."
TRAILERS = "A trailer of the large kind carries eighty kilograms over sand and over gravel."
POST = f"# Post room\n\n{PARCELS} {LETTERS}\n"
FLEET = f"# Fleet\n\n{TRAILERS} The fleet counts nine boats that leave the quay at dawn.\n"


def make_world(root: Path) -> tuple[Project, Settings]:
    """Two documents; `post.md` is cited, asked about, trained on and judged; so is `fleet.md`, once each."""
    (root / "docs").mkdir(parents=True)
    (root / "docs/post.md").write_text(POST)
    (root / "docs/fleet.md").write_text(FLEET)
    config = {
        "documents": {"folder": "docs"},
        "tuning": {"data": "voice.jsonl", "heldout": None},
        "eval": {"questions": "questions", "voice": "none.jsonl"},
    }
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    project, settings = Project(root), load_settings(root)
    update(project, settings)
    rows(
        root / "questions/answerable.jsonl",
        {"id": "a1", "question": "How long?", "values": [["14 days"]], "quotes": [["post.md", PARCELS]]},
        {"id": "a2", "question": "How heavy?", "values": [["80"]], "quotes": [["fleet.md", TRAILERS]]},
    )
    rows(
        root / "voice.jsonl",
        {"prompt": "How long?", "reply": "Ahoy! 14 days [1].", "source": "post", "context": [f"Post room: {PARCELS}"]},
        {"prompt": "How heavy?", "reply": "Ahoy! 80 kg [1].", "source": "boats", "context": [TRAILERS]},
    )
    with project.start_run("tune", inputs={"voice.jsonl": sha256_file(root / "voice.jsonl")}) as run:
        (run.path / "notes.txt").write_text("epoch 1")
    with closing(Store(project.index_path)) as store:
        passages = {doc.source: passage_of(doc.id, doc.source, doc.text) for doc in store.documents()}
    with project.start_run("eval") as run:
        answers = [record("a1", passages["post.md"], PARCELS), record("a2", passages["fleet.md"], TRAILERS)]
        (run.path / "records.jsonl").write_text("".join(f"{to_json(r)}\n" for r in answers))
        (run.path / "report.md").write_text(f"# Report\n\n- it said: {LETTERS}\n")
    feedback = Feedback(project.feedback_path)
    feedback.add_verdict(Verdict("x1:0-5", "me", "supported"), about={"question": "How long?", "evidence": PARCELS})
    feedback.add_verdict(Verdict("x2:0-5", "me", "supported"), about={"question": "How heavy?", "evidence": TRAILERS})
    feedback.add_vote(Vote(Preference("How long?", "14 days", "9 days", (f"Post room: {LETTERS}",)), "me"))
    return project, settings


def update(project: Project, settings: Settings) -> IndexReport:
    """Bring the index in line with the folder."""
    encoder = HashingEncoder()
    with closing(Store(project.index_path, encoder=encoder.name, dim=encoder.dim)) as store:
        return update_store(store, encoder, settings.path(settings.documents.folder), full=True)


def rows(path: Path, *some: Mapping[str, Any]) -> None:
    """JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in some))


def passage_of(doc_id: str, source: str, text: str) -> Passage:
    """The whole document as one passage."""
    return Passage(f"p-{source}", doc_id, source, text, 0, len(text), "Title")


def record(item: str, passage: Passage, quote: str) -> EvalRecord:
    """An answer that quotes a sentence of a passage and cites it."""
    start = passage.text.index(quote)
    question = Question(item, f"{item}?", gold=Gold((("14 days",),), ((passage.source, quote),)))
    answer = Answer(
        f"x{item[-1]}",
        question,
        f"{quote} [1]",
        (Hit(passage, 0.9, best=((start, start + len(quote)),)),),
        (Citation(len(quote) + 1, len(quote) + 4, passage.doc_id, passage.id, start, start + len(quote)),),
        claims=(Claim(quote, 0, len(quote), "supported", passage.id, quote),),
    )
    return EvalRecord(item, "base/rag", question, answer, {"correct": Score(1.0, f"says {quote}")})
