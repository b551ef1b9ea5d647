"""Running out of memory or of disk while training: recognised by what libraries say, and answered."""

from __future__ import annotations

import errno
import gc
from dataclasses import dataclass

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "mps backend out of memory")
_NO_SPACE = ("no space left on device", "disk quota exceeded", "file write failed", "failed writing file")


@dataclass(frozen=True, slots=True)
class Batching:
    """Rows per forward pass and passes per optimizer step; their product is the effective batch."""

    size: int
    accumulate: int

    def smaller(self) -> Batching | None:
        """The next smaller micro-batch with the very same effective batch; None for a single row."""
        effective = self.size * self.accumulate
        size = next((n for n in range(self.size // 2, 0, -1) if effective % n == 0), None)
        return None if size is None else Batching(size, effective // size)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an accelerator or the machine had no memory left."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or (isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY))


def ran_out_of_space(error: BaseException) -> bool:
    """Whether a file could not be written because the disk is full; safetensors and torch raise errors of their own."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, Exception) and any(words in str(error).lower() for words in _NO_SPACE)


def release_memory(device: str) -> None:
    """Give back what a failed attempt held, before a smaller one starts."""
    gc.collect()
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
