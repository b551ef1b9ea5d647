"""What a tuning method is given to work with, and the run that it writes into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from groundtone.errors import DataError
from groundtone.joins.access import groups_of_base, groups_of_folder, groups_of_run, stamp, union
from groundtone.joins.arms import model_id
from groundtone.joins.indexing import silent
from groundtone.joins.runs import start_run
from groundtone.models.device import multiplies_bfloat16
from groundtone.project import Project, Run
from groundtone.settings import Settings
from tuning.adapters import find_adapter
from tuning.config import TuningConfig
from tuning.engine import Finished
from tuning.lora import Lora
from tuning.plan import Plan
from tuning.processes import from_leader, leads
from tuning.recipe import Recipe
from tuning.recorder import Line
from tuning.report import DataReport
from tuning.versions import Start

Progress = Callable[[str, int, int], None]


def shape_of(given: TuningConfig) -> Lora | None:
    """`tuning.lora` as the adapter's shape; None for full tuning."""
    lora = given.lora
    if lora is None:
        return None
    return Lora(
        rank=lora.rank,
        alpha=lora.alpha,
        dropout=lora.dropout,
        targets=lora.targets,
        variant=lora.variant,
        layers=lora.layers,
        extra_modules=lora.extra_modules,
        tokens=lora.tokens,
        quantised=lora.quantised,
    )


def recipe_of(given: TuningConfig, *, device: str = "auto") -> Recipe:
    """How long and how fast, as the section says, on this device."""
    mixed = given.mixed_precision
    return Recipe(
        epochs=given.epochs,
        learning_rate=given.learning_rate,
        schedule=given.schedule,
        warmup=given.warmup,
        batch_size=given.batch_size,
        accumulate=given.accumulate,
        gradient_checkpointing=given.gradient_checkpointing,
        keep_checkpoints=given.keep_checkpoints,
        length_grouped=given.length_grouped,
        packing=given.packing,
        share_prompts=given.share_prompts,
        tensorboard=given.tensorboard,
        mixed_precision=multiplies_bfloat16(device) if mixed is None else mixed,
        seed=given.seed,
    )


def plan_of(settings: Settings, out_dir: Path) -> Plan:
    """A training by these settings, from its beginning."""
    given = settings.tuning
    return Plan(
        base=model_id(settings),
        out_dir=out_dir,
        lora=shape_of(given),
        recipe=recipe_of(given, device=settings.model.device),
        max_length=given.max_length,
        over_length=given.over_length,
        dtype=settings.model.dtype,
        device=settings.model.device,
    )


CONTINUING = ("sft",)  # methods that can start from an adapter


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
    def shape(self) -> Lora | None:
        """The adapter's shape as configured; None where the whole model is to be tuned."""
        return shape_of(self.settings.tuning)

    @property
    def recipe(self) -> Recipe:
        """How long and how fast, as configured."""
        return recipe_of(self.settings.tuning, device=self.settings.model.device)

    def plan(self, out_dir: Path) -> Plan:
        """The training as configured, into that folder."""
        return replace(plan_of(self.settings, out_dir), resume=self.resumes, on_step=self.on_step)

    def start(self, inputs: Mapping[str, str]) -> Run:
        """The run to write into: a new one, or the one to go on with. `inputs` are SHA-256 by configured name.

        Of several processes the leader starts it, and the others follow. Raises DataError where `tuning.continue_from`
        is set and the method always starts afresh.
        """
        if not leads():
            return self.project.run(from_leader(None), writes=False)
        run = self._start(inputs)
        if self.settings.tuning.preset is not None:
            run.note(preset=self.settings.tuning.preset)
        from_leader(run.id)
        return run

    def _start(self, inputs: Mapping[str, str]) -> Run:
        if self.resume is not None:
            return self.project.resume_run(self.resume)
        given = self.settings.tuning
        before = self.continues
        known: dict[str, Any] = {}
        if before is not None:
            if given.method not in CONTINUING:
                raise DataError(f"tuning.continue_from is for method {', '.join(CONTINUING)}, not {given.method}")
            runs = {"tune": before.name} if before.name in {m.id for m in self.project.runs("tune")} else {}
            inherited = {"start_groups": list(before.groups)} if before.groups else {}
            known = {"parents": runs, "notes": {"continued_from": before.name} | inherited}
        return start_run(self.project, self.settings, "tune", seed=given.seed, inputs=inputs, **known)

    @property
    def continues(self) -> Start | None:
        """The adapter that `tuning.continue_from`, or the run to resume, names; None for a fresh one.

        Raises ProjectError or ModelError where there is none such.
        """
        named = self.settings.tuning.continue_from
        if self.resume is not None:
            named = self.project.run(self.resume).manifest.notes.get("continued_from")
        if named is None:
            return None
        inside = self.settings.path(named)
        folder = find_adapter(self.project, str(inside) if (inside / "adapter_config.json").is_file() else named)
        return Start(named, folder, groups_of_folder(self.project, folder))

    def on_step(self, line: Line) -> None:
        """For every line of metrics.jsonl."""
        self.progress("tune", line["step"], line["steps"])

    def check(self, run: Run, report: DataReport) -> None:
        """Stores the report with the run and says its findings. Raises DataError where one of them refuses the rows."""
        if leads():
            report.write(run.path)
        for finding in report.told():
            self.say(finding)
        report.refuse()

    def finish(self, run: Run, result: Finished, **notes: Any) -> Run:
        """Marks the run done, with what the training came to and the method's own `notes`.

        What was trained serves only callers in the groups that the run notes, and those of what it started from.
        """
        self.progress("tune", result.steps, result.steps)
        groups = union(groups_of_run(self.project, run.id), groups_of_base(model_id(self.settings)))
        if groups and leads():
            stamp(result.adapter, groups)
            notes |= {"groups": list(groups)}
        run.finish(
            rows=result.rows,
            steps=result.steps,
            first_eval_loss=result.first_eval_loss,
            last_eval_loss=result.last_eval_loss,
            seconds=result.seconds,
            **notes,
        )
        return run
