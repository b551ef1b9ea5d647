"""Tuning a sentence encoder into a reader: LoRA and a head that points at the span which answers, or at none.

The rows hold question, passage and span (`tuning.span_rows`). One pass over them with the transformers Trainer; the
run folder is the same as that of a voice: adapter/, checkpoint-N/, metrics.jsonl, training.json.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtone.errors import DataError
from groundtone.models.adapter import AdapterCard
from groundtone.models.quiet import quiet
from groundtone.models.span_format import SPAN_FORMAT_VERSION
from groundtone.models.weights import weights_sha256
from tuning.recorder import Line, make_recorder, read_metrics
from tuning.run_folder import begin, step_of, write_state
from tuning.saving import save_adapter
from tuning.span_base import load_reader_base
from tuning.span_rows import EncodedSpan, SpanRow, encode, spans_sha256

_STEP = 16  # tokens; a CPU compiles its kernels anew for every length it has not seen, and keeps them in memory


@dataclass(frozen=True, slots=True)
class SpanResult:
    """What a finished run left behind. Losses are means over start and end, in nats."""

    adapter: Path
    steps: int
    rows: int
    dropped: int  # rows whose answer lies beyond the window
    first_eval_loss: float | None
    last_eval_loss: float | None
    seconds: float
    card: AdapterCard


def train_reader(
    rows: Sequence[SpanRow],
    *,
    base: str,
    out_dir: Path,
    heldout: Sequence[SpanRow] = (),
    rank: int = 40,
    alpha: int = 40,
    dropout: float = 0.0,
    targets: str | Sequence[str] = "all-linear",
    epochs: int = 1,
    learning_rate: float = 1e-3,
    schedule: str = "linear",
    warmup: float = 0.05,
    batch_size: int = 24,
    seed: int = 0,
    keep_checkpoints: int = 2,
    checkpoint_steps: int = 500,
    device: str = "auto",
    resume: bool = False,
    on_step: Callable[[Line], None] | None = None,
) -> SpanResult:
    """Tunes a reader under `out_dir`. `resume=True` goes on from the newest checkpoint of the same rows and settings.

    Raises DataError for rows that cannot teach a span, ModelError for a base that is no BERT-like encoder,
    ProjectError for a folder that holds another run.
    """
    loaded = load_reader_base(base, device=device)
    encoded, dropped = encode(loaded.span_format, rows)
    held, _ = encode(loaded.span_format, heldout)
    if not any(row.first for row in encoded) or all(row.first for row in encoded):
        raise DataError(
            f"of {len(encoded)} rows all or none have an answer: a reader needs questions with and without one"
        )
    config = {
        "method": "span",
        "rank": rank,
        "alpha": alpha,
        "dropout": dropout,
        "targets": targets if isinstance(targets, str) else list(targets),
        "epochs": epochs,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "warmup": warmup,
        "batch_size": batch_size,
    }
    card = AdapterCard(
        base=base,
        base_sha256=weights_sha256(loaded.folder),
        template=SPAN_FORMAT_VERSION,
        chat_template_sha256="",
        data_sha256=spans_sha256(encoded, held),
        seed=seed,
        config=config,
    )
    checkpoint = begin(out_dir, card, resume=resume)
    try:
        with quiet():
            recorder = make_recorder(
                out_dir, card, resumed_step=step_of(checkpoint) if checkpoint else 0, on_step=on_step
            )
            trainer = _trainer(
                loaded,
                encoded,
                held,
                card,
                out_dir=out_dir,
                evaluate_first=bool(held) and checkpoint is None,
                checkpoint_steps=checkpoint_steps,
                keep_checkpoints=keep_checkpoints,
                recorder=recorder,
            )
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            adapter = save_adapter(trainer.model, out_dir / "adapter", card)
    except BaseException as error:  # Ctrl-C included: the run must not look alive
        write_state(out_dir, card, status="failed", why=str(error) or type(error).__name__)
        raise
    write_state(out_dir, card, status="done")
    lines = read_metrics(out_dir)
    checks = [line["eval_loss"] for line in lines if line["eval_loss"] is not None]
    return SpanResult(
        adapter=adapter,
        steps=trainer.state.global_step,
        rows=len(encoded),
        dropped=dropped,
        first_eval_loss=checks[0] if checks else None,
        last_eval_loss=checks[-1] if checks else None,
        seconds=max((line["seconds"] for line in lines), default=0.0),
        card=card,
    )


def _trainer(
    loaded: Any,
    rows: Sequence[EncodedSpan],
    held: Sequence[EncodedSpan],
    card: AdapterCard,
    *,
    out_dir: Path,
    evaluate_first: bool,
    checkpoint_steps: int,
    keep_checkpoints: int,
    recorder: Any,
) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

    config = card.config
    set_seed(card.seed)  # before head and adapter exist: both start at random
    model = get_peft_model(
        loaded.new_model(),
        LoraConfig(
            task_type="QUESTION_ANS",  # also trains and saves the head
            r=config["rank"],
            lora_alpha=config["alpha"],
            lora_dropout=config["dropout"],
            target_modules=_targets(config["targets"]),
        ),
    )
    steps = -(-config["epochs"] * len(rows) // config["batch_size"])
    arguments = TrainingArguments(
        output_dir=str(out_dir),
        num_train_epochs=1,  # the rows are laid out for all passes, so that a resumed run sees the same batches
        learning_rate=config["learning_rate"],
        lr_scheduler_type=config["schedule"],
        warmup_steps=round(config["warmup"] * steps),
        weight_decay=0.01,
        per_device_train_batch_size=config["batch_size"],
        per_device_eval_batch_size=config["batch_size"] * 2,
        train_sampling_strategy="sequential",
        use_cpu=loaded.device == "cpu",
        bf16=loaded.bf16,
        seed=card.seed,
        data_seed=card.seed,
        logging_steps=10,
        logging_nan_inf_filter=False,  # a loss that is not finite must be seen, not replaced by the mean
        save_strategy="steps",
        save_steps=checkpoint_steps,
        save_total_limit=keep_checkpoints,
        eval_strategy="steps" if held else "no",
        eval_steps=checkpoint_steps,
        eval_on_start=evaluate_first,
        prediction_loss_only=True,
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=_dataset(rows).select(laid_out([len(row.ids) for row in rows], config, seed=card.seed)),
        eval_dataset=_dataset(held) if held else None,
        data_collator=_collate,
        callbacks=[recorder],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def laid_out(lengths: Sequence[int], config: Mapping[str, Any], *, seed: int) -> list[int]:
    """The order in which rows are seen over all passes: shuffled, with rows of about one length beside one another.

    Sorted by length within pools of fifty batches, whose batches are then shuffled: little is padded, and neighbours
    still differ between passes.
    """
    rng, size = random.Random(seed), config["batch_size"]
    order: list[int] = []
    for _ in range(config["epochs"]):
        rows = list(range(len(lengths)))
        rng.shuffle(rows)
        pools = [sorted(rows[at : at + 50 * size], key=lambda i: lengths[i]) for at in range(0, len(rows), 50 * size)]
        for pool in pools:
            batches = [pool[at : at + size] for at in range(0, len(pool), size)]
            rng.shuffle(batches)
            order += [row for batch in batches for row in batch]
    return order


def _targets(targets: str | list[str]) -> list[str]:
    """BERT's names of the layers to adapt."""
    if targets == "all-linear":
        return ["query", "key", "value", "dense"]
    if isinstance(targets, str):
        raise DataError(f"tuning.lora.targets is {targets!r}: a reader takes all-linear, or a list of layer names")
    return targets


def _dataset(rows: Sequence[EncodedSpan]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict(
        {
            "input_ids": [row.ids for row in rows],
            "start_positions": [row.first for row in rows],
            "end_positions": [row.last for row in rows],
        }
    )


def _collate(batch: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows of one batch as tensors (batch, longest), padded at the end to a multiple of `_STEP` tokens."""
    import torch

    longest = -(-max(len(row["input_ids"]) for row in batch) // _STEP) * _STEP
    sizes = [len(row["input_ids"]) for row in batch]
    made = {
        "input_ids": torch.tensor(
            [row["input_ids"] + [0] * (longest - n) for row, n in zip(batch, sizes, strict=True)]
        ),
        "attention_mask": torch.tensor([[1] * n + [0] * (longest - n) for n in sizes]),
    }
    for name in ("start_positions", "end_positions"):
        made[name] = torch.tensor([row[name] for row in batch])
    return made
