"""The folder of a training run: its state, its checkpoints, and whether it may be gone on with."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from groundtone.errors import IntegrityError, ModelError, ProjectError
from groundtone.models.adapter import AdapterCard
from groundtone.project import write_atomic

STATE = "training.json"
MODEL = "model"  # of a run that tuned a whole model


def newest_checkpoint(out_dir: Path) -> Path | None:
    """The newest checkpoint that was written to its end; usable as an adapter folder."""
    found = [p for p in out_dir.glob("checkpoint-*") if (p / "trainer_state.json").exists() and step_of(p) >= 0]
    return max(found, key=step_of, default=None)


def adapter_folder(out_dir: Path) -> Path:
    """Where a run's best-trained adapter lies: the finished one, else the newest checkpoint; ModelError for neither."""
    if (out_dir / "adapter" / "adapter_model.safetensors").exists():
        return out_dir / "adapter"
    if model_folder(out_dir) is not None:
        raise ModelError(f"{out_dir} was tuned in full and holds no adapter: name its model/ as model.id")
    checkpoint = newest_checkpoint(out_dir)
    if checkpoint is None:
        raise ModelError(f"{out_dir} holds neither an adapter nor a checkpoint: tune again")
    return checkpoint


def model_folder(out_dir: Path) -> Path | None:
    """The whole model that a run tuned in full; None for a run that made an adapter."""
    folder = out_dir / MODEL
    return folder if (folder / "config.json").is_file() else None


def step_of(checkpoint: Path) -> int:
    """The optimizer step that a checkpoint was written after; -1 for a folder that is none."""
    number = checkpoint.name.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() else -1


def begin(out_dir: Path, card: AdapterCard, *, resume: bool) -> Path | None:
    """The checkpoint to go on from, after checking that the folder is free or holds this very run."""
    state = out_dir / STATE
    checkpoint = None
    if state.exists() and not resume:
        raise ProjectError(f"{out_dir} already holds a training run: resume it, or choose another folder")
    if state.exists():
        try:
            before = json.loads(state.read_text(encoding="utf-8"))["card"]
        except (ValueError, KeyError) as error:
            raise IntegrityError(f"{state} cannot be read ({error}): start a new run") from error
        now = json.loads(card.to_json())
        changed = sorted(key for key in now if before.get(key) != now[key])
        if changed:
            raise ProjectError(
                f"{out_dir} was started with other settings ({', '.join(changed)} changed): resume with the same data "
                "and configuration, or start a new run"
            )
        checkpoint = newest_checkpoint(out_dir)
    write_state(out_dir, card, status="running")
    return checkpoint


def write_state(out_dir: Path, card: AdapterCard, *, status: str, why: str = "") -> None:
    """Writes training.json; `status` is running, done or failed."""
    state = {"schema_version": 1, "status": status, "why": why, "resumable": status != "done", "card": asdict(card)}
    write_atomic(out_dir / STATE, json.dumps(state, indent=2) + "\n")
