"""Sentence encoders: texts -> unit vectors, and token offsets for cutting texts to an encoder's window.

A mean-pooled transformer in safetensors (all-MiniLM-L6-v2, of which the extra `offline` brings a package with pinned
weights, and most others) runs in the fastest engine of this machine: OpenVINO or ONNX Runtime with the extra `fast`,
else torch on packed texts, and numpy for a query from cold. Every other model goes through sentence-transformers.
Vectors are always float32 of length 1 and agree between engines within .999 cosine; only "onnx-int8" does not.
"""

from __future__ import annotations

from groundtone.models.encoders.base import Encoder, Vectors
from groundtone.models.encoders.folder import (
    MINILM,
    MINILM_SHA256,
    EncoderFolder,
    find_folder,
    minilm_folder,
    packaged_minilm,
    read_folder,
)
from groundtone.models.encoders.folder_encoder import FolderEncoder
from groundtone.models.encoders.runtimes import Choice, Runtime, check_wanted, choose
from groundtone.models.encoders.sentence import SentenceTransformersEncoder

__all__ = [
    "MINILM",
    "MINILM_SHA256",
    "Choice",
    "Encoder",
    "FolderEncoder",
    "Runtime",
    "SentenceTransformersEncoder",
    "Vectors",
    "check_wanted",
    "choose",
    "known_folder",
    "load_encoder",
    "packaged_minilm",
]


def load_encoder(id_or_path: str, *, device: str = "auto", runtime: str = "auto") -> Encoder:
    """The encoder of that Hugging Face id or folder, on "cuda", "mps", "cpu" or the best there is ("auto").

    `runtime` names an engine: torch, openvino, onnx, onnx-int8 (cosine .99 to the others, fastest where VNNI is all
    there is) or numpy; "auto" chooses by machine and amount of work, and imports torch only when it is needed.
    Raises ModelError when the encoder cannot be loaded or the runtime does not fit it, MissingExtraError for a runtime
    that is not installed, IntegrityError when the packaged weights are not the pinned ones.
    """
    check_wanted(runtime, device)
    folder = known_folder(id_or_path)
    if folder is None:
        model = SentenceTransformersEncoder(id_or_path, device=device)
        folder = known_folder(id_or_path) if runtime not in ("auto", "torch") else None  # it may be downloaded by now
        if folder is None:
            choose(None, runtime=runtime, device=device)
            return model
    if runtime == "auto" and folder.plain_bert:
        return FolderEncoder(folder, runtime=runtime, device=device)  # which engine is decided by the work that comes
    if choose(folder, runtime=runtime, device=device).runtime == "sentence-transformers":
        return SentenceTransformersEncoder(id_or_path, device=device)
    return FolderEncoder(folder, runtime=runtime, device=device)


def known_folder(id_or_path: str) -> EncoderFolder | None:
    """What is known of a model on this machine that the engines can run; None for every other one.

    Raises IntegrityError when the packaged weights are not the pinned ones.
    """
    path = find_folder(id_or_path)
    if path is None:
        return None
    return minilm_folder(path) if id_or_path == MINILM and path == packaged_minilm() else read_folder(id_or_path, path)
