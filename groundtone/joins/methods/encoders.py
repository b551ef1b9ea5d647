"""Methods classify, tokens and mlm: encoders that label texts, find spans, or learn the words of documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from groundtone.joins.methods.work import Work
from groundtone.project import Run
from tuning.encoder_rows import R, RowColumns, RowSet, read_documents, read_text_rows, read_token_rows
from tuning.encoder_rows_checks import checked, findings_of, split_rows
from tuning.report import levels_of
from tuning.scores import Scores
from tuning.tables import content_sha256, locate

__all__ = ["tune_classifier", "tune_tagger", "tune_words"]


def tune_classifier(work: Work) -> Run:
    """Texts, or pairs of texts, and their labels."""
    from tuning.classify import train_classifier

    own = work.settings.tuning.encoder
    data = _read(
        work,
        lambda where: read_text_rows(where, columns=_columns(work), labels=own.labels, multi_label=own.multi_label),
    )
    with work.start(data.inputs) as run:
        made = train_classifier(
            data.train,
            work.plan(run.path),
            heldout=data.heldout,
            labels=own.labels,
            multi_label=own.multi_label,
            class_weights=own.class_weights,
            threshold=own.threshold,
        )
        return work.finish(run, made.finished, labels=list(made.labels), **_told(work, run, made.scores))


def tune_tagger(work: Work) -> Run:
    """Texts and their labelled spans, perhaps after a context."""
    from tuning.tokens import train_tagger

    own = work.settings.tuning.encoder
    data = _read(work, lambda where: read_token_rows(where, columns=_columns(work), labels=own.labels))
    with work.start(data.inputs) as run:
        made = train_tagger(
            data.train,
            work.plan(run.path),
            heldout=data.heldout,
            labels=own.labels,
            class_weights=own.class_weights,
            overlap_tokens=own.overlap_tokens,
        )
        if made.inexact:
            work.say(
                f"report: {len(made.inexact)} rows have spans that begin or end inside a token, and cannot be found "
                f"exactly: {', '.join(made.inexact[:20])}"
            )
        return work.finish(run, made.finished, labels=list(made.labels), **_told(work, run, made.scores))


def tune_words(work: Work) -> Run:
    """Documents without labels; the encoder that comes of it can be `model.id` of another run."""
    from tuning.mlm import train_words

    data = _read(work, lambda where: read_documents(where, columns=_columns(work)))
    with work.start(data.inputs) as run:
        made = train_words(
            data.train, work.plan(run.path), heldout=data.heldout, mask_share=work.settings.tuning.encoder.mask_share
        )
        work.say(f"the encoder is {made.encoder}: name it as model.id of a run of classify or tokens")
        return work.finish(run, made.finished, **_told(work, run, made.scores))


@dataclass(frozen=True, slots=True)
class _Data(Generic[R]):
    """Rows to train on, rows held out, and SHA-256 of where they come from."""

    train: tuple[R, ...]
    heldout: tuple[R, ...]
    inputs: dict[str, str]


def _read(work: Work, read: Callable[[str | Path], RowSet[R]]) -> _Data[R]:
    """tuning.data and tuning.heldout, a file or a share; says what was guessed and found. Raises DataError."""
    given, root = work.settings.tuning, work.settings.root
    where = locate(given.data, root=root)
    found = read(where)
    inputs = {str(given.data): content_sha256(where)}
    train: Sequence[R] = found.rows
    heldout: Sequence[R] = ()
    notes: tuple[str, ...] = found.notes
    if isinstance(given.heldout, float):
        sides = split_rows(found.rows, heldout=given.heldout, seed=given.seed)
        train, heldout = sides.train, sides.heldout
        notes = (*notes, f"{len(heldout)} of {len(found.rows)} rows are held out, by source and label")
    elif given.heldout:
        apart = locate(given.heldout, root=root)
        other: RowSet[R] = read(apart)
        heldout = other.rows
        inputs[str(given.heldout)] = content_sha256(apart)
        notes = tuple(dict.fromkeys((*notes, *other.notes)))
    for line in notes:
        work.say(line)
    findings = tuple(findings_of(train, heldout, few=given.encoder.few_rows))
    for line in checked(findings, levels=levels_of(given.data_checks, given.check_levels)):
        work.say(line)
    return _Data(tuple(train), tuple(heldout), inputs)


def _columns(work: Work) -> RowColumns:
    named = work.settings.tuning.columns
    return RowColumns(
        text=named.text or "",
        text_pair=named.text_pair or "",
        label=named.label or "",
        context=named.context or "",
        spans=named.spans or "",
        tokens=named.tokens or "",
        tags=named.tags or "",
        source=named.source or "",
    )


def _told(work: Work, run: Run, scores: Scores | None) -> dict[str, Any]:
    """What the manifest notes of the figures, said before."""
    if scores is None:
        work.say("not measured, because no rows are held out; set tuning.heldout, for example 0.2")
        return {}
    work.say(f"figures on {scores.n} held-out rows: {run.path / 'scores.md'}")
    return {"scores": scores.headline()}
