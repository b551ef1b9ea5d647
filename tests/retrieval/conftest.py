from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from groundtone.models.encoders import MINILM, Encoder, load_encoder, packaged_minilm
from retrieval.index import Index
from retrieval.store import Store
from tests.retrieval.hashing_encoder import HashingEncoder


@pytest.fixture
def encoder() -> HashingEncoder:
    return HashingEncoder()


@pytest.fixture(scope="session")
def minilm() -> Encoder:
    if packaged_minilm() is None:
        pytest.skip("needs the packaged encoder: pip install 'groundtone[offline]'")
    return load_encoder(MINILM, device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three small documents."""
    root = tmp_path / "documents"
    (root / "people").mkdir(parents=True)
    (root / "delivery.md").write_text(
        "# Delivery\n\n## Prices\n\n| Method | Price |\n|---|---|\n| Parcel | €4.90 |\n| Courier | €19 |\n\n"
        "## Time\n\nA parcel takes 3 days. The courier comes the next morning.\n"
    )
    (root / "people" / "leave.md").write_text("# Leave\n\nEveryone has 30 days of leave per year.\n")
    (root / "returns.txt").write_text("Returns\n\nA bike can be returned within 30 days of delivery.\n")
    return root


@pytest.fixture
def store(tmp_path: Path, encoder: HashingEncoder) -> Iterator[Store]:
    """An empty store."""
    opened = Store(tmp_path / "i.sqlite", encoder=encoder.name, dim=encoder.dim)
    yield opened
    opened.close()


@pytest.fixture
def index(tmp_path: Path, folder: Path, encoder: HashingEncoder) -> Iterator[Index]:
    with Index.open(tmp_path / "index.sqlite", encoder=encoder) as opened:
        opened.update(folder)
        yield opened
