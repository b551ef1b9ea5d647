"""Adapters and the card that is stored beside them: what they were tuned on, checked again when they are served.

An adapter folder holds PEFT's two files and groundtone.json. An adapter without that card (made by another program)
is accepted when its tensors fit the base.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from groundtone.errors import IntegrityError, ModelError
from groundtone.models.chat_format import ChatFormat
from groundtone.models.quiet import quiet
from groundtone.models.tensor_files import stored_shapes
from groundtone.models.weights import Base, weights_sha256
from groundtone.prompts import template_hash

CARD = "groundtone.json"


@dataclass(frozen=True, slots=True)
class AdapterCard:
    """What an adapter was made from. All hashes are hexadecimal."""

    base: str  # the id that was asked for
    base_sha256: str  # of its weights
    template: str  # groundtone.prompts.template_hash()
    chat_template_sha256: str
    data_sha256: str  # of the rendered training rows
    seed: int
    config: dict[str, Any] = field(default_factory=dict)
    schema_version: int = 1
    baked_from: str = ""  # the adapter that this one is, at `strength`
    strength: float = 1.0
    combined_from: dict[str, float] = field(default_factory=dict)  # adapters that this one is the weighted sum of
    continued_from: str = ""  # the adapter whose weights its training started from
    groups: tuple[str, ...] = ()  # it serves only callers who are in all of them

    def to_json(self) -> str:
        """The card's text on disk; lineage is written where there is some, so that a tuned card stays as it was."""
        known = asdict(self)
        lineage = {"baked_from": "", "strength": 1.0, "combined_from": {}, "continued_from": "", "groups": ()}
        kept = {key: value for key, value in known.items() if key not in lineage or value != lineage[key]}
        return json.dumps(kept, indent=2, sort_keys=True) + "\n"


def read_card(folder: Path) -> AdapterCard | None:
    """The card beside an adapter, None where there is none; IntegrityError for one that cannot be read."""
    path = folder / CARD
    if not path.exists():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return AdapterCard(**{**stored, "groups": tuple(map(str, stored.get("groups", ())))})
    except (ValueError, TypeError) as error:
        raise IntegrityError(
            f"{path} is not an adapter card of this version ({error}): tune the adapter again"
        ) from error


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """PEFT's settings of an adapter as plain data; ModelError where there are none that can be read."""
    path = folder / "adapter_config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"adapter {folder} holds no readable adapter_config.json ({error}): tune it again") from error
    if not isinstance(settings, dict):
        raise ModelError(f"{path} holds a {type(settings).__name__}, not PEFT's settings: tune the adapter again")
    return settings


def dial_problem(folder: Path) -> str | None:
    """Why the adapter's effect is not its scale times an addition to the base's weights; None where it is.

    Only such an adapter can be dialled, baked at a strength and summed with others.
    """
    settings = read_adapter_config(folder)
    if settings.get("peft_type", "LORA") != "LORA":
        return f"it is no LoRA but {settings['peft_type']}"
    if settings.get("use_dora"):
        return "DoRA rescales the base's own weights"
    if settings.get("modules_to_save") or settings.get("trainable_token_indices"):
        return "it brings whole modules along, which a scale does not reach"
    if settings.get("bias", "none") != "none" or settings.get("lora_bias"):
        return "it brings biases along, which a scale does not reach"
    return changes_base(settings)


def changes_base(settings: Mapping[str, Any]) -> str | None:
    """Why loading the adapter would overwrite the base's own weights; None where it leaves them alone."""
    start = settings.get("init_lora_weights")
    if isinstance(start, str) and start.split("_")[0].lower() in ("pissa", "olora", "corda", "loftq"):
        return f"it was started by {start}, which changes the base's weights when it is loaded"
    return None


def attach(
    base: Base,
    folder: Path,
    *,
    allow_template_mismatch: bool = False,
    name: str = "default",
    onto: Any = None,
) -> Any:
    """The base wrapped in PEFT with the adapter loaded, frozen. Raises ModelError when the two do not fit.

    An adapter's file that is cut off raises IntegrityError.

    `onto` is the PEFT model that carries other adapters of this base already: this one joins them as `name`.
    """
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / file).exists():
            raise ModelError(f"adapter {folder} holds no {file}: name the folder that tuning saved")
    if problem := changes_base(read_adapter_config(folder)):
        raise ModelError(
            f"adapter {folder} cannot be served: {problem}, so that its base could no longer be asked. Save it "
            "converted (PEFT's path_initial_model_for_weight_conversion); a run that was stopped is resumed to its end"
        )
    _check_name(name)
    _check_card(base, folder, allow_template_mismatch=allow_template_mismatch)
    shapes = stored_shapes(folder / "adapter_model.safetensors")
    from peft import PeftModel

    try:
        with quiet():
            if onto is None:
                model = PeftModel.from_pretrained(base.model, str(folder), name, torch_device=base.device)
            else:
                model = onto
                model.load_adapter(str(folder), name, torch_device=base.device)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        _undo(base, name, onto)
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"adapter {folder} does not fit {base.id!r}: {reason}; load the base it was tuned on"
        ) from error
    expected = {key: tuple(value.shape) for key, value in _stored(model, name).items()}
    if expected != shapes:
        _undo(base, name, onto)
        odd = sorted(set(expected.items()) ^ set(shapes.items()))[0]
        raise ModelError(
            f"adapter {folder} does not fit {base.id!r}: it holds {len(shapes)} tensors where {len(expected)} were "
            f"expected, first difference {odd[0]} {odd[1]}; load the base it was tuned on"
        )
    return model.eval().requires_grad_(False)


def _stored(model: Any, name: str) -> dict[str, Any]:
    """The tensors that PEFT would save of an adapter; embeddings are not looked for, which would ask a hub."""
    from peft.utils import get_peft_model_state_dict

    found: dict[str, Any] = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    return found


def _check_name(name: str) -> None:
    """PEFT makes an adapter's name an attribute of torch's containers: no dot, and none of their own names."""
    from torch.nn import ModuleDict

    if not name or "." in name or name in dir(ModuleDict):
        raise ModelError(f"{name!r} cannot name an adapter: take another name, without dots and not one of torch's own")


def _undo(base: Base, name: str, onto: Any) -> None:
    """Take a half-loaded adapter out again: the base, or the model that carries the others, is what it was."""
    if onto is not None:
        if name in onto.peft_config:
            onto.delete_adapter(name)
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    for path, module in list(base.model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            above, _, leaf = path.rpartition(".")
            setattr(base.model.get_submodule(above), leaf, module.get_base_layer())


def _check_card(base: Base, folder: Path, *, allow_template_mismatch: bool) -> None:
    card = read_card(folder)
    if card is None:
        return
    if card.base_sha256 != weights_sha256(base.folder):
        raise ModelError(
            f"adapter {folder} was tuned on {card.base!r} (weights {card.base_sha256[:12]}), not on {base.id!r} "
            f"(weights {weights_sha256(base.folder)[:12]}): load that base, or tune again"
        )
    if allow_template_mismatch:
        return
    if card.template != template_hash():
        raise ModelError(
            f"adapter {folder} was tuned on prompts of template {card.template}, but this version writes "
            f"{template_hash()}: tune again, or set model.allow_template_mismatch to serve it all the same"
        )
    served = ChatFormat(base.tokenizer).template_sha256
    if card.chat_template_sha256 != served:
        raise ModelError(
            f"adapter {folder} was tuned with another chat template ({card.chat_template_sha256[:12]}, now "
            f"{served[:12]}): restore the tokenizer, or set model.allow_template_mismatch"
        )
