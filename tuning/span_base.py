"""The encoder that becomes a reader, as the trainer needs it: a transformers model with a fresh span head."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtone.errors import ModelError
from groundtone.models.device import multiplies_bfloat16, pick_device
from groundtone.models.encoders import MINILM, packaged_minilm
from groundtone.models.quiet import quiet
from groundtone.models.span_format import MAX_TOKENS, SpanFormat
from groundtone.models.weights import resolve_folder


@dataclass(frozen=True, slots=True)
class ReaderBase:
    """A BERT-like encoder before any adapter."""

    id: str
    folder: Path
    span_format: SpanFormat
    device: str
    bf16: bool

    def new_model(self) -> Any:
        """The encoder in float32 with a fresh span head."""
        from transformers import BertConfig, BertForQuestionAnswering

        config = BertConfig.from_pretrained(self.folder, attn_implementation="sdpa")
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
        with quiet():
            return BertForQuestionAnswering.from_pretrained(
                self.folder, config=config, use_safetensors=True, trust_remote_code=False
            ).to(self.device)


def load_reader_base(id_or_path: str, *, device: str = "auto") -> ReaderBase:
    """Finds a BERT-like encoder with a fast tokenizer. Raises ModelError for anything else."""
    from tokenizers import Tokenizer

    where = pick_device(device)
    folder = packaged_minilm() if id_or_path == MINILM else None
    folder = folder or resolve_folder(id_or_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind = config.get("model_type")
    if kind != "bert" or not (folder / "tokenizer.json").is_file():
        raise ModelError(
            f"reader base {id_or_path!r} is a {kind!r} model: choose a BERT-like encoder with tokenizer.json, "
            f"such as {MINILM!r}"
        )
    window = min(MAX_TOKENS, int(config["max_position_embeddings"]))
    span_format = SpanFormat(Tokenizer.from_file(str(folder / "tokenizer.json")), max_tokens=window)
    return ReaderBase(id_or_path, folder, span_format, str(where), multiplies_bfloat16(device))
