"""The `tuning.encoder` section: what methods classify, tokens and mlm have and the others have not."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EncoderSettings(BaseModel):
    """Labels, windows and masks of encoders."""

    model_config = ConfigDict(extra="forbid")

    labels: list[str] = Field(
        default_factory=list,
        description="All labels there may be, in order: others are an error, and numbers in the data are places in "
        "this list. Empty: whatever the data have.",
    )
    multi_label: bool = Field(
        False, description="Whether a text may have several labels, or none: lists, or texts with `|` between labels."
    )
    threshold: float = Field(
        0.5, gt=0.0, lt=1.0, description="From which probability on one of several labels is called."
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="`balanced`: rare labels count as much as frequent ones; calibration suffers."
    )
    few_rows: int = Field(10, ge=1, description="Labels with fewer rows to learn from are named in a finding.")
    overlap_tokens: int = Field(
        64, ge=0, description="How many tokens of a long text two neighbouring windows share (method tokens)."
    )
    mask_share: float = Field(0.15, gt=0.0, lt=1.0, description="Share of the tokens to be guessed (method mlm).")
