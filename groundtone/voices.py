"""Every voice of a project on one set of weights: personas are adapters, and each question says which one answers.

voices = Voices(project, settings)
voices.assistant("base").ask("...")
voices.assistant("tune-20260102-101010-ab12", mode="strict").ask("...")
"""

from __future__ import annotations

from dataclasses import replace

from groundtone.assistant import Assistant, Mode
from groundtone.errors import ProjectError
from groundtone.joins.arms import ARMS, Models, build_arm, checker, style_of
from groundtone.joins.speakers import Speakers
from groundtone.models.extractive import ExtractiveModel
from groundtone.pipeline import newest_tuned
from groundtone.project import Project
from groundtone.settings import Settings

__all__ = ["Voices"]


class Voices:
    """Opens assistants; weights, index and reader are loaded once, on first use, and shared by all of them.

    A voice is `champion`, `base`, `tuned` (the newest tuning run), a tuning run's id, or an arm such as `prompted/rag`.
    """

    def __init__(self, project: Project, settings: Settings) -> None:
        self.project = project
        self.settings = settings
        self._speakers = Speakers(project, settings)
        self._style = style_of(settings)
        self._check = checker(self._style) if settings.assistant.check else None

    def close(self) -> None:
        """Stop writing replies."""
        self._speakers.close()

    def assistant(self, voice: str = "champion", *, mode: Mode | None = None) -> Assistant:
        """The assistant that speaks in a voice. Raises ProjectError for a voice that names nothing."""
        given = self.settings.assistant
        mode = mode or given.decided
        arm, run = self._named(voice, mode)
        settings = replace(self.settings, assistant=given.model_copy(update={"mode": mode}))
        retriever = (
            self._speakers.documents() if arm.endswith("/rag") else None
        )  # first: a missing index is told at once
        return build_arm(
            arm,
            settings,
            models=self._models(arm, run),
            retriever=retriever,
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
        if "/" in voice:
            raise ProjectError(f"there is no voice {voice!r}: name champion, base, tuned, a run, or {', '.join(ARMS)}")
        if run is not None and self.project.run(run).manifest.kind != "tune":
            raise ProjectError(f"{run} is no tuning run: name one of `groundtone runs`, base or tuned")
        if mode == "quote":
            return "extractive/rag", None  # nobody's voice: sentences as they stand
        return f"{'tuned' if run or voice == 'tuned' else 'base'}/{where}", run

    def _models(self, arm: str, run: str | None) -> Models:
        if arm.startswith("extractive/"):
            return Models(ExtractiveModel(), None)
        base, base_groups = self._speakers.base(), self._speakers.base_groups
        if not arm.startswith("tuned/"):
            return Models(base, None, base_groups=base_groups)
        tuned = self._speakers.of_run(run, unfinished=True) if run else self._speakers.configured()
        return Models(base, tuned.generator, tuned.groups, base_groups)
