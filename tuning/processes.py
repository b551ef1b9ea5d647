"""One training in several processes (DDP, FSDP through accelerate): which of them this is, and what they tell another.

Every process reads the same data and builds the same model; process 0 leads: it alone writes files and speaks.
"""

from __future__ import annotations

import os
from typing import Any


def count() -> int:
    """How many processes train together; 1 where nothing was launched."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this process writes the run's files and speaks to people."""
    return int(os.environ.get("RANK", "0")) == 0


def from_leader(value: Any) -> Any:
    """The leader's `value` (plain data) in every process; waits until it is there."""
    if count() == 1:
        return value
    import torch.distributed
    from accelerate import PartialState

    PartialState()  # joins the processes in the way that accelerate's launcher asked for
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)  # accelerate's own leaves CPUs out
    return box[0]
