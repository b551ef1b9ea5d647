"""What a training run writes while it runs: metrics.jsonl line by line, and a card beside every checkpoint."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from groundtone.errors import IntegrityError, ModelError
from groundtone.models.adapter import CARD, AdapterCard
from groundtone.project import write_atomic

METRICS = "metrics.jsonl"
Line = dict[str, Any]


def read_metrics(out_dir: Path) -> list[Line]:
    """The lines of metrics.jsonl: step, steps, epoch, loss, eval_loss, lr, tokens, seconds; None where not measured.

    A last line that was cut off by a crash is left out; any other broken line raises IntegrityError.
    """
    path = out_dir / METRICS
    if not path.exists():
        return []
    raw = path.read_text(encoding="utf-8").splitlines()
    lines: list[Line] = []
    for number, text in enumerate(raw, 1):
        try:
            lines.append(json.loads(text))
        except ValueError as error:
            if number < len(raw):
                raise IntegrityError(f"{path}:{number} is broken ({error}): start the run anew") from error
    return lines


def _broken(what: str, *, step: int, rate: float, seen: Sequence[int]) -> ModelError:
    """What to say of a step whose figures are no numbers any more."""
    rows = f"; that step saw the rows {', '.join(map(str, seen))} (from 0): look at them" if seen else ""
    return ModelError(
        f"{what} at step {step}: lower tuning.learning_rate (now {rate}) and resume from the last checkpoint, or start "
        f"anew{rows}"
    )


def make_recorder(
    out_dir: Path,
    card: AdapterCard,
    *,
    resumed_step: int,
    on_step: Callable[[Line], None] | None,
    blame: Callable[[], Sequence[int]] = tuple,
    also: Sequence[str] = (),
    writes: bool = True,
) -> Any:
    """A transformers TrainerCallback. Lines after `resumed_step` are taken back: their steps will be done again.

    `writes=False` only watches, for all but one of several processes.
    `also` names further figures of the trainer's log that a line gets where they are logged ("rewards/margins").

    A loss or a gradient that is not finite raises ModelError naming the rows that `blame` gives, before anything of
    that step is saved.
    """
    from transformers import TrainerCallback

    earlier = [line for line in read_metrics(out_dir) if line["step"] <= resumed_step] if resumed_step else []
    if writes:
        write_atomic(out_dir / METRICS, "".join(json.dumps(line) + "\n" for line in earlier))
    tokens_before = max((line["tokens"] or 0 for line in earlier), default=0)
    seconds_before = max((line["seconds"] for line in earlier), default=0.0)
    started = time.monotonic()

    class Recorder(TrainerCallback):  # type: ignore[misc]
        """Defined late: its base class needs transformers."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Line | None = None, **_: Any) -> None:
            logs = logs or {}
            if "loss" not in logs and "eval_loss" not in logs:
                return  # the closing summary
            name = "loss" if "loss" in logs else "eval_loss"
            # float16 scales its loss: gradients that overflow are skipped there, and no sign of a broken run
            gradient = float(logs.get("grad_norm") or 0.0) if not args.fp16 else 0.0
            if not math.isfinite(logs[name]) or not math.isfinite(gradient):
                what = f"the loss is {logs[name]}" if not math.isfinite(logs[name]) else f"the gradient is {gradient}"
                seen = blame() if name == "loss" else ()
                raise _broken(what, step=state.global_step, rate=args.learning_rate, seen=seen)
            if not writes:
                return
            counted = logs.get("num_tokens", logs.get("eval_num_tokens", 0)) or 0
            line: Line = {
                "step": state.global_step,
                "steps": state.max_steps,
                "epoch": round(state.epoch or 0.0, 4),
                "loss": logs.get("loss"),
                "eval_loss": logs.get("eval_loss"),
                "lr": logs.get("learning_rate"),
                "tokens": tokens_before + int(counted),  # the trainer counts from 0 again after a resume
                "seconds": round(seconds_before + time.monotonic() - started, 3),
            } | {key: logs[key] for key in also if key in logs}
            with (out_dir / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            if on_step is not None:
                on_step(line)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            folder = out_dir / f"checkpoint-{state.global_step}"
            if writes and folder.is_dir():
                write_atomic(folder / CARD, card.to_json())

    return Recorder()
