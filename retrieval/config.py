"""The `retrieval` section of groundtone.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from groundtone.models.encoders import MINILM, Runtime


class RetrievalConfig(BaseModel):
    """How documents are read, cut, and searched."""

    model_config = ConfigDict(extra="forbid")

    encoder: str = Field(MINILM, description="Hugging Face id or folder of the sentence encoder.")
    runtime: Runtime = Field(
        "auto",
        description="What runs the encoder: auto, torch, openvino, onnx, onnx-int8 (cosine to the others about .99) or "
        "numpy; `auto` takes the fastest that is installed, `groundtone doctor` shows which.",
    )
    chunk_tokens: int = Field(
        180, ge=32, description="Longest passage in the encoder's own tokens, its heading counted; at most its window."
    )
    fusion_weight: float = Field(
        0.65, ge=0, le=1, description="Share of the dense score in the fused score; 0 is words alone, 1 vectors alone."
    )
    k: int = Field(5, ge=1, description="Passages that a search returns.")
    vectors: Literal["auto", "flat", "sq8", "hnsw", "ivfpq"] = Field(
        "auto",
        description="How vectors are searched: `flat` reads all, `sq8` reads all at one byte a number, `hnsw` walks a "
        "graph, `ivfpq` looks into the nearest lists; `auto` chooses by their number and the free memory.",
    )
    mmr: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Spread the results (maximal marginal relevance): 1 is by score alone; null is off.",
    )
    reranker: str | None = Field(
        None,
        description="Hugging Face id or folder of a cross-encoder that orders the first candidates again; null is off.",
    )
    store: str | None = Field(
        None,
        description="Where the index is: null for a file in the project, `postgres://user@host:5432/database` for "
        "PostgreSQL with pgvector, `postgres` for the address in GROUNDTONE_DSN. Keep passwords out of this file.",
    )
    max_file_mb: int = Field(50, ge=1, description="Files above this size are reported and left out.")
    max_seconds: float = Field(
        60, gt=0, description="A file that takes more processor time to read is reported and left out."
    )
    max_memory_mb: int = Field(
        1500, ge=200, description="A file that needs more memory to read is reported and left out (not on Windows)."
    )
    sentence_vectors: bool = Field(
        True,
        description="Embed each sentence too: better ranking, exact citation spans; off: built about twice as fast.",
    )
    keep_generations: int = Field(
        3,
        ge=1,
        description="States of the index that are kept; `groundtone index --rollback` goes back to an earlier one.",
    )
