"""One-time export of a mean-pooled encoder to ONNX, kept in a cache folder and checked by SHA-256 on every load.

The cache is $GROUNDTONE_CACHE, or groundtone/ in the user's cache folder. A key is made of the weights' hash and the
form of the export, so that another model or another version of this file never meets an old export.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from groundtone.errors import MissingExtraError
from groundtone.files import as_user_error, sha256_file, write_atomic
from groundtone.models.encoders.base import padded
from groundtone.models.encoders.folder import EncoderFolder
from groundtone.types import short_hash

_FORM = "1"  # raise it with any change of what is exported
_OPSET = 18


def cache_folder() -> Path:
    """Where things are kept that can be made again at any time."""
    given = os.environ.get("GROUNDTONE_CACHE")
    if given:
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "groundtone"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "groundtone" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "groundtone"


def exported(folder: EncoderFolder) -> Path:
    """The encoder as an ONNX file: (input_ids, attention_mask) -> unit vectors in float32; exported when first asked.

    Raises MissingExtraError where the export lacks a package, UserError where the cache cannot be written.
    """
    return _kept(folder, "float32", lambda path: _export(folder, path))


def quantized(folder: EncoderFolder) -> Path:
    """The same with int8 weights per channel and activations quantised at run time; cosine to float32 about .99."""
    return _kept(folder, "int8", lambda path: _quantize(exported(folder), path))


def _kept(folder: EncoderFolder, kind: str, make: Callable[[Path], None]) -> Path:
    """The cached file of that kind, made where it is absent or not what was written; two processes may race."""
    folder.checked_weights()
    key = short_hash(folder.weights_sha256, sha256_file(folder.path / "config.json"), _FORM, kind)
    path = cache_folder() / "encoders" / key / "model.onnx"
    note = path.with_suffix(".json")
    if path.is_file() and note.is_file() and _is_whole(path, note):
        return path
    working = path.parent.with_name(f".{key}.{secrets.token_hex(4)}.tmp")
    try:
        working.mkdir(parents=True)
        make(working / path.name)
        found = sha256_file(working / path.name)
        path.parent.mkdir(exist_ok=True)
        os.replace(working / path.name, path)
        write_atomic(note, json.dumps({"model": folder.name, "kind": kind, "sha256": found}, indent=2))
    except OSError as error:
        raise as_user_error(error, path) from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return path


def _is_whole(path: Path, note: Path) -> bool:
    try:
        expected = json.loads(note.read_text(encoding="utf-8"))["sha256"]
    except (ValueError, KeyError, TypeError):
        return False
    return bool(sha256_file(path) == expected)


def _export(folder: EncoderFolder, path: Path) -> None:
    try:
        import onnx  # noqa: F401  torch.onnx.export needs it
    except ImportError as error:
        raise MissingExtraError("exporting an encoder to ONNX", "fast") from error
    import torch
    from transformers import AutoModel

    from groundtone.models.quiet import quiet

    class Pooled(torch.nn.Module):
        """Transformer, mean over the tokens, length 1."""

        def __init__(self) -> None:
            super().__init__()
            self.transformer = AutoModel.from_pretrained(
                folder.path, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
            )

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)

    sample = tuple(torch.from_numpy(array) for array in padded([[3, 4, 5, 6, 7], [3, 4, 5]], pad=folder.pad))
    free = {0: "texts", 1: "tokens"}
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's remarks on shapes that hold for every input here
        torch.onnx.export(
            Pooled().eval(),
            sample,
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["vectors"],
            dynamic_axes={"input_ids": free, "attention_mask": free, "vectors": {0: "texts"}},
            opset_version=_OPSET,
            dynamo=False,  # the other exporter needs one more package, onnxscript
        )


def _quantize(source: Path, path: Path) -> None:
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise MissingExtraError("quantising an encoder to int8", "fast") from error
    import logging

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises pre-processing through the root logger
    try:
        quantize_dynamic(source, path, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
    finally:
        root.setLevel(level)
