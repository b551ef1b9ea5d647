"""The `model` section of groundtone.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ModelConfig(BaseModel):
    """Which model answers, and how it is run."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(
        "starter",
        description="`starter` (the small offline model), `extractive` (no weights), a Hugging Face id, a folder, or "
        "`provider:model` for a chat model behind an API.",
    )
    adapter: str | None = Field(None, description="Folder of a LoRA adapter that was tuned on this very model.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Precision of the weights; `auto` picks bfloat16 where the device has it."
    )
    device: str = Field("auto", description="`auto` (cuda, then mps, then cpu) or a torch device such as `cuda:1`.")
    max_new_tokens: int = Field(96, ge=1, description="Longest reply, in tokens.")
    batch_size: int = Field(16, ge=1, description="Prompts that are generated together.")
    base_url: str | None = Field(None, description="Address of an OpenAI-compatible server, for `provider:model`.")
    allow_template_mismatch: bool = Field(
        False, description="Serve an adapter even though its prompts were rendered by another version of groundtone."
    )
