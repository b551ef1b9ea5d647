"""Early stop on forgetting: general suites are measured while a voice is trained, and what cost too much is taken back.

At step 0 and at every look, the measuring function that was handed in compares the model in training with its base. As
long as no suite has left its margin, the adapter is kept as the last good one; when one has, training stops and that
adapter is put back. Looking changes nothing: modes and the state of every random generator are as they were before, so
a guarded run that never stops ends with the weights of an unguarded one. The looks stand in guard.jsonl.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtone.errors import IntegrityError
from groundtone.files import write_atomic
from groundtone.models.adapter import AdapterCard
from groundtone.models.weights import Base
from groundtone.types import Estimate
from tuning.kl import require_adapter
from tuning.processes import leads
from tuning.run_folder import step_of
from tuning.saving import save_adapter

__all__ = ["GUARD_LOG", "Look", "Measure", "Outcome", "Suite", "Watch", "make_guard", "outcome_of", "undisturbed"]

GUARD_LOG, LAST_GOOD = "guard.jsonl", "guard"


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite at one look. `difference` is tuned - base on the same items; `left`: it left its margin."""

    suite: str
    difference: Estimate
    margin: float
    verdict: str
    left: bool


Measure = Callable[[Base, Any], Sequence[Suite]]
"""(base, model in training) -> the suites, the model compared with itself without its adapter."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What is measured and how often: every so many steps, or every such share of an epoch."""

    measure: Measure
    steps: int | None = None
    epochs: float | None = None

    @classmethod
    def every(cls, text: str, measure: Measure) -> Watch:
        """From "50 steps" or "0.25 epochs"."""
        number, unit = text.split()
        return cls(measure, epochs=float(number)) if unit.startswith("epoch") else cls(measure, steps=int(number))

    def apart(self, *, steps: int, epochs: float) -> int:
        """Steps between two looks in a training of that many steps and epochs, at least one."""
        if self.steps is not None:
            return self.steps
        return max(1, round((self.epochs or 1.0) * steps / epochs))


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen after a step."""

    step: int
    suites: tuple[Suite, ...]

    @property
    def left(self) -> tuple[Suite, ...]:
        """The suites that left their margin."""
        return tuple(suite for suite in self.suites if suite.left)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the watch ended. `restored` is the step whose adapter was put back; None where training was not stopped."""

    looks: int
    stopped_at: int | None
    restored: int | None
    why: str

    def line(self) -> str:
        """One line for people."""
        if self.stopped_at is None:
            return f"forgetting guard: no suite left its margin in {self.looks} looks"
        kept = f"the adapter of step {self.restored}" if self.restored else "the untouched adapter: nothing was learned"
        return f"forgetting guard: stopped at step {self.stopped_at} ({self.why}) and went back to {kept}"


def make_guard(watch: Watch, base: Base, *, out_dir: Path, card: AdapterCard, checkpoint: Path | None) -> Any:
    """A transformers TrainerCallback. Looks after the checkpoint's step are taken back: it will be done again."""
    from transformers import TrainerCallback

    resumed_step = step_of(checkpoint) if checkpoint else 0
    lines = [line for line in read_looks(out_dir) if line["step"] <= resumed_step] if resumed_step else []
    if leads():
        _write(out_dir, lines)

    def look(model: Any, step: int) -> Look:
        with undisturbed(model):
            seen = Look(step, tuple(watch.measure(base, model)))
        lines.extend({"step": step, **_flat(suite)} for suite in seen.suites)
        if leads():
            _write(out_dir, lines)
        if not seen.left:
            keep(model, step)
        return seen

    def keep(model: Any, step: int) -> None:
        if leads():  # all processes measure the same, one writes
            save_adapter(model, out_dir / LAST_GOOD, card)
            write_atomic(out_dir / LAST_GOOD / "step.json", json.dumps({"step": step}) + "\n")

    class Guard(TrainerCallback):  # type: ignore[misc]
        """Defined late: its base class needs transformers."""

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            require_adapter(model)
            if state.global_step == 0:
                keep(model, 0)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            apart = watch.apart(steps=state.max_steps, epochs=args.num_train_epochs)
            last = state.global_step >= state.max_steps
            if state.global_step % apart and not last:
                return
            seen = look(model, state.global_step)
            if seen.left:
                _restore(model, out_dir / LAST_GOOD)
                control.should_training_stop = True

    return Guard()


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Evaluation mode for a while; modes of all modules and all random generators are then what they were."""
    import numpy as np
    import torch

    modes = [(module, module.training) for module in model.modules()]
    plain, arrays, tensors = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        random.setstate(plain)
        np.random.set_state(arrays)
        torch.set_rng_state(tensors)
        if devices:
            torch.cuda.set_rng_state_all(devices)


def read_looks(out_dir: Path) -> list[dict[str, Any]]:
    """The lines of guard.jsonl ([] without it): step, suite, n, difference, low, high, margin, verdict, left."""
    path = out_dir / GUARD_LOG
    if not path.exists():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise IntegrityError(f"{path} is broken ({error}): start the run anew") from error


def outcome_of(out_dir: Path) -> Outcome | None:
    """How the watch of a finished run ended; None where nothing was watched."""
    lines = read_looks(out_dir)
    if not lines:
        return None
    looks = len({line["step"] for line in lines})
    left = [line for line in lines if line["left"]]
    if not left:
        return Outcome(looks, None, None, "")
    why = "; ".join(map(_told, left))
    step = json.loads((out_dir / LAST_GOOD / "step.json").read_text(encoding="utf-8"))["step"]
    return Outcome(looks, left[0]["step"], step, why)


def _told(line: dict[str, Any]) -> str:
    low, high = (f"{100 * line[side]:+.1f}" for side in ("low", "high"))
    points = f"{100 * line['difference']:+.1f} points [{low}, {high}]"
    return f"{line['suite']} {points}, n {line['n']}, margin {100 * line['margin']:g}"


def _flat(suite: Suite) -> dict[str, Any]:
    seen = suite.difference
    return {
        "suite": suite.suite,
        "n": seen.n,
        "difference": seen.mean,
        "low": seen.low,
        "high": seen.high,
        "margin": suite.margin,
        "verdict": suite.verdict,
        "left": suite.left,
    }


def _write(out_dir: Path, lines: Sequence[dict[str, Any]]) -> None:
    write_atomic(out_dir / GUARD_LOG, "".join(json.dumps(line) + "\n" for line in lines))


def _restore(model: Any, folder: Path) -> None:
    """Puts the stored adapter's tensors into the model."""
    from peft.utils import set_peft_model_state_dict
    from safetensors.torch import load_file

    stored = load_file(folder / "adapter_model.safetensors")
    result = set_peft_model_state_dict(model, stored)
    assert not result.unexpected_keys, "it was saved from this very model"
