"""Method span: an encoder that learns to point at the answer in a passage, or to say that there is none."""

from __future__ import annotations

from groundtone.errors import DataError
from groundtone.files import sha256_file
from groundtone.joins.methods.work import Work
from groundtone.project import Run


def tune_reader(work: Work) -> Run:
    """Raises DataError for a held-out share: a reader's held-out rows come from a file."""
    from tuning.span import train_reader
    from tuning.span_rows import read_span_rows

    settings, given = work.settings, work.settings.tuning
    data = settings.path(given.data)
    if isinstance(given.heldout, float):
        raise DataError(f"tuning.heldout is {given.heldout}: a reader's held-out rows come from a file, name one")
    with work.start({str(given.data): sha256_file(data)}) as run:
        heldout = read_span_rows(settings.path(given.heldout)) if given.heldout else ()
        result = train_reader(read_span_rows(data), work.plan(run.path), heldout=heldout)
        return work.finish(run, result)
