"""The adapter that tuning puts on a base: its shape as plain data, and as the settings that PEFT takes.

Whatever the variant, the stored adapter leaves its base alone: switched off, the base is what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from groundtone.errors import DataError, ModelError
from groundtone.models.weights import Base, load_base
from tuning.targets import target_modules

__all__ = [
    "Lora",
    "Variant",
    "adapter_of",
    "computes_in",
    "keep_start",
    "load_for",
    "lora_config",
    "on_card",
    "put_on",
    "require_base",
    "start_folder",
]

Variant = Literal["plain", "rslora", "dora", "pissa"]
_START = "pissa_start"  # PEFT loads it under this very name


@dataclass(frozen=True, slots=True)
class Lora:
    """The shape of an adapter. The update of a layer is alpha / rank * B(A x).

    plain    arXiv:2106.09685
    rslora   alpha / sqrt(rank): the update keeps its size at high ranks (arXiv:2312.03732)
    dora     direction and length of the weights learned apart (arXiv:2402.09353); has no strength between 0 and 1
    pissa    starts from the largest singular values (arXiv:2404.02948); trained on a changed base, stored as a plain
             adapter of twice the rank on the true one
    """

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.0
    targets: str | Sequence[str] = "mlp"  # `tuning.targets.target_modules` reads it
    variant: Variant = "plain"
    layers: Sequence[int] | None = None  # numbers of the layers that learn, from 0; -1 is the last
    extra_modules: Sequence[str] = ()  # modules trained and stored whole
    tokens: Sequence[str | int] = ()  # tokens whose embeddings are trained
    quantised: bool = False  # QLoRA: the frozen base in 4 bits (arXiv:2305.14314)

    def on_card(self) -> dict[str, Any]:
        """What the adapter's card says of the shape; what is as usual is left out."""
        targets = self.targets if isinstance(self.targets, str) else list(self.targets)
        further = {
            "variant": self.variant if self.variant != "plain" else None,
            "layers": None if self.layers is None else list(self.layers),
            "extra_modules": list(self.extra_modules) or None,
            "tokens": list(self.tokens) or None,
            "quantised": self.quantised or None,
        }
        told = {key: value for key, value in further.items() if value is not None}
        return {"rank": self.rank, "alpha": self.alpha, "dropout": self.dropout, "targets": targets, **told}


def lora_config(shape: Lora, model: Any, *, task_type: str = "CAUSAL_LM", tokenizer: Any = None) -> Any:
    """A peft.LoraConfig for this very model. `task_type` SEQ_CLS, TOKEN_CLS and QUESTION_ANS also train the head.

    `tokenizer` is needed where `shape.tokens` spells tokens out. Raises ModelError for layers, modules and tokens that
    the model does not have.
    """
    from peft import LoraConfig

    extra = _extra_modules(shape, model)
    return LoraConfig(
        task_type=task_type,
        r=shape.rank,
        lora_alpha=shape.alpha,
        lora_dropout=shape.dropout,
        target_modules=target_modules(model, shape.targets, layers=shape.layers),
        use_rslora=shape.variant == "rslora",
        use_dora=shape.variant == "dora",
        init_lora_weights="pissa" if shape.variant == "pissa" else True,
        modules_to_save=extra or None,
        trainable_token_indices=_token_ids(shape.tokens, model, tokenizer) or None,
        ensure_weight_tying=bool((extra or shape.tokens) and model.config.get_text_config().tie_word_embeddings),
    )


def load_for(shape: Lora | None, base: str, *, dtype: str, device: str) -> Base:
    """The base as this training needs it: in 4 bits for QLoRA, in float32 for full tuning unless a dtype is named.

    In 16 bits the small updates of full tuning would be rounded away. Raises what `load_base` raises.
    """
    wide = shape is None and dtype == "auto"
    return load_base(
        base, dtype="float32" if wide else dtype, device=device, quantised=shape is not None and shape.quantised
    )


def on_card(shape: Lora | None) -> dict[str, Any]:
    """What a card says of what was trained: the adapter's shape, or that the whole model was."""
    return {"adapter": "full"} if shape is None else shape.on_card()


def put_on(shape: Lora | None, on: Base) -> Any:
    """The `peft_config` for TRL's trainers; None, with every weight free to learn, for full tuning."""
    if shape is None:
        on.model.requires_grad_(True)
        return None
    return lora_config(shape, on.model, tokenizer=on.tokenizer)


def computes_in(shape: Lora | None, on: Base, *, mixed: bool = False) -> str:
    """The precision of forward and backward; full tuning keeps float32 weights, and computes in bfloat16 on CUDA.

    So does `mixed` wherever the weights are float32.
    """
    full = shape is None and on.device.startswith("cuda")
    return "bfloat16" if full or (mixed and on.dtype == "float32") else on.dtype


def adapter_of(shape: Lora | None, what: str) -> Lora:
    """The shape, for what trains an adapter and nothing else: DataError for full tuning."""
    if shape is None:
        raise DataError(f"tuning.lora is null, but {what} trains an adapter: leave it out")
    return shape


def require_base(shape: Lora | None, what: str) -> None:
    """For methods that ask the base while they train, the adapter off: ModelError where that is not the base."""
    if shape is None:
        raise ModelError(f"{what} compares with the base, which full tuning overwrites: set tuning.lora")
    if shape.variant == "pissa":
        raise ModelError(f"{what} compares with the base, which PiSSA changes while it trains: take another variant")


def keep_start(model: Any, out_dir: Path) -> None:
    """Stores what a PiSSA adapter starts from, beside the run: what it learned is the difference. Else does nothing.

    Its start is computed from the base alone, so that a resumed run stores the same.
    """
    from peft import PeftModel

    if not isinstance(model, PeftModel) or model.peft_config["default"].init_lora_weights != "pissa":
        return
    config = model.peft_config["default"]
    config.init_lora_weights = True  # as stored: else loading it would change the base once more
    try:
        model.save_pretrained(str(start_folder(out_dir)), save_embedding_layers=False)
    finally:
        config.init_lora_weights = "pissa"


def start_folder(out_dir: Path) -> Path:
    """Where `keep_start` stores."""
    return out_dir / _START


def _extra_modules(shape: Lora, model: Any) -> list[str]:
    """Their full names: PEFT takes every module whose name ends so, "norm" would be input_layernorm as well."""
    whole = [name for name, _ in model.named_modules() if name]
    names = {name.rsplit(".", 1)[-1] for name in whole}
    unknown = sorted(set(shape.extra_modules) - names)
    if unknown:
        raise ModelError(
            f"tuning.lora.extra_modules {', '.join(unknown)}: this model has no such module but "
            f"{', '.join(sorted(n for n in names if not n.isdecimal()))}"
        )
    return [name for name in whole if name.rsplit(".", 1)[-1] in shape.extra_modules]


def _token_ids(tokens: Sequence[str | int], model: Any, tokenizer: Any) -> list[int]:
    size = model.get_input_embeddings().num_embeddings
    ids = []
    for token in tokens:
        known = token if isinstance(token, int) else None
        if isinstance(token, str) and tokenizer is not None:
            known = tokenizer.get_vocab().get(token)
        if known is None or not 0 <= known < size:
            raise ModelError(
                f"tuning.lora.tokens {token!r}: the vocabulary has no such token; name one as the tokenizer spells it, "
                f"or its number from 0 to {size - 1}"
            )
        ids.append(known)
    return ids
