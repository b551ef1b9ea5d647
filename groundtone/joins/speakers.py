"""Who speaks for a project: its base and its tuned voices on one set of weights, and the documents that all share.

Every door that switches voices without reloading stands on this: the terminal's chat, the dashboard's and the server.
Weights are loaded on first use and shared; an adapter that cannot share them, and a run that tuned a whole model, get
weights of their own. What changes on disk counts from the next call on: a run that is gone, an index that is another.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from groundtone.errors import GroundtoneError, ProjectError
from groundtone.joins.access import groups_of_base, groups_of_folder, groups_of_run, union
from groundtone.joins.arms import generator_of, model_id, with_reader
from groundtone.joins.indexing import open_index
from groundtone.joins.retrievers import BatchRetriever
from groundtone.models.adapter import dial_problem
from groundtone.models.batching import BatchingEngine
from groundtone.models.decoding import decoding_problem
from groundtone.models.generate import LocalModel
from groundtone.models.quiet import quiet
from groundtone.project import Manifest, Project
from groundtone.settings import Settings
from groundtone.types import Generator
from tuning.run_folder import adapter_folder, model_folder

__all__ = ["Speakers", "Tuned", "is_voice"]


@dataclass(frozen=True, slots=True)
class Tuned:
    """The generator of a tuned voice and the groups that a caller must be in to hear it."""

    generator: Generator
    groups: tuple[str, ...]


def is_voice(manifest: Manifest, settings: Settings) -> bool:
    """Whether a run is done and made a voice of the configured model; a reward model speaks with nobody."""
    made_on = manifest.resolved.get("model", {}).get("id")
    done = manifest.kind == "tune" and manifest.status == "done"
    return done and made_on == settings.model.id and manifest.notes.get("speaks") is not False


class Speakers:
    """The generators and the retriever of a project. Safe from several threads; close it at the end.

    `batching` writes the replies of local models together, in one engine that takes every adapter in.
    """

    def __init__(self, project: Project, settings: Settings, *, batching: bool = True) -> None:
        self.project = project
        self.settings = settings
        self.engine: BatchingEngine | None = None  # once the base is loaded, where it can be shared
        self.base_groups = groups_of_base(model_id(settings))
        self._batching = batching
        self._base: Generator | None = None
        self._tuned: dict[str, Tuned] = {}
        self._retriever: BatchRetriever | None = None
        self._index_stamp: tuple[int, int] | None = None
        self._weights = threading.RLock()
        self._documents = threading.Lock()  # of its own: a voice that is being loaded holds up no search

    def close(self) -> None:
        """Stop writing replies."""
        if self.engine is not None:
            self.engine.close()

    def base(self) -> Generator:
        """The untuned model; where its replies can be written together, through the engine."""
        if self._base is None:
            with self._weights:
                self._base = self._base or self._loaded_base()
        return self._base

    def of_run(self, run: str, *, unfinished: bool = False) -> Tuned:
        """A tuning run's voice; of an `unfinished` run only where that is asked for, from its last checkpoint.

        Raises ProjectError or ModelError for a run that is gone or is no voice of the configured model.
        """
        try:
            manifest, path = self.project.run(run).manifest, self.project.run_path(run)
            whole = model_folder(path)
            folder = whole or adapter_folder(path)
        except GroundtoneError:
            self.forget(run)
            raise
        if not unfinished and not is_voice(manifest, self.settings):
            raise ProjectError(f"{run} is not done, is no voice, or was made on another model")
        known = self._tuned.get(run)
        if known is not None:  # whoever asks for it does not wait until another voice is loaded
            return known
        with self._weights:
            if run not in self._tuned:
                groups = union(self.base_groups, groups_of_run(self.project, run))
                if whole is None:
                    groups = union(groups, groups_of_folder(self.project, folder))
                speaks = self._speaking(run, folder) if whole is None else self._load(None, model=str(whole))
                self._tuned[run] = Tuned(speaks, groups)
            return self._tuned[run]

    def configured(self) -> Tuned:
        """The voice of `model.adapter`. Raises ProjectError where the settings name none."""
        name = self.settings.model.adapter
        if not name:
            raise ProjectError("nothing was tuned on this model yet: run `groundtone tune` first")
        folder = self.settings.path(name)
        with self._weights:
            if name not in self._tuned:
                groups = union(self.base_groups, groups_of_folder(self.project, folder))
                self._tuned[name] = Tuned(self._speaking(name, folder), groups)
            return self._tuned[name]

    def serves(self, manifest: Manifest) -> bool:
        """Whether a run made a voice of the configured model that is still there."""
        if not is_voice(manifest, self.settings):
            return False
        path = self.project.run_path(manifest.id)
        try:
            return model_folder(path) is not None or adapter_folder(path).is_dir()
        except GroundtoneError:
            return False

    def forget(self, run: str) -> None:
        """Let a voice go that is gone from disk; its memory is freed when the last of its replies is written."""
        if run in self._tuned:
            with self._weights:
                if self._tuned.pop(run, None) and self.engine is not None and run in self.engine.adapters:
                    self.engine.detach(run)

    def documents(self) -> BatchRetriever:
        """The index with its reader, opened again when its file is another one; an update inside it notices itself."""
        with self._documents:
            stamp = self._stamp()
            if self._retriever is None or (stamp is not None and stamp != self._index_stamp):
                self._retriever = with_reader(open_index(self.project, self.settings), self.settings)
                self._index_stamp = stamp
            return self._retriever

    def _loaded_base(self) -> Generator:
        base = self._load(None)
        if not self._batching or not isinstance(base, LocalModel) or decoding_problem(base.base.model):
            return base
        self.engine = BatchingEngine(base, rows=self.settings.model.batch_size)
        return self.engine.view()

    def _speaking(self, name: str, folder: Path) -> Generator:
        """An adapter on the shared weights; on weights of its own where it cannot share them."""
        self.base()
        if self.engine is None or dial_problem(folder):
            return self._load(folder)
        if name not in self.engine.adapters:
            with quiet():
                self.engine.attach(name, folder, allow_template_mismatch=self.settings.model.allow_template_mismatch)
        return self.engine.view(name)

    def _load(self, adapter: Path | None, *, model: str = "") -> Generator:
        with quiet():
            return generator_of(self.settings, adapter=adapter, model=model)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            stat = self.project.index_path.stat()
        except FileNotFoundError:
            return None
        return stat.st_dev, stat.st_ino
