"""Saving what was trained so that it is there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from groundtone.models.adapter import CARD, AdapterCard
from groundtone.models.weights import Base
from groundtone.project import write_atomic
from tuning.lora import Lora, start_folder
from tuning.run_folder import MODEL

GATHERED = ".gathered"  # where FSDP puts together what its processes hold


def save_adapter(model: Any, folder: Path, card: AdapterCard) -> Path:
    """Saves the adapter beside its place and moves it there whole, with the card; the base's local path is left out.

    A PiSSA adapter is stored converted: as what it learned since its start, on the true base.
    """
    start = start_folder(folder.parent)
    fresh = _fresh(folder)
    model.save_pretrained(
        str(fresh),
        save_embedding_layers=False,
        path_initial_model_for_weight_conversion=str(start) if start.is_dir() else None,
    )
    shutil.rmtree(start, ignore_errors=True)
    return adopt(fresh, folder, card)


def adopt(fresh: Path, folder: Path, card: AdapterCard) -> Path:
    """Moves what was saved in `fresh` to `folder`, an adapter, or to its neighbour for whole models."""
    if not (fresh / "adapter_config.json").is_file():
        return _move(fresh, folder.with_name(MODEL), card)
    (fresh / "README.md").unlink(missing_ok=True)  # PEFT's form, unfilled
    settings = json.loads((fresh / "adapter_config.json").read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = card.base
    write_atomic(fresh / "adapter_config.json", json.dumps(settings, indent=2, sort_keys=True) + "\n")
    return _move(fresh, folder, card)


def save_whole(model: Any, folder: Path, card: AdapterCard, *, tokenizer: Any, dtype: str) -> Path:
    """Saves a model that was tuned in full, with its tokenizer, in `dtype`: a model's folder like any other."""
    import torch

    fresh = _fresh(folder.with_name(MODEL))
    model.to(getattr(torch, dtype)).save_pretrained(str(fresh))
    tokenizer.save_pretrained(str(fresh))
    return adopt(fresh, folder, card)


def saver(shape: Lora | None, loaded: Base) -> Callable[[Any, Path, AdapterCard], Path]:
    """What `run_training` saves with: the adapter, or the whole model in the precision its base has on disk."""
    if shape is not None:
        return save_adapter
    config = json.loads((loaded.folder / "config.json").read_text(encoding="utf-8"))
    stored = config.get("dtype") or config.get("torch_dtype") or "float32"
    return partial(save_whole, tokenizer=loaded.tokenizer, dtype=stored)


def _fresh(folder: Path) -> Path:
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    return fresh


def _move(fresh: Path, folder: Path, card: AdapterCard) -> Path:
    write_atomic(fresh / CARD, card.to_json())
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(fresh, folder)
    return folder
