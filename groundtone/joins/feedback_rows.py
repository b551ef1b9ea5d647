"""From feedback to rows that tuning reads: routed by reason, merged, masked, apart from the evaluation, reviewed.

`build` brings the rows in the store in line with what people say now. They wait there for a named reviewer; what
was accepted is written by `groundtone.joins.feedback_files`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from eval.records import read_records
from eval.runner import RECORDS
from eval.suite import read_general, read_questions
from groundtone.errors import DataError
from groundtone.feedback import Feedback, Synced, TrainingRow, TrainingRows, row_id
from groundtone.joins.facts import house_phrases
from groundtone.joins.feedback_files import beyond_share
from groundtone.joins.feedback_routes import LeftOut, Made, of_verdicts, of_vote, row_problem
from groundtone.joins.raft import shown_text
from groundtone.project import Project
from groundtone.settings import Settings
from groundtone.text import normalise
from groundtone.types import VoicePair
from tuning.facts import check_facts
from tuning.pairs import read_pairs
from tuning.personal import find_personal

__all__ = ["Built", "EvaluationSet", "build", "edited", "evaluation_set", "mask"]


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """The questions that training must not see, by id and by normalised text."""

    ids: frozenset[str]
    texts: frozenset[str]

    def holds(self, prompt: str, items: Sequence[str] = ()) -> bool:
        """Whether a prompt, or an id that it came with, belongs to the evaluation."""
        return normalise(prompt) in self.texts or not self.ids.isdisjoint(items)


@dataclass(frozen=True, slots=True)
class Built:
    """What became of all feedback: rows by kind, what taught nothing by reason, and how much each person said."""

    synced: Synced
    rows: Mapping[str, int]
    left_out: Mapping[str, int]
    masked: Mapping[str, int]
    people: Mapping[str, int]
    states: Mapping[str, int]
    over: Mapping[str, int]  # person -> accepted rows beyond feedback.person_share

    def lines(self) -> list[str]:
        """For the terminal."""
        total = sum(self.rows.values())
        shown = [f"{total} rows: {_listed(self.rows) or 'none'}; {self.synced.new} new, {self.synced.withdrawn} gone"]
        if self.masked:
            shown.append(f"personal data masked: {_listed(self.masked)}")
        shown += [f"left out {count}: {why}" for why, count in sorted(self.left_out.items(), key=lambda i: (-i[1], i))]
        shown += [f"{count} accepted rows of {name} are beyond their share" for name, count in self.over.items()]
        shown.append(f"review: {_listed(self.states) or 'nothing to review'}")
        return shown


def build(project: Project, settings: Settings) -> Built:
    """Make rows of everything that people said and store them; those that nobody says any more are taken out."""
    feedback = Feedback(project.feedback_path)
    found = [made for vote in feedback.votes() for made in of_vote(vote)]
    found += of_verdicts(feedback.judged(), _shown_in(project, settings))
    evaluation = evaluation_set(settings)
    left: Counter[str] = Counter()
    masked: Counter[str] = Counter()
    made: list[Made] = []
    for one in found:
        if isinstance(one, LeftOut):
            left[one.why] += 1
        elif evaluation.holds(one.row["prompt"], one.items):
            left["its question belongs to the evaluation"] += 1
        else:
            made.append(replace(one, row=_masked(one.row, masked)))
    settled, disputed = _settled(made)
    if disputed:
        left["as many people prefer the one reply as the other"] += disputed
    rows = _noted(_merged(settled), house=house_phrases(settings))
    store = TrainingRows(feedback)
    synced = store.sync(rows) if rows or store.listed() else Synced(0, 0, 0)
    stored = store.listed()
    return Built(
        synced,
        dict(Counter(row.kind for row in stored)),
        dict(left),
        dict(masked),
        dict(Counter(person for row in stored for person in row.people)),
        dict(Counter(row.state for row in stored)),
        dict(beyond_share(stored, settings.feedback.person_share)),
    )


def evaluation_set(settings: Settings) -> EvaluationSet:
    """Every question and prompt that `groundtone eval` asks, and the voice pairs that are held out."""
    ids, texts = set[str](), set[str]()
    questions, general = settings.path(settings.eval.questions), settings.path(settings.eval.general)
    asked = list(read_questions(questions)) if questions.exists() else []
    asked += [item.question for item in read_general(general)] if general.exists() else []
    for question in asked:
        ids.add(question.id)
        texts.add(normalise(question.text))
    held = (settings.eval.voice, settings.tuning.heldout)
    for name in dict.fromkeys(name for name in held if isinstance(name, str)):
        if settings.path(name).is_file() and (settings.tuning.method == "sft" or name == settings.eval.voice):
            texts |= {normalise(pair.prompt) for pair in read_pairs(settings.path(name))}
    return EvaluationSet(frozenset(ids), frozenset(texts))


def _shown_in(project: Project, settings: Settings) -> Callable[[str, Mapping[str, Any]], Sequence[str]]:
    """The passages an answer of an evaluation was written from, as prompts show them; none where its run is gone."""

    @cache
    def answers(run: str) -> dict[str, tuple[str, ...]]:
        path = project.runs_folder / run / RECORDS
        if not run or Path(run).name != run or not path.is_file():
            return {}
        context = settings.assistant.context
        return {
            record.answer.id: tuple(shown_text(hit, context=context) for hit in record.answer.hits)
            for record in read_records(path)
            if record.answer is not None
        }

    def shown(answer_id: str, about: Mapping[str, Any]) -> Sequence[str]:
        given = about.get("context")
        if isinstance(given, list) and all(isinstance(text, str) for text in given):
            return [text for text in given if text.strip()]
        return answers(str(about.get("run", ""))).get(answer_id, ())

    return shown


def _settled(made: Sequence[Made]) -> tuple[list[Made], int]:
    """Preferences that turn one another round: each person's last word counts, then the majority; how many are even."""
    sides: dict[tuple[Any, ...], dict[str, Made]] = {}
    kept = [one for one in made if one.kind != "preference"]
    for one in made:
        if one.kind == "preference":
            texts = frozenset((_folded(one.row["chosen"]), _folded(one.row["rejected"])))
            key = (_folded(one.row["prompt"]), *one.row["context"], texts)
            sides.setdefault(key, {}).pop(one.origin.person, None)
            sides[key][one.origin.person] = one
    disputed = 0
    for said in sides.values():
        counts = Counter(_folded(one.row["chosen"]) for one in said.values())
        ((best, most), *others) = counts.most_common()
        if others and others[0][1] == most:
            disputed += len(said)
        else:
            kept += [one for one in said.values() if _folded(one.row["chosen"]) == best]
    return kept, disputed


def _merged(made: Iterable[Made]) -> list[TrainingRow]:
    """Each row once, with everybody who said it; white space apart the same text is the same row. Oldest first."""
    rows: dict[str, TrainingRow] = {}
    for one in sorted(made, key=lambda one: one.origin.time):
        key = row_id(one.kind, {name: _folded_all(value) for name, value in one.row.items()})
        if key in rows:
            origins = dict.fromkeys((*rows[key].origins, one.origin))
            rows[key] = replace(rows[key], origins=tuple(origins))
        else:
            rows[key] = TrainingRow(key, one.kind, one.row, one.reason, (one.origin,), one.notes)
    return list(rows.values())


def _noted(rows: Sequence[TrainingRow], *, house: Sequence[str]) -> list[TrainingRow]:
    """Tells the reviewer which values a reply states that its passages do not hold."""
    pairs = [(n, VoicePair(r.row["prompt"], r.row["reply"], "", tuple(r.row["context"]))) for n, r in _pairs(rows)]
    notes: dict[int, list[str]] = {}
    for finding in check_facts([pair for _, pair in pairs], house=house, looked_up=False).findings:
        told = f"{finding.fact.text!r} stands in none of its passages: training would teach it as a fact"
        notes.setdefault(pairs[finding.row][0], []).append(told)
    return [replace(row, notes=(*row.notes, *notes.get(n, ()))) for n, row in enumerate(rows)]


def _pairs(rows: Sequence[TrainingRow]) -> Iterator[tuple[int, TrainingRow]]:
    return ((n, row) for n, row in enumerate(rows) if row.kind in ("grounding", "sft"))


def _masked(row: Mapping[str, Any], counts: Counter[str]) -> dict[str, Any]:
    """The row with personal data masked in every text; the source is a hash and stays."""
    made: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, str) and name != "source":
            made[name] = mask(value, counts)
        elif isinstance(value, list):
            made[name] = [mask(text, counts) for text in value]
        else:
            made[name] = value
    return made


def mask(text: str, counts: Counter[str] | None = None) -> str:
    """The text with mail addresses, phone numbers, bank accounts and cards replaced by "(mail)", "(phone)" ..."""
    for kind, value in sorted(find_personal(text), key=lambda found: -len(found[1])):
        text = text.replace(value, f"({kind})")
        if counts is not None:
            counts[kind] += 1
    return text


def edited(row: TrainingRow, *, reply: str, settings: Settings) -> dict[str, Any]:
    """The row with another reply, for a preference the chosen one. Raises DataError where it cannot teach."""
    name = "chosen" if row.kind == "preference" else "reply"
    changed = {**row.row, name: mask(reply.strip())}
    wrong = row_problem(row.kind, changed)
    if evaluation_set(settings).holds(changed["prompt"]):
        wrong = "its question belongs to the evaluation"
    if wrong:
        raise DataError(f"row {row.id} cannot be changed so: {wrong}")
    return changed


def _folded(text: str) -> str:
    return " ".join(text.split())


def _folded_all(value: Any) -> Any:
    if isinstance(value, str):
        return _folded(value)
    return [_folded(text) for text in value] if isinstance(value, list) else value


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
