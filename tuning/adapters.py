"""The adapters of a project: which there are, what each was made from, and in what two of them differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from groundtone.errors import IntegrityError, ModelError, ProjectError
from groundtone.models.adapter import AdapterCard, read_adapter_config, read_card
from groundtone.project import Project
from tuning.run_folder import adapter_folder

__all__ = ["AdapterEntry", "compare_cards", "find_adapter", "list_adapters"]


@dataclass(frozen=True, slots=True)
class AdapterEntry:
    """One adapter of a tuning run. Hashes are shortened to twelve digits; "" where the card does not say."""

    run: str
    created: str
    base: str
    data: str  # hash of the training rows
    rank: int | None
    made: str  # how: "tuned", "0.5 x RUN", "0.7 x A + 0.3 x B"
    problem: str = ""  # why it cannot be used


def list_adapters(project: Project) -> list[AdapterEntry]:
    """The adapters of all tuning runs that are done, newest first; one that cannot be read says why."""
    entries = []
    for manifest in project.runs("tune"):
        if manifest.status != "done":
            continue
        try:
            folder = adapter_folder(project.run_path(manifest.id))
            card, rank = read_card(folder), read_adapter_config(folder).get("r")
        except (ModelError, IntegrityError) as error:
            entries.append(AdapterEntry(manifest.id, manifest.created, "", "", None, "", str(error)))
            continue
        base, data = (card.base, card.data_sha256[:12]) if card else ("", "")
        entries.append(AdapterEntry(manifest.id, manifest.created, base, data, rank, _made(card)))
    return entries


def _made(card: AdapterCard | None) -> str:
    if card is None:
        return "elsewhere"
    if card.combined_from:
        return " + ".join(f"{weight:g} x {name}" for name, weight in card.combined_from.items())
    return f"{card.strength:g} x {card.baked_from}" if card.baked_from else "tuned"


def find_adapter(project: Project, named: str) -> Path:
    """The adapter's folder by a run's id or by its own path. Raises ProjectError or ModelError where there is none."""
    path = Path(named).expanduser()
    if (path / "adapter_config.json").is_file():
        return path
    try:
        return adapter_folder(project.run_path(named))
    except ProjectError as error:
        raise ProjectError(f"{named!r} is neither an adapter's folder nor a run: {error}") from error


def compare_cards(a: AdapterCard, b: AdapterCard) -> list[tuple[str, str, str]]:
    """(field, value of a, value of b) for everything that differs; nested settings are spelled "config.rank"."""
    left, right = _flat(asdict(a)), _flat(asdict(b))
    keys = sorted(left.keys() | right.keys())
    return [(key, left.get(key, ""), right.get(key, "")) for key in keys if left.get(key, "") != right.get(key, "")]


def _flat(data: Mapping[str, Any], *, prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, prefix=f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value)
    return flat
