"""Correctness and general skills of a tuned voice at three points: nine hundred questions, and items of each suite.

The questions are squad2_open's over an index of its articles; no row of a voice is of them. Base and tuned are asked
over the same hits, read by the same reader. The general items are those of `groundtone data general`. After a training
that its guard stopped on items, an evaluation reports on the other half of what it is given: here all are others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.data_sets import SHARED, sample, squad2_open
from data.reader.rows import squad
from eval.gate import TUNING_GIVEN_RAG
from eval.generated_items import MAKERS, make_items, prompt_hashes
from eval.summary import summarise
from groundtone import pipeline
from groundtone.files import write_atomic
from groundtone.joins.arms import described, load_models
from groundtone.joins.asking import ask_questions
from groundtone.joins.evaluation import ask_general
from groundtone.joins.indexing import open_index, silent
from groundtone.joins.material import read_material
from groundtone.project import Project, Run
from groundtone.settings import Settings, load_settings
from tuning.pairs import read_pairs

MARGIN = 0.03
ARMS = ("base/rag", "tuned/rag")


def questions(most: int) -> list[dict[str, Any]]:
    """At most so many answerable questions of squad2_open, as `eval.questions` reads them; the same every time."""
    spellings = {item.question: item.spellings for item in squad(SHARED / "data") if item.start >= 0}
    return [
        {
            "id": asked.id,
            "question": asked.text,
            "values": [list(spellings[asked.text])],
            "quotes": [list(quote) for quote in asked.quotes],
        }
        for asked in sample(squad2_open().questions, most)
    ]


def _lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def asked_at_size(settings: Settings, *, items: int, where: Path) -> tuple[Project, Settings]:
    """A project over the articles, with `items` questions and so many items of each suite, none a training prompt."""
    project = Project(where / f"articles-{items}")
    squad2_open().write_articles(project.root / "documents")
    _lines(project.root / "questions" / "answerable.jsonl", questions(items))
    avoid = prompt_hashes(pair.prompt for pair in read_pairs(settings.path(settings.tuning.data)))
    _lines(project.root / "general" / "made.jsonl", make_items(items * len(MAKERS), avoid=avoid))
    margins = {"general": MARGIN, "correct": MARGIN, "hallucination": MARGIN}
    config = {
        "documents": {"folder": "documents"},
        "model": settings.resolved["model"],
        "assistant": settings.resolved["assistant"],
        "eval": {"questions": "questions", "general": "general", "voice": "none", "margins": margins, "blame": False}
        | {"style": str(settings.path(settings.eval.style)), "max_new_tokens": settings.eval.max_new_tokens},
    }
    write_atomic(project.config_path, yaml.safe_dump(config, sort_keys=False))
    return project, load_settings(project.root)


def at_size(project: Project, settings: Settings, tuned: Run, *, items: int, where: Path) -> dict[str, Any]:
    """Asks base and tuned of that project; answers are stored batch by batch, and a stopped call goes on."""
    apart, asking = asked_at_size(settings, items=items, where=where)
    pipeline.index(apart, asking)
    models = load_models(project, settings, tuned=tuned.id)
    material = replace(read_material(asking), edits={}, heldout={})
    out_dir = where / f"{project.root.name}-items-{items}"
    with open_index(apart, asking) as index:
        answers = ask_questions(asking, material, models, index=index, out_dir=out_dir, progress=silent, only=ARMS)
    answers += ask_general(asking, material, models, out_dir=out_dir, progress=silent)
    given = asking.eval
    summary = summarise(answers, run=tuned.id, margins=given.margins.model_dump(), resamples=given.resamples)
    return figures(summary, model=described(models.base))


def figures(summary: Mapping[str, Any], *, model: str) -> dict[str, Any]:
    """What is told of it."""
    arms = summary["arms"]
    difference = next(
        (d["estimate"] for d in summary["differences"] if (d["name"], d["metric"]) == (TUNING_GIVEN_RAG, "correct")),
        None,
    )
    low = difference["low"] if difference else None
    verdict = "cannot tell" if low is None else "non-inferior" if low > -MARGIN else "not shown"
    general = summary["forgetting"]
    return {
        "model": model,
        "gate": f"not asked; margin {100 * MARGIN:g} points",
        "grounded correctness, base+RAG": arms["base/rag"]["correct"],
        "grounded correctness, tuned+RAG": arms["tuned/rag"]["correct"],
        f"correctness, tuned - base ({verdict})": difference,
        **{f"general, {row['suite']}, tuned - base ({row['verdict']})": row["difference"] for row in general},
    }
