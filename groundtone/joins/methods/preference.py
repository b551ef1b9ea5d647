"""Methods dpo, orpo, kto and reward: what people prefer, taught to the voice or to a model that judges it.

The rows come from a table, or from the votes of the project's own people (`tuning.data: votes`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Literal, TypeVar

from groundtone.errors import DataError
from groundtone.feedback import Feedback
from groundtone.files import sha256_text
from groundtone.joins.arms import model_id
from groundtone.joins.methods.work import Work
from groundtone.joins.voice_data import columns_of
from groundtone.project import Run
from groundtone.types import Preference, VoicePair
from tuning.pairs import read_preferences
from tuning.preference import Taste, train_on_choices, train_on_thumbs
from tuning.preference_rows import Thumb, read_thumbs, reply_pair, thumbs_of
from tuning.report import levels_of
from tuning.reward import train_reward_model
from tuning.split import sides_of
from tuning.tables import content_sha256, locate

VOTES = "votes"  # as `tuning.data`: what people chose between two replies
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Taught(Generic[T]):
    """Rows to train on, rows held out, and SHA-256 of where they come from."""

    rows: tuple[T, ...]
    heldout: tuple[T, ...]
    inputs: dict[str, str]


def tune_dpo(work: Work) -> Run:
    """The chosen replies likelier than the rejected ones, close to the base."""
    return _tune_choices(work, "dpo")


def tune_orpo(work: Work) -> Run:
    """The chosen replies likely, and likelier than the rejected ones; no base to hold to."""
    return _tune_choices(work, "orpo")


def tune_kto(work: Work) -> Run:
    """Wanted replies likelier than under the base, unwanted ones less likely. Preferences count as two thumbs."""
    taught = _thumbs(work)
    with work.start(taught.inputs) as run:
        result = train_on_thumbs(
            taught.rows, heldout=taught.heldout, taste=_taste(work), out_dir=run.path, **_shared(work)
        )
        return work.finish(run, result, left_out=len(result.dropped))


def tune_reward(work: Work) -> Run:
    """A model of what people prefer, with its accuracy on pairs that were held out."""
    taught = _preferences(work)
    with work.start(taught.inputs) as run:
        run.note(speaks=False)
        result = train_reward_model(taught.rows, heldout=taught.heldout, out_dir=run.path, **_shared(work))
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
    with work.start(taught.inputs) as run:
        result = train_on_choices(
            taught.rows,
            method=method,
            heldout=taught.heldout,
            taste=_taste(work),
            out_dir=run.path,
            **_shared(work),
        )
        return work.finish(run, result, left_out=len(result.dropped))


def _taste(work: Work) -> Taste:
    given = work.settings.tuning.preference
    return Taste(beta=given.beta, loss=tuple(given.loss), loss_weights=tuple(given.loss_weights))


def _shared(work: Work) -> dict[str, Any]:
    """What every training of this file is given."""
    settings, given = work.settings, work.settings.tuning
    return {
        "base": model_id(settings),
        "lora": work.lora,
        "recipe": work.recipe,
        "max_length": given.max_length,
        "over_length": given.over_length,
        "drop_unsound": levels_of(given.data_checks, given.check_levels)["contradictions"] != "refuse",
        "dtype": settings.model.dtype,
        "device": settings.model.device,
        "resume": work.resumes,
        "on_step": work.on_step,
    }


def _preferences(work: Work) -> _Taught[Preference]:
    columns = columns_of(work.settings.tuning)
    return _taught(
        work,
        read=lambda name: read_preferences(locate(name, root=work.settings.root), columns=columns),
        of_votes=lambda votes: votes,
        pair_of=lambda row: reply_pair(row, row.chosen),
    )


def _thumbs(work: Work) -> _Taught[Thumb]:
    given = work.settings.tuning
    return _taught(
        work,
        read=lambda name: read_thumbs(
            locate(name, root=work.settings.root), columns=columns_of(given), label=given.columns.label
        ),
        of_votes=thumbs_of,
        pair_of=lambda thumb: thumb.pair,
    )


def _taught(
    work: Work,
    *,
    read: Callable[[str], Sequence[T]],
    of_votes: Callable[[Sequence[Preference]], Sequence[T]],
    pair_of: Callable[[T], VoicePair],
) -> _Taught[T]:
    """tuning.data and tuning.heldout; a share is split off by prompt, so that no prompt is on both sides."""
    given = work.settings.tuning
    if given.data == VOTES:
        votes = _votes(work)
        rows, inputs = tuple(of_votes(votes)), {VOTES: sha256_text(repr(votes))}
    else:
        rows = tuple(read(given.data))
        inputs = {given.data: content_sha256(locate(given.data, root=work.settings.root))}
    if isinstance(given.heldout, str):
        return _Taught(rows, _apart(work, rows, tuple(read(given.heldout)), pair_of), inputs)
    if given.heldout is None:
        return _Taught(rows, (), inputs)
    numbers = [str(number) for number in range(len(rows))]
    sides = sides_of([pair_of(row) for row in rows], numbers, heldout=given.heldout, seed=given.seed)
    work.say(f"{len(sides.heldout)} of {len(rows)} rows are held out; no prompt of theirs is trained on")
    train, held = (tuple(rows[int(n)] for n in side) for side in (sides.train_where, sides.heldout_where))
    return _Taught(train, held, inputs)


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


def _votes(work: Work) -> list[Preference]:
    """What people chose between two replies, oldest first."""
    found = Feedback(work.project.feedback_path).preferences()
    if not found:
        raise DataError(
            "tuning.data is votes, but nobody has voted: compare replies in `groundtone dashboard`, or name a table"
        )
    work.say(f"{len(found)} votes of people")
    return found
