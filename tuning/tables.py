"""Files of rows, whatever their format: JSON lines, JSON, CSV, Parquet, and datasets of the Hugging Face hub.

A reader yields one Record per row, or a Problem that names the place; what the columns mean is decided in shapes.py.
Nothing is unpickled and no code that a dataset brings along is run.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtone.errors import DataError
from groundtone.files import sha256_file

__all__ = ["HUB", "READERS", "Problem", "Record", "content_sha256", "locate", "read_records", "refuse_rows"]

HUB = "hf:"  # what an id of the hub begins with: hf:org/name, hf:org/name@split
_DELIMITERS = ",;\t|"
_SHOWN = 20  # problems that one error spells out


@dataclass(frozen=True, slots=True)
class Record:
    """One row: its columns by name, and where it stands ("pairs.csv:7", "pairs.parquet: row 7", counted from 1)."""

    where: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that cannot be used, and why."""

    where: str
    what: str


def refuse_rows(problems: Sequence[str]) -> None:
    """DataError with the problems, each with its place, the first twenty spelled out; nothing where there are none."""
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError("; ".join(problems[:_SHOWN]) + more)


Reader = Callable[[Path], Iterator[Record | Problem]]


def _json_lines(path: Path) -> Iterator[Record | Problem]:
    # not splitlines(): a line separator (U+2028) may stand inside a JSON text
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            yield _object(f"{path}:{number}", line)


def _object(where: str, line: str) -> Record | Problem:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Problem(where, f"broken JSON ({error}): one object per line")
    return _record(where, row)


def _record(where: str, row: Any) -> Record | Problem:
    if not isinstance(row, dict):
        return Problem(where, f"a {type(row).__name__} where an object with prompt, reply and source was expected")
    return Record(where, row)


def _json_array(path: Path) -> Iterator[Record | Problem]:
    try:
        rows: Any = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: broken JSON ({error}); JSON lines (.jsonl) hold one object per line") from error
    if not isinstance(rows, list):
        raise DataError(f"{path}: holds a {type(rows).__name__}, not a list of objects; write one, or JSON lines")
    for number, row in enumerate(rows, 1):
        yield _record(f"{path}: row {number}", row)


def _csv(path: Path) -> Iterator[Record | Problem]:
    """Comma, semicolon, tab or bar, whichever the header has most of; a cell may hold line breaks in quotes."""
    text = _text(path)
    header_line = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=header_line.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    while True:
        line = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Problem(f"{path}:{line}", f"broken CSV ({error}): quote cells that hold quotes or line breaks")
            return  # what follows an open quote is not to be trusted
        if not any(cell.strip() for cell in cells):
            continue
        if names is None:
            names = [cell.strip() for cell in cells]
            if len(set(names)) < len(names):
                raise DataError(f"{path}:{line}: the header names a column twice ({', '.join(names)}); rename one")
        elif len(cells) != len(names):
            yield Problem(f"{path}:{line}", f"{len(cells)} cells where the header has {len(names)}: quote the cells")
        else:
            yield Record(f"{path}:{line}", dict(zip(names, cells, strict=True)))


def _parquet(path: Path) -> Iterator[Record | Problem]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield Record(f"{path}: row {number}", row)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: no readable Parquet file ({_first_line(error)}); write it again") from error


READERS: dict[str, Reader] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_array,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
}


def locate(value: str, *, root: Path) -> str | Path:
    """What the configuration names: an id of the hub as it is, anything else as a path that starts at `root`."""
    return value if value.startswith(HUB) else root / Path(value).expanduser()


def read_records(source: str | Path) -> Iterator[Record | Problem]:
    """The rows of a file, a dataset's folder, or `hf:org/name@split`, in order.

    A folder is what `Dataset.save_to_disk` wrote, or a copy of a hub repository; "@split" names another split than
    "train". Raises DataError for a source that does not exist, is in no known format or cannot be read at all.
    """
    if isinstance(source, str) and source.startswith(HUB):
        return _hub(source)
    path = Path(source)
    if path.is_file():
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            raise DataError(f"{path}: {path.suffix or 'no ending'} is no known format; known are {', '.join(READERS)}")
        return reader(path)
    folder, _, split = str(path).rpartition("@")
    if path.is_dir():
        return _folder(path, "train")
    if folder and Path(folder).is_dir():
        return _folder(Path(folder), split)
    raise DataError(f"{path}: cannot be read (no such file); check the path, or write {HUB}org/name for a hub dataset")


def _folder(path: Path, split: str) -> Iterator[Record | Problem]:
    from datasets import DatasetDict, load_dataset, load_from_disk

    try:
        saved = (path / "state.json").is_file() or (path / "dataset_dict.json").is_file()
        loaded = load_from_disk(str(path)) if saved else load_dataset(str(path))
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{path}: no dataset that can be read ({_first_line(error)}); name a file, or a folder that "
            "Dataset.save_to_disk wrote"
        ) from error
    chosen = _split(loaded, split, str(path)) if isinstance(loaded, DatasetDict) else loaded
    return _rows(chosen, str(path))


def _hub(source: str) -> Iterator[Record | Problem]:
    from datasets import load_dataset

    name, _, split = source.removeprefix(HUB).partition("@")
    try:
        loaded = load_dataset(name)
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"dataset {source!r} cannot be loaded ({_first_line(error)}): check the id (hf:org/name@split), sign in "
            "with `hf auth login` where it is private, or download it and name its folder"
        ) from error
    return _rows(_split(loaded, split or "train", source), source)


def _split(loaded: Any, split: str, name: str) -> Any:
    if split not in loaded:
        raise DataError(f"{name}: has no split {split!r}, but {', '.join(loaded)}; write {name}@SPLIT")
    return loaded[split]


def _rows(dataset: Any, name: str) -> Iterator[Record | Problem]:
    for number, row in enumerate(dataset, 1):
        yield Record(f"{name}: row {number}", row)


def content_sha256(source: str | Path) -> str:
    """SHA-256 of a file's bytes; of a dataset's rows, because its files depend on who wrote them."""
    path = Path(source)
    if path.is_file():
        return sha256_file(path)
    total = hashlib.sha256()
    for row in read_records(source):
        values = row.values if isinstance(row, Record) else row.what
        total.update(json.dumps(values, sort_keys=True, ensure_ascii=False, default=str).encode("utf-8", "replace"))
    return total.hexdigest()


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
