"""Voice pairs: reading them with every problem named at once, and splitting them by source."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundtone.errors import DataError
from groundtone.types import VoicePair
from tuning.lint import PairReport, lint

__all__ = ["PairReport", "citation_problem", "lint", "read_pairs", "split_by_source"]

_MARKER = re.compile(r"\[(\d+)\]")
_FIELDS = frozenset({"prompt", "reply", "source", "context", "tags"})
_SHOWN = 20  # problems that one error spells out


def read_pairs(path: Path, *, default_source: str | None = None) -> tuple[VoicePair, ...]:
    """The pairs of a JSON-lines file, in order; blank lines are skipped.

    Raises DataError naming file and line of every problem (the first 20): broken JSON, unknown or missing fields, a
    wrong type, an empty prompt or reply, a citation of a passage that the row does not have. `source` may be missing
    only where `default_source` is given.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    pairs: list[VoicePair] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _parse(line, default_source)
        if isinstance(found, VoicePair):
            pairs.append(found)
        else:
            problems += [f"{path}:{number}: {problem}" for problem in found]
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError("; ".join(problems[:_SHOWN]) + more)
    if not pairs:
        raise DataError(f"{path}: holds no rows; write one JSON object per line with prompt, reply and source")
    return tuple(pairs)


def _parse(line: str, default_source: str | None) -> VoicePair | list[str]:
    """The pair, or what is wrong with the line."""
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        return [f"broken JSON ({error}): one object per line"]
    if not isinstance(row, dict):
        return [f"a {type(row).__name__} where an object with prompt, reply and source was expected"]
    problems = [
        f"unknown field {key!r}: known are {', '.join(sorted(_FIELDS))}" for key in sorted(row.keys() - _FIELDS)
    ]
    for key in ("prompt", "reply", "source"):
        if key == "source" and key not in row and default_source is not None:
            continue
        if key not in row:
            problems.append(f"field {key!r} is missing")
        elif not isinstance(row[key], str):
            problems.append(f"{key} is a {type(row[key]).__name__}, not a text")
        elif not row[key].strip():
            problems.append(f"{key} is empty")
    for key in ("context", "tags"):
        value = row.get(key, [])
        if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
            problems.append(f"{key} must be a list of texts, none empty")
    if problems:
        return problems
    context = tuple(row.get("context", ()))
    wrong = citation_problem(row["reply"], len(context))
    if wrong:
        return [wrong]
    source = row.get("source") or default_source or ""
    return VoicePair(row["prompt"], row["reply"], source, context, tuple(row.get("tags", ())))


def citation_problem(reply: str, passages: int) -> str:
    """What is wrong with a reply's citations, "" when nothing is: they count the row's passages from 1."""
    beyond = sorted({int(n) for n in _MARKER.findall(reply) if not 1 <= int(n) <= passages})
    if not beyond:
        return ""
    cited = ", ".join(f"[{n}]" for n in beyond)
    return f"the reply cites {cited} but the row has {passages} context passages: add the passage or drop the citation"


def split_by_source(
    pairs: Sequence[VoicePair], *, heldout: float = 0.1, seed: int = 0
) -> tuple[tuple[VoicePair, ...], tuple[VoicePair, ...]]:
    """Train and held-out pairs without a source in common; about `heldout` (0 to 1) of the rows are held out.

    Rows of one source resemble each other, so a split by row would measure memory. Raises DataError for one source.
    """
    sources = sorted({pair.source for pair in pairs})
    if len(sources) < 2:
        raise DataError(f"all {len(pairs)} rows have one source ({', '.join(sources)}): a split needs two or more")
    random.Random(seed).shuffle(sources)
    wanted = heldout * len(pairs)
    chosen: set[str] = set()
    held = 0
    for source in sources[:-1]:  # at least one source stays in training
        rows = sum(pair.source == source for pair in pairs)
        if not chosen or abs(held + rows - wanted) < abs(held - wanted):
            chosen.add(source)
            held += rows
    train = tuple(pair for pair in pairs if pair.source not in chosen)
    return train, tuple(pair for pair in pairs if pair.source in chosen)
