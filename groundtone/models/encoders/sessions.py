"""An exported encoder in OpenVINO or ONNX Runtime: neither imports torch. Both need the extra `fast`."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from groundtone.errors import MissingExtraError
from groundtone.models.encoders.base import TokenIds, Vectors, padded, unit

_BATCH_TOKENS = 1024


def thread_count() -> int:
    """OMP_NUM_THREADS where it is set, else the cores that this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if given.isdigit() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class OpenVinoEngine:
    """OpenVINO on the CPU, bfloat16 where the CPU multiplies it, else float32.

    One stream of one thread per core, fed by a queue: batches run beside each other, and no thread waits for another
    inside a batch.
    """

    batch_tokens = _BATCH_TOKENS

    def __init__(self, path: Path, *, pad: int) -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingExtraError("runtime openvino", "fast") from error
        core = openvino.Core()
        bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        threads = thread_count()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
        }
        self._pad = pad
        self._lock = threading.Lock()  # a queue has one callback at a time
        self._queue = openvino.AsyncInferQueue(core.compile_model(path, "CPU", settings), threads)

    def run(self, batches: Sequence[Sequence[TokenIds]]) -> list[Vectors]:
        """For each batch float32 of shape (len(batch), dim), each row of length 1."""
        found: dict[int, Vectors] = {}

        def keep(request: Any, number: int) -> None:
            found[number] = unit(np.array(request.get_output_tensor(0).data))  # the request's buffer is used again

        with self._lock:
            self._queue.set_callback(keep)
            for number, batch in enumerate(batches):
                ids, mask = padded(batch, pad=self._pad)
                self._queue.start_async({"input_ids": ids, "attention_mask": mask}, number)
            self._queue.wait_all()
        return [found[number] for number in range(len(batches))]


class OnnxEngine:
    """ONNX Runtime on the CPU, in the precision of the file."""

    batch_tokens = _BATCH_TOKENS

    def __init__(self, path: Path, *, pad: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("runtime onnx", "fast") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count()
        options.log_severity_level = 3
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "0"
        )  # waiting threads leave the cores alone
        self._pad = pad
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, batches: Sequence[Sequence[TokenIds]]) -> list[Vectors]:
        """For each batch float32 of shape (len(batch), dim), each row of length 1."""
        return [self._one(batch) for batch in batches]

    def _one(self, batch: Sequence[TokenIds]) -> Vectors:
        ids, mask = padded(batch, pad=self._pad)
        return unit(self._session.run(["vectors"], {"input_ids": ids, "attention_mask": mask})[0])
