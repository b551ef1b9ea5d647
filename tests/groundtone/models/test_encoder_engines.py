"""Every engine gives the vectors that transformers gives, for the packaged encoder's kind of model and for others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone.errors import IntegrityError, MissingExtraError, ModelError
from groundtone.models.encoders import export, folder_encoder, known_folder, load_encoder, runtimes
from groundtone.models.encoders.base import padded
from groundtone.models.encoders.folder_encoder import FolderEncoder, cut
from groundtone.models.encoders.runtimes import choose
from tests.tiny_encoders import TINY_TEXTS, save_tiny_encoder

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Saves a tiny random encoder of a family; `changes` overwrite files of its folder."""

    def save(family: str = "bert", **changes: Any) -> Path:
        return save_tiny_encoder(family, tmp_path_factory.mktemp(family), **changes)

    return save


@pytest.fixture(scope="session")
def bert(make: Make) -> Path:
    return make("bert")


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One export cache for this file, away from the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROUNDTONE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


def reference(folder: Path, texts: list[str]) -> np.ndarray[Any, Any]:
    """What sentence-transformers says, in float32, every text alone."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    return np.asarray(model.encode(texts, batch_size=1, normalize_embeddings=True))


@pytest.mark.parametrize(
    ("runtime", "least"),
    [("numpy", 0.99999), ("torch", 0.999), ("openvino", 0.999), ("onnx", 0.99999), ("onnx-int8", 0.9)],
)
def test_every_engine_equals_sentence_transformers(bert: Path, runtime: str, least: float) -> None:
    if runtime in ("openvino", "onnx", "onnx-int8"):
        pytest.importorskip("onnx")
        pytest.importorskip("openvino" if runtime == "openvino" else "onnxruntime")
    encoder = load_encoder(str(bert), runtime=runtime, device="cpu")
    vectors = encoder.encode(TINY_TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TINY_TEXTS), encoder.dim)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert (vectors * reference(bert, TINY_TEXTS)).sum(axis=1).min() > least
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_numpy_is_exact_to_a_ten_thousandth(bert: Path) -> None:
    vectors = load_encoder(str(bert), runtime="numpy").encode(TINY_TEXTS)
    assert np.abs(vectors - reference(bert, TINY_TEXTS)).max() < 1e-4


@pytest.mark.parametrize("family", ["distilbert", "mpnet", "roberta"])
def test_other_families_run_through_their_export(make: Make, family: str) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder = make(family)
    vectors = load_encoder(str(folder), runtime="onnx", device="cpu").encode(TINY_TEXTS)
    assert (vectors * reference(folder, TINY_TEXTS)).sum(axis=1).min() > 0.9999
    with pytest.raises(ModelError, match="plain BERT"):
        load_encoder(str(folder), runtime="numpy")


@pytest.mark.parametrize(
    "changes",
    [
        {"1_Pooling/config.json": {"embedding_dimension": 32, "pooling_mode": "cls"}},
        {"config_sentence_transformers.json": {"default_prompt_name": "query", "prompts": {"query": "q: "}}},
        {"sentence_bert_config.json": {"max_seq_length": 64, "do_lower_case": True}},
        {"modules.json": [{"type": "sentence_transformers.models.Transformer", "path": ""}]},
    ],
)
def test_a_model_that_does_more_than_mean_pooling_is_left_to_sentence_transformers(
    make: Make, changes: dict[str, Any]
) -> None:
    folder = make("bert", **changes)
    assert known_folder(str(folder)) is None
    assert choose(None).runtime == "sentence-transformers"
    with pytest.raises(ModelError, match="mean-pooled"):
        choose(None, runtime="openvino")


def test_a_damaged_export_is_made_again(bert: Path) -> None:
    pytest.importorskip("onnx")
    folder = known_folder(str(bert))
    assert folder is not None
    path = export.exported(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert export.exported(folder) == path
    assert len(path.read_bytes()) == len(whole)
    assert not list(path.parent.parent.glob("*.tmp"))


def test_an_export_that_fails_leaves_nothing_behind(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = known_folder(str(bert))
    assert folder is not None

    def fail(folder: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setenv("GROUNDTONE_CACHE", str(tmp_path))
    monkeypatch.setattr(export, "_export", fail)
    with pytest.raises(KeyboardInterrupt):
        export.exported(folder)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_weights_that_changed_are_exported_anew(make: Make) -> None:
    pytest.importorskip("onnx")
    first, second = (known_folder(str(make("bert", seed=seed))) for seed in (1, 2))
    assert first is not None
    assert second is not None
    assert export.exported(first) != export.exported(second)


def test_queries_never_load_an_engine_and_pages_do_after_a_while(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    numpy_engine = folder_encoder._ENGINES["numpy"]

    def load(folder: Any, device: str) -> Any:
        loaded.append(device)
        return numpy_engine(folder, device)

    monkeypatch.setattr(folder_encoder, "_ENGINES", dict.fromkeys(folder_encoder._ENGINES, load))
    monkeypatch.setattr(folder_encoder.sys, "modules", {})  # as if torch was not imported
    encoder = load_encoder(str(bert))
    assert isinstance(encoder, FolderEncoder)
    page = [" ".join(["delivery"] * 60)] * 16
    for _ in range(20):
        encoder.encode(["How long does delivery take?"])
    encoder.encode(page)
    assert loaded == []
    for _ in range(8):
        encoder.encode(page)
    assert loaded == ["auto"]


@given(st.lists(st.integers(1, 300), max_size=60).map(sorted), st.integers(50, 2000))
def test_batches_cover_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    ranges = cut(lengths, budget=budget)
    assert [i for start, end in ranges for i in range(start, end)] == list(range(len(lengths)))
    assert all(end - start == 1 or (end - start) * lengths[end - 1] <= budget for start, end in ranges)


@given(st.lists(st.lists(st.integers(5, 99), min_size=1, max_size=9), min_size=1, max_size=9))
def test_padding_and_mask_give_the_rows_back(rows: list[list[int]]) -> None:
    ids, mask = padded(rows, pad=0)
    assert [list(row[on.astype(bool)]) for row, on in zip(ids, mask, strict=True)] == rows
    assert (ids[mask == 0] == 0).all()


def test_what_is_missing_is_named(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"abacus.*auto, torch, openvino"):
        load_encoder(str(bert), runtime="abacus")
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"groundtone\[fast\]"):
        load_encoder(str(bert), runtime="openvino")
    assert choose(known_folder(str(bert)), device="cpu").runtime == "torch"


def test_openvino_comes_before_onnx_and_an_accelerator_before_both(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    folder = known_folder(str(bert))
    monkeypatch.setattr(runtimes, "find_spec", lambda name: name)
    monkeypatch.setattr(runtimes, "_may_have_accelerator", lambda: False)
    assert choose(folder).runtime == "openvino"
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None if name == "openvino" else name)
    assert choose(folder).runtime == "onnx"
    monkeypatch.setattr(runtimes, "_may_have_accelerator", lambda: True)
    monkeypatch.setattr(runtimes, "pick_device", lambda wanted: torch.device("cuda"))
    assert choose(folder) == runtimes.Choice("torch", "device cuda")


def test_incomplete_weights_are_refused(make: Make) -> None:
    from safetensors.numpy import load_file, save_file

    folder = make("bert", seed=5)
    stored = load_file(folder / "model.safetensors")
    del stored["encoder.layer.1.output.dense.bias"]
    save_file(stored, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        load_encoder(str(folder), runtime="numpy").encode(["text"])
    (folder / "model.safetensors").unlink()
    assert known_folder(str(folder)) is None


def test_the_window_counts_special_tokens_and_cuts_what_is_beyond(bert: Path) -> None:
    encoder = load_encoder(str(bert), runtime="numpy")
    long = "delivery " * 500
    assert len(encoder.token_offsets(long)) == 500
    within = "delivery " * (encoder.max_tokens - 2)
    assert encoder.encode([long]) == pytest.approx(encoder.encode([within]), abs=1e-6)
    assert json.loads((bert / "sentence_bert_config.json").read_text())["max_seq_length"] == encoder.max_tokens


def test_pinned_weights_that_differ_are_not_exported(bert: Path) -> None:
    from dataclasses import replace

    folder = known_folder(str(bert))
    assert folder is not None
    with pytest.raises(IntegrityError, match="expected 0000"):
        export.exported(replace(folder, expected="0" * 64))
