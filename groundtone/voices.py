"""Every voice of a project on one set of weights: personas are adapters, and each question says which one answers.

voices = Voices(project, settings)
voices.assistant("base").ask("...")
voices.assistant("tune-20260102-101010-ab12", mode="strict").ask("...")
"""

from __future__ import annotations

from dataclasses import replace

from groundtone.assistant import Assistant, Mode
from groundtone.errors import ProjectError
from groundtone.joins.access import groups_of_base, groups_of_folder, groups_of_run, union
from groundtone.joins.arms import ARMS, Models, build_arm, checker, load_models, model_id, style_of, with_reader
from groundtone.joins.indexing import open_index
from groundtone.joins.retrievers import BatchRetriever
from groundtone.models.adapter import dial_problem
from groundtone.models.batching import BatchingEngine, batching_problem
from groundtone.models.generate import LocalModel
from groundtone.models.quiet import quiet
from groundtone.pipeline import newest_tuned
from groundtone.project import Project
from groundtone.settings import Settings
from groundtone.types import Generator
from tuning.run_folder import adapter_folder, model_folder

__all__ = ["Voices"]


class Voices:
    """Opens assistants; weights, index and reader are loaded once, on first use, and shared by all of them.

    A voice is `champion`, `base`, `tuned` (the newest tuning run), a tuning run's id, or an arm such as `prompted/rag`.
    """

    def __init__(self, project: Project, settings: Settings) -> None:
        self.project = project
        self.settings = settings
        self._base: Generator | None = None
        self._engine: BatchingEngine | None = None
        self._tuned: dict[str, tuple[Generator, tuple[str, ...]]] = {}
        self._retriever: BatchRetriever | None = None
        self._style = style_of(settings)
        self._check = checker(self._style) if settings.assistant.check else None

    def close(self) -> None:
        """Stop writing replies."""
        if self._engine is not None:
            self._engine.close()

    def assistant(self, voice: str = "champion", *, mode: Mode | None = None) -> Assistant:
        """The assistant that speaks in a voice. Raises ProjectError for a voice that names nothing."""
        given = self.settings.assistant
        mode = mode or given.mode
        arm, run = self._named(voice, mode)
        settings = replace(self.settings, assistant=given.model_copy(update={"mode": mode}))
        return build_arm(
            arm,
            settings,
            models=self._models(arm, run),
            retriever=self._shelf() if arm.endswith("/rag") else None,
            style=self._style,
            check=self._check,
        )

    def _named(self, voice: str, mode: Mode) -> tuple[str, str | None]:
        """The arm and the tuning run behind a voice's name."""
        if voice in ARMS:
            return voice, newest_tuned(self.project, self.settings) if voice.startswith("tuned/") else None
        where = "closed" if mode == "closed-book" else "rag"
        known = {"base": None, "champion": self.project.champion(), "tuned": newest_tuned(self.project, self.settings)}
        run = known.get(voice, voice)
        if run is not None and self.project.run(run).manifest.kind != "tune":
            raise ProjectError(f"{run} is no tuning run: name one of `groundtone runs`, base or tuned")
        if mode == "quote":
            return "extractive/rag", None  # nobody's voice: sentences as they stand
        return f"{'tuned' if run or voice == 'tuned' else 'base'}/{where}", run

    def _models(self, arm: str, run: str | None) -> Models:
        if arm.startswith("extractive/"):
            return load_models(self.project, self.settings, tuned=None, arm=arm)
        base, base_groups = self._shared(), groups_of_base(model_id(self.settings))
        if not arm.startswith("tuned/"):
            return Models(base, None, base_groups=base_groups)
        tuned, groups = self._of_run(run)
        return Models(base, tuned, union(base_groups, groups), base_groups)

    def _shared(self) -> Generator:
        """The base; where its replies can be written together, in the engine that takes adapters in."""
        if self._base is None:
            plain = self.settings.model.model_copy(update={"adapter": None})
            self._base = load_models(self.project, replace(self.settings, model=plain), tuned=None).base
            if isinstance(self._base, LocalModel) and not batching_problem(self._base):
                self._engine = BatchingEngine(self._base, rows=self.settings.model.batch_size)
                self._base = self._engine.view()
        return self._base

    def _of_run(self, run: str | None) -> tuple[Generator, tuple[str, ...]]:
        """A tuning run's voice (None: the adapter that the settings name) and the groups that a caller must be in."""
        if run is None and not self.settings.model.adapter:
            raise ProjectError("nothing was tuned on this model yet: run `groundtone tune` first")
        name = run or str(self.settings.model.adapter)
        if name not in self._tuned:
            whole = model_folder(self.project.run_path(run)) if run else None
            folder = adapter_folder(self.project.run_path(run)) if run and whole is None else self.settings.path(name)
            if whole is not None or self._engine is None or dial_problem(folder):
                models = load_models(self.project, self.settings, tuned=run)
                assert models.tuned is not None, "a run or an adapter was named"
                self._tuned[name] = models.tuned, models.groups
            else:
                allowed = self.settings.model.allow_template_mismatch
                with quiet():
                    self._engine.attach(name, folder, allow_template_mismatch=allowed)
                own = groups_of_run(self.project, run) if run else ()
                self._tuned[name] = self._engine.view(name), union(groups_of_folder(self.project, folder), own)
        return self._tuned[name]

    def _shelf(self) -> BatchRetriever:
        if self._retriever is None:
            self._retriever = with_reader(open_index(self.project, self.settings), self.settings)
        return self._retriever
