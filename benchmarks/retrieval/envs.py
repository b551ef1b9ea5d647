"""One virtual environment per peer, made once from its pinned requirements, under a cache folder.

The folder is $GROUNDTONE_BENCH_ENVS or .groundtone/bench/envs; each takes about 1.6 GB with torch. Where the first line
of a file is torch, it is installed by itself first, so that a later package cannot choose another build of it.
"""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

from groundtone.files import sha256_file, write_atomic

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = Path(__file__).resolve().parent / "requirements"
ENVS = Path(os.environ.get("GROUNDTONE_BENCH_ENVS", ROOT / ".groundtone/bench/envs"))


def python_of(peer: str, *, requirements: Path = REQUIREMENTS) -> Path:
    """The interpreter of the peer's environment, which is made or brought up to date first.

    Raises RuntimeError with what pip said last when a package cannot be installed.
    """
    wanted, folder = requirements / f"{peer}.txt", ENVS / peer
    python, stamp = folder / "bin/python", folder / "requirements.sha256"
    digest = sha256_file(wanted)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return python
    if not python.exists():
        venv.create(folder, with_pip=True)
    first = wanted.read_text(encoding="utf-8").splitlines()[0]
    for arguments in ([[first]] if first.startswith("torch==") else []) + [["-r", str(wanted)]]:
        done = subprocess.run([python, "-m", "pip", "install", "-q", *arguments], capture_output=True, text=True)
        if done.returncode:
            said = "\n".join(line for line in done.stderr.splitlines() if "ERROR" in line) or done.stderr[-2000:]
            raise RuntimeError(f"the environment {folder} cannot be made; mend {wanted}, or delete the folder:\n{said}")
    write_atomic(stamp, digest)
    return python


def version_of(peer: str, package: str, *, requirements: Path = REQUIREMENTS) -> str:
    """The pinned version of a package."""
    lines = (requirements / f"{peer}.txt").read_text(encoding="utf-8").splitlines()
    return next(line.partition("==")[2] for line in lines if line.partition("==")[0] == package)
