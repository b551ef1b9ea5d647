"""The table of sections of groundtone.yaml: which part of the configuration belongs to which feature.

Settings stop at the edge: the pipeline hands flat parameters to the features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dashboard.config import DashboardConfig
from eval.config import EvalConfig
from groundtone.config import load_config
from groundtone.feedback.config import FeedbackConfig
from groundtone.models.config import ModelConfig
from groundtone.project import CONFIG_NAME
from groundtone.server.config import ServerConfig
from retrieval.config import RetrievalConfig
from tuning.config import TuningConfig

SAMPLE_ROOT = Path(__file__).resolve().parents[1]  # a checkout; its data/ is the sample company, no wheel has it


class DocumentsConfig(BaseModel):
    """Where the facts are."""

    model_config = ConfigDict(extra="forbid")

    folder: str = Field("data/handbook", description="Folder of documents that answers rest on, with its subfolders.")


class AssistantConfig(BaseModel):
    """How a question becomes an answer."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["auto", "grounded", "strict", "quote", "closed-book"] = Field(
        "auto",
        description="`auto` is `strict` for the bundled starter, which garbles free answers, and `grounded` for every "
        "other model. `grounded` answers from passages and cites them, `strict` lets the model restyle quoted "
        "sentences and quotes where a number, name, date or negation did not survive, `quote` shows the best sentence "
        "verbatim, `closed-book` lets the model answer from memory.",
    )
    reader: str | None = Field(
        "minilm",
        description="Who points at the answer in what was found: `minilm` (the bundled reader), a folder that "
        "`groundtone tune` with method span made, or null for nobody.",
    )
    min_answer: float = Field(
        5.1,
        description="Where a reader reads: refuse without asking the model when no passage answers better than this "
        "(log-odds of its answer + 16 x search score); -99 never does.",
    )
    context: Literal["sentences", "passages"] = Field(
        "sentences", description="What the model is shown of each hit: its best sentence, or the whole passage."
    )
    k: int = Field(4, ge=1, le=50, description="How many hits the model is shown at most.")
    context_tokens: int = Field(220, ge=16, description="Budget for all that is shown, in tokens.")
    min_score: float = Field(
        0.43,
        description="Where nobody reads: refuse without asking when the best hit scores below this; 0: never.",
    )
    self_check: Literal["off", "flag", "regenerate", "remove"] = Field(
        "flag",
        description="Check every claim of an answer against the passages that were found; what nothing supports is "
        "named (`flag`), written again once with the reason (`regenerate`) or taken out (`remove`). `off` checks "
        "nothing.",
    )
    fenced: bool = Field(
        False,
        description="Put a fence around the passages in the prompt and say that whatever stands there is no "
        "instruction; for untuned models, adapters keep the prompt that they were tuned on.",
    )
    draft: Literal["parts", "whole"] = Field(
        "parts",
        description="How `groundtone draft` writes: in `parts`, every question of a message answered for itself and "
        "joined, or the `whole` text in one go, which takes a model above 1 B parameters.",
    )

    @property
    def decided(self) -> Literal["grounded", "strict", "quote", "closed-book"]:
        """The mode that is in force: `load_settings` decides `auto` by the model."""
        return "grounded" if self.mode == "auto" else self.mode

    @field_validator("self_check", mode="before")
    @classmethod
    def _off_in_yaml(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads an unquoted `off` as false

    @property
    def check(self) -> bool:
        """Whether claims are checked at all."""
        return self.self_check != "off"


SECTIONS: dict[str, type[BaseModel]] = {
    "documents": DocumentsConfig,
    "model": ModelConfig,
    "retrieval": RetrievalConfig,
    "assistant": AssistantConfig,
    "tuning": TuningConfig,
    "eval": EvalConfig,
    "dashboard": DashboardConfig,
    "server": ServerConfig,
    "feedback": FeedbackConfig,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Every section, validated. `given` is what was written down, `resolved` has the defaults filled in."""

    root: Path
    documents: DocumentsConfig
    model: ModelConfig
    retrieval: RetrievalConfig
    assistant: AssistantConfig
    tuning: TuningConfig
    eval: EvalConfig
    dashboard: DashboardConfig
    server: ServerConfig
    feedback: FeedbackConfig
    given: Mapping[str, Any]
    resolved: Mapping[str, Any]

    @property
    def search_k(self) -> int:
        """How many hits are kept with an answer: what a search returns, and at least what the model is shown."""
        return max(self.retrieval.k, self.assistant.k)

    def path(self, value: str) -> Path:
        """A path from the configuration: "~" is expanded, a relative one starts at the project's root."""
        return self.root / Path(value).expanduser()


def load_settings(root: Path, overrides: Sequence[str] = ()) -> Settings:
    """Settings of the project in `root`, with dotted overrides such as "tuning.lora.rank=8".

    Raises ConfigError with all mistakes at once.
    """
    root = Path(root).resolve()
    config = load_config(root / CONFIG_NAME, sections=SECTIONS, overrides=overrides)
    model, assistant = config.typed("model", ModelConfig), config.typed("assistant", AssistantConfig)
    if assistant.mode == "auto":
        assistant = assistant.model_copy(update={"mode": "strict" if model.id == "starter" else "grounded"})
    return Settings(
        root=root,
        documents=config.typed("documents", DocumentsConfig),
        model=model,
        retrieval=config.typed("retrieval", RetrievalConfig),
        assistant=assistant,
        tuning=config.typed("tuning", TuningConfig),
        eval=config.typed("eval", EvalConfig),
        dashboard=config.typed("dashboard", DashboardConfig),
        server=config.typed("server", ServerConfig),
        feedback=config.typed("feedback", FeedbackConfig),
        given=config.given,
        resolved={**config.resolved(), "assistant": assistant.model_dump(mode="json")},
    )


def is_sample(root: Path) -> bool:
    """Whether `root` is the checkout that this code runs from, with the sample company in data/."""
    return root.resolve() == SAMPLE_ROOT and (SAMPLE_ROOT / "data" / "handbook").is_dir()


def borrowed(settings: Settings, path: Path) -> bool:
    """Whether a file is the sample company's and not the project's own: what `groundtone init` begins with."""
    given = path.resolve()
    return given.is_relative_to(SAMPLE_ROOT / "data") and not given.is_relative_to(settings.root.resolve())
