"""The project folder: a root with groundtone.yaml, and `.groundtone/` for everything that groundtone writes.

    .groundtone/index.sqlite   feedback.sqlite   champion.json   runs/<id>/manifest.json ...

Every write is atomic: a reader sees the old file or the new one, and a full disk leaves the old one in place.
Half-written or foreign folders under runs/ are reported by `run_problems`, never fatal.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from groundtone.errors import ProjectError, UserError
from groundtone.files import as_user_error, now_iso, sha256_file, sha256_text, write_atomic
from groundtone.manifest import (
    SCHEMA_VERSION,
    Manifest,
    git_revision,
    machine,
    mask_secrets,
    package_versions,
    this_process,
)

__all__ = ["CONFIG_NAME", "Manifest", "Project", "Run", "now_iso", "sha256_file", "sha256_text", "write_atomic"]

CONFIG_NAME = "groundtone.yaml"
_RUN_ID = re.compile(r"[a-z][a-z0-9_-]*-\d{8}-\d{6}-[0-9a-f]{4}")
_KIND = re.compile(r"[a-z][a-z0-9_]*")


class Run:
    """A folder that one piece of work writes into. As a context manager it ends "done", or "failed" with the reason."""

    def __init__(self, path: Path, manifest: Manifest, *, writes: bool = True) -> None:
        self.path = path
        self.manifest = manifest
        self._writes = writes  # of several processes on one run, one does

    @property
    def id(self) -> str:
        """The run's id, which is also the name of its folder."""
        return self.manifest.id

    def note(self, **notes: Any) -> None:
        """Add to the manifest's notes and write it; the status stays."""
        self._write(notes=self.manifest.notes | notes)

    def finish(self, **notes: Any) -> None:
        """Mark the run done, adding notes (plain JSON data)."""
        self._write(status="done", finished=now_iso(), notes=self.manifest.notes | notes)

    def fail(self, reason: str) -> None:
        """Mark the run failed; `reason` is what `groundtone runs` shows."""
        self._write(status="failed", finished=now_iso(), notes=self.manifest.notes | {"reason": reason})

    def _write(self, **changes: Any) -> None:
        self.manifest = self.manifest.model_copy(update=changes)
        if not self._writes:
            return
        write_atomic(self.path / "manifest.json", self.manifest.model_dump_json(indent=2) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            if self.manifest.status == "running":
                self.finish()
            return
        reason = "stopped by the user" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
        try:
            self.fail(reason)
        except UserError as second:  # a full disk must not hide what went wrong first
            error.add_note(str(second))


class Project:
    """One project on disk. Making the object touches nothing; folders appear with the first write."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root).resolve()
        self.folder = self.root / ".groundtone"
        self.config_path = self.root / CONFIG_NAME
        self.runs_folder = self.folder / "runs"
        self.index_path = self.folder / "index.sqlite"
        self.feedback_path = self.folder / "feedback.sqlite"
        self.keys_path = self.folder / "keys.json"
        self.champion_path = self.folder / "champion.json"

    @classmethod
    def find(cls, start: Path) -> Project:
        """The project that `start` lies in: the nearest folder upwards with a groundtone.yaml. Raises ProjectError."""
        start = Path(start).resolve()
        for folder in (start, *start.parents):
            if (folder / CONFIG_NAME).is_file():
                return cls(folder)
        raise ProjectError(
            f"no {CONFIG_NAME} in {start} or above it: run `groundtone init DOCS_FOLDER` there, or name the project "
            "with --project DIR"
        )

    def runs(self, kind: str | None = None) -> list[Manifest]:
        """Manifests of the readable runs, newest first."""
        return [m for m in self._scan()[0] if kind in (None, m.kind)]

    def run_problems(self) -> list[str]:
        """One line for every entry of runs/ that is no readable run: half-written, foreign, from a newer version."""
        return self._scan()[1]

    def _scan(self) -> tuple[list[Manifest], list[str]]:
        manifests, problems = [], []
        for path in sorted(self.runs_folder.iterdir()) if self.runs_folder.is_dir() else []:
            try:
                manifests.append(_read_manifest(path))
            except ProjectError as error:
                problems.append(str(error))
        return sorted(manifests, key=lambda m: (m.created, m.id), reverse=True), problems

    def run_path(self, run_id: str) -> Path:
        """The folder of a run that exists. Raises ProjectError naming the nearest ids; an id is never a path."""
        path = self.runs_folder / run_id
        if _RUN_ID.fullmatch(run_id) and path.is_dir():
            return path
        near = get_close_matches(run_id, [m.id for m in self.runs()], n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "`groundtone runs` lists them"
        raise ProjectError(f"there is no run {run_id!r} in {self.runs_folder}; {hint}")

    def run(self, run_id: str, *, writes: bool = True) -> Run:
        """A run that exists, with its manifest; `writes=False` for one that another process writes.

        Raises ProjectError where it cannot be read.
        """
        path = self.run_path(run_id)
        return Run(path, _read_manifest(path), writes=writes)

    def latest(self, kind: str) -> Run | None:
        """The newest run of this kind that is done."""
        done = [m for m in self.runs(kind) if m.status == "done"]
        return self.run(done[0].id) if done else None

    def start_run(
        self,
        kind: str,
        *,
        config: Mapping[str, Any] | None = None,
        resolved: Mapping[str, Any] | None = None,
        seed: int = 0,
        inputs: Mapping[str, str] | None = None,
        parents: Mapping[str, str] | None = None,
        device: str = "",
        notes: Mapping[str, Any] | None = None,
    ) -> Run:
        """Make the run's folder and write its manifest with status "running"; secrets in the config are masked."""
        assert _KIND.fullmatch(kind), f"a run's kind becomes part of a folder name, got {kind!r}"
        run_id, path = self._new_folder(kind)
        manifest = Manifest(
            kind=kind,
            id=run_id,
            created=now_iso(),
            config=mask_secrets(dict(config or {})),
            resolved=mask_secrets(dict(resolved or {})),
            seed=seed,
            inputs=dict(inputs or {}),
            parents=dict(parents or {}),
            revision=git_revision(self.root),
            versions=package_versions(),
            device=device or machine(),
            process=this_process(),
            notes=dict(notes or {}),
        )
        run = Run(path, manifest)
        run._write()
        return run

    def resume_run(self, run_id: str) -> Run:
        """A run that failed or was interrupted, marked "running" again under this process.

        Raises ProjectError where it is done, or still running elsewhere.
        """
        run = self.run(run_id)
        if run.manifest.status == "done":
            raise ProjectError(f"run {run_id} is done and cannot be resumed; start a new one")
        if (
            run.manifest.status == "running"
            and not run.manifest.interrupted()
            and run.manifest.process != this_process()
        ):
            raise ProjectError(f"run {run_id} is still running ({run.manifest.process}); stop that process first")
        notes = {k: v for k, v in run.manifest.notes.items() if k != "reason"}
        run._write(status="running", finished="", process=this_process(), notes=notes)
        return run

    def _new_folder(self, kind: str) -> tuple[str, Path]:
        while True:  # two runs of one second and one hex number in 65536: then another number
            run_id = f"{kind}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
            path = self.runs_folder / run_id
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise as_user_error(error, path) from error
            return run_id, path

    def champion(self) -> str | None:
        """The id of the tuning run that is served, or None where nothing was promoted.

        Raises ProjectError where the pointer cannot be read or its run is gone.
        """
        try:
            pointer = json.loads(self.champion_path.read_text(encoding="utf-8"))
            run_id = pointer["run"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ProjectError(
                f"{self.champion_path} cannot be read ({error}): promote a run again with `groundtone gate --promote`"
            ) from error
        self.run_path(str(run_id))
        return str(run_id)

    def set_champion(self, run_id: str, *, evaluation: str = "") -> None:
        """Point to the tuning run that is served from now on; `evaluation` is the run whose gate let it pass."""
        self.run_path(run_id)
        try:
            previous = self.champion()
        except ProjectError:  # a broken pointer is what this call mends
            previous = None
        pointer = {"schema": 1, "run": run_id, "evaluation": evaluation, "previous": previous, "promoted": now_iso()}
        write_atomic(self.champion_path, json.dumps(pointer, indent=2) + "\n")


def _read_manifest(path: Path) -> Manifest:
    """The manifest of one run folder. Raises ProjectError with the reason where the folder is no readable run."""
    if not path.is_dir():
        raise ProjectError(f"{path}: not a run, a stray file; remove it")
    try:
        manifest = Manifest.model_validate_json((path / "manifest.json").read_bytes())
    except FileNotFoundError as error:
        raise ProjectError(f"{path}: no manifest.json, half-written or foreign; remove the folder") from error
    except (OSError, ValidationError) as error:
        raise ProjectError(f"{path}: manifest.json cannot be read ({_first_line(error)}); remove the folder") from error
    if manifest.schema_version > SCHEMA_VERSION:
        raise ProjectError(
            f"{path}: written by a newer groundtone (schema {manifest.schema_version}, this one reads up to "
            f"{SCHEMA_VERSION}); update groundtone"
        )
    if manifest.id != path.name:
        raise ProjectError(f"{path}: its manifest belongs to run {manifest.id!r}; rename the folder back")
    return manifest


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}"
    return str(error)
