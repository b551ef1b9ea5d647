"""The one report: every section that ran, with n, medians and ranges."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.evaluation.detectors import Rate
from benchmarks.evaluation.judges import Turn
from benchmarks.evaluation.speed import Speed
from eval.estimates import in_words

__all__ = ["detectors_section", "judges_section", "output_section", "render", "speed_section", "spread"]

TARGET_SPEED, TARGET_PER_MINUTE = 5.0, 1000


def render(sections: Sequence[str], *, about: str) -> str:
    """docs/evaluation_benchmark.md."""
    head = "# Evaluation side by side\n\nWritten by `make bench-eval`; do not edit. " + about
    return "\n\n".join([head, *sections]) + "\n"


def spread(values: Sequence[float], *, digits: int = 1) -> str:
    """The median, with the smallest and the largest where there are several."""
    mid = f"{statistics.median(values):,.{digits}f}"
    return mid if len(values) < 2 else f"{mid} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def speed_section(speed: Speed) -> str:
    """Seconds of both ways, of the writing inside them, and how many times as fast."""
    both = (speed.plain, speed.ours)
    ways = [[way.seconds for way in some] for some in both]
    cpu = [[way.cpu_s for way in some] for some in both]
    less = [[s - search for s, search in zip(some, speed.search_cpu_s, strict=True)] for some in cpu]
    writing = [[way.writing_s for way in some] for some in both]
    lines = [
        "## Speed of an evaluation",
        f"{speed.questions} questions x {speed.arms} arms on the sample company, {len(speed.ours)} repeats in turns: "
        "median (smallest to largest). The plain loop calls `transformers.generate` once per prompt with the same "
        "tokens, limits and stop tokens, and is given our retrieval, claims, scores, records and reports, so that only "
        f"the writing of {speed.reply_tokens:,} reply tokens differs.",
        "",
        "| | plain loop, s | ours, s | times as fast |",
        "|---|---|---|---|",
        _row("the whole evaluation", *ways),
        _row("writing replies alone", *writing),
        _row("the whole evaluation, seconds of the cores", *cpu),
        _row("the same without finding and reading passages", *less),
        "",
        f"Finding and reading passages is the same in both and takes {spread(speed.search_cpu_s)} s of the cores. The "
        f"same answer, character by character: {in_words(speed.equal)}; a batch sums in another order than one prompt "
        f"alone, and a near tie may fall the other way. "
        + _target(statistics.median(ratios(*ways)), TARGET_SPEED, "times as fast"),
    ]
    return "\n".join(lines)


def _row(title: str, plain: Sequence[float], ours: Sequence[float]) -> str:
    return f"| {title} | {spread(plain)} | {spread(ours)} | {spread(ratios(plain, ours))} |"


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """How many times as fast, per repeat."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def _target(value: float, target: float, what: str) -> str:
    return f"Target: at least {target:,.0f} {what}; {'reached' if value >= target else '**missed**'}."


def detectors_section(rates: Sequence[Rate]) -> str:
    """Answers a minute."""
    lines = [
        "## Claims and detectors",
        "Answers a minute, splitting into claims and reading of the evidence included: median (smallest to largest).",
        "",
        "| detector | answers | n | words each | claims each | a minute by the clock | a minute of one core |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {rate.detector} | {rate.answers} | {rate.count} | {rate.words / rate.count:.0f} | "
        f"{rate.claims / rate.count:.1f} | {spread(rate.per_minute, digits=0)} | "
        f"{spread(rate.per_core_minute, digits=0)} |"
        for rate in rates
    ]
    slowest = min(statistics.median(rate.per_minute) for rate in rates)
    return "\n".join([*lines, "", _target(slowest, TARGET_PER_MINUTE, "answers a minute by the slowest row")])


def judges_section(turns: Sequence[Turn]) -> str:
    """Seconds an answer and failures, beside ours."""
    scripted = any(turn.traffic for turn in turns)
    how = (
        "The judge is scripted and answers at once, because the sample's own model is too small to judge and any other "
        "model would be measured in place of the tools: what is left is the tool's own time, its calls, and what it "
        "makes of replies that small models break (prose, JSON cut off, other keys, Python instead of JSON). Broken "
        "replies are drawn anew when a tool asks again, which favours the tools that do: a real model tends to break "
        "the same reply again. A real judge also adds its own seconds to each call."
        if scripted
        else "The judge is a real model at an endpoint: its own time is part of the seconds."
    )
    lines = [
        "## RAGAS and DeepEval on the same answers",
        f"Faithfulness of {turns[0].answers} answers of the sample, quoted and tuned, by each tool's own call for a "
        f"set of answers. {how} Speed and failures only: scores are not compared.",
        "",
        "| tool | judge | s an answer | loading, s | without a score | calls an answer | prompt characters an answer |",
        "|---|---|---|---|---|---|---|",
    ]
    for turn in turns:
        traffic = turn.traffic
        calls = f"{traffic.calls / turn.answers:.1f}" if traffic else "0" if turn.judge == "none" else ""
        chars = f"{traffic.prompt_chars / turn.answers:,.0f}" if traffic else "0" if turn.judge == "none" else ""
        lines.append(
            f"| {turn.tool} | {turn.judge} | {turn.seconds / turn.answers:.4f} | {turn.load_s:.1f} | "
            f"{in_words(turn.unscored)} | {calls} | {chars} |"
        )
    lines += ["", *_failures(turns)]
    return "\n".join(lines).rstrip()


def _failures(turns: Sequence[Turn]) -> list[str]:
    """What the tools said where they gave no score, and prompts that the scripted judge did not understand."""
    said = []
    for turn in turns:
        if turn.errors:
            kinds = "; ".join(f"{kind} ({count})" for kind, count in turn.errors.items())
            said.append(f"- {turn.tool}, {turn.judge}: {kinds}")
        if turn.traffic and turn.traffic.unknown:
            said.append(f"- {turn.tool}: {turn.traffic.unknown} prompts were none that the scripted judge knows")
    return ["Without a score:", "", *said] if said else []


def output_section(title: str, command: str, printed: str) -> str:
    """What another benchmark printed, as it stands."""
    return f"## {title}\n\n`{command}`\n\n```\n{printed.strip()}\n```"
