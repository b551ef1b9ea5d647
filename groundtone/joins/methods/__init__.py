"""The tuning methods: the one visible table of what `tuning.method` may be."""

from __future__ import annotations

from collections.abc import Callable

from groundtone.joins.methods.encoders import tune_classifier, tune_tagger, tune_words
from groundtone.joins.methods.preference import tune_dpo, tune_kto, tune_orpo, tune_reward
from groundtone.joins.methods.pretrain import domain_rows, tune_domain
from groundtone.joins.methods.reader import tune_reader
from groundtone.joins.methods.reinforce import tune_grpo, tune_rloo
from groundtone.joins.methods.voice import tune_voice, voice_rows
from groundtone.joins.methods.work import Work
from groundtone.project import Run
from groundtone.settings import Settings
from tuning.estimate import RowsOf

Method = Callable[[Work], Run]

METHODS: dict[str, Method] = {
    "sft": tune_voice,
    "pretrain": tune_domain,
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

# What `groundtone tune --dry-run` times, for the methods whose steps are one pass over rows of tokens.
ROWS: dict[str, Callable[[Settings], RowsOf]] = {"sft": voice_rows, "pretrain": domain_rows}

# Methods that may run in several processes: one of them writes, the others only train.
SEVERAL = ("sft", "pretrain")
