"""Which engine runs an encoder on this machine, and why: said by `groundtone doctor`, followed by `load_encoder`."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, get_args

from groundtone.errors import MissingExtraError, ModelError
from groundtone.models.device import pick_device
from groundtone.models.encoders.folder import EncoderFolder

Runtime = Literal["auto", "torch", "openvino", "onnx", "onnx-int8", "numpy"]
_PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime", "onnx-int8": "onnxruntime"}


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine and the reason for it. "sentence-transformers" is what runs models that the engines do not fit."""

    runtime: Literal["torch", "openvino", "onnx", "onnx-int8", "numpy", "sentence-transformers"]
    why: str


def check_wanted(runtime: str, device: str) -> None:
    """Raises ModelError or MissingExtraError for what this machine or this installation cannot do.

    A device that is named is looked up in torch; "auto" and "cpu" need no look, and torch is not imported.
    """
    if runtime not in get_args(Runtime):
        raise ModelError(f"runtime {runtime!r} is unknown: use {', '.join(get_args(Runtime))}")
    if device not in ("auto", "cpu"):
        pick_device(device)
        if re.match("cuda|mps", device) and runtime not in ("auto", "torch"):
            raise ModelError(f"runtime {runtime!r} runs on the CPU, not on {device!r}: set runtime: auto")
    if runtime in _PACKAGES and find_spec(_PACKAGES[runtime]) is None:
        raise MissingExtraError(f"runtime {runtime}", "fast")


def choose(folder: EncoderFolder | None, *, runtime: str = "auto", device: str = "auto") -> Choice:
    """The engine for many texts. Imports torch only where this machine seems to have an accelerator."""
    if folder is None:
        if runtime not in ("auto", "torch"):
            raise ModelError(f"runtime {runtime!r} runs mean-pooled transformers only: set runtime: auto")
        return Choice("sentence-transformers", "no mean-pooled transformer in safetensors with a fast tokenizer")
    ours: Literal["torch", "sentence-transformers"] = "torch" if folder.plain_bert else "sentence-transformers"
    if runtime == "torch":
        return Choice(ours, "asked for")
    if runtime == "numpy" and not folder.plain_bert:
        raise ModelError(f"runtime 'numpy' runs plain BERT models only, not {folder.name!r}: set runtime: auto")
    for named in ("openvino", "onnx", "onnx-int8", "numpy"):
        if runtime == named:
            return Choice(named, "asked for")
    if device not in ("auto", "cpu") or (device == "auto" and _may_have_accelerator()):
        found = pick_device(device)
        if found.type != "cpu":
            return Choice(ours, f"device {found}")
    for package, engine in (("openvino", "openvino"), ("onnxruntime", "onnx")):
        if find_spec(package) is not None and find_spec("onnx") is not None:
            return Choice("openvino" if engine == "openvino" else "onnx", f"{package} is installed")
    return Choice(ours, "no OpenVINO or ONNX Runtime: pip install 'groundtone[fast]'")


def _may_have_accelerator() -> bool:
    """Whether asking torch for cuda or mps is worth its import."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    return os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/kfd") or shutil.which("nvidia-smi") is not None
