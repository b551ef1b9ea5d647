"""The `eval` section of groundtone.yaml."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from eval.detectors import DEFAULT
from eval.validators import Rule

Direction = Literal["up", "down", "not up", "not down", "at least", "at most"]


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


class GateRule(BaseModel):
    """One rule of the gate: a paired difference and its margin, or the limit of a single arm.

    `general` and `leak` are rules over the base and the tuned model, whatever arms are named.
    """

    model_config = ConfigDict(extra="forbid")

    metric: str = Field(description="A metric of the report, or `general` or `leak`.")
    arms: tuple[str, ...] = Field(
        ("tuned/rag", "base/rag"), min_length=1, max_length=2, description="The arm to judge, and what it is held to."
    )
    direction: Direction = Field(
        description="`up` and `down`: must change by more than the margin; `not up` and `not down`: a change by the "
        "margin must be ruled out; `at least` and `at most`: the limit of one arm."
    )
    margin: float | None = Field(None, description="Default: the metric's in eval.margins.")
    name: str = Field("", description="What the check is called.")

    @model_validator(mode="after")
    def _check_arms(self) -> Self:
        single = self.direction.startswith("at ")
        if single != (len(self.arms) == 1):
            raise ValueError(
                f"direction {self.direction!r} with arms {list(self.arms)}: name "
                + ("one arm" if single else "two arms, the judged one first")
            )
        if single and self.margin is None:
            raise ValueError(f"direction {self.direction!r} needs a margin, which is its limit")
        return self

    @property
    def title(self) -> str:
        """The name, or what the rule says."""
        return self.name or f"{self.metric} {self.direction} ({', '.join(self.arms)})"


class Price(BaseModel):
    """What an arm's tokens cost."""

    model_config = ConfigDict(extra="forbid")

    input: float = Field(ge=0, description="Per million tokens read.")
    output: float = Field(ge=0, description="Per million tokens written.")


class Rival(BaseModel):
    """An answerer from elsewhere that is asked the same questions: an endpoint, or answers in a file."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$", description="What its arm is called.")
    model: str = Field("", description="The model's name at the endpoint, or `provider:model`.")
    base_url: str | None = Field(None, description="Address of an OpenAI-compatible endpoint.")
    answers: str = Field("", description="A file of answers made elsewhere, instead of a model.")
    documents: bool = Field(True, description="Show it our passages; false: closed book.")
    prompted: bool = Field(True, description="Tell it the voice, by the style guide and its examples.")
    timeout_s: float = Field(60.0, gt=0, description="How long one reply may take.")
    retries: int = Field(2, ge=0, le=10, description="How often a failed request is sent again.")
    concurrency: int = Field(8, ge=1, le=64, description="Requests at once.")

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if bool(self.model) == bool(self.answers):
            raise ValueError(f"rival {self.name!r} needs either a model or a file of answers")
        return self


class HarnessConfig(BaseModel):
    """Suites of lm-evaluation-harness, run offline on base and tuned (docs/forgetting.md)."""

    model_config = ConfigDict(extra="forbid")

    tasks: str | None = Field(
        None, description="Folder of task files (*.yaml), such as data/general/harness; none: no such suites."
    )
    limit: int | None = Field(None, ge=1, description="Only the first so many items of each task.")
    max_new_tokens: int = Field(256, ge=1, description="Limit of what is generated for an item, in tokens.")


class EvalConfig(BaseModel):
    """What to measure with, how often to resample, and the margins of the gate."""

    model_config = ConfigDict(extra="forbid")

    questions: str = Field(
        "data/questions",
        description="Folder of answerable, unanswerable, two_documents and changed .jsonl; any of them may be missing.",
    )
    general: str = Field("data/general", description="Folder or file of general items: what the tuning may have cost.")
    harness: HarnessConfig = Field(HarnessConfig(), description="Further general suites, by lm-evaluation-harness.")
    prose: str = Field(
        "data/general/harness/prose.jsonl",
        description="Held-out general texts, one {id, text} a line: bits per byte, an early warning.",
    )
    kl_items: int = Field(
        48, ge=0, description="Prompts of general items on which the distance (KL) to the base is taken; 0: none."
    )
    foreign: str = Field(
        "data/foreign",
        description="Folder with documents/ and questions/ of another company, for `groundtone forgetting --foreign`.",
    )
    voice: str = Field("data/voice/heldout.jsonl", description="Voice pairs that were kept out of training.")
    style: str = Field("data/voice/style.yaml", description="The voice's checkable format and its style guide.")
    resamples: int = Field(2000, ge=200, le=100_000, description="Bootstrap resamples behind each interval.")
    seed: int = Field(0, description="Seed of the bootstrap: the same records give the same intervals.")
    batch_size: int = Field(64, ge=1, description="Questions per batch; a resumed run starts at a batch border.")
    max_new_tokens: int = Field(96, ge=1, description="Length limit of a reply to a general item, in tokens.")
    leak_rows: int | None = Field(
        300, ge=1, description="How many training prompts the leak test asks at most; none: every row."
    )
    max_words: int = Field(60, ge=1, description="A reply above this many words is not counted correct.")
    detector: str = Field(
        DEFAULT,
        description="Who judges claims: `explicit` (values, names and negations compared), `lexical` (our boosted "
        "trees, shipped), `stacked` (both, weighed), `span:FOLDER` (a tuned token classifier), `llm:provider:model`, "
        "or the id of an NLI, HHEM or MiniCheck cross-encoder.",
    )
    blame: bool = Field(
        True,
        description="Name the cause of every claim that the documents do not carry (blame.json); of answers by local "
        "weights this takes up to four passes over each that has one.",
    )
    min_verdicts: int = Field(
        50, ge=2, description="People's verdicts on an arm's claims below which its hallucination rate is withheld."
    )
    validators: tuple[Rule, ...] = Field(
        (), description="Rules of format beside those of the style file, each with a kind (docs/review.md)."
    )
    robustness: bool = Field(
        True, description="Ask over passages set by hand as well: distractors, two documents, changed passages."
    )
    robustness_items: int = Field(
        20, ge=1, description="How many questions of each kind the robustness probes take, each asked at every level."
    )
    answer_judge: str | None = Field(
        None, description="A chat model, provider:model, that judges answers against gold beside the exact values."
    )
    answer_judge_repeats: int = Field(
        2, ge=1, le=10, description="How often the judge grades each answer: what it changes is told."
    )
    margins: Margins = Field(Margins(), description="What still counts as not worse.")
    gate: tuple[GateRule, ...] = Field(
        (),
        description="Rules of the gate, instead of the built-in ones (docs/gate.md): metric, arms, direction, margin.",
    )
    rivals: tuple[Rival, ...] = Field(
        (),
        description="Other answerers of the same questions: name, and model with base_url, or answers (docs/gate.md).",
    )
    against: tuple[tuple[str, str], ...] = Field(
        (),
        description="Pairs of arms to put side by side; default: the tuned arm and each rival, or the prompted base.",
    )
    prices: dict[str, Price] = Field(
        default_factory=dict, description="Price of an arm's tokens per million: {arm: {input: 0.15, output: 0.60}}."
    )
    currency: str = Field("USD", description="What the prices are in.")
    repeats: int = Field(
        1,
        ge=1,
        le=20,
        description="How often arms are asked whose replies may differ; the first time is what is scored.",
    )
    temperature: float = Field(
        0.0,
        ge=0,
        le=2,
        description="Temperature at which endpoints and API models are sampled; local weights are greedy.",
    )
    chance: dict[str, float] = Field(
        default_factory=dict, description="Share of a general suite that guessing gets right, 0 where not named."
    )
