"""Where a model runs and in which precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from groundtone.errors import ModelError

if TYPE_CHECKING:
    import torch

TINY_PARAMETERS = 50_000_000  # below this, float32 costs nothing worth saving and rounds least


def pick_device(wanted: str = "auto") -> torch.device:
    """`wanted`, or for "auto" the first of cuda, mps, cpu that this machine has. ModelError for one that it lacks."""
    import torch

    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if wanted == "auto":
        return torch.device(available[0])
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ModelError(f"device {wanted!r} is no torch device: use auto, {', '.join(available)}") from error
    if device.type not in available or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise ModelError(f"device {wanted!r} is not on this machine: use auto or one of {', '.join(available)}")
    return device


def pick_dtype(wanted: str, device: torch.device, *, parameters: int) -> torch.dtype:
    """`wanted`, or for "auto": float32 for tiny models, else bfloat16 where the device computes in it, else float32."""
    import torch

    named = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if wanted != "auto":
        if wanted not in named:
            raise ModelError(f"dtype {wanted!r} is unknown: use auto, {', '.join(named)}")
        return named[wanted]
    if parameters < TINY_PARAMETERS:
        return torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if device.type == "mps" or _cpu_has_bfloat16() else torch.float32


def multiplies_bfloat16(wanted: str = "auto") -> bool:
    """Whether the device multiplies bfloat16 itself, and torch can mix it with float32 there."""
    import torch

    device = pick_device(wanted)
    return device.type != "mps" and pick_dtype("auto", device, parameters=TINY_PARAMETERS) == torch.bfloat16


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 itself; without it bfloat16 is slower than float32."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return False
    words = set(cpuinfo.read_text(encoding="utf-8", errors="replace").split())
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
