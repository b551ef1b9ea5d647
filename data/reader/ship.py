"""The adapter of a tuning run as it is shipped: float16, beside its licence, in groundtone/models/minilm_reader.

python -m data.reader.ship data/reader/.groundtone/runs/tune-...
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from groundtone.files import write_atomic
from groundtone.models.adapter import CARD
from groundtone.models.reader import TENSORS, bundled_reader


def main() -> None:
    """Convert and copy; float16 halves the file, and the readings stay the same to two digits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a finished run of tuning.method span")
    run: Path = parser.parse_args().run
    adapter, target = run / "adapter", bundled_reader()
    tensors = {name: tensor.astype(np.float16) for name, tensor in load_file(adapter / TENSORS).items()}
    target.mkdir(exist_ok=True)
    write_atomic(target / TENSORS, save(tensors))
    for name in ("adapter_config.json", CARD):
        shutil.copyfile(adapter / name, target / name)
    shutil.copyfile(run / "metrics.jsonl", Path(__file__).parent / "training.jsonl")
    print(
        f"{target}: {(target / TENSORS).stat().st_size / 1e6:.1f} MB, {sum(t.size for t in tensors.values()):,} numbers"
    )


if __name__ == "__main__":
    main()
