"""How well an index finds what answers a question: recall, MRR and nDCG of each stage, and against the last time.

The measures are those of ir-measures (pytrec_eval beneath); intervals are bootstrapped over documents. What is to be
found is a passage that overlaps a quote, or, where a question names a source without a quote, any passage of it; quotes
that share a passage count as one. The record in the project keeps every question's value, so that the next evaluation
can tell a worse index from noise, question by question.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval.estimates import in_words
from groundtone.errors import DataError, IntegrityError, MissingExtraError
from groundtone.files import now_iso, sha256_text, write_atomic
from groundtone.searching import find, phrasings
from groundtone.stats import mean_interval, paired_difference
from groundtone.types import Estimate, Hit, Turn
from retrieval.interface import SearchableIndex

__all__ = [
    "RECORD",
    "RetrievalEval",
    "Sought",
    "compare",
    "evaluate_index",
    "read_record",
    "read_sought",
    "units_of",
    "values_of",
    "write_record",
]

MEASURES = ("R@1", "R@5", "R@10", "RR@10", "nDCG@10")
RECORD = "retrieval_eval.json"  # in the project's folder, for the next evaluation and the dashboard
FINAL = "final"  # the order in which hits are returned
_DEPTH = 100  # hits per question, so that each stage's first ten are among them
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Sought:
    """A question and what answers it: (source, verbatim quote); an empty quote stands for the whole source.

    A follow-up has the `history` before it and is searched for as the assistant does.
    """

    id: str
    question: str
    gold: tuple[tuple[str, str], ...]
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class RetrievalEval:
    """Values by stage, measure and question id; None where no quote of the question stands in the index."""

    index: str  # content hash
    questions: str  # hash of what was asked
    created: str
    values: Mapping[str, Mapping[str, Mapping[str, float | None]]]
    clusters: Mapping[str, str]  # question id -> source of its first quote

    def estimate(self, stage: str, measure: str) -> Estimate:
        """Mean and 95 % interval over the questions, clustered by document."""
        values = self.values[stage][measure]
        return mean_interval(list(values.values()), clusters=[self.clusters[i] for i in values])

    def table(self) -> dict[str, dict[str, Estimate]]:
        """Every stage's estimates by measure."""
        return {stage: {m: self.estimate(stage, m) for m in measures} for stage, measures in self.values.items()}


def read_sought(path: Path) -> list[Sought]:
    """The questions of a JSON-lines file or of all in a folder that have `quotes` or `sources`; others are passed over.

    A row: {"id": ..., "question": ..., "quotes": [[source, verbatim quote], ...]} or with "sources": [source, ...].
    Raises DataError naming file and line.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    found = [sought for file in files for sought in _sought_in(file)]
    if not found:
        raise DataError(f"{path}: holds no question with quotes or sources; give a JSON-lines file of such rows")
    if len({sought.id for sought in found}) < len(found):
        raise DataError(f"{path}: an id stands there twice; give each question its own")
    return found


def _sought_in(file: Path) -> Iterator[Sought]:
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read ({error}); give a JSON-lines file in UTF-8") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            gold = [_pair(quote) for quote in _listed(row.get("quotes"))]
            gold += [(str(source), "") for source in _listed(row.get("sources"))]
            history = tuple(Turn(role, str(text)) for role, text in row.get("history") or ())
            question = str(row["question"])
            if not question.strip():
                raise ValueError("its question is empty")
            if gold:
                yield Sought(str(row.get("id", f"{file.stem}:{number}")), question, tuple(gold), history)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f'{file}:{number}: is no question ({error!r}); write {{"id", "question", "quotes": [[source, quote]]}}'
            ) from error


def _listed(value: Any) -> list[Any]:
    """What a field holds; one text stands for a list of it."""
    return [value] if isinstance(value, str) else list(value or ())


def _pair(quote: Any) -> tuple[str, str]:
    if not (isinstance(quote, list) and len(quote) == 2 and all(isinstance(part, str) for part in quote)):
        raise ValueError(f"the quote {quote!r} is no pair of source and text")
    return quote[0], quote[1]


def evaluate_index(index: SearchableIndex, sought: Sequence[Sought]) -> RetrievalEval:
    """Search for every question and measure each stage that the hits carry a rank of, and the final order.

    Raises MissingExtraError without ir-measures.
    """
    units = {item.id: units_of(index, item) for item in sought}
    found_by = find(index, [phrasings(item.question, item.history) for item in sought], k=_DEPTH)
    hits = dict(zip((item.id for item in sought), found_by, strict=True))
    stages = list(dict.fromkeys(stage for found in hits.values() for hit in found for stage in hit.ranks))
    runs = {FINAL: {i: [hit.passage.id for hit in found] for i, found in hits.items()}}
    runs |= {stage: {i: _by_rank(found, stage) for i, found in hits.items()} for stage in stages}
    asked = "\x1e".join(sorted(f"{item.id}\x1f{item.question}\x1f{item.gold}" for item in sought))
    return RetrievalEval(
        index=index.content_hash(),
        questions=sha256_text(asked)[:16],
        created=now_iso(),
        values={stage: values_of(run, units) for stage, run in runs.items()},
        clusters={item.id: item.gold[0][0] for item in sought},
    )


def _by_rank(hits: Iterable[Hit], stage: str) -> list[str]:
    found = sorted((hit.ranks[stage], hit.passage.id) for hit in hits if stage in hit.ranks)
    return [passage_id for _, passage_id in found]


def units_of(index: SearchableIndex, item: Sought) -> dict[str, str]:
    """Passage id -> name of what it stands for; {} where a quote is not in the index."""
    units: dict[str, str] = {}
    known = set(index.documents())
    for number, (source, quote) in enumerate(item.gold):
        if source not in known:
            return {}
        if quote:
            places = [passage.id for passage in index.locate(source, quote)]
        else:
            places = [passage.id for passage in index.passages() if passage.source == source]
        if not places:
            return {}
        name = next((units[place] for place in places if place in units), f"gold {number}")
        units |= dict.fromkeys(places, name)
    return units


def values_of(
    run: Mapping[str, Sequence[str]], units: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, float | None]]:
    """Each measure's value for each question of a run: rankings of passage ids by question id."""
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError("measuring search", "bench") from error
    qrels, scored = [], []
    for question, ranking in run.items():
        named = units[question]
        qrels += [ir_measures.Qrel(question, unit, 1) for unit in set(named.values())]
        distinct = list(dict.fromkeys(named.get(passage, passage) for passage in ranking))
        scored += [ir_measures.ScoredDoc(question, unit, -float(rank)) for rank, unit in enumerate(distinct)]
    values: dict[str, dict[str, float | None]] = {m: dict.fromkeys(run) for m in MEASURES}
    wanted = [ir_measures.parse_measure(m) for m in MEASURES]
    for metric in ir_measures.iter_calc(wanted, qrels, scored):
        values[str(metric.measure)][metric.query_id] = float(metric.value)
    return values


def write_record(path: Path, made: RetrievalEval) -> None:
    """Keep the evaluation in the project, for the next one to be compared with."""
    write_atomic(path, json.dumps({"schema": _SCHEMA, **asdict(made)}, ensure_ascii=False, allow_nan=False) + "\n")


def read_record(path: Path) -> RetrievalEval | None:
    """The evaluation that was kept last; None where none was. Raises IntegrityError for a damaged file."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("schema") != _SCHEMA:
            raise ValueError("it was written by another version")
        return RetrievalEval(**data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise IntegrityError(f"{path} cannot be read ({error}): delete it and evaluate again") from error


def compare(before: RetrievalEval, now: RetrievalEval, *, measure: str = "nDCG@10") -> tuple[Estimate, str]:
    """The paired difference now - before over the questions of both, and a sentence on what it means."""
    old, new = before.values[FINAL][measure], now.values[FINAL][measure]
    common = [i for i in new if i in old]
    if before.questions != now.questions and not common:
        return Estimate(None, None, None, 0), "other questions than last time: nothing to compare"
    found = paired_difference(
        [new[i] for i in common], [old[i] for i in common], clusters=[now.clusters[i] for i in common]
    )
    what = f"{measure} {in_words(found, signed=True)} against the evaluation of {before.created[:10]}"
    if before.index == now.index:
        return found, f"the index is the same as then; {what}"
    if found.high is not None and found.high < 0:
        return found, f"search became worse beyond noise: {what}"
    if found.low is not None and found.low > 0:
        return found, f"search became better beyond noise: {what}"
    return found, f"no difference beyond noise: {what}"
