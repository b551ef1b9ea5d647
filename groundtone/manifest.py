"""What a run writes about itself, so that a figure can be traced: config, seed, hashes of its inputs, versions, device.

Manifests are read back by later versions: unknown fields are ignored, a newer schema is refused with a reason.
Secrets never reach a manifest: values under keys such as `api_key` and passwords inside addresses are masked.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
MASK = "***"
RunStatus = Literal["running", "done", "failed"]

_PACKAGES = (
    "groundtone",
    "torch",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "sentence-transformers",
    "faiss-cpu",
    "langchain",
    "datasets",
    "streamlit",
    "numpy",
    "pydantic",
)
_SECRET_WORDS = frozenset(
    (
        "key",
        "keys",
        "apikey",
        "token",
        "secret",
        "secrets",
        "password",
        "passwords",
        "passwd",
        "passphrase",
        "credentials",
    )
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_URL_PASSWORD = re.compile(r"(?<=://)[^/\s@]+(?=@)|(?i:(?<=password=)[^\s&]+)")  # also of a database's address


class Manifest(BaseModel):
    """One run's record. `inputs` maps a name to a SHA-256, `parents` a role ("tuned", "index") to a run id or hash."""

    model_config = ConfigDict(extra="ignore")

    schema_version: int = SCHEMA_VERSION
    kind: str
    id: str
    created: str
    finished: str = ""
    status: RunStatus = "running"
    config: dict[str, Any] = Field(default_factory=dict)
    resolved: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0
    inputs: dict[str, str] = Field(default_factory=dict)
    parents: dict[str, str] = Field(default_factory=dict)
    revision: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    device: str = ""
    process: str = ""
    notes: dict[str, Any] = Field(default_factory=dict)

    def interrupted(self) -> bool:
        """Whether this run says "running" although the process that wrote it, on this very machine, is gone."""
        host, _, pid = self.process.rpartition(":")
        return self.status == "running" and host == platform.node() and pid.isdigit() and not _alive(int(pid))

    def state(self) -> str:
        """The status for people: "running", "done", "failed" or "interrupted"."""
        return "interrupted" if self.interrupted() else self.status


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # someone else's process: it lives
        return True
    return True


def this_process() -> str:
    """ "host:pid" of the caller, to recognise later that a run's process died without a word."""
    return f"{platform.node()}:{os.getpid()}"


def mask_secrets(value: Any, *, key: str = "") -> Any:
    """A copy of plain data (dicts, lists, scalars) with secrets replaced by "***".

    A key is secret when one of its words is key, token, secret or password; `max_new_tokens` counts something and
    is kept. Empty values and booleans stay, for they tell nothing.
    """
    if isinstance(value, Mapping):
        return {str(k): mask_secrets(v, key=f"{key}.{k}" if _is_secret(key) else str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [mask_secrets(item, key=key) for item in value]
    if _is_secret(key) and not isinstance(value, bool) and value not in (None, ""):
        return MASK
    return _URL_PASSWORD.sub(MASK, value) if isinstance(value, str) else value


def _is_secret(key: str) -> bool:
    return any(word in _SECRET_WORDS for word in re.split(r"[^a-z0-9]+", _CAMEL.sub("_", key).lower()))


def package_versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that decide a result."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_revision(folder: Path) -> str:
    """The commit that `folder` is at, with "+changes" where the tree is not clean; "" outside of git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return ""
    return commit + ("+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine() -> str:
    """The processor in words, for runs that name no device."""
    return f"cpu ({platform.machine()}, {os.cpu_count()} cores)"
