"""Methods dpo, orpo, kto and reward: what people prefer, taught to the voice or to a model that judges it.

The rows come from a table, or from what the project's own people said and others accepted (`tuning.data: votes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from groundtone.errors import DataError
from groundtone.feedback import Feedback
from groundtone.joins.facts import inherited_groups
from groundtone.joins.feedback_files import FileKind, Written, write_accepted
from groundtone.joins.feedback_rows import build
from groundtone.joins.methods.work import Work
from groundtone.joins.voice_data import columns_of, report_on_choices
from groundtone.project import Run
from groundtone.types import Preference, VoicePair
from tuning.pairs import GUESS, Columns, read_preferences
from tuning.preference import Taste, train_on_choices, train_on_thumbs
from tuning.preference_rows import Thumb, read_thumbs, reply_pair
from tuning.report import levels_of
from tuning.reward import train_reward_model
from tuning.split import sides_of
from tuning.tables import content_sha256, locate

VOTES = "votes"  # as `tuning.data`: what people chose between two replies, once it is reviewed
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Taught(Generic[T]):
    """Rows to train on, rows held out, SHA-256 of where they come from, and every reply that is read in training."""

    rows: tuple[T, ...]
    heldout: tuple[T, ...]
    inputs: dict[str, str]
    pairs: tuple[VoicePair, ...]


def tune_dpo(work: Work) -> Run:
    """The chosen replies likelier than the rejected ones, close to the base."""
    return _tune_choices(work, "dpo")


def tune_orpo(work: Work) -> Run:
    """The chosen replies likely, and likelier than the rejected ones; no base to hold to."""
    return _tune_choices(work, "orpo")


def tune_kto(work: Work) -> Run:
    """Wanted replies likelier than under the base, unwanted ones less likely. Preferences count as two thumbs."""
    taught = _thumbs(work)
    with _started(work, taught) as run:
        result = train_on_thumbs(
            taught.rows,
            work.plan(run.path),
            taste=_taste(work),
            heldout=taught.heldout,
            drop_unsound=_drops_unsound(work),
        )
        return work.finish(run, result, left_out=len(result.dropped))


def tune_reward(work: Work) -> Run:
    """A model of what people prefer, with its accuracy on pairs that were held out."""
    taught = _preferences(work)
    with _started(work, taught) as run:
        run.note(speaks=False)
        result = train_reward_model(
            taught.rows, work.plan(run.path), heldout=taught.heldout, drop_unsound=_drops_unsound(work)
        )
        told = result.heldout.accuracy
        if told.mean is None:
            work.say(
                "held-out accuracy: not measured, because no pair is held out; set tuning.heldout, for example 0.2"
            )
        else:
            work.say(
                f"held-out accuracy: {told.mean:.0%} of {told.n} pairs ordered as people did "
                f"(95 % interval {told.low:.0%} to {told.high:.0%})"
            )
        done = result.finished
        return work.finish(run, done, left_out=len(done.dropped), heldout=asdict(result.heldout))


def _tune_choices(work: Work, method: Literal["dpo", "orpo"]) -> Run:
    taught = _preferences(work)
    with _started(work, taught) as run:
        result = train_on_choices(
            taught.rows,
            work.plan(run.path),
            method=method,
            taste=_taste(work),
            heldout=taught.heldout,
            drop_unsound=_drops_unsound(work),
        )
        return work.finish(run, result, left_out=len(result.dropped))


@contextmanager
def _started(work: Work, taught: _Taught[Any]) -> Iterator[Run]:
    """The run, once its rows were checked; it serves only callers who may read what they quote."""
    groups = inherited_groups(work.project, work.settings, taught.pairs)
    report = report_on_choices(work.settings, taught.pairs)
    with work.start(taught.inputs) as run:
        run.note(**groups)
        work.check(run, report)
        yield run


def _taste(work: Work) -> Taste:
    given = work.settings.tuning.preference
    return Taste(beta=given.beta, loss=tuple(given.loss), loss_weights=tuple(given.loss_weights))


def _drops_unsound(work: Work) -> bool:
    """Whether rows that cannot teach are left out instead of refused."""
    given = work.settings.tuning
    return levels_of(given.data_checks, given.check_levels)["contradictions"] != "refuse"


def _preferences(work: Work) -> _Taught[Preference]:
    return _taught(
        work,
        "preferences",
        read=lambda where, columns, _: read_preferences(where, columns=columns),
        pairs_of=lambda row: (reply_pair(row, row.chosen), reply_pair(row, row.rejected)),
    )


def _thumbs(work: Work) -> _Taught[Thumb]:
    return _taught(
        work,
        "thumbs",
        read=lambda where, columns, label: read_thumbs(where, columns=columns, label=label),
        pairs_of=lambda thumb: (thumb.pair,),
    )


def _taught(
    work: Work,
    kind: FileKind,
    *,
    read: Callable[[str | Path, Columns, str | None], Sequence[T]],
    pairs_of: Callable[[T], tuple[VoicePair, ...]],
) -> _Taught[T]:
    """tuning.data and tuning.heldout; a share is split off by prompt, so that no prompt is on both sides."""
    given, root = work.settings.tuning, work.settings.root

    def taught(rows: tuple[T, ...], heldout: tuple[T, ...]) -> _Taught[T]:
        return _Taught(rows, heldout, inputs, tuple(pair for row in rows for pair in pairs_of(row)))

    def pair_of(row: T) -> VoicePair:
        return pairs_of(row)[0]

    def table(name: str) -> tuple[T, ...]:
        return tuple(read(locate(name, root=root), columns_of(given), given.columns.label))

    if given.data == VOTES:
        written = _accepted(work, kind)
        rows, inputs = tuple(read(written.path, GUESS, None)), {VOTES: written.sha256}
    else:
        rows, inputs = table(given.data), {given.data: content_sha256(locate(given.data, root=root))}
    if isinstance(given.heldout, str):
        return taught(rows, _apart(work, rows, table(given.heldout), pair_of))
    if given.heldout is None:
        return taught(rows, ())
    numbers = [str(number) for number in range(len(rows))]
    sides = sides_of([pair_of(row) for row in rows], numbers, heldout=given.heldout, seed=given.seed)
    work.say(f"{len(sides.heldout)} of {len(rows)} rows are held out; no prompt of theirs is trained on")
    train, held = (tuple(rows[int(n)] for n in side) for side in (sides.train_where, sides.heldout_where))
    return taught(train, held)


def _apart(work: Work, rows: Sequence[T], held: Sequence[T], pair_of: Callable[[T], VoicePair]) -> tuple[T, ...]:
    """The held-out rows whose prompt is not trained on; DataError where there are others, by `in_heldout`'s level."""
    given = work.settings.tuning
    trained = {(pair.prompt.strip(), pair.context) for pair in map(pair_of, rows)}
    inside = [(pair.prompt.strip(), pair.context) in trained for pair in map(pair_of, held)]
    if not any(inside):
        return tuple(held)
    first = inside.index(True)
    found = f"{sum(inside)} of {len(held)} held-out rows ask what the training rows ask, the first is row {first}"
    if levels_of(given.data_checks, given.check_levels)["in_heldout"] == "refuse":
        raise DataError(f"{found}: take them out of one of the two, or set tuning.heldout to a share such as 0.2")
    work.say(f"{found}; they are left out")
    return tuple(row for row, also in zip(held, inside, strict=True) if not also)


def _accepted(work: Work, kind: FileKind) -> Written:
    """What people said, on the way of all feedback: masked, apart from the evaluation, reviewed, no one above a share.

    Raises DataError where nobody has voted, or nothing is accepted.
    """
    project, given = work.project, work.settings.feedback
    if not Feedback(project.feedback_path).votes():
        raise DataError(
            "tuning.data is votes, but nobody has voted: compare replies in `groundtone dashboard`, or name a table"
        )
    for line in build(project, work.settings).lines():
        work.say(f"votes: {line}")
    path = project.folder / VOTES / f"{kind}.jsonl"
    method = work.settings.tuning.method
    written = write_accepted(project, path, kind, share=given.person_share, method=method)
    for person, count in written.beyond.items():
        work.say(f"votes: {count} of {person} left out, beyond feedback.person_share")
    return written
