"""The tuning methods: the one visible table of what `tuning.method` may be."""

from __future__ import annotations

from collections.abc import Callable

from groundtone.joins.methods.encoders import tune_classifier, tune_tagger, tune_words
from groundtone.joins.methods.preference import tune_dpo, tune_kto, tune_orpo, tune_reward
from groundtone.joins.methods.reader import tune_reader
from groundtone.joins.methods.reinforce import tune_grpo, tune_rloo
from groundtone.joins.methods.voice import tune_voice
from groundtone.joins.methods.work import Work
from groundtone.project import Run

Method = Callable[[Work], Run]

METHODS: dict[str, Method] = {
    "sft": tune_voice,
    "span": tune_reader,
    "dpo": tune_dpo,
    "orpo": tune_orpo,
    "kto": tune_kto,
    "reward": tune_reward,
    "grpo": tune_grpo,
    "rloo": tune_rloo,
    "classify": tune_classifier,
    "tokens": tune_tagger,
    "mlm": tune_words,
}
