"""An encoder (BERT, RoBERTa, DeBERTa, MiniLM and their kin) as tuning and prediction load it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from groundtone.errors import ModelError
from groundtone.models.classifier_format import OVERLAP_TOKENS, TextFormat
from groundtone.models.device import multiplies_bfloat16, pick_device
from groundtone.models.encoders import MINILM, packaged_minilm
from groundtone.models.quiet import quiet
from groundtone.models.weights import resolve_folder

__all__ = ["STEP_TOKENS", "EncoderBase", "Fresh", "Task", "load_encoder_base", "pad"]

Task = Literal["classify", "tokens", "mlm"]
STEP_TOKENS = 16  # a CPU compiles its kernels anew for every length it has not seen, and keeps them in memory
_LONGEST = 1_000_000  # tokenizers without a limit of their own name a huge one
_POSITIONS_AFTER_PADDING = ("roberta", "camembert", "mpnet", "longformer", "xmod", "esm")


@dataclass(frozen=True, slots=True)
class Fresh:
    """A model for one task. `modules` are those that the base did not bring: they start at random and are trained."""

    model: Any
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EncoderBase:
    """An encoder's folder and what is known of it without loading its weights."""

    id: str  # as it was asked for
    folder: Path
    family: str  # model_type, such as "bert"
    device: str
    context_tokens: int
    pad_id: int
    has_types: bool  # whether the model tells the texts of a pair apart by token types

    def text_format(self, *, max_tokens: int | None = None, overlap_tokens: int = OVERLAP_TOKENS) -> TextFormat:
        """How texts are shown to this base; `max_tokens` may only make the window smaller."""
        limit = min(max_tokens or self.context_tokens, self.context_tokens)
        return TextFormat(self.tokenizer(), max_tokens=limit, overlap_tokens=overlap_tokens)

    def tokenizer(self) -> Any:
        """The tokenizer of the `tokenizers` library, read anew."""
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.folder / "tokenizer.json"))

    def bf16(self) -> bool:
        """Whether training in bfloat16 pays: where the device multiplies it itself."""
        return multiplies_bfloat16(self.device)

    def new_model(self, task: Task, *, labels: Sequence[str] = (), dropout: bool = False) -> Fresh:
        """The encoder in float32 with a head for the task; the caller sets the seed that a new head starts from."""
        import torch
        from safetensors import SafetensorError
        from transformers import (
            AutoConfig,
            AutoModelForMaskedLM,
            AutoModelForSequenceClassification,
            AutoModelForTokenClassification,
        )

        kinds = {
            "classify": AutoModelForSequenceClassification,
            "tokens": AutoModelForTokenClassification,
            "mlm": AutoModelForMaskedLM,
        }
        config = AutoConfig.from_pretrained(self.folder, trust_remote_code=False)
        if labels:
            config.id2label = dict(enumerate(labels))
            config.label2id = {label: number for number, label in enumerate(labels)}
        if not dropout:
            for name in (key for key, value in config.to_dict().items() if "dropout" in key and value):
                setattr(config, name, 0.0)
        with quiet():
            try:
                model, told = kinds[task].from_pretrained(
                    self.folder,
                    config=config,
                    dtype=torch.float32,  # updates of a few thousandths are lost in bfloat16 weights
                    use_safetensors=True,
                    trust_remote_code=False,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,  # the head of another task's labels
                )
            except (OSError, ValueError, RuntimeError, SafetensorError) as error:
                reason = str(error).strip().splitlines()[0]
                raise ModelError(f"encoder {self.id!r} cannot be loaded from {self.folder}: {reason}") from error
        missing = {*told["missing_keys"], *(key for key, *_ in told["mismatched_keys"])}
        return Fresh(model.to(self.device), _modules(model, missing))


def load_encoder_base(id_or_path: str, *, device: str = "auto") -> EncoderBase:
    """Finds an encoder with a fast tokenizer. Raises ModelError for a model that is none, saying what it is."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    folder = packaged_minilm() if id_or_path == MINILM else None
    folder = folder or resolve_folder(id_or_path)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"encoder {id_or_path!r} has no readable config.json ({error}): check model.id") from error
    family = str(config.get("model_type"))
    if family not in MODEL_FOR_MASKED_LM_MAPPING_NAMES or config.get("is_encoder_decoder"):
        raise ModelError(
            f"model {id_or_path!r} is a {family!r} model and no encoder: methods classify, tokens and mlm need one of "
            f"the BERT kind (BERT, RoBERTa, DeBERTa ...), such as model.id {MINILM!r}"
        )
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(
            f"encoder {id_or_path!r} has no tokenizer.json: its slow tokenizer knows no characters; load it once with "
            "transformers.AutoTokenizer and save it to the model's folder"
        )
    return EncoderBase(
        id=id_or_path,
        folder=folder,
        family=family,
        device=str(pick_device(device)),
        context_tokens=_context_tokens(folder, config),
        pad_id=int(config.get("pad_token_id") or 0),
        has_types=int(config.get("type_vocab_size") or 0) > 1,
    )


def _context_tokens(folder: Path, config: dict[str, Any]) -> int:
    """The smallest limit that the model and its tokenizer name; some families count positions after the padding's."""
    known = [int(config.get("max_position_embeddings") or _LONGEST)]
    if any(part in str(config.get("model_type")) for part in _POSITIONS_AFTER_PADDING):
        known[0] -= int(config.get("pad_token_id") or 0) + 1
    path = folder / "tokenizer_config.json"
    if path.is_file():
        known.append(int(json.loads(path.read_text(encoding="utf-8")).get("model_max_length") or _LONGEST))
    return min(known)


def _modules(model: Any, missing: set[str]) -> tuple[str, ...]:
    """The modules whose own parameters are missing, the highest ones that are missing whole."""
    found: list[str] = []
    for name, module in model.named_modules():
        own = {f"{name}.{key}" for key, _ in module.named_parameters()}
        if name and own and own <= missing and not any(name.startswith(f"{above}.") for above in found):
            found.append(name)
    return tuple(found)


def pad(ids: Sequence[list[int]], types: Sequence[list[int]], *, base: EncoderBase) -> dict[str, Any]:
    """Sequences as the model's input: tensors (batch, longest), padded at the end to a multiple of `STEP_TOKENS`."""
    import torch

    longest = -(-max(map(len, ids)) // STEP_TOKENS) * STEP_TOKENS
    longest = max(min(longest, base.context_tokens), max(map(len, ids)))
    sizes = [longest - len(row) for row in ids]
    shown = {
        "input_ids": torch.tensor([row + [base.pad_id] * gap for row, gap in zip(ids, sizes, strict=True)]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * gap for row, gap in zip(ids, sizes, strict=True)]),
    }
    if base.has_types:
        shown["token_type_ids"] = torch.tensor([row + [0] * gap for row, gap in zip(types, sizes, strict=True)])
    return shown
