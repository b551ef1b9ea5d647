"""Tune a model's voice, keep its facts in documents, measure what it makes up and what it forgot.

The public API, loaded on first use so that `import groundtone` stays light:

    project = groundtone.Project.find(".")
    settings = groundtone.load_settings(project.root)
    assistant = groundtone.pipeline.assistant(project, settings)
    print(assistant.ask("How long does delivery take?").text)
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from groundtone import pipeline as pipeline
    from groundtone.assistant import Assistant as Assistant
    from groundtone.errors import GroundtoneError as GroundtoneError
    from groundtone.errors import UserError as UserError
    from groundtone.project import Project as Project
    from groundtone.project import Run as Run
    from groundtone.settings import Settings as Settings
    from groundtone.settings import load_settings as load_settings
    from groundtone.types import Answer as Answer
    from groundtone.types import Citation as Citation
    from groundtone.types import Claim as Claim
    from groundtone.types import Hit as Hit
    from groundtone.types import Passage as Passage
    from groundtone.types import Question as Question
    from groundtone.types import Turn as Turn
    from groundtone.types import VoicePair as VoicePair
    from retrieval.index import Index as Index

_HOMES = {
    "Answer": "groundtone.types",
    "Assistant": "groundtone.assistant",
    "Citation": "groundtone.types",
    "Claim": "groundtone.types",
    "GroundtoneError": "groundtone.errors",
    "Hit": "groundtone.types",
    "Index": "retrieval.index",
    "Passage": "groundtone.types",
    "Project": "groundtone.project",
    "Question": "groundtone.types",
    "Run": "groundtone.project",
    "Settings": "groundtone.settings",
    "Turn": "groundtone.types",
    "UserError": "groundtone.errors",
    "VoicePair": "groundtone.types",
    "load_settings": "groundtone.settings",
}

__all__ = [
    "Answer",
    "Assistant",
    "Citation",
    "Claim",
    "GroundtoneError",
    "Hit",
    "Index",
    "Passage",
    "Project",
    "Question",
    "Run",
    "Settings",
    "Turn",
    "UserError",
    "VoicePair",
    "load_settings",
    "pipeline",
]


def __getattr__(name: str) -> object:
    if name == "pipeline":
        return import_module("groundtone.pipeline")
    if name not in _HOMES:
        raise AttributeError(f"module 'groundtone' has no attribute {name!r}; it has: {', '.join(__all__)}")
    value: object = vars(import_module(_HOMES[name]))[name]
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def _check_neighbours() -> None:
    """Raise ImportError where `eval` and the like would be somebody else's: a file of that name beside a script."""
    home = Path(__file__).resolve().parents[1]
    for name in ("retrieval", "tuning", "eval", "dashboard"):
        if name in sys.modules:
            found = sys.modules[name].__file__
        else:
            spec = find_spec(name)
            if spec is None:
                raise ImportError(f"groundtone's package {name!r} is not in {home}: install groundtone again")
            found = spec.origin or next(iter(spec.submodule_search_locations or [""]))
        if Path(found or "").resolve() != home / name / "__init__.py":
            raise ImportError(
                f"{found} hides groundtone's own package {name!r}: rename it, or start Python from another folder"
            )


_check_neighbours()
