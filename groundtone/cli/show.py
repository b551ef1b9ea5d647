"""What the terminal shows: progress, tables, answers, the next command. Results on stdout, the rest on stderr."""

from __future__ import annotations

import json
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundtone.refusal import REASONS
from groundtone.types import Answer, Citation, Hit

if TYPE_CHECKING:
    from retrieval.search import Explained

Progress = Callable[[str, int, int], None]
_NEAREST = 3  # passages that are named beside a refusal, for whoever goes on looking
_STAGES = ("lexical", "passage", "sentence", "dense", "fused", "penalty")


def print_json(value: Any) -> None:
    """One JSON document on stdout; dataclasses become objects."""
    print(json.dumps(_plain(value), indent=2, ensure_ascii=False, default=str))


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def next_step(command: str, why: str, *, project: Path | None = None) -> None:
    """The last line of every command: what to run next, with the --project that this one was given."""
    option = f" --project {shlex.quote(str(project))}" if project is not None else ""
    print(f"\nNext: {command}{option}   {why}", file=sys.stderr)


def note(text: str) -> None:
    """A line for the person at the terminal that is no result."""
    print(text, file=sys.stderr)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A callback (stage, done, total) that draws one bar per stage; total 0 means "unknown".

    Where stderr is no terminal, each stage is a line when it begins, at each tenth, and when it is complete.
    """
    if not sys.stderr.isatty():
        yield _plain_progress()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=False))
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), *times)
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total or None)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield advance


def _plain_progress() -> Progress:
    seen: set[tuple[str, int]] = set()

    def advance(stage: str, done: int, total: int) -> None:
        tenth = 10 * min(done, total) // total if total > 0 else 0
        if (stage, tenth) not in seen:
            seen.add((stage, tenth))
            print(f"{stage}: {done}/{total}" if total else f"{stage} ...", file=sys.stderr, flush=True)

    return advance


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns, two spaces apart; the last column runs on."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, ["-" * w for w in widths], *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_hits(hits: Sequence[Hit], *, first: int = 1) -> None:
    """Ranked passages with their source, score and the rank that each stage gave them."""
    for number, hit in enumerate(hits, first):
        ranks = ", ".join(f"{stage} {rank}" for stage, rank in hit.ranks.items())
        print(f"{number}. {place(hit)}   score {hit.score:.3f}{f' ({ranks})' if ranks else ''}")
        print(textwrap.indent(textwrap.shorten(hit.passage.text, 300, placeholder=" ..."), "   "))


def print_explained(found: Sequence[Explained]) -> None:
    """Each hit with the rank and score of every stage, its best sentence, and what was said of dates and copies."""
    for number, item in enumerate(found, 1):
        print_hits([item.hit], first=number)
        rows = [
            (stage, str(item.ranks.get(stage, "-")), f"{item.scores[stage]:.3f}" if stage in item.scores else "-")
            for stage in dict.fromkeys([*_STAGES, *item.scores])
        ]
        print()
        print_table(("   stage", "rank", "score"), [(f"   {stage}", rank, score) for stage, rank, score in rows])
        if item.hit.best:
            start, end = item.hit.best[0]
            sentence = textwrap.shorten(item.hit.passage.text[start:end], 200, placeholder=" ...")
            print(f'   best sentence: "{sentence}"')
        for remark in item.notes:
            print(f"   {remark}")
        for copy in item.duplicates:
            print(f"   left out: {copy.passage.source}, which {copy.why}")
        print()


def place(hit: Hit) -> str:
    """Where a passage stands: "handbook/delivery.md, page 2 | Delivery > Prices"."""
    page = f", page {hit.passage.page}" if hit.passage.page is not None else ""
    return f"{hit.passage.source}{page}" + (f" | {hit.passage.heading}" if hit.passage.heading else "")


def print_answer(answer: Answer) -> None:
    """The answer, its sources with the sentence each citation rests on, and what nothing supports."""
    print(answer.text)
    print_evidence(answer)


def print_evidence(answer: Answer) -> None:
    """Everything about an answer but its text."""
    if answer.error:
        note(f"this answer failed: {answer.error}")
    if answer.refused:
        print(f"\nRefused: {REASONS.get(answer.refused_by, 'the model declined')}.")
        if answer.hits:
            print("\nNearest to it")
        for near in dict.fromkeys(place(hit) for hit in answer.hits[:_NEAREST]):
            print(f"  {near}")
    lines = [line for citation in answer.citations if (line := _source_line(answer, citation))]
    if lines:
        print("\nSources")
        print("\n".join(dict.fromkeys(lines)))
    if answer.disagreements:
        print("\nThe documents disagree")
    for found in answer.disagreements:
        for source, date, text in (
            (found.source, found.date, found.text),
            (found.other_source, found.other_date, found.other_text),
        ):
            print(f'  {source}{f", in force from {date}" if date else ", undated"}: "{" ".join(text.split())}"')
    if "orders_in" in answer.provenance:
        print(f"\nLeft out: sentences that give orders to the model, in {answer.provenance['orders_in']}")
    doubtful = [c for c in answer.claims if c.verdict in ("unsupported", "contradicted")]
    if doubtful:
        print("\nNot supported by the passages shown")
        for claim in doubtful:
            print(f'  {claim.verdict}: "{claim.text}"{f" - {claim.why}" if claim.why else ""}')


def _source_line(answer: Answer, citation: Citation) -> str:
    hit = next((h for h in answer.hits if h.passage.id == citation.passage_id), None)
    if hit is None:
        return ""
    start = hit.passage.start
    sentence = hit.passage.text[max(citation.evidence_start - start, 0) : citation.evidence_end - start]
    marker = answer.text[citation.start : citation.end]
    return f'  {marker} {place(hit)}\n      "{" ".join(sentence.split())}"'
