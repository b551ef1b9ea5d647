"""Tuning of a sentence encoder on questions and the passages that answer them.

Multiple negatives ranking (Henderson et al. 2017, arXiv:1705.00652): each question is told its passage from the other
passages of its batch and from hard negatives of its own. Gradients are cached (Gao et al. 2021, arXiv:2101.06983): a
batch of any size passes through the model in pieces of `PIECE` texts, which bounds the memory and costs a third more
time. Only low-rank updates are trained where the model has linear layers to put them on, because a full tuning forgets
more of what the encoder knew; they are merged into the weights that are saved, so that the result is an encoder like
any other: a folder of safetensors and JSON.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from groundtone.errors import DataError, ModelError
from groundtone.models.device import pick_device, pick_dtype
from groundtone.models.quiet import quiet

if TYPE_CHECKING:
    import torch

__all__ = ["EncoderExample", "EncoderPlan", "EncoderTraining", "Method", "train_encoder"]

Method = Literal["auto", "lora", "full"]
_RANK = 16
_RATES = {"lora": 3e-4, "full": 2e-5}
_WARMUP = 0.1
BATCH_SIZE = 32  # questions; each is told its passage from the passages and hard negatives of all
PIECE = 8  # texts that pass through the model at once
_ROUND = 16  # tokens: oneDNN compiles and keeps a kernel for every shape in bfloat16, some 100 MB a step of new ones
_CACHED = 4 / 3  # time with cached gradients against without: one more forward pass beside one forward and one backward


@dataclass(frozen=True, slots=True)
class EncoderExample:
    """A question, the passage that answers it, and passages that look like it and do not; as they are embedded."""

    question: str
    passage: str
    negatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EncoderPlan:
    """What a training will take, by a pass over a few of its texts.

    `megabytes` is the most that this process (on an accelerator: its tensors) held up to then, libraries included; the
    training itself needs somewhat more. None where the system does not say.
    """

    steps: int
    seconds: float
    megabytes: float | None


@dataclass(frozen=True, slots=True)
class EncoderTraining:
    """What a training did: `trained` of `parameters` numbers were changed; `first_loss` and `last_loss` per step."""

    method: Literal["lora", "full"]
    steps: int
    rows: int
    seconds: float
    trained: int
    parameters: int
    first_loss: float
    last_loss: float


def train_encoder(
    examples: Sequence[EncoderExample],
    *,
    base: str | Path,
    out_dir: Path,
    method: Method = "auto",
    epochs: int = 1,
    batch_size: int = BATCH_SIZE,
    learning_rate: float | None = None,
    seed: int = 0,
    device: str = "auto",
    on_plan: Callable[[EncoderPlan], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> EncoderTraining:
    """Tune `base` (a folder or a Hugging Face id) and save it under `out_dir`, whole or not at all.

    All examples have the same number of negatives. `on_plan` is told before the first step what all of them take;
    `on_step(step, steps)` follows each. Multiplications are in bfloat16 where the device is made for it.
    `learning_rate` None takes the method's own. Raises DataError for fewer than two examples, ModelError for an encoder
    that cannot be loaded, or tuned by the method asked for.
    """
    if len(examples) < 2:
        raise DataError(f"{len(examples)} questions to tune an encoder on: two or more are needed, hundreds are useful")
    where = pick_device(device)
    begun = time.monotonic()
    size = min(batch_size, len(examples))
    with quiet(), tempfile.TemporaryDirectory(prefix="groundtone-encoder-") as scratch:
        model = _load(base, str(where))
        used = _prepare(model, method)
        parameters = list(model.parameters())
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        bf16 = _in_bfloat16(where)
        if on_plan:
            on_plan(_plan(model, examples, steps=epochs * -(-len(examples) // size), epochs=epochs, bf16=bf16))
        rounding = model.register_forward_pre_hook(_round)
        losses, steps = _run(
            model,
            examples,
            scratch=scratch,
            epochs=epochs,
            batch_size=size,
            learning_rate=learning_rate or _RATES[used],
            seed=seed,
            cpu=where.type == "cpu",
            bf16=bf16,
            on_step=on_step,
        )
        rounding.remove()
        _save(model, out_dir, merge=used == "lora")
    total = sum(p.numel() for p in parameters) - (trained if used == "lora" else 0)
    return EncoderTraining(
        used, steps, len(examples), round(time.monotonic() - begun, 3), trained, total, losses[0], losses[-1]
    )


def _load(base: str | Path, device: str) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer

    try:
        # float32: updates of a few thousandths are lost in bfloat16 weights
        return SentenceTransformer(
            str(base), device=device, model_kwargs={"dtype": torch.float32}, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"encoder {str(base)!r} cannot be loaded for tuning ({str(error).splitlines()[0]})") from error


def _prepare(model: Any, method: Method) -> Literal["lora", "full"]:
    """Put low-rank updates on the transformer's linear layers, or leave all weights to be trained."""
    if method == "full":
        return "full"
    from peft import LoraConfig, TaskType, get_peft_model

    settings = LoraConfig(
        r=_RANK, lora_alpha=2 * _RANK, target_modules="all-linear", task_type=TaskType.FEATURE_EXTRACTION
    )
    try:
        model[0].model = get_peft_model(model[0].model, settings)
    except (AttributeError, ValueError) as error:  # no transformer in front, or no linear layers in it
        if method == "lora":
            raise ModelError(f"this encoder takes no LoRA ({error}): use method full") from error
        return "full"
    return "lora"


def _in_bfloat16(device: torch.device) -> bool:
    """Whether multiplying in bfloat16 is faster there; weights and what is stored stay float32."""
    import torch

    return device.type != "mps" and pick_dtype("auto", device, parameters=10**9) == torch.bfloat16


def _plan(model: Any, examples: Sequence[EncoderExample], *, steps: int, epochs: int, bf16: bool) -> EncoderPlan:
    """Times the second of two forward and backward passes of one piece; time goes with the characters."""
    import torch
    from sentence_transformers.util import batch_to_device

    some = [e.passage for e in examples[:: max(1, len(examples) // PIECE)]][:PIECE]
    features = batch_to_device(model.preprocess(some), model.device)
    model.train()
    seconds = 0.0
    for _ in range(2):
        begun = time.monotonic()
        with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bf16):
            out = model(dict(features))["sentence_embedding"]
        out.float().sum().backward()
        seconds = time.monotonic() - begun
        model.zero_grad(set_to_none=True)
    chars = sum(len(text) for e in examples for text in (e.question, e.passage, *e.negatives))
    each = seconds / max(1, sum(map(len, some)))
    return EncoderPlan(steps, each * chars * _CACHED * epochs, _peak_megabytes(model.device))


def _peak_megabytes(device: torch.device) -> float | None:
    """The most memory that was held at once so far."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _run(
    model: Any,
    examples: Sequence[EncoderExample],
    *,
    scratch: str,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    cpu: bool,
    bf16: bool,
    on_step: Callable[[int, int], None] | None,
) -> tuple[list[float], int]:
    """The training loop; returns the loss at each step, and their number."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.base.sampler import BatchSamplers

    count = len(examples[0].negatives)
    columns = {"anchor": [e.question for e in examples], "positive": [e.passage for e in examples]}
    columns |= {f"negative_{at}": [e.negatives[at] for e in examples] for at in range(count)}
    arguments = SentenceTransformerTrainingArguments(
        output_dir=scratch,
        num_train_epochs=epochs,
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        warmup_steps=_WARMUP,
        lr_scheduler_type="linear",
        batch_sampler=BatchSamplers.NO_DUPLICATES,  # a passage that stands twice in a batch is no negative of itself
        seed=seed,
        data_seed=seed,
        use_cpu=cpu,
        bf16=bf16,
        logging_steps=1,
        logging_strategy="steps",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict(columns),
        loss=_loss(model),
        callbacks=[_listener(on_step)],
    )
    trainer.remove_callback(_printer())
    trainer.train()
    losses = [float(line["loss"]) for line in trainer.state.log_history if "loss" in line]
    return losses, int(trainer.state.global_step)


def _loss(model: Any) -> Any:
    """Multiple negatives ranking, in pieces; static embeddings have no layers whose memory would need bounding."""
    from sentence_transformers.base.losses.gradcache import has_static_embedding_input
    from sentence_transformers.sentence_transformer import losses

    if has_static_embedding_input(model):
        return losses.MultipleNegativesRankingLoss(model)
    return losses.CachedMultipleNegativesRankingLoss(model, mini_batch_size=PIECE)


def _round(model: Any, args: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """Before the model's forward pass: texts padded to a multiple of `_ROUND` tokens, so that few shapes occur."""
    import torch

    features, *rest = args
    mask = features.get("attention_mask")
    if mask is None:
        return args
    width = mask.shape[1]
    more = min(-width % _ROUND, max(0, (model.max_seq_length or width) - width))
    padded = {
        name: torch.nn.functional.pad(value, (0, more))
        if isinstance(value, torch.Tensor) and value.ndim == 2 and value.shape[1] == width
        else value
        for name, value in features.items()
    }
    return (padded, *rest)


def _listener(on_step: Callable[[int, int], None] | None) -> Any:
    from transformers import TrainerCallback

    class Listener(TrainerCallback):  # type: ignore[misc]
        """Tells how far the training is."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Steps done and steps in all."""
            if on_step:
                on_step(int(state.global_step), int(state.max_steps))

    return Listener()


def _printer() -> Any:
    from transformers import PrinterCallback

    return PrinterCallback


def _save(model: Any, out_dir: Path, *, merge: bool) -> None:
    """The encoder with its updates merged in, moved to its place when it is whole."""
    if merge:
        model[0].model = model[0].model.merge_and_unload()
    fresh = out_dir.with_name(f".{out_dir.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    model.save(str(fresh), safe_serialization=True, create_model_card=False)
    shutil.rmtree(out_dir, ignore_errors=True)
    os.replace(fresh, out_dir)
