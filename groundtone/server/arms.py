"""Model ids as arms: `base`, `base+rag`, a tuning run, `RUN+rag`, `champion`; one set of weights serves them all.

Adapters are attached on first use and detached when their run is gone; the champion's pointer and the index file are
looked at on every request, so that a promotion, a rebuilt index or a removed run counts at once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import datetime

from groundtone.assistant import Assistant
from groundtone.errors import GroundtoneError, ModelError, ProjectError
from groundtone.joins.access import groups_of_base, groups_of_folder, groups_of_run, union
from groundtone.joins.arms import Models, build_arm, checker, model_id, style_of, with_reader
from groundtone.joins.indexing import open_index
from groundtone.joins.retrievers import BatchRetriever
from groundtone.models.adapter import dial_problem
from groundtone.models.batching import BatchingEngine, batching_problem
from groundtone.models.load import load_generator
from groundtone.project import Manifest, Project
from groundtone.server.calls import Call
from groundtone.server.errors import ApiError
from groundtone.settings import Settings
from groundtone.types import Generator
from tuning.run_folder import adapter_folder

RAG = "+rag"


@dataclass(frozen=True, slots=True)
class Arm:
    """A model id that can be asked for; `created` in seconds since 1970."""

    id: str
    created: int


@dataclass(frozen=True, slots=True)
class _Tuned:
    """The generator of a tuning run and the groups that a caller must be in."""

    generator: Generator
    groups: tuple[str, ...]


class Arms:
    """Every arm of a project, built for one request at a time. Safe from several threads."""

    def __init__(self, project: Project, settings: Settings) -> None:
        self.project = project
        self.settings = settings
        self._lock = threading.Lock()
        self._tuned: dict[str, _Tuned] = {}
        self._retriever: BatchRetriever | None = None
        self._index_stamp: tuple[int, int] | None = None
        self._style = style_of(settings)
        self._check = checker(self._style) if settings.assistant.check else None
        self._base_groups = groups_of_base(model_id(settings))
        base = self._load(None)
        self.engine = self._engine(base)
        self._base: Generator = self.engine.view() if self.engine else base

    def close(self) -> None:
        """Stop writing replies."""
        if self.engine:
            self.engine.close()

    def listed(self) -> list[Arm]:
        """The ids that can be asked for, the champion's first."""
        runs = [manifest for manifest in self.project.runs("tune") if self._serves(manifest)]
        started = self._seconds(min((m.created for m in runs), default=""))
        ids = [("champion", started), ("base", started), ("base" + RAG, started)]
        for manifest in runs:
            ids += [
                (manifest.id, self._seconds(manifest.created)),
                (manifest.id + RAG, self._seconds(manifest.created)),
            ]
        return [Arm(*item) for item in ids]

    def known(self, wanted: str) -> bool:
        """Whether an id names an arm; a run that is gone names none."""
        name = wanted.removesuffix(RAG)
        if wanted == "champion" or name == "base":
            return True
        try:
            return self._serves(self.project.run(name).manifest)
        except ProjectError:
            return False

    def assistant(self, wanted: str, call: Call, *, max_new_tokens: int) -> Assistant:
        """The assistant behind a model id, speaking through the call. Raises 404 for an id that names nothing."""
        name, arm = self._resolve(wanted)
        tuned = self._of_run(name) if name else None
        models = Models(
            call.speaking(self._base),
            call.speaking(tuned.generator) if tuned else None,
            tuned.groups if tuned else (),
            self._base_groups,
        )
        model = self.settings.model.model_copy(update={"max_new_tokens": max_new_tokens})
        return build_arm(
            arm,
            replace(self.settings, model=model),
            models=models,
            retriever=self._shelf() if arm.endswith("/rag") else None,
            style=self._style,
            check=self._check,
        )

    def _resolve(self, wanted: str) -> tuple[str | None, str]:
        """The tuning run that answers (None: the base) and the arm's name."""
        where = "rag" if wanted.endswith(RAG) else "closed"
        name: str | None = wanted.removesuffix(RAG)
        if wanted == "champion":
            mode = self.settings.assistant.mode
            name, where = self.project.champion(), "closed" if mode == "closed-book" else "rag"
            if mode == "quote":
                return None, "extractive/rag"
        elif name == "base":
            name = None
        return name, f"{'tuned' if name else 'base'}/{where}"

    def _of_run(self, run: str) -> _Tuned:
        with self._lock:
            try:
                folder = adapter_folder(self.project.run_path(run))
            except (ProjectError, ModelError) as error:
                self._forget(run)
                raise unknown_model(run, str(error)) from error
            if run not in self._tuned:
                if not self._serves(self.project.run(run).manifest):
                    raise unknown_model(run, "the run is not done, or was made on another model")
                groups = union(
                    self._base_groups, groups_of_folder(self.project, folder), groups_of_run(self.project, run)
                )
                self._tuned[run] = _Tuned(self._speaker(run), groups)
            return self._tuned[run]

    def _speaker(self, run: str) -> Generator:
        """The run's voice on the shared weights; on weights of its own where the adapter cannot share them."""
        folder = adapter_folder(self.project.run_path(run))
        if self.engine is None or dial_problem(folder):
            return self._load(run)
        allowed = self.settings.model.allow_template_mismatch
        if run not in self.engine.adapters:
            self.engine.attach(run, folder, allow_template_mismatch=allowed)
        return self.engine.view(run)

    def _forget(self, run: str) -> None:
        if self._tuned.pop(run, None) and self.engine and run in self.engine.adapters:
            self.engine.detach(run)

    def _load(self, run: str | None) -> Generator:
        given = self.settings.model
        return load_generator(
            model_id(self.settings),
            adapter=adapter_folder(self.project.run_path(run)) if run else None,
            dtype=given.dtype,
            device=given.device,
            batch_size=given.batch_size,
            base_url=given.base_url,
            allow_template_mismatch=given.allow_template_mismatch,
        )

    def _engine(self, base: Generator) -> BatchingEngine | None:
        from groundtone.models.generate import LocalModel

        if not self.settings.server.batching or not isinstance(base, LocalModel) or batching_problem(base):
            return None
        return BatchingEngine(base, rows=self.settings.model.batch_size)

    def _shelf(self) -> BatchRetriever:
        """The index, opened again when its file is another one (an update inside the file it notices itself)."""
        with self._lock:
            stamp = self._stamp()
            if self._retriever is None or (stamp is not None and stamp != self._index_stamp):
                self._retriever = with_reader(open_index(self.project, self.settings), self.settings)
                self._index_stamp = stamp
            return self._retriever

    def _stamp(self) -> tuple[int, int] | None:
        try:
            stat = self.project.index_path.stat()
        except FileNotFoundError:
            return None
        return stat.st_dev, stat.st_ino

    def _serves(self, manifest: Manifest) -> bool:
        """Whether a run made an adapter for the model that is served."""
        made_on = manifest.resolved.get("model", {}).get("id")
        if manifest.kind != "tune" or manifest.status != "done" or made_on != self.settings.model.id:
            return False
        try:
            adapter_folder(self.project.run_path(manifest.id))
        except GroundtoneError:
            return False
        return True

    @staticmethod
    def _seconds(time: str) -> int:
        return int(datetime.fromisoformat(time).timestamp()) if time else 0


def unknown_model(wanted: str, why: str = "") -> ApiError:
    """404 for a model id that names nothing, or nothing that this caller may use."""
    reason = f" ({why})" if why else ""
    message = f"there is no model {wanted[:200]!r}{reason}: GET /v1/models lists what there is"
    return ApiError(404, message, param="model", code="model_not_found")
