"""How fast an adapter is tuned here against TRL with its defaults and its public flags, and what each lever gives.

    OMP_NUM_THREADS=2 python -m benchmarks.tuning [--model starter | WIDTHxLAYERSxVOCABULARY] [--rows 96] [--repeats 3]
                                                  [--only "NAME; NAME"]

The same base, adapter, rows in tokens, seed, rate and rows per step for all. A model given by its shape has random
weights, which costs as much as trained ones. Every measurement is a process of its own; the ways take turns within
each repeat, so that what else runs on the machine falls on all of them, and ratios are paired within a repeat.
Figures are medians of n repeats with the smallest and the largest. The first optimizer step warms up and is not timed;
a step counts for the mean of its supervised tokens. Wall clock and processor seconds are both shown: on a busy machine
only the latter say something about the code. `loss` is the mean over the tokens of held-out replies after the training,
scored for all by the same unpadded float32 passes.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from groundtone.models.chat_format import ChatFormat
from groundtone.models.quiet import quiet
from groundtone.models.weights import Base, load_base
from groundtone.types import VoicePair
from tuning.lora import Lora, lora_config
from tuning.pairs import read_pairs
from tuning.plan import Plan
from tuning.recipe import Recipe
from tuning.rows import Row, as_dataset, render

ROOT = Path(__file__).resolve().parents[1]
VOICE = ROOT / "data" / "voice"
LORA = Lora(rank=16, alpha=32, targets="all-linear")
RATE, ROWS_PER_STEP, HELD = 1e-3, 8, 24


@dataclass(frozen=True, slots=True)
class Way:
    """One way of training: by TRL alone with these flags of SFTConfig, or by ours with these of `Recipe`."""

    by: str  # "trl" or "ours"
    dtype: str = "float32"
    flags: Mapping[str, Any] = field(default_factory=dict)


_PLAIN = {"bf16": False, "gradient_checkpointing": False}
WAYS: dict[str, Way] = {
    "trl, defaults": Way("trl"),
    "trl, float32": Way("trl", flags={"bf16": False}),
    "trl, no checkpointing": Way("trl", flags=_PLAIN),
    "trl, grouped": Way("trl", flags={**_PLAIN, "train_sampling_strategy": "group_by_length"}),
    "trl, packing": Way("trl", flags={**_PLAIN, "packing": True}),
    "trl, padding free": Way("trl", flags={**_PLAIN, "padding_free": True, "max_length": None}),
    "trl, bf16": Way("trl", flags={**_PLAIN, "bf16": True}),
    "trl, bf16 weights, grouped": Way(
        "trl", "bfloat16", {**_PLAIN, "bf16": True, "train_sampling_strategy": "group_by_length"}
    ),
    "ours": Way("ours"),
    "ours, grouped": Way("ours", flags={"length_grouped": True}),
    "ours, packing": Way("ours", flags={"packing": True}),
    "ours, shared prompts": Way("ours", flags={"share_prompts": True}),
    "ours, bf16 weights": Way("ours", "bfloat16"),
    "ours, bf16 weights, grouped": Way("ours", "bfloat16", {"length_grouped": True}),
    "ours, bf16 weights, shared prompts": Way("ours", "bfloat16", {"share_prompts": True}),
}
DEFAULTS = "trl, defaults"


@dataclass(frozen=True, slots=True)
class Measured:
    """One training. Memory is the process's peak, in MB."""

    seconds: float
    cpu_s: float
    tokens: float  # supervised, in the timed steps
    steps: int
    peak_mb: float
    loss: float
    first_loss: float

    @property
    def per_second(self) -> float:
        """Supervised tokens by the clock."""
        return self.tokens / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """Supervised tokens per second on the processor."""
        return self.tokens / self.cpu_s


def base_folder(model: str, where: Path) -> str:
    """A hub id or folder as it is; a shape such as 576x6x49152 as a random Llama with the starter's tokenizer."""
    numbers = model.split("x")
    if len(numbers) != 3 or not all(part.isdecimal() for part in numbers):
        return model
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    width, layers, vocabulary = map(int, numbers)
    tokenizer = load_base("starter", dtype="float32", device="cpu").tokenizer
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        vocab_size=vocabulary,
        intermediate_size=8 * width // 3 // 64 * 64,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    folder = where / model
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def pairs(count: int) -> tuple[VoicePair, ...]:
    """The first voice pairs of the sample company."""
    return read_pairs(VOICE / "train.jsonl")[:count]


def held_out() -> tuple[VoicePair, ...]:
    """Voice pairs that none of these trains on."""
    return read_pairs(VOICE / "heldout.jsonl")[:HELD]


class Clock:
    """Time by the clock and on the processor at the end of every optimizer step."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []
        self.losses: list[float] = []

    def tick(self) -> None:
        """A step is over."""
        self.marks.append((time.perf_counter(), time.process_time()))

    def measured(self, rows: Sequence[Row]) -> Measured:
        """Of all steps but the first."""
        (wall, cpu), (wall_end, cpu_end) = self.marks[0], self.marks[-1]
        supervised = sum(len(row.ids) - row.prompt_tokens for row in rows)
        share = (len(self.marks) - 1) / len(self.marks)
        return Measured(
            wall_end - wall, cpu_end - cpu, supervised * share, len(self.marks), peak_mb(), float("nan"), self.losses[0]
        )


def by_trl(base: Base, rows: Sequence[Row], way: Way, *, out_dir: Path, clock: Clock) -> Path:
    """TRL's own trainer on the same tokens; the adapter's folder."""
    from transformers import TrainerCallback, set_seed
    from trl import SFTConfig, SFTTrainer

    class Ticks(TrainerCallback):  # type: ignore[misc]
        """Defined late: its base class needs transformers."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.tick()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            clock.losses += [logs["loss"]] if logs and "loss" in logs else []

    flags = dict(way.flags)
    if flags.get("packing"):  # one packed sequence holds about as many rows as the others have in a step
        mean = sum(len(row.ids) for row in rows) / len(rows)
        flags |= {"max_length": round(ROWS_PER_STEP * mean), "per_device_train_batch_size": 1}
    set_seed(0)
    arguments = SFTConfig(
        output_dir=str(out_dir),
        use_cpu=base.device == "cpu",
        num_train_epochs=1,
        learning_rate=RATE,
        lr_scheduler_type="constant_with_warmup",
        seed=0,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        logging_first_step=True,
        **{"per_device_train_batch_size": ROWS_PER_STEP, **flags},
    )
    trainer = SFTTrainer(
        model=base.model,
        args=arguments,
        train_dataset=as_dataset(rows),
        processing_class=base.tokenizer,
        peft_config=lora_config(LORA, base.model),
        callbacks=[Ticks()],
    )
    trainer.train()
    trainer.save_model(str(out_dir / "adapter"))
    return out_dir / "adapter"


def by_ours(model: str, given: Sequence[VoicePair], way: Way, *, out_dir: Path, clock: Clock) -> Path:
    """`tuning.sft.train`; the adapter's folder."""
    from tuning.sft import train

    def on_step(line: dict[str, Any]) -> None:
        clock.tick()
        clock.losses.append(line["loss"])

    size = 2 if way.flags.get("packing") else ROWS_PER_STEP  # a packed sequence has room for four of the longest rows
    recipe = Recipe(epochs=1, learning_rate=RATE, schedule="constant", warmup=0.0, batch_size=size, **way.flags)
    plan = Plan(base=model, out_dir=out_dir, lora=LORA, recipe=recipe, dtype=way.dtype, on_step=on_step)
    return train(given, plan).adapter


def held_out_loss(model: str, adapter: Path) -> float:
    """Mean over the tokens of held-out replies, in float32, row by row, so that no padding or packing is involved."""
    import torch
    from peft import PeftModel

    base = load_base(model, dtype="float32", device="cpu")
    with quiet():
        tuned = PeftModel.from_pretrained(base.model, str(adapter)).eval()
    total, count = 0.0, 0
    for row in render(ChatFormat(base.tokenizer), held_out()):
        with torch.no_grad():
            logits = tuned(torch.tensor([row.ids])).logits[0, row.prompt_tokens - 1 : -1]
        wanted = torch.tensor(row.ids[row.prompt_tokens :])
        total += float(torch.nn.functional.cross_entropy(logits.float(), wanted, reduction="sum"))
        count += len(wanted)
    return total / count


def measure(name: str, model: str, count: int) -> Measured:
    """One training in this process."""
    way, given, clock = WAYS[name], pairs(count), Clock()
    base = load_base(model, dtype=way.dtype, device="cpu")
    rows = render(ChatFormat(base.tokenizer), given)
    with tempfile.TemporaryDirectory() as folder, quiet():
        out_dir = Path(folder) / "run"
        if way.by == "trl":
            adapter = by_trl(base, rows, way, out_dir=out_dir, clock=clock)
        else:
            del base
            adapter = by_ours(model, given, way, out_dir=out_dir, clock=clock)
        measured = clock.measured(rows)
        return replace(measured, loss=held_out_loss(model, adapter))


def peak_mb() -> float:
    """The most memory that this process has held. Linux keeps it in /proc; getrusage would give a parent's too."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    used: Any = resource.getrusage(resource.RUSAGE_SELF)
    return float(used.ru_maxrss) / 1e6  # macOS counts bytes


def compare(names: Sequence[str], model: str, *, rows: int, repeats: int) -> dict[str, list[Measured]]:
    """Every way in turn, `repeats` times over, each in a process of its own."""
    found: dict[str, list[Measured]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            command = [sys.executable, "-m", "benchmarks.tuning", "--measure", name, "--model", model]
            done = subprocess.run(
                [*command, "--rows", str(rows)], capture_output=True, text=True, check=False, cwd=ROOT
            )
            if done.returncode:
                raise SystemExit(f"{name}: {done.stderr[-2000:]}")
            found[name].append(Measured(**json.loads(done.stdout.splitlines()[-1])))
            print(f"{name}: {found[name][-1]}", file=sys.stderr, flush=True)
    return found


def shown(values: Sequence[float], *, digits: int = 2) -> str:
    """Median [smallest, largest]."""
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def best_of_trl(found: Mapping[str, Sequence[Measured]]) -> str:
    """TRL's fastest flags here, by the processor's time."""
    theirs = [name for name in found if WAYS[name].by == "trl"]
    return max(theirs, key=lambda name: statistics.median(m.per_cpu_second for m in found[name]))


def table(found: Mapping[str, Sequence[Measured]]) -> None:
    """Throughput, ratios to TRL's defaults and to its best flags, memory and loss."""
    best = best_of_trl(found)
    print(
        "| way | supervised tokens/s | per cpu-s | times defaults, cpu | times best flags, cpu | (clock) | MB "
        "| times best flags | loss |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, runs in found.items():
        against = {}
        for other in (DEFAULTS, best):
            paired = zip(runs, found.get(other, ()), strict=False)
            ratios = [(a.per_cpu_second / b.per_cpu_second, a.per_second / b.per_second) for a, b in paired]
            against[other] = [shown([r[side] for r in ratios]) if ratios else "-" for side in (0, 1)]
        memory = [a.peak_mb / b.peak_mb for a, b in zip(runs, found[best], strict=False)]
        print(
            f"| {name}{' (best flags)' if name == best else ''} | {shown([m.per_second for m in runs], digits=0)} "
            f"| {shown([m.per_cpu_second for m in runs], digits=0)} | {against[DEFAULTS][0]} | {against[best][0]} "
            f"| {against[best][1]} | {shown([m.peak_mb for m in runs], digits=0)} "
            f"| {shown(memory)} | {shown([m.loss for m in runs], digits=4)} |",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="names of ways, by semicolons")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(asdict(measure(given.measure, given.model, given.rows))))
        return
    with tempfile.TemporaryDirectory() as folder:
        model = base_folder(given.model, Path(folder))
        names = [name.strip() for name in given.only.split(";") if name.strip()] or list(WAYS)
        print(f"{given.model}, {given.rows} rows, {ROWS_PER_STEP} a step, n = {given.repeats}", flush=True)
        table(compare(names, model, rows=given.rows, repeats=given.repeats))


if __name__ == "__main__":
    main()
