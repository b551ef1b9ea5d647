"""An evaluation as groundtone runs it against the plain loop over `generate` that people write.

Both search once for all four arms, ask the same prompts with the same limits and stop tokens, judge the same claims
with the same detector, and write the same records and reports. Only the writing of replies differs: the plain loop
gives `transformers` one prompt at a time, with the adapter in PEFT's layers. How long the search takes is measured
apart, so that the ratio can be told with it and without.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.evaluation.sample import SQUARE, Sample
from groundtone.joins.arms import Models, model_id, with_reader
from groundtone.joins.asking import ask_questions
from groundtone.joins.evaluation import conclude
from groundtone.joins.indexing import open_index, silent
from groundtone.joins.retrievers import Remembering
from groundtone.models.adapter import attach
from groundtone.models.generate import LocalModel
from groundtone.models.weights import load_base
from groundtone.stats import wilson_interval
from groundtone.types import Estimate, EvalRecord, Generation, Prompt
from retrieval.interface import SearchableIndex
from tuning.run_folder import adapter_folder

__all__ = ["PlainLoop", "Speed", "measure_speed", "same_answers"]


class PlainLoop:
    """A Generator that calls `generate` of transformers once per prompt, on weights of its own.

    `local` only says what the prompt's tokens are and what ends a reply; `weights` is a model of transformers, or one
    of PEFT, which is asked without its adapter where `off` is set.
    """

    def __init__(self, local: LocalModel, weights: Any, *, off: bool = False) -> None:
        self.name = local.name
        self._local = local
        self._weights = weights
        self._off = off

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[Generation]:
        """One greedy reply per prompt, written one after another."""
        return [self._one(prompt, max_new_tokens) for prompt in prompts]

    def stream(self, prompt: Prompt, *, max_new_tokens: int) -> Iterator[str]:
        """The whole reply as one piece."""
        yield self._one(prompt, max_new_tokens).text

    def _one(self, prompt: Prompt, max_new_tokens: int) -> Generation:
        import torch
        from transformers import GenerationConfig

        local = self._local
        ids = local.checked_ids(prompt, max_new_tokens)
        given: Any = torch.tensor([ids], device=local.base.device)
        settings = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=local.stop_ids(),
            pad_token_id=local.base.tokenizer.pad_token_id,
        )
        with self._weights.disable_adapter() if self._off else nullcontext():
            output = self._weights.generate(
                input_ids=given, attention_mask=torch.ones_like(given), generation_config=settings
            )
        return local.generation(output[0, len(ids) :].tolist(), prompt_tokens=len(ids))


def plain_models(sample: Sample) -> Models:
    """The plain loop for the base and for the adapter, on a second set of the same weights with PEFT's layers in it."""
    base, tuned = sample.models.base, sample.models.tuned
    adapter = adapter_folder(sample.project.run_path(sample.tuned))
    if adapter is None or not isinstance(base, LocalModel) or not isinstance(tuned, LocalModel):
        raise RuntimeError(f"the plain loop needs local weights with an adapter, not {base} and {tuned}: tune by LoRA")
    given = sample.settings.model
    weights = attach(load_base(model_id(sample.settings), dtype=given.dtype, device=given.device), adapter)
    return Models(PlainLoop(base, weights, off=True), PlainLoop(tuned, weights))


@dataclass(frozen=True, slots=True)
class Way:
    """One evaluation: its records, its seconds by the clock and of all cores, and those in which replies were written.

    Seconds of the cores say more where the machine has other work as well.
    """

    records: list[EvalRecord]
    seconds: float
    cpu_s: float
    writing_s: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Repeats of both ways in turns; `equal` is the share of answers that are the same, character by character.

    `search_cpu_s` are the cores' seconds of finding and reading passages for all questions, per repeat: part of both.
    """

    questions: int
    arms: int
    reply_tokens: int
    ours: list[Way]
    plain: list[Way]
    search_cpu_s: list[float]
    equal: Estimate


def measure_speed(sample: Sample, *, repeats: int) -> Speed:
    """Both ways `repeats` times, the other one first each time, after one short round that loads what loads late."""
    plain = plain_models(sample)
    ways: dict[str, list[Way]] = {"ours": [], "plain": []}
    search_cpu_s = []
    with open_index(sample.project, sample.settings) as index:
        for models in (sample.models, plain):
            _evaluate(sample.first(4), models, index)
        for turn in range(repeats):
            search_cpu_s.append(_search_cpu_s(sample, index))
            for name in ("ours", "plain") if turn % 2 == 0 else ("plain", "ours"):
                ways[name].append(_evaluate(sample, sample.models if name == "ours" else plain, index))
    first, other = ways["ours"][0].records, ways["plain"][0].records
    tokens = sum(record.answer.tokens.get("reply", 0) for record in other if record.answer)
    return Speed(
        len(sample.material.questions),
        len(SQUARE),
        tokens,
        ways["ours"],
        ways["plain"],
        search_cpu_s,
        same_answers(first, other),
    )


def same_answers(first: Sequence[EvalRecord], other: Sequence[EvalRecord]) -> Estimate:
    """The share of items and arms under which both gave the same text; a failure equals nothing."""
    said = {(record.arm, record.item_id): record.answer for record in other}
    pairs = [(record.answer, said[record.arm, record.item_id]) for record in first]
    same = sum(a is not None and b is not None and a.text == b.text for a, b in pairs)
    return wilson_interval(same, len(pairs))


def _evaluate(sample: Sample, models: Models, index: SearchableIndex) -> Way:
    """Questions asked, claims judged, records written, summary and reports made, in a fresh folder."""
    began, cpu_began = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        records = ask_questions(
            sample.settings,
            sample.material,
            models,
            index=index,
            out_dir=Path(folder),
            progress=silent,
            only=SQUARE,
        )
        conclude(
            sample.project,
            sample.settings,
            records,
            out_dir=Path(folder),
            progress=silent,
            run="",
            index=index.content_hash(),
            tuned_run=sample.tuned,
        )
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    failed = [record.error for record in records if record.error]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(records)} answers failed, the first: {failed[0]}")
    return Way(records, seconds, cpu_s, sum(r.answer.timing.get("generate", 0.0) for r in records if r.answer))


def _search_cpu_s(sample: Sample, index: SearchableIndex) -> float:
    """The cores' seconds of finding and reading passages for all questions, as an evaluation does it, in one batch."""
    began = time.process_time()
    found = Remembering(with_reader(Remembering(index), sample.settings))
    found.warm([question.text for question in sample.material.questions], k=sample.settings.search_k)
    return time.process_time() - began
