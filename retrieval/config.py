"""The `retrieval` section of groundtone.yaml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from groundtone.models.encoders import MINILM


class RetrievalConfig(BaseModel):
    """How documents are read, cut, and searched."""

    model_config = ConfigDict(extra="forbid")

    encoder: str = Field(MINILM, description="Hugging Face id or folder of the sentence encoder.")
    chunk_tokens: int = Field(
        180, ge=32, description="Longest passage in the encoder's own tokens, its heading counted; at most its window."
    )
    fusion_weight: float = Field(
        0.65, ge=0, le=1, description="Share of the dense score in the fused score; 0 is words alone, 1 vectors alone."
    )
    k: int = Field(5, ge=1, description="Passages that a search returns.")
    max_file_mb: int = Field(50, ge=1, description="Files above this size are reported and left out.")
