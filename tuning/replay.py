"""Replay: general rows mixed into the voice so that a model keeps what it could do.

Their replies come from a file, or from the untuned model itself (self-distillation, Yang et al. 2024, arXiv
2402.13669): what it would have said anyway moves its weights least, and only prompts are needed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from groundtone.errors import DataError
from groundtone.files import write_atomic
from groundtone.prompts import of_pair
from groundtone.types import Generator, Turn, VoicePair
from tuning.fact_rows import to_json_lines
from tuning.pairs import read_pairs
from tuning.shapes import history_problem
from tuning.tables import Problem, read_records, refuse_rows

__all__ = ["REPLAYED", "from_base", "mix", "read_prompts", "read_replay", "rows_wanted"]

REPLAYED = "replay.jsonl"  # in a run's folder: what the base said
_BATCH = 16


def read_replay(source: str | Path) -> tuple[VoicePair, ...]:
    """General rows, like voice pairs but without a source. Raises DataError like `read_pairs`."""
    return read_pairs(source, default_source="replay")


def read_prompts(source: str | Path) -> tuple[VoicePair, ...]:
    """General prompts without replies: rows with `prompt`, and `context` and `history` as general items have them.

    Other fields are not read. Raises DataError naming the place of every row that cannot be used (the first 20).
    """
    pairs, problems = [], []
    for record in read_records(source):
        found = record.what if isinstance(record, Problem) else _prompt(record.values)
        if isinstance(found, str):
            problems.append(f"{record.where}: {found}")
        else:
            pairs.append(found)
    refuse_rows(problems)
    if not pairs:
        raise DataError(f"{source}: holds no prompts; write one JSON object per line with prompt")
    return tuple(pairs)


def _prompt(values: Mapping[str, Any]) -> VoicePair | str:
    """A prompt of a general row, or what is wrong with it."""
    prompt, context, history = values.get("prompt"), values.get("context") or [], values.get("history") or []
    if not isinstance(prompt, str) or not prompt.strip():
        return f"prompt is {prompt!r}; give a text"
    if not isinstance(context, list) or not all(isinstance(text, str) and text.strip() for text in context):
        return f"context is {context!r}; give a list of texts"
    if wrong := history_problem(history):
        return wrong
    return VoicePair(prompt, "", "replay", tuple(context), history=tuple(Turn(role, text) for role, text in history))


def rows_wanted(pairs: int, *, share: float) -> int:
    """How many rows make up `share` (0 to 1) of the whole beside so many pairs. Raises DataError for another share."""
    if not 0 <= share < 1:
        raise DataError(f"replay is a share of the rows between 0 and 1, not {share}")
    return round(pairs * share / (1 - share))


def from_base(
    prompts: Sequence[VoicePair],
    generator: Callable[[], Generator],
    *,
    wanted: int,
    out_dir: Path,
    seed: int,
    max_new_tokens: int,
) -> tuple[VoicePair, ...]:
    """`wanted` of the prompts with the greedy replies of the untuned model, stored as `REPLAYED` in `out_dir`.

    What is stored there already is read and nobody is asked, so that a resumed run trains on the same rows. Replies
    that are empty or were cut at `max_new_tokens` are left out, and the next prompt is asked. Raises DataError where
    too few remain.
    """
    path = out_dir / REPLAYED
    if path.is_file():
        return read_replay(path)
    order = random.Random(seed).sample(list(prompts), len(prompts))
    speaks = generator() if wanted else None
    said: list[VoicePair] = []
    for start in range(0, len(order), _BATCH):
        if speaks is None or len(said) >= wanted:
            break
        asked = order[start : start + _BATCH]
        replies = speaks.generate([of_pair(pair) for pair in asked], max_new_tokens=max_new_tokens)
        ended = zip(asked, replies, strict=True)
        said += [replace(pair, reply=g.text.strip()) for pair, g in ended if g.finish == "stop" and g.text.strip()]
    if len(said) < wanted:
        raise DataError(
            f"replay needs {wanted} general rows, but of {len(prompts)} prompts the base gave {len(said)} replies "
            f"that end within {max_new_tokens} tokens: give more prompts in tuning.replay_data or lower tuning.replay"
        )
    said = said[:wanted]
    write_atomic(path, to_json_lines(said))
    return tuple(said)


def mix(pairs: Sequence[VoicePair], replay: Sequence[VoicePair], *, share: float, seed: int) -> tuple[VoicePair, ...]:
    """The voice pairs followed by as many replay rows as make up `share` (0 to 1) of the whole, sampled by the seed.

    Rows are drawn without repetition; training shuffles. Raises DataError when there are too few of them.
    """
    if share == 0:
        return tuple(pairs)
    wanted = rows_wanted(len(pairs), share=share)
    if wanted > len(replay):
        raise DataError(
            f"replay {share} of {len(pairs)} voice rows needs {wanted} general rows, but there are {len(replay)}: "
            "lower tuning.replay or give more rows"
        )
    return (*pairs, *random.Random(seed).sample(list(replay), wanted))
