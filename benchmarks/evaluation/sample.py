"""The sample company as every part of the benchmark meets it: indexed, tuned once, and its questions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from groundtone import pipeline
from groundtone.joins.arms import Models, load_models
from groundtone.joins.material import Material, read_material
from groundtone.project import Project
from groundtone.settings import Settings, load_settings

__all__ = ["ROOT", "SQUARE", "Sample", "load_sample"]

ROOT = Path(__file__).resolve().parents[2]
SQUARE = ("base/closed", "tuned/closed", "base/rag", "tuned/rag")


@dataclass(frozen=True, slots=True)
class Sample:
    """A project with what an evaluation of it needs; `tuned` is the tuning run behind `models.tuned`."""

    project: Project
    settings: Settings
    tuned: str
    models: Models
    material: Material

    def first(self, count: int) -> Sample:
        """The same with only so many questions, evenly from the whole list, so that every kind is among them."""
        questions = self.material.questions
        step = max(1.0, len(questions) / count)
        kept = tuple(questions[int(n * step)] for n in range(min(count, len(questions))))
        return replace(self, material=replace(self.material, questions=kept))


def load_sample(root: Path = ROOT) -> Sample:
    """The project at `root`, indexed, and tuned where nothing is; questions over changed documents are left out.

    What is left of the sample company's are 200: 120 with an answer, 20 whose answer lies in two documents, 60 without.
    """
    project, settings = Project(root), load_settings(root)
    pipeline.index(project, settings)
    tuned = pipeline.newest_tuned(project, settings) or pipeline.tune(project, settings).id
    material = read_material(settings)
    questions = tuple(question for question in material.questions if question.kind != "changed")
    return Sample(
        project,
        settings,
        tuned,
        load_models(project, settings, tuned=tuned),
        replace(material, questions=questions, edits={}, general=(), heldout={}),
    )
