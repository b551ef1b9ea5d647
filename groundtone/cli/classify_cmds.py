"""The command that tries a tuned classifier or span finder: classify."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundtone.cli.options import JsonOption, ProjectOption, SetOption, open_project
from groundtone.cli.show import next_step, print_json
from groundtone.errors import DataError

if TYPE_CHECKING:
    from groundtone.models.classifier import Given, Judgement, Tagging

_SHOWN = 3  # labels of a judgement
_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")


def classify(
    run: Annotated[str, typer.Argument(help="A tuning run of method classify or tokens, or the folder of one.")],
    given: Annotated[
        str,
        typer.Argument(
            metavar="TEXT|FILE",
            help="One text, or a file of rows with `text`, and `text_pair` or `context` if tuned so.",
        ),
    ],
    pair: Annotated[
        str | None,
        typer.Option("--pair", metavar="TEXT", help="The second text of a pair; of tokens: the text, after a context."),
    ] = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Label texts, or find spans in them, with an encoder that was tuned."""
    from groundtone.models.classifier import load_classifier

    where, settings = open_project(project, overrides)
    folder = Path(run) if Path(run).is_dir() else where.run_path(run)
    texts = _texts(given, pair)
    found: Sequence[Judgement | Tagging] = load_classifier(folder, device=settings.model.device).predict(texts)
    rows = [{"text": _text(text), **asdict(item)} for text, item in zip(texts, found, strict=True)]
    if as_json:
        print_json(rows)
        return
    for text, item in zip(texts, found, strict=True):
        print(_line(text, item))
    next_step(f"groundtone classify {run} FILE.jsonl --json", "label many texts at once", project=project)


def _texts(given: str, pair: str | None) -> list[Given]:
    """The one text, or those of a file's rows. Raises DataError for rows without a text."""
    path = Path(given)
    if pair is not None:
        return [(given, pair)]
    if path.suffix.lower() not in _ENDINGS or len(given.splitlines()) > 1:
        return [given]
    from tuning.tables import Record, read_records

    texts: list[Given] = []
    for record in read_records(path):
        if not isinstance(record, Record):
            raise DataError(f"{record.where}: {record.what}")
        texts.append(_given(record.where, record.values))
    return texts


def _given(where: str, row: Any) -> Given:
    text, second, context = row.get("text"), row.get("text_pair"), row.get("context")
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where}: text is {json.dumps(text, default=str)[:60]}: write a text that is not empty")
    if isinstance(second, str):
        return text, second
    return (context, text) if isinstance(context, str) else text


def _text(given: Given) -> str | Sequence[str]:
    return given if isinstance(given, str) else list(given)


def _line(given: Given, found: Judgement | Tagging) -> str:
    """One result for people."""
    from groundtone.models.classifier import Judgement

    text = given if isinstance(given, str) else given[1]
    if isinstance(found, Judgement):
        best = sorted(found.probabilities.items(), key=lambda item: -item[1])[:_SHOWN]
        shares = ", ".join(f"{label} {probability:.2f}" for label, probability in best)
        return f"{', '.join(found.labels) or '(no label)'}   ({shares})   {' '.join(text.split())[:80]}"
    spans = [f'  {s.start}-{s.end} {s.label} {s.probability:.2f} "{s.text}"' for s in found.spans]
    return "\n".join([" ".join(text.split())[:80], *(spans or ["  (nothing found)"])])
