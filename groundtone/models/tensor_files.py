"""Reading .safetensors files: one that is cut off or no such file is named, whoever reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from groundtone.errors import IntegrityError

if TYPE_CHECKING:
    import torch

__all__ = ["read_tensors", "stored_shapes"]


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of the file by name. Raises IntegrityError for a file that is not whole, OSError for none."""
    from safetensors.torch import load_file

    with _whole(path):
        tensors: dict[str, torch.Tensor] = load_file(path)
    return tensors


def stored_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the file's tensors by name, without reading them. Raises like `read_tensors`."""
    from safetensors import safe_open

    with _whole(path), safe_open(str(path), framework="pt") as stored:
        return {key: tuple(stored.get_slice(key).get_shape()) for key in stored.keys()}  # noqa: SIM118


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise IntegrityError(f"{path} is cut off or broken ({error}): copy it again, or tune again") from error
