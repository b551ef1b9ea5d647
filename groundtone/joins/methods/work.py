"""What a tuning method is given to work with, and the run that it writes into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from groundtone.joins.indexing import silent
from groundtone.joins.runs import start_run
from groundtone.project import Project, Run
from groundtone.settings import Settings
from tuning.engine import Finished
from tuning.lora import Lora
from tuning.recipe import Recipe
from tuning.recorder import Line

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Work:
    """One call of `groundtone tune`."""

    project: Project
    settings: Settings
    resume: str | None = None  # the run to go on with
    progress: Progress = silent
    say: Callable[[str], object] = str  # lines for people, before the training begins

    @property
    def resumes(self) -> bool:
        """Whether a stopped run goes on."""
        return self.resume is not None

    @property
    def lora(self) -> Lora:
        """The adapter's shape as configured."""
        given = self.settings.tuning.lora
        return Lora(rank=given.rank, alpha=given.alpha, dropout=given.dropout, targets=given.targets)

    @property
    def recipe(self) -> Recipe:
        """How long and how fast, as configured."""
        given = self.settings.tuning
        return Recipe(
            epochs=given.epochs,
            learning_rate=given.learning_rate,
            schedule=given.schedule,
            warmup=given.warmup,
            batch_size=given.batch_size,
            accumulate=given.accumulate,
            gradient_checkpointing=given.gradient_checkpointing,
            keep_checkpoints=given.keep_checkpoints,
            seed=given.seed,
        )

    def start(self, inputs: Mapping[str, str]) -> Run:
        """The run to write into: a new one, or the one to go on with. `inputs` are SHA-256 by configured name."""
        if self.resume is not None:
            return self.project.resume_run(self.resume)
        return start_run(self.project, self.settings, "tune", seed=self.settings.tuning.seed, inputs=inputs)

    def on_step(self, line: Line) -> None:
        """For every line of metrics.jsonl."""
        self.progress("tune", line["step"], line["steps"])

    def finish(self, run: Run, result: Finished, **notes: Any) -> Run:
        """Marks the run done, with what the training came to and the method's own `notes`."""
        self.progress("tune", result.steps, result.steps)
        run.finish(
            rows=result.rows,
            steps=result.steps,
            first_eval_loss=result.first_eval_loss,
            last_eval_loss=result.last_eval_loss,
            seconds=result.seconds,
            **notes,
        )
        return run
