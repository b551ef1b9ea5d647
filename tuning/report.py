"""The data report: what is wrong with the rows before they teach, at which rows, and whether training may start.

It changes nothing. A finding of a check whose level is "refuse" makes `DataReport.refuse()` raise; "report" is told.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from groundtone.errors import DataError
from groundtone.languages import language_of
from groundtone.models.chat_format import ChatFormat
from groundtone.project import write_atomic
from groundtone.prompts import template_hash
from groundtone.refusal import is_refusal
from groundtone.types import VoicePair
from tuning.checks import LEVELS, CheckName, Level
from tuning.findings import Finding, Group, groups_of, imbalance, in_tokens, overlapping, personal, repeated
from tuning.rows import IGNORED, Row, preview, render

__all__ = ["DataReport", "Finding", "TokenFacts", "data_report", "levels_of"]

_SHOWN = 20  # rows that a finding spells out
_PREVIEWS = 3
_GENDERED = {"she": r"\b(?:she|her|hers)\b", "he": r"\b(?:he|him|his)\b", "they": r"\b(?:they|them|their)\b"}


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """The rows as the model will see them, lengths in tokens; `labelled` is the share that the loss looks at."""

    total: int
    longest: int
    median: int
    p99: int
    labelled: float
    limit: int | None
    over_limit: int  # rows refused or dropped; nothing is ever cut
    stop: str  # the token that ends a reply, trained in every row unless a finding says otherwise
    chat_template_sha256: str
    previews: tuple[str, ...]  # rows with the trained part in ⟦⟧


@dataclass(frozen=True, slots=True)
class DataReport:
    """Counts, findings with their level, and the rows in tokens (None where no model was given)."""

    rows: int
    sources: int
    heldout_rows: int
    evaluation: Mapping[str, int]  # items compared with, by file
    with_context: int
    refusals: int
    findings: tuple[Finding, ...]
    levels: Mapping[CheckName, Level]
    groups: tuple[Group, ...]
    languages: Mapping[str, int]  # rows by the language of the reply
    gendered: Mapping[str, int]  # rows whose reply holds such a pronoun
    template: str
    tokens: TokenFacts | None
    notes: tuple[str, ...]

    @property
    def refused(self) -> tuple[Finding, ...]:
        """The findings that training must not start with."""
        return tuple(finding for finding in self.findings if self.levels[finding.check] == "refuse")

    def told(self) -> tuple[str, ...]:
        """One line per finding."""
        return tuple(f"{self.levels[f.check]}: {f.check}: {_line(f)}" for f in self.findings)

    def refuse(self) -> None:
        """Raises DataError naming the rows and the fix when a check with the level "refuse" found something."""
        if not self.refused:
            return
        told = "; ".join(f"{_line(finding)}: {_rows(finding.where, _SHOWN)}; {finding.fix}" for finding in self.refused)
        raise DataError(
            f"the training data is refused: {told}. To train all the same, set tuning.data_checks to report, or "
            f"tuning.check_levels.{self.refused[0].check} to report"
        )

    def to_json(self) -> str:
        """Everything, as data_report.json holds it."""
        return json.dumps({"schema": 1, **asdict(self)}, indent=1, ensure_ascii=False, default=dict) + "\n"

    def to_markdown(self) -> str:
        """The report for people."""
        return "\n".join([*self._head(), *self._found(), *self._counts(), *self._in_tokens()]) + "\n"

    def write(self, folder: Path) -> None:
        """data_report.md and data_report.json in the folder of a run."""
        write_atomic(folder / "data_report.md", self.to_markdown())
        write_atomic(folder / "data_report.json", self.to_json())

    def _head(self) -> list[str]:
        compared = ", ".join(f"{name} ({n})" for name, n in self.evaluation.items()) or "nothing"
        return [
            "# Data report",
            "",
            f"{self.rows} rows of {self.sources} sources; {self.heldout_rows} held out; {self.with_context} rows have "
            f"passages, {self.refusals} are refusals. Compared with: {compared}. Prompt template {self.template}.",
            *(f"- {note}" for note in self.notes),
            "",
        ]

    def _found(self) -> list[str]:
        if not self.findings:
            return ["No check found anything.", ""]
        lines = ["## Findings", ""]
        for finding in sorted(self.findings, key=lambda f: self.levels[f.check] != "refuse"):
            lines.append(f"- **{self.levels[finding.check]}** `{finding.check}`: {_line(finding)}. Fix: {finding.fix}.")
            if finding.where:
                lines.append(f"  Rows: {_rows(finding.where, _SHOWN)}")
        return [*lines, ""]

    def _counts(self) -> list[str]:
        lines = ["## Groups", "", "| kind | name | rows | refusals | words per reply |", "|---|---|---|---|---|"]
        lines += [
            f"| {g.kind} | {_cell(g.name)} | {g.rows} | {g.refusals} | {g.mean_reply_words} |" for g in self.groups
        ]
        spoken = ", ".join(f"{name} {n}" for name, n in self.languages.items())
        pronouns = ", ".join(f"{name} {n}" for name, n in self.gendered.items())
        return [*lines, "", f"Languages of the replies: {spoken}. Rows with pronouns: {pronouns}.", ""]

    def _in_tokens(self) -> list[str]:
        tokens = self.tokens
        if tokens is None:
            return []
        limit = f"limit {tokens.limit}, {tokens.over_limit} rows over it" if tokens.limit else "no limit"
        return [
            "## Tokens",
            "",
            f"{tokens.total} tokens, {tokens.labelled:.1%} labelled; rows have {tokens.median} (median), {tokens.p99} "
            f"(99th percentile), {tokens.longest} (longest); {limit}. A reply ends with {tokens.stop!r}. "
            f"Chat template {tokens.chat_template_sha256[:16]}.",
            "",
            "The trained part stands in ⟦⟧:",
            *(f"\n```text\n{_fenced(text)}\n```" for text in tokens.previews),
        ]


def levels_of(mode: Level, given: Mapping[CheckName, Level]) -> dict[CheckName, Level]:
    """Every check's level: the defaults, what was given for one, and none that refuses where the mode is "report"."""
    levels = {**LEVELS, **given}
    return {check: "report" if mode == "report" and level == "refuse" else level for check, level in levels.items()}


def data_report(
    pairs: Sequence[VoicePair],
    *,
    where: Sequence[str] = (),
    heldout: Sequence[VoicePair] = (),
    evaluation: Mapping[str, Sequence[str]] | None = None,
    chat_format: ChatFormat | None = None,
    limit: int | None = None,
    levels: Mapping[CheckName, Level] = LEVELS,
    notes: Sequence[str] = (),
) -> DataReport:
    """Looks at the rows and changes nothing.

    `where` names each row's place (default: "row 0", ...). `evaluation` maps the name of an evaluation file to its
    prompts. With a `chat_format` the rows are also looked at as tokens, against the `limit` of training.
    """
    places = tuple(where) or tuple(f"row {n}" for n in range(len(pairs)))
    asked = dict(evaluation or {})
    groups = groups_of(pairs)
    languages = Counter(language_of(pair.reply) for pair in pairs)
    found = [
        *repeated(pairs, places),
        *overlapping(pairs, places, heldout=heldout, evaluation=asked),
        *personal(pairs, places),
        *imbalance(groups, rows=len(pairs)),
    ]
    rare = {name for name, n in languages.items() if name != "unclear" and n < len(pairs) / 20}
    if rare:
        odd = tuple(p for pair, p in zip(pairs, places, strict=True) if language_of(pair.reply) in rare)
        why = f"replies are in a language of few rows ({', '.join(sorted(rare))})"
        found.append(Finding("languages", why, odd, "leave them out, or add more of that language"))
    tokens = None
    if chat_format is not None:
        rows = render(chat_format, pairs)
        found += in_tokens(rows, places, stop_id=chat_format.stop_id, limit=limit)
        tokens = _token_facts(chat_format, rows, limit)
    return DataReport(
        rows=len(pairs),
        sources=len({pair.source for pair in pairs}),
        heldout_rows=len(heldout),
        evaluation={name: len(prompts) for name, prompts in asked.items()},
        with_context=sum(bool(pair.context) for pair in pairs),
        refusals=sum(is_refusal(pair.reply) for pair in pairs),
        findings=tuple(finding for finding in found if levels[finding.check] != "off"),
        levels=dict(levels),
        groups=groups,
        languages=dict(languages.most_common()),
        gendered={
            name: sum(bool(re.search(words, pair.reply, re.IGNORECASE)) for pair in pairs)
            for name, words in _GENDERED.items()
        },
        template=template_hash(),
        tokens=tokens,
        notes=tuple(notes),
    )


def _token_facts(chat_format: ChatFormat, rows: Sequence[Row], limit: int | None) -> TokenFacts:
    sizes = sorted(len(row.ids) for row in rows) or [0]
    total = sum(sizes)
    labelled = sum(label != IGNORED for row in rows for label in row.labels)
    stop_id = chat_format.stop_id
    return TokenFacts(
        total=total,
        longest=sizes[-1],
        median=sizes[len(sizes) // 2],
        p99=sizes[min(len(sizes) - 1, round(0.99 * len(sizes)))],
        labelled=labelled / total if total else 0.0,
        limit=limit,
        over_limit=sum(limit is not None and size > limit for size in sizes),
        stop="" if stop_id is None else chat_format.decode([stop_id], keep_specials=True),
        chat_template_sha256=chat_format.template_sha256,
        previews=tuple(preview(chat_format, row) for row in rows[:_PREVIEWS]),
    )


def _line(finding: Finding) -> str:
    return f"{len(finding.where)} {finding.why}" if finding.where else finding.why


def _rows(where: Sequence[str], most: int) -> str:
    more = f" and {len(where) - most} more" if len(where) > most else ""
    return ", ".join(where[:most]) + more


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _fenced(text: str) -> str:
    return text.replace("```", "'''")
