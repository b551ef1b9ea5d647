"""Supervised tuning of a voice: LoRA on pairs of prompt and reply, with TRL's SFTTrainer.

The rows are tokenized here, by the code that serves, and handed over with their labels: the trainer neither renders
nor truncates nor drops anything. A run folder holds adapter/, checkpoint-N/, metrics.jsonl and training.json; a run
that was interrupted goes on from its newest checkpoint to the same weights. TRL's usage ping is switched off.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtone.errors import ModelError, UserError
from groundtone.files import as_user_error
from groundtone.models.adapter import AdapterCard
from groundtone.models.chat_format import ChatFormat
from groundtone.models.quiet import quiet
from groundtone.models.weights import Base, load_base, weights_sha256
from groundtone.prompts import template_hash
from groundtone.types import VoicePair
from tuning.batch_watch import BatchWatch
from tuning.labelled_loss import trainer_class
from tuning.memory import Batching, ran_out_of_memory, ran_out_of_space, release_memory
from tuning.recorder import Line, make_recorder, read_metrics
from tuning.replay import mix
from tuning.rows import Fitted, Row, fit, render, rows_sha256
from tuning.run_folder import adapter_folder, begin, newest_checkpoint, step_of, write_state
from tuning.saving import save_adapter
from tuning.targets import target_modules

__all__ = ["TrainResult", "adapter_folder", "newest_checkpoint", "train"]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a finished run left behind. Losses are means per reply token, in nats."""

    adapter: Path
    steps: int
    rows: int
    dropped: tuple[tuple[int, int], ...]  # (index, tokens) of rows that were too long
    max_length: int
    first_loss: float | None
    last_loss: float | None
    first_eval_loss: float | None  # before the first step
    last_eval_loss: float | None
    tokens: int
    seconds: float
    card: AdapterCard


def train(
    pairs: Sequence[VoicePair],
    *,
    base: str,
    out_dir: Path,
    rank: int = 8,
    alpha: int = 16,
    dropout: float = 0.0,
    targets: str | Sequence[str] = "mlp",
    epochs: int = 3,
    learning_rate: float = 2e-4,
    schedule: str = "cosine",
    warmup: float = 0.03,
    batch_size: int = 8,
    accumulate: int = 1,
    heldout: Sequence[VoicePair] = (),
    replay: Sequence[VoicePair] = (),
    replay_share: float = 0.0,
    max_length: int | None = None,
    over_length: str = "refuse",
    packing: bool = False,
    gradient_checkpointing: bool = False,
    seed: int = 0,
    keep_checkpoints: int = 2,
    dtype: str = "auto",
    device: str = "auto",
    resume: bool = False,
    on_step: Callable[[Line], None] | None = None,
) -> TrainResult:
    """Tunes an adapter under `out_dir` and returns where it lies.

    `on_step` receives every line of metrics.jsonl as it is written. Ctrl-C (or an exception in `on_step`) leaves the
    checkpoints, marks training.json "failed" and is raised on; `resume=True` continues from the newest checkpoint and
    refuses other data or settings. Raises DataError for rows that are too long, ModelError for a base that cannot be
    loaded or a loss that is no longer finite, ProjectError for a folder that holds another run.
    """
    out_dir = Path(out_dir)
    config = {
        "rank": rank,
        "alpha": alpha,
        "dropout": dropout,
        "targets": targets if isinstance(targets, str) else list(targets),
        "epochs": epochs,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "warmup": warmup,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "replay_share": replay_share,
        "packing": packing,
    }
    loaded = load_base(base, dtype=dtype, device=device)
    chat_format = ChatFormat(loaded.tokenizer)
    limit = _limit(max_length, loaded.context_tokens)
    mixed = mix(pairs, replay, share=replay_share, seed=seed)
    fitted = fit(render(chat_format, mixed), limit=limit, drop=over_length == "drop")
    held = fit(render(chat_format, heldout), limit=limit, drop=True).rows if heldout else ()
    card = AdapterCard(
        base=base,
        base_sha256=weights_sha256(loaded.folder),
        template=template_hash(),
        chat_template_sha256=chat_format.template_sha256,
        data_sha256=rows_sha256(fitted.rows, held),
        seed=seed,
        config=config,
    )
    checkpoint = begin(out_dir, card, resume=resume)
    batching: Batching | None = Batching(batch_size, accumulate)
    try:
        while batching is not None:
            with quiet():
                arguments = _arguments(
                    card,
                    out_dir=out_dir,
                    on=loaded,
                    rows=len(fitted.rows),
                    batching=batching,
                    pack_into=_bin_tokens(fitted, limit) if packing else None,
                    evaluate=bool(held),
                    evaluate_first=bool(held) and checkpoint is None,
                    gradient_checkpointing=gradient_checkpointing,
                    keep_checkpoints=keep_checkpoints,
                )
            trained = _attempt(
                loaded, fitted.rows, held, card, arguments=arguments, checkpoint=checkpoint, on_step=on_step
            )
            if trained is not None:
                break
            batching = batching.smaller()
            checkpoint = newest_checkpoint(out_dir)
            if batching is not None:
                loaded = load_base(base, dtype=dtype, device=device)  # the adapter was put into the first one
        if trained is None:
            raise ModelError(
                "memory does not suffice for one row at a time: lower tuning.max_length, set "
                "tuning.gradient_checkpointing, or take a smaller model"
            )
    except BaseException as error:  # Ctrl-C included: the run must not look alive
        _mark_failed(out_dir, card, error)
        if ran_out_of_space(error):
            raise as_user_error(OSError(errno.ENOSPC, str(error)), out_dir) from error
        raise
    (out_dir / "README.md").unlink(missing_ok=True)  # the trainer's form, unfilled
    write_state(out_dir, card, status="done")
    return _result(trained.adapter, fitted, card, steps=trained.steps)


@dataclass(frozen=True, slots=True)
class _Trained:
    adapter: Path
    steps: int


def _attempt(
    loaded: Base,
    rows: Sequence[Row],
    held: Sequence[Row],
    card: AdapterCard,
    *,
    arguments: Any,
    checkpoint: Path | None,
    on_step: Callable[[Line], None] | None,
) -> _Trained | None:
    """One training to its end, or None where memory ran out: checkpoints stay, and the caller tries smaller batches."""
    out_dir = Path(arguments.output_dir)
    watch = BatchWatch(rows, passes=arguments.gradient_accumulation_steps)
    recorder = make_recorder(
        out_dir, card, resumed_step=step_of(checkpoint) if checkpoint else 0, on_step=on_step, blame=watch.rows
    )
    try:
        with quiet():
            trainer = _trainer(loaded, rows, held, card, arguments=arguments, recorder=recorder)
            watch.attach(trainer.model)
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            return _Trained(save_adapter(trainer.model, out_dir / "adapter", card), trainer.state.global_step)
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error):
            raise
    release_memory(loaded.device)
    return None


def _mark_failed(out_dir: Path, card: AdapterCard, error: BaseException) -> None:
    try:
        write_state(out_dir, card, status="failed", why=str(error) or type(error).__name__)
    except UserError as second:  # a full disk must not hide what went wrong first
        error.add_note(str(second))


def _limit(max_length: int | None, context_tokens: int | None) -> int | None:
    known = [n for n in (max_length, context_tokens) if n is not None]
    return min(known) if known else None


def _bin_tokens(fitted: Fitted, limit: int | None) -> int:
    """How many tokens a packed sequence may have: room for four of the longest rows, inside the limit."""
    return min(limit or 4 * fitted.max_length, 4 * fitted.max_length)


def _result(adapter: Path, fitted: Fitted, card: AdapterCard, *, steps: int) -> TrainResult:
    lines = read_metrics(adapter.parent)
    losses = [line["loss"] for line in lines if line["loss"] is not None]
    checks = [line["eval_loss"] for line in lines if line["eval_loss"] is not None]
    return TrainResult(
        adapter=adapter,
        steps=steps,
        rows=len(fitted.rows),
        dropped=fitted.dropped,
        max_length=fitted.max_length,
        first_loss=losses[0] if losses else None,
        last_loss=losses[-1] if losses else None,
        first_eval_loss=checks[0] if checks else None,
        last_eval_loss=checks[-1] if checks else None,
        tokens=max((line["tokens"] for line in lines), default=0),
        seconds=max((line["seconds"] for line in lines), default=0.0),
        card=card,
    )


def _arguments(
    card: AdapterCard,
    *,
    out_dir: Path,
    on: Base,
    rows: int,
    batching: Batching,
    pack_into: int | None,
    evaluate: bool,
    evaluate_first: bool,
    gradient_checkpointing: bool,
    keep_checkpoints: int,
) -> Any:
    """TRL's settings. Its defaults that bite are named: no accelerator, 1024 tokens, rate 2e-5, bfloat16, reports."""
    _switch_off_ping()
    from trl import SFTConfig

    config = card.config
    steps = config["epochs"] * math.ceil(rows / (config["batch_size"] * config["accumulate"]))
    return SFTConfig(
        output_dir=str(out_dir),
        num_train_epochs=config["epochs"],
        learning_rate=config["learning_rate"],
        lr_scheduler_type="constant_with_warmup" if config["schedule"] == "constant" else config["schedule"],
        warmup_steps=round(config["warmup"] * steps),
        per_device_train_batch_size=batching.size,
        per_device_eval_batch_size=batching.size,
        gradient_accumulation_steps=batching.accumulate,
        gradient_checkpointing=gradient_checkpointing,
        packing=pack_into is not None,
        eval_packing=False,
        max_length=pack_into,  # none without packing: rows were fitted already and nothing may be cut
        use_cpu=on.device == "cpu",
        bf16=on.dtype == "bfloat16",
        fp16=on.dtype == "float16" and on.device.startswith("cuda"),
        seed=card.seed,
        data_seed=card.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,  # a loss that is not finite must be seen, not replaced by the mean
        save_strategy="epoch",
        save_total_limit=keep_checkpoints,
        eval_strategy="epoch" if evaluate else "no",
        eval_on_start=evaluate_first,
        report_to="none",
        disable_tqdm=True,
    )


def _trainer(
    base: Base, rows: Sequence[Row], held: Sequence[Row], card: AdapterCard, *, arguments: Any, recorder: Any
) -> Any:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback, set_seed

    if base.device.startswith("cuda") and torch.cuda.device_count() > 1 and "LOCAL_RANK" not in os.environ:
        raise ModelError(
            f"{torch.cuda.device_count()} GPUs are visible to one process: set CUDA_VISIBLE_DEVICES to one of them, or "
            "start with `accelerate launch`"
        )
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=card.config["rank"],
        lora_alpha=card.config["alpha"],
        lora_dropout=card.config["dropout"],
        target_modules=target_modules(base.model, card.config["targets"]),
    )
    set_seed(card.seed)  # before the adapter exists: its start is random
    trainer = trainer_class(base.device)(
        model=base.model,
        args=arguments,
        train_dataset=_dataset(Dataset, rows),
        eval_dataset=_dataset(Dataset, held) if held else None,
        processing_class=base.tokenizer,
        peft_config=lora,
        callbacks=[recorder],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _dataset(dataset_class: Any, rows: Sequence[Row]) -> Any:
    """With labels given and no length limit, the trainer takes the rows as they are."""
    return dataset_class.from_dict({"input_ids": [list(r.ids) for r in rows], "labels": [r.labels for r in rows]})


def _switch_off_ping() -> None:
    """TRL reports its use to the hub unless told; both the variable and the value read from it at import are set."""
    import huggingface_hub.constants

    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
