"""The `eval` section of groundtone.yaml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from eval.detectors import DEFAULT


class Margins(BaseModel):
    """How much worse is still not worse: set before measuring, as differences of shares (0.05 is five points)."""

    model_config = ConfigDict(extra="forbid")

    tone: float = Field(0.0, ge=0, lt=1, description="Tone must rise by more than this.")
    format: float = Field(0.0, ge=0, lt=1, description="Format must rise by more than this.")
    hallucination: float = Field(0.05, gt=0, lt=1, description="Hallucination may rise by less than this.")
    correct: float = Field(0.05, gt=0, lt=1, description="Correctness may fall by less than this.")
    general: float = Field(0.05, gt=0, lt=1, description="General skills may fall by less than this, pooled and each.")
    leak: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Training values recited without documents may not rise at all as far as is seen, and a rise by "
        "this must be ruled out; that takes rows from about 72 sources, and 20 can rule out 0.17 at best.",
    )
    follows_change: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Following of a changed document may fall by less than this; 20 items can rule out 0.17 at best.",
    )


class EvalConfig(BaseModel):
    """What to measure with, how often to resample, and the margins of the gate."""

    model_config = ConfigDict(extra="forbid")

    questions: str = Field(
        "data/questions",
        description="Folder of answerable, unanswerable, two_documents and changed .jsonl; any of them may be missing.",
    )
    general: str = Field("data/general", description="Folder or file of general items: what the tuning may have cost.")
    voice: str = Field("data/voice/heldout.jsonl", description="Voice pairs that were kept out of training.")
    style: str = Field("data/voice/style.yaml", description="The voice's checkable format and its style guide.")
    resamples: int = Field(2000, ge=200, le=100_000, description="Bootstrap resamples behind each interval.")
    seed: int = Field(0, description="Seed of the bootstrap: the same records give the same intervals.")
    batch_size: int = Field(16, ge=1, description="Questions per batch; a resumed run starts at a batch border.")
    max_new_tokens: int = Field(96, ge=1, description="Length limit of a reply to a general item, in tokens.")
    leak_rows: int | None = Field(
        300, ge=1, description="How many training prompts the leak test asks at most; none: every row."
    )
    max_words: int = Field(60, ge=1, description="A reply above this many words is not counted correct.")
    detector: str = Field(
        DEFAULT,
        description="Who judges claims: `explicit` (values, names and negations compared), `lexical` (our boosted trees, "
        "shipped), `span:FOLDER` (a tuned token classifier), `llm:provider:model`, or the id of an NLI, HHEM or MiniCheck "
        "cross-encoder.",
    )
    min_verdicts: int = Field(
        50, ge=2, description="People's verdicts on an arm's claims below which its hallucination rate is withheld."
    )
    margins: Margins = Field(Margins(), description="What still counts as not worse.")
    chance: dict[str, float] = Field(
        default_factory=dict, description="Share of a general suite that guessing gets right, 0 where not named."
    )
