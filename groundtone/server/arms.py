"""Model ids as arms: `base`, `base+rag`, a tuning run, `RUN+rag`, `champion`; one set of weights serves them all.

Adapters are attached on first use and detached when their run is gone; the champion's pointer and the index file are
looked at on every request, so that a promotion, a rebuilt index or a removed run counts at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from groundtone.assistant import Assistant
from groundtone.errors import ModelError, ProjectError
from groundtone.joins.arms import Models, build_arm, checker, style_of
from groundtone.joins.speakers import Speakers, Tuned
from groundtone.models.batching import BatchingEngine
from groundtone.project import Project
from groundtone.server.calls import Call
from groundtone.server.errors import ApiError
from groundtone.settings import Settings

RAG = "+rag"


@dataclass(frozen=True, slots=True)
class Arm:
    """A model id that can be asked for; `created` in seconds since 1970."""

    id: str
    created: int


class Arms:
    """Every arm of a project, built for one request at a time. Safe from several threads."""

    def __init__(self, project: Project, settings: Settings) -> None:
        self.project = project
        self.settings = settings
        self._speakers = Speakers(project, settings, batching=settings.server.batching)
        self._style = style_of(settings)
        self._check = checker(self._style) if settings.assistant.check else None
        self._speakers.base()  # before the first request, not during it

    @property
    def engine(self) -> BatchingEngine | None:
        """What writes the replies together; None where the model cannot."""
        return self._speakers.engine

    def close(self) -> None:
        """Stop writing replies."""
        self._speakers.close()

    def listed(self) -> list[Arm]:
        """The ids that can be asked for, the champion's first."""
        runs = [manifest for manifest in self.project.runs("tune") if self._speakers.serves(manifest)]
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
            if self._speakers.serves(self.project.run(name).manifest):
                return True
        except ProjectError:
            pass  # it is gone, or never was
        self._speakers.forget(name)
        return False

    def assistant(self, wanted: str, call: Call, *, max_new_tokens: int) -> Assistant:
        """The assistant behind a model id, speaking through the call. Raises 404 for an id that names nothing."""
        name, arm = self._resolve(wanted)
        tuned = self._of_run(name) if name else None
        models = Models(
            call.speaking(self._speakers.base()),
            call.speaking(tuned.generator) if tuned else None,
            tuned.groups if tuned else (),
            self._speakers.base_groups,
        )
        model = self.settings.model.model_copy(update={"max_new_tokens": max_new_tokens})
        return build_arm(
            arm,
            replace(self.settings, model=model),
            models=models,
            retriever=self._speakers.documents() if arm.endswith("/rag") else None,
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

    def _of_run(self, run: str) -> Tuned:
        try:
            return self._speakers.of_run(run)
        except (ProjectError, ModelError) as error:
            raise unknown_model(run, str(error)) from error

    @staticmethod
    def _seconds(time: str) -> int:
        return int(datetime.fromisoformat(time).timestamp()) if time else 0


def unknown_model(wanted: str, why: str = "") -> ApiError:
    """404 for a model id that names nothing, or nothing that this caller may use."""
    reason = f" ({why})" if why else ""
    message = f"there is no model {wanted[:200]!r}{reason}: GET /v1/models lists what there is"
    return ApiError(404, message, param="model", code="model_not_found")
