"""Saving an adapter so that it is there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from groundtone.models.adapter import CARD, AdapterCard
from groundtone.project import write_atomic


def save_adapter(model: Any, folder: Path, card: AdapterCard) -> Path:
    """Saves the adapter beside its place and moves it there whole, with the card; the base's local path is left out."""
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    model.save_pretrained(str(fresh), save_embedding_layers=False)
    (fresh / "README.md").unlink(missing_ok=True)  # PEFT's form, unfilled
    settings = json.loads((fresh / "adapter_config.json").read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = card.base
    write_atomic(fresh / "adapter_config.json", json.dumps(settings, indent=2, sort_keys=True) + "\n")
    write_atomic(fresh / CARD, card.to_json())
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(fresh, folder)
    return folder
