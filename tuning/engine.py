"""What every training shares, whatever it teaches: the run's folder, resuming, memory that runs out, failing, results.

A method says how its trainer is built (`Attempt` -> transformers.Trainer or one of TRL's) and nothing else. A run's
folder holds training.json, metrics.jsonl, checkpoint-N/ and, at the end, what was trained. A run that was interrupted
goes on from its newest checkpoint to the same weights. TRL's usage ping is switched off.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeVar

from groundtone.errors import MissingExtraError, ModelError, UserError
from groundtone.files import as_user_error
from groundtone.models.adapter import AdapterCard
from groundtone.models.quiet import quiet
from tuning.batch_watch import BatchWatch
from tuning.checkpoints import make_saver
from tuning.lora import keep_start
from tuning.memory import Batching, ran_out_of_memory, ran_out_of_space, release_memory
from tuning.plan import Plan
from tuning.processes import count, from_leader, leads
from tuning.recipe import Recipe
from tuning.recorder import make_recorder, read_metrics
from tuning.run_folder import begin, newest_checkpoint, step_of, write_state
from tuning.saving import GATHERED, adopt, save_adapter

__all__ = ["Attempt", "Finished", "Loaded", "run_training", "training_arguments"]

_ALL_STEPS = math.nextafter(1.0, 0.0)  # the trainer reads less than 1 as a share of its steps, 1 as one step
_LATER = "tuning.max_length lower, tuning.gradient_checkpointing on, or a smaller model"


class Loaded(Protocol):
    """A base as a method loaded it: weights.Base, an encoder's base, anything that knows where it lies."""

    @property
    def device(self) -> str:
        """ "cpu", "cuda", "mps" ..."""
        ...


L = TypeVar("L", bound=Loaded)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One training to its end or until memory runs out; then follows another with a smaller micro-batch."""

    out_dir: Path
    card: AdapterCard
    batching: Batching
    checkpoint: Path | None  # to go on from; the run's first step otherwise
    callbacks: tuple[Any, ...]  # to hand to the trainer


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run left behind. Losses are means per trained token or row, in nats; None where none was measured."""

    adapter: Path  # the folder with what was trained
    steps: int
    rows: int
    dropped: tuple[int, ...]  # numbers of the rows that were left out, from 0
    first_loss: float | None
    last_loss: float | None
    first_eval_loss: float | None  # before the first step
    last_eval_loss: float | None
    tokens: int
    seconds: float
    batching: Batching  # what fitted into memory in the end
    card: AdapterCard


def run_training(
    build: Callable[[L, Attempt], Any],
    plan: Plan,
    *,
    loaded: L,
    reload: Callable[[], L],
    card: AdapterCard,
    rows: int,
    dropped: Sequence[int] = (),
    row_numbers: Mapping[tuple[int, ...], int] | None = None,
    also: Sequence[str] = (),
    save: Callable[[Any, Path, AdapterCard], Path] = save_adapter,
) -> Finished:
    """Builds a trainer, trains by the plan, saves and says what came of it.

    `build` gets a base that nothing was put on yet (`loaded`, then after each shortage of memory what `reload` gives)
    and runs under the card's seed. `row_numbers` (a row's tokens -> its number) lets a broken loss be blamed on rows;
    `also` names further figures of the trainer's log for metrics.jsonl; `save` stores the trained model into a folder.

    Ctrl-C (or an exception in `plan.on_step`) leaves the checkpoints, marks
    training.json "failed" and is raised on. Raises ProjectError for a folder that holds another run, ModelError for a
    loss that is no longer finite or one row that does not fit into memory, UserError for a full disk.
    """
    out_dir, batching = Path(plan.out_dir), plan.recipe.batching
    _refuse_several_gpus(loaded.device)
    _switch_off_ping()
    lead = leads()
    # the leader checks and writes; were it to refuse, the launcher would end the others
    if lead:
        checkpoint = begin(out_dir, card, resume=plan.resume)
    else:
        checkpoint = newest_checkpoint(out_dir) if plan.resume else None
    try:
        while True:
            watch = BatchWatch(row_numbers or {}, passes=batching.accumulate)
            recorder = make_recorder(
                out_dir,
                card,
                resumed_step=step_of(checkpoint) if checkpoint else 0,
                on_step=plan.on_step,
                blame=watch.rows,
                also=also,
                writes=lead,
            )
            attempt = Attempt(out_dir, card, batching, checkpoint, (recorder, make_saver()))
            trained = _try(build, loaded, attempt, watch=watch, save=save)
            if trained is not None:
                break
            batching, checkpoint, loaded = _smaller(batching), newest_checkpoint(out_dir), reload()
    except BaseException as error:  # Ctrl-C included: the run must not look alive
        if lead:
            _mark_failed(out_dir, card, error)
        if ran_out_of_space(error):
            raise as_user_error(OSError(errno.ENOSPC, str(error)), out_dir) from error
        raise
    if lead:
        (out_dir / "README.md").unlink(missing_ok=True)  # the trainer's form, unfilled
        write_state(out_dir, card, status="done")
    return _finished(trained, out_dir, rows=rows, dropped=dropped, batching=batching, card=card)


@dataclass(frozen=True, slots=True)
class _Trained:
    folder: Path
    steps: int


def _smaller(batching: Batching) -> Batching:
    """Half as many rows at a time. Raises ModelError where that is not possible, or not for all processes at once."""
    if count() > 1:
        raise ModelError(
            f"memory does not suffice for {batching.size} rows at a time in one of {count()} processes: set "
            "tuning.batch_size lower and tuning.accumulate higher"
        )
    smaller = batching.smaller()
    if smaller is None:
        raise ModelError(f"memory does not suffice for one row at a time: set {_LATER}")
    return smaller


def _finished(
    trained: _Trained, out_dir: Path, *, rows: int, dropped: Sequence[int], batching: Batching, card: AdapterCard
) -> Finished:
    lines = read_metrics(out_dir)
    losses = [line["loss"] for line in lines if line["loss"] is not None]
    checks = [line["eval_loss"] for line in lines if line["eval_loss"] is not None]
    return Finished(
        adapter=trained.folder,
        steps=trained.steps,
        rows=rows,
        dropped=tuple(dropped),
        first_loss=losses[0] if losses else None,
        last_loss=losses[-1] if losses else None,
        first_eval_loss=checks[0] if checks else None,
        last_eval_loss=checks[-1] if checks else None,
        tokens=max((line["tokens"] for line in lines), default=0),
        seconds=max((line["seconds"] for line in lines), default=0.0),
        batching=batching,
        card=card,
    )


def _try(
    build: Callable[[L, Attempt], Any],
    loaded: L,
    attempt: Attempt,
    *,
    watch: BatchWatch,
    save: Callable[[Any, Path, AdapterCard], Path],
) -> _Trained | None:
    """One training to its end, or None where memory ran out: checkpoints stay, and the caller tries smaller batches."""
    from transformers import PrinterCallback, set_seed

    try:
        with quiet():
            set_seed(attempt.card.seed)  # before adapters and heads exist: their start is random
            trainer = build(loaded, attempt)
            trainer.remove_callback(PrinterCallback)
            trainer.args.get_warmup_steps = partial(_warm_up, trainer.args.warmup_steps)
            if leads():
                keep_start(trainer.model, attempt.out_dir)
            watch.attach(trainer.model)
            trainer.train(resume_from_checkpoint=str(attempt.checkpoint) if attempt.checkpoint else None)
            return _Trained(_saved(trainer, attempt, save), trainer.state.global_step)
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error):
            raise
    release_memory(loaded.device)
    return None


def _warm_up(share: float, steps: int) -> int:
    """Steps of warm-up, the nearest whole number: the trainer rounds up, and a run of few steps would lose one."""
    return round(share * steps)


def _saved(trainer: Any, attempt: Attempt, save: Callable[[Any, Path, AdapterCard], Path]) -> Path:
    """What was trained, written by the leader; where FSDP split it up, gathered from all processes."""
    place = attempt.out_dir / "adapter"
    if trainer.is_fsdp_enabled:
        gathered = attempt.out_dir / GATHERED
        trainer.save_model(str(gathered))
        return from_leader(adopt(gathered, place, attempt.card) if leads() else None)
    return from_leader(save(trainer.model, place, attempt.card) if leads() else None)


def training_arguments(attempt: Attempt, recipe: Recipe, *, device: str, dtype: str, evaluate: bool) -> dict[str, Any]:
    """The TrainingArguments that all methods share, to spread into SFTConfig, DPOConfig, TrainingArguments ...

    TRL's defaults that bite are named: no accelerator, rate 2e-5, bfloat16, reports.
    """
    if recipe.tensorboard:
        _tensorboard_into(attempt.out_dir / "tensorboard")
    return {
        "output_dir": str(attempt.out_dir),
        "num_train_epochs": recipe.epochs,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if recipe.schedule == "constant" else recipe.schedule,
        "warmup_steps": min(recipe.warmup, _ALL_STEPS),
        "per_device_train_batch_size": attempt.batching.size,
        "per_device_eval_batch_size": attempt.batching.size,
        "gradient_accumulation_steps": attempt.batching.accumulate,
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "use_cpu": device == "cpu",
        "bf16": dtype == "bfloat16",
        "fp16": dtype == "float16" and device.startswith("cuda"),
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a loss that is not finite must be seen, not replaced by the mean
        "save_strategy": "epoch",
        "save_total_limit": recipe.keep_checkpoints,
        "eval_strategy": "epoch" if evaluate else "no",
        "eval_on_start": evaluate and attempt.checkpoint is None,
        "train_sampling_strategy": "group_by_length" if recipe.length_grouped else "random",
        "report_to": ["tensorboard"] if recipe.tensorboard else "none",
        "disable_tqdm": True,
    }


def _tensorboard_into(folder: Path) -> None:
    """Raises MissingExtraError without the package; transformers takes the folder from the environment."""
    if find_spec("tensorboard") is None:
        raise MissingExtraError("tuning.tensorboard", "track")
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder)


def _mark_failed(out_dir: Path, card: AdapterCard, error: BaseException) -> None:
    try:
        write_state(out_dir, card, status="failed", why=str(error) or type(error).__name__)
    except UserError as second:  # a full disk must not hide what went wrong first
        error.add_note(str(second))


def _refuse_several_gpus(device: str) -> None:
    import torch

    if device.startswith("cuda") and torch.cuda.device_count() > 1 and "LOCAL_RANK" not in os.environ:
        raise ModelError(
            f"{torch.cuda.device_count()} GPUs are visible to one process: set CUDA_VISIBLE_DEVICES to one of them, or "
            f"use them all with `groundtone tune --launch {torch.cuda.device_count()}`"
        )


def _switch_off_ping() -> None:
    """TRL reports its use to the hub unless told; both the variable and the value read from it at import are set."""
    import huggingface_hub.constants

    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
