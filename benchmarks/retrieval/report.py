"""Results -> Markdown: one table per task, then speed over all of them. Every figure with its n or its spread."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.retrieval.corpora import Task
from benchmarks.retrieval.runs import ALL_OURS, Run
from benchmarks.retrieval.scoring import Scores, by_id, by_quote
from groundtone.stats import mean_interval, paired_difference
from groundtone.types import Estimate

Results = Mapping[str, Mapping[str, Run]]  # task title -> system -> run


@dataclass(frozen=True)
class Row:
    """One line of a quality table: a system's main search (`run` is there) or another of its searches."""

    name: str
    scores: Scores
    run: Run | None = None


def render(tasks: Sequence[Task], results: Results, cold_s: Mapping[str, Sequence[float]], about: str) -> str:
    """The whole report."""
    tables = [(task, _rows(task, results)) for task in tasks]
    parts = [
        "# Retrieval side by side",
        "Written by `make bench-retrieval`; do not edit. " + about,
        _method(),
        "## In short",
        _summary(tables, results),
        "## Quality",
        *(_table(task, rows) for task, rows in tables),
        "## Speed",
        _speed(tasks, results, cold_s),
    ]
    return "\n\n".join(parts) + "\n"


def _method() -> str:
    return (
        "All systems use the same all-MiniLM-L6-v2 weights, threads, passages and questions, each in its own process "
        "and environment. The first row of a peer is what its documentation recommends for hybrid search, with ten "
        "results; the indented rows are its other searches over the same index. Peers are given each passage's title "
        "above its text. Intervals are 95 % bootstrap intervals; questions about one passage (or document, or report) "
        "are drawn together. The column `ours - it` is the paired difference in nDCG@10: above 0 ours is better."
    )


def _rows(task: Task, results: Results) -> list[Row]:
    runs: dict[str, Run] = {}
    if task.ours_from:
        runs |= {name: run for name, run in results[task.ours_from].items() if name in ALL_OURS}
    runs |= results.get(task.title, {})
    rows = []
    for name, run in runs.items():
        for number, (arm, rankings) in enumerate(run.result["rankings"].items()):
            if number and task.by_quote:
                continue
            texts = run.result["texts"] if task.by_quote else None
            scores = _score(task, run, rankings, texts)
            rows.append(Row(f"{name}: {arm}" if number == 0 else f"&nbsp;&nbsp;{arm}", scores, None if number else run))
    return rows


def _score(task: Task, run: Run, rankings: Sequence[Sequence[str]], texts: Sequence[Sequence[str]] | None) -> Scores:
    """The run may have been asked more questions than the task counts."""
    place = {question: i for i, question in enumerate(run.questions)}
    at = [place[question.id] for question in task.questions]
    if texts is not None:
        return by_quote([texts[i] for i in at], task.questions)
    return by_id([rankings[i] for i in at], task.questions)


def _table(task: Task, rows: Sequence[Row]) -> str:
    clusters = [question.cluster for question in task.questions]
    ours = rows[0].scores
    lines = [
        f"### {task.title}",
        f"{task.passages} {'documents' if task.by_quote else 'passages'}, n = {len(task.questions)} questions in "
        f"{len(set(clusters))} clusters; {task.note}.",
        "",
        "| system | nDCG@10 | R@1 | R@10 | ours - it | build, s | query p50 / p95, ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [_cell(mean_interval(v, clusters=clusters)) for v in (row.scores.ndcg, row.scores.r1, row.scores.r10)]
        lead = "" if row is rows[0] else _cell(paired_difference(ours.ndcg, row.scores.ndcg, clusters=clusters))
        build = f"{row.run.result['build_s']:.1f}" if row.run else ""
        query = "{:.1f} / {:.1f}".format(*_quantiles_ms(row.run)) if row.run else ""
        lines.append(f"| {row.name} | {' | '.join(cells)} | {lead} | {build} | {query} |")
    if task.by_quote:
        lines += ["", _read_chars(rows)]
    return "\n".join(lines)


def _read_chars(rows: Sequence[Row]) -> str:
    """Longer pieces hold more quotes and cost a reader more: said beside the figures."""
    said = []
    for row in rows:
        if row.run:
            chars = statistics.mean(sum(map(len, texts)) for texts in row.run.result["texts"])
            said.append(f"{row.name.partition(':')[0]} {chars:,.0f}")
    return f"Characters in the ten texts, mean: {'; '.join(said)}."


def _summary(tables: Sequence[tuple[Task, Sequence[Row]]], results: Results) -> str:
    """Where ours is better than every other search of every peer, and how much faster it builds."""
    ahead: list[str] = []
    not_ahead: list[str] = []
    for task, rows in tables:
        clusters = [question.cluster for question in task.questions]
        peers = _peer_rows(rows)
        leads = [paired_difference(rows[0].scores.ndcg, row.scores.ndcg, clusters=clusters) for row in peers]
        least = min(leads, key=lambda e: e.low if e.low is not None else -1.0)
        clear = all(lead.low is not None and lead.low > 0 for lead in leads)
        (ahead if clear else not_ahead).append(f"{task.title} (least lead {_cell(least)})")
    lines = [
        f"- Better than every search of every peer in nDCG@10, interval above 0, on {len(ahead)} of {len(tables)} "
        f"tables: {'; '.join(ahead) or 'none'}.",
    ]
    if not_ahead:
        lines.append(f"- Not shown to be better on: {'; '.join(not_ahead)}.")
    for name in ALL_OURS:
        ratios = _build_ratios(results, name)
        if ratios:
            lines.append(
                f"- Build of {name}: {statistics.median(ratios):.1f} times as fast as the fastest peer (median of "
                f"{len(ratios)} tables with the same passages, {min(ratios):.1f} to {max(ratios):.1f})."
            )
    return "\n".join(lines)


def _peer_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows below those of ours: a peer's main row and its indented ones."""
    first = next(i for i, row in enumerate(rows) if row.run and not row.name.startswith(ALL_OURS))
    return list(rows[first:])


def _build_ratios(results: Results, name: str) -> list[float]:
    ratios = []
    for runs in results.values():
        peers = [run.result["build_s"] for system, run in runs.items() if system not in ALL_OURS]
        if peers and set(ALL_OURS) <= set(runs):  # where all had the same passages
            ratios.append(min(peers) / runs[name].result["build_s"])
    return ratios


def _speed(tasks: Sequence[Task], results: Results, cold_s: Mapping[str, Sequence[float]]) -> str:
    """Pieces embedded per second, latencies pooled over tables, cold start, memory; only tables where all took part."""
    names = list(dict.fromkeys(name for runs in results.values() for name in runs))
    shared = [title for title, runs in results.items() if set(runs) == set(names)]
    lines = [
        f"Over {len(shared)} tables in which all took part ({', '.join(shared)}). Build is reading, embedding and "
        "storing what was given, without loading the model; ours reads files, the others texts in memory. Cold is a "
        "new process, its imports, the model, the stored index and one question. Queries are asked one at a time.",
        "",
        "| system | build, s in all | passages/s | query p50 / p95, ms (n) | load, s | cold, s (spread) | peak, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    passages = sum(task.passages for task in tasks if task.title in shared)
    for name in names:
        runs = [results[title][name] for title in shared]
        if not runs:
            continue
        build_s = sum(run.result["build_s"] for run in runs)
        pooled = Run([], {"latencies_s": [s for run in runs for s in run.result["latencies_s"]]})
        p50, p95 = _quantiles_ms(pooled)
        load_s = statistics.median(run.result["load_s"] for run in runs)
        peak = max(run.result["peak_mb"] for run in runs)
        cold = cold_s.get(name)
        cold_cell = f"{statistics.median(cold):.1f} ({min(cold):.1f} to {max(cold):.1f})" if cold else ""
        lines.append(
            f"| {name} | {build_s:.1f} | {passages / build_s:.0f} | {p50:.1f} / {p95:.1f} "
            f"({len(pooled.result['latencies_s'])}) | {load_s:.1f} | {cold_cell} | {peak:.0f} |"
        )
    return "\n".join(lines)


def _quantiles_ms(run: Run) -> tuple[float, float]:
    """p50 and p95."""
    ordered = sorted(run.result["latencies_s"])
    p50, p95 = (1000 * ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in (0.5, 0.95))
    return p50, p95


def _cell(estimate: Estimate) -> str:
    if estimate.mean is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:.3f}"
    return f"{estimate.mean:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
