"""The tuning methods: the one visible table of what `tuning.method` may be."""

from __future__ import annotations

from collections.abc import Callable

from groundtone.joins.methods.reader import tune_reader
from groundtone.joins.methods.voice import tune_voice
from groundtone.joins.methods.work import Work
from groundtone.project import Run

Method = Callable[[Work], Run]

METHODS: dict[str, Method] = {
    "sft": tune_voice,
    "span": tune_reader,
}
