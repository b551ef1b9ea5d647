"""Checkpoints within an epoch: of a training that is stopped, at most about a tenth of its steps is done again.

Every epoch's end is stored by the trainer itself. A run goes on from either to the very same weights: the trainer
skips the rows that it has seen, in the order that the seed gives.
"""

from __future__ import annotations

import math
from typing import Any

from tuning.processes import count

__all__ = ["make_saver"]

_SHARE = 0.1  # of the run's steps
_LEAST = 4  # steps apart, so that a short run does not spend its time on writing


def make_saver() -> Any:
    """A transformers TrainerCallback. It leaves alone what is not stored by epochs, and rows grouped by length.

    Their order is drawn when an epoch begins, from a generator whose state then is not stored.
    """
    from transformers import TrainerCallback

    class Saver(TrainerCallback):  # type: ignore[misc]
        """Defined late: its base class needs transformers."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if args.save_strategy != "epoch" or args.train_sampling_strategy == "group_by_length":
                return
            epoch_steps = state.max_steps // round(args.num_train_epochs)
            if count() > 1 and state.global_step > epoch_steps:
                return  # where rows are skipped, accelerate tells the samplers of several processes of no later epoch
            apart = max(_LEAST, math.ceil(_SHARE * state.max_steps))
            if state.global_step % apart == 0 and state.global_step % epoch_steps:
                control.should_save = True

    return Saver()
