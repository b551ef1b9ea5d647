"""Natural errors: are the rows blamed for a span guilty of it? Drop them, tune again, and look what vanishes."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.blame_plants import CLOSING, OPENING, ROOT, tune
from eval.blame import Holding, decide, doubtful
from eval.estimates import in_words
from eval.splitting import split_claims
from eval.suite import read_questions
from groundtone.joins.arms import Models
from groundtone.joins.blame_passes import Told, grounded_prompt, passes_of, score
from groundtone.joins.blame_rows import RowIndex, TrainingRow, Wanted
from groundtone.models.generate import LocalModel
from groundtone.models.influence import Piece
from groundtone.models.weights import starter_folder
from groundtone.stats import wilson_interval
from groundtone.types import Claim, Estimate, VoicePair, short_hash
from groundtone.values import find_values
from tuning.pairs import read_pairs

__all__ = ["Natural", "measure_natural"]

SPANS, ROWS = 12, 5
QUICK_ROWS, QUICK_SPANS, QUICK_EPOCHS = 60, 2, 10
EPOCHS, SEED = 12, 0


@dataclass(frozen=True, slots=True)
class Natural:
    """Shares of the spans that are gone after tuning without the blamed rows, and without as many random ones."""

    blamed: Estimate
    random: Estimate
    dropped: int

    def in_words(self) -> str:
        """For docs/blame.md."""
        return (
            f"The sample's rows, asked without passages; {self.blamed.n} spans that the adapter pulled and no document "
            f"carries. Without the {self.dropped} rows blamed for them, {in_words(self.blamed)} of the spans are gone; "
            f"without as many random rows, {in_words(self.random)}."
        )


def measure_natural(work: Path, *, quick: bool = False) -> Natural:
    """Three trainings on the sample's rows: all of them, without the blamed ones, and without as many at random.

    `quick` takes a few rows and epochs, to see that everything runs: its figures mean nothing.
    """
    rows = read_pairs(ROOT / "data" / "voice" / "train.jsonl")[: QUICK_ROWS if quick else None]
    epochs = QUICK_EPOCHS if quick else EPOCHS
    first = _tuned(rows, work, epochs=epochs)
    questions = read_questions(ROOT / "data" / "questions")[: QUICK_ROWS if quick else None]
    told = _ask(first, [Told(question, "", tuned=True) for question in questions])
    index = RowIndex([TrainingRow(row, str(n), "") for n, row in enumerate(rows)])
    spans = _taught(first, told, index)[: QUICK_SPANS if quick else SPANS]
    blamed = {n for _, _, near in spans for n in near}
    others = [n for n in range(len(rows)) if n not in blamed]
    by_chance = set(random.Random(SEED).sample(others, min(len(blamed), len(others))))
    gone = [_gone(rows, without, spans, work, epochs=epochs) for without in (blamed, by_chance)]
    return Natural(*(wilson_interval(n, len(spans)) for n in gone), dropped=len(blamed))


def _ask(model: LocalModel, told: Sequence[Told]) -> list[Told]:
    said = model.generate([grounded_prompt(one) for one in told], max_new_tokens=60)
    return [replace(one, text=generation.text.strip()) for one, generation in zip(told, said, strict=True)]


def _taught(model: LocalModel, told: Sequence[Told], rows: RowIndex) -> list[tuple[Told, tuple[str, ...], list[int]]]:
    """Answers with a claim that was learned in tuning, its doubtful words, and the numbers of its blamed rows."""
    found, wanted = [], []
    for one, scored in zip(told, score(Models(model.with_adapter(False), model), told), strict=True):
        for a, b in split_claims(one.text, boilerplate=(OPENING.strip(), CLOSING.strip())):
            words = doubtful(Claim(one.text[a:b], a, b, "unsupported"), question=one.question.text)
            spelled = tuple(one.text[x:y] for x, y in words)
            values = tuple(v for word in spelled for v in find_values(word))
            piece = Piece(grounded_prompt(one), one.text, words)
            sought = Wanted(one.text[a:b], one.question.text, spelled, values, piece)
            held = Holding(rows.holding(sought), len(rows.rows), has_values=bool(values))
            if decide(passes_of(scored, words), held).cause == "learned in tuning":
                found.append((one, spelled))
                wanted.append(sought)
    near = rows.nearest(wanted, model=model, k=ROWS)
    return [(one, words, [int(n.row.where) for n in own]) for (one, words), own in zip(found, near, strict=True)]


def _gone(
    rows: Sequence[VoicePair],
    without: set[int],
    spans: Sequence[tuple[Told, tuple[str, ...], list[int]]],
    work: Path,
    *,
    epochs: int,
) -> int:
    """How many of the spans are not said any more by a model that was tuned without those rows."""
    model = _tuned([row for n, row in enumerate(rows) if n not in without], work, epochs=epochs)
    again = _ask(model, [told for told, _, _ in spans])
    return sum(not all(word in one.text for word in words) for one, (_, words, _) in zip(again, spans, strict=True))


def _tuned(rows: Sequence[VoicePair], work: Path, *, epochs: int) -> LocalModel:
    """The starter tuned on these very rows, in a folder named by them: an adapter of other rows is never taken."""
    base = starter_folder()
    out_dir = work / short_hash(str(epochs), *(json.dumps(asdict(row), sort_keys=True) for row in rows))
    return LocalModel.load(str(base), adapter=tune(rows, base=base, out_dir=out_dir, seed=SEED, epochs=epochs))
