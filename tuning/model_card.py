"""A model card in Markdown, written from what the run recorded about itself: nothing in it is typed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from groundtone.manifest import Manifest
from groundtone.models.adapter import AdapterCard

__all__ = ["Figure", "model_card"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured row: what, on the base, on this adapter, and the verdict. Values carry interval and n."""

    what: str
    base: str
    tuned: str
    verdict: str = ""


def model_card(
    manifest: Manifest, card: AdapterCard, *, figures: Sequence[Figure], verdict: str, evaluation: str
) -> str:
    """The card; `verdict` is the gate's, `evaluation` the run that measured. Without figures it says so."""
    head = {"base_model": card.base, "library_name": "peft", "pipeline_tag": "text-generation", "tags": ["lora"]}
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=True)}---\n\n# {manifest.id}\n",
        "A LoRA adapter that gives a voice. Its facts come from documents that are retrieved and shown with each "
        "question; asked without them, it may make things up.\n",
        "## What it was made from\n",
        _table(("", ""), _origin(manifest, card)),
        "## Settings\n",
        _table(("setting", "value"), [(key, str(value)) for key, value in sorted(card.config.items())]),
        "## What was measured\n",
    ]
    if figures:
        parts += [
            f"Gate: **{verdict}** (evaluation `{evaluation}`). Values are means with 95 % intervals and n items.\n",
            _table(("", "base", "this adapter", ""), [(f.what, f.base, f.tuned, f.verdict) for f in figures]),
        ]
    else:
        parts.append("Nothing yet: no evaluation of this adapter is done.\n")
    parts += [
        "## Software\n",
        _table(("package", "version"), sorted(manifest.versions.items())),
    ]
    return "\n".join(parts)


def _origin(manifest: Manifest, card: AdapterCard) -> list[tuple[str, str]]:
    rows: list[tuple[str, Any]] = [
        ("base", card.base),
        ("base weights, SHA-256", card.base_sha256),
        ("training rows, SHA-256", card.data_sha256),
        ("prompt template", card.template),
        ("chat template, SHA-256", card.chat_template_sha256),
        ("seed", card.seed),
        ("made", manifest.created),
        ("device", manifest.device),
        ("revision", manifest.revision),
    ]
    if card.baked_from:
        rows.append(("strength", f"{card.strength:g} of {card.baked_from}"))
    rows += [(f"weight of {name}", f"{weight:g}") for name, weight in card.combined_from.items()]
    if card.groups:
        rows.append(("serves only callers in all of", ", ".join(card.groups)))
    rows += [(f"input {name}, SHA-256", value) for name, value in manifest.inputs.items()]
    rows += [(f"from {role}", value) for role, value in manifest.parents.items()]
    rows += [(f"replay {name}", value) for name, value in manifest.notes.items() if name == "proof"]
    return [(name, str(value)) for name, value in rows if value != ""]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
