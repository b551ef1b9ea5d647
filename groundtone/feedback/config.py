"""The `feedback` section of groundtone.yaml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FeedbackConfig(BaseModel):
    """What becomes of what people say."""

    model_config = ConfigDict(extra="forbid")

    person_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Largest share of the accepted rows in a training file that may come from one person, so that "
        "nobody alone can turn the voice. 0.25 needs four people at least; 1: no limit.",
    )
    review_own: bool = Field(
        False, description="Whether people may accept rows that were made only of what they said themselves."
    )
    retention_days: int | None = Field(
        None,
        ge=1,
        description="Verdicts, votes, corrections and their rows are removed so many days after they were given, "
        "by `groundtone feedback expire` and whenever the server starts; null keeps them.",
    )
