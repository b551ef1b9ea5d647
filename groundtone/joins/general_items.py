"""General items at size for a project: made by seed, held apart from what the project trains on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.generated_items import make_items, prompt_hashes
from groundtone.errors import DataError
from groundtone.files import write_atomic
from groundtone.joins.voice_data import columns_of
from groundtone.settings import Settings
from groundtone.stats import items_needed
from tuning.pairs import read_pairs

__all__ = ["write_general"]

MARGIN, FLIPS = 0.03, 0.1  # what the printed number of items is for


def write_general(
    settings: Settings, out: Path, *, items: int, seed: int = 0, suites: Sequence[str] = ()
) -> dict[str, Any]:
    """Write the items as `eval.general` reads them, and say how many of what; no prompt is one of the training rows.

    Raises DataError for an unknown suite, or where a generator has no further items.
    """
    path = settings.path(settings.tuning.data)
    pairs = read_pairs(path, columns=columns_of(settings.tuning)) if path.is_file() else ()
    prompts = [pair.prompt for pair in pairs]
    try:
        rows = make_items(items, seed=seed, avoid=prompt_hashes(prompts), suites=suites)
    except ValueError as error:
        raise DataError(str(error)) from error
    write_atomic(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return {
        "items": len(rows),
        "suites": dict(Counter(row["suite"] for row in rows)),
        "training_prompts": len(prompts),
        "margin": MARGIN,
        "needed": items_needed(MARGIN, FLIPS),
    }
