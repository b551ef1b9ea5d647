"""Suites of lm-evaluation-harness, offline from local task files, on base and tuned with one set of weights.

The harness brings the tasks and their metrics; our model answers, so that prompts, stop tokens and the adapter's switch
are those of everything else here. Nothing is downloaded.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.harness_records import canary_problem, chance_of, read_samples
from groundtone import prompts
from groundtone.errors import DataError, MissingExtraError, ModelError, PromptTooLongError
from groundtone.joins.arms import Models
from groundtone.types import EvalRecord, Generator, Prompt

if TYPE_CHECKING:
    from groundtone.models.generate import LocalModel

__all__ = ["HarnessReport", "harness_model", "run_harness", "task_files"]

PUNKT = "tokenizers/punkt_tab"
_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}


@dataclass(frozen=True, slots=True)
class HarnessReport:
    """What the harness measured, by arm ("base", "tuned").

    `chance` is what guessing gets right in each multiple-choice suite; `bits` are bits per byte by task and item;
    `unmeasured` says why a task has no figures, `warnings` what makes figures doubtful.
    """

    records: tuple[EvalRecord, ...]
    bits: Mapping[str, Mapping[str, Mapping[str, float]]]
    chance: Mapping[str, float]
    unmeasured: Mapping[str, str]
    warnings: tuple[str, ...]


def run_harness(
    models: Models,
    folder: Path,
    *,
    limit: int | None = None,
    max_new_tokens: int = 256,
    only: Sequence[str] = (),
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> HarnessReport:
    """Every task in the folder under base and tuned, or the arms that `only` names; `limit` takes the first items.

    A task that cannot be run is reported and costs no other. Raises DataError where the folder holds no task, and
    ModelError for a model that is not on this machine.
    """
    speakers = _local(models, only)
    with _offline():
        tasks, unmeasured = _load(task_files(folder))
        records: list[EvalRecord] = []
        bits: dict[str, dict[str, Mapping[str, float]]] = {}
        chance: dict[str, float] = {}
        warnings: list[str] = []
        for arm, model in speakers.items():
            speaker = harness_model(model, max_new_tokens=max_new_tokens)
            samples: dict[str, Any] = {}
            for done, (name, task) in enumerate(tasks.items(), 1):
                try:
                    samples |= _samples(speaker, name, task, limit)
                except (ModelError, ValueError, KeyError, RuntimeError, NotImplementedError) as error:
                    unmeasured[name] = f"{type(error).__name__}: {error}"
                progress(f"{arm}/harness", done, len(tasks))
            found = read_samples(samples, arm, unread=speaker.unread)
            records += found.records
            chance |= chance_of(samples)
            for task_name, values in found.bits.items():
                bits.setdefault(task_name, {})[arm] = values
            problem = canary_problem(found.records)
            warnings += [f"{arm}: {problem}"] if problem else []
    return HarnessReport(tuple(records), bits, chance, unmeasured, tuple(warnings))


def _local(models: Models, only: Sequence[str]) -> dict[str, LocalModel]:
    from groundtone.models.generate import LocalModel

    arms: dict[str, Generator | None] = {"base": models.base, "tuned": models.tuned}
    speakers: dict[str, LocalModel] = {}
    for arm, generator in arms.items():
        if generator is None or (only and arm not in only):
            continue
        if not isinstance(generator, LocalModel):
            raise ModelError(
                f"{generator.name!r} gives no log-probabilities: the harness needs weights on this machine (model.id)"
            )
        speakers[arm] = generator
    return speakers


def task_files(folder: Path) -> list[Path]:
    """The task files of a folder, by name; those that begin with "_" are included by others. Raises DataError."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; name one with task files of lm-evaluation-harness (*.yaml)")
    files = sorted(path for path in folder.glob("*.yaml") if not path.name.startswith("_"))
    if not files:
        raise DataError(f"{folder}: holds no *.yaml; put task files of lm-evaluation-harness there")
    return files


def _load(files: Sequence[Path]) -> tuple[dict[str, Any], dict[str, str]]:
    """The tasks by name, and why the others could not be made."""
    manager = _import("lm_eval.tasks").TaskManager(include_defaults=False)
    tasks: dict[str, Any] = {}
    unmeasured: dict[str, str] = {}
    for path in files:
        missing = _punkt_missing(path)
        if missing:
            unmeasured[path.stem] = missing
            continue
        try:
            tasks |= manager.load([_config(path)])["tasks"]
        except Exception as error:  # a task file runs code of its own, which may raise anything
            unmeasured[path.stem] = f"{path}: {type(error).__name__}: {error}"
    return tasks, unmeasured


def _config(path: Path) -> dict[str, Any]:
    """A task's configuration; its data files are found from its own folder, with $NAMES of the environment."""
    config: dict[str, Any] = _import("lm_eval.tasks._yaml_loader").load_yaml(path)
    data_files = config.get("dataset_kwargs", {}).get("data_files")
    if config.get("dataset_path") == "json" and data_files is None:
        raise DataError("dataset_path: json needs dataset_kwargs.data_files")
    if data_files is not None:
        found = {split: str(_located(path, name)) for split, name in _by_split(data_files).items()}
        config["dataset_kwargs"] = config["dataset_kwargs"] | {"data_files": found}
    return config


def _by_split(data_files: str | Mapping[str, str]) -> Mapping[str, str]:
    return {"train": data_files} if isinstance(data_files, str) else data_files


def _located(path: Path, name: str) -> Path:
    file = path.parent / Path(os.path.expandvars(name)).expanduser()
    if not file.is_file():
        raise DataError(f"its data file {file} is absent")
    return file.resolve()


def _punkt_missing(path: Path) -> str:
    """IFEval counts sentences with NLTK's tokenizer, which no package brings and the harness would download."""
    if "lm_eval.tasks.ifeval" not in path.read_text(encoding="utf-8") and "ifeval" not in path.stem:
        return ""
    data = _import("nltk").data
    try:
        data.find(PUNKT)
    except LookupError:
        return (
            "NLTK's punkt_tab is not installed: run `python -m nltk.downloader punkt_tab` on a machine with a "
            "network, or copy its folder to nltk_data/tokenizers/ and name nltk_data in NLTK_DATA"
        )
    return ""


def _samples(speaker: Any, name: str, task: Any, limit: int | None) -> dict[str, Any]:
    """The samples of one task. `evaluate` is the core of `simple_evaluate`, which also spends a minute on a census of
    the machine for each call."""
    if task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=0)
    loaded = {"tasks": {name: task}, "groups": {}, "group_map": {}}
    evaluate = _import("lm_eval.evaluator").evaluate
    with redirect_stderr(StringIO()):  # its progress bars would run through ours
        results = evaluate(lm=speaker, task_dict=loaded, limit=limit, log_samples=True, bootstrap_iters=0)
    samples: dict[str, Any] = results["samples"]
    return samples


def harness_model(model: LocalModel, *, max_new_tokens: int = 256) -> Any:
    """The model as the harness sees one. `unread` on it maps contexts that were too long to the reason.

    Log-likelihoods are of plain text after the token that begins texts, without the special tokens that a tokenizer
    may append; what is generated is asked as any question without documents, in the model's chat format.
    """
    from groundtone.models.likelihood import continuations, first_token, text_bits

    template_lm = _import("lm_eval.api.model").TemplateLM

    class Speaker(template_lm):  # type: ignore[misc, valid-type]
        """An LM of the harness over a LocalModel."""

        def __init__(self) -> None:
            super().__init__()
            self.unread: dict[str, str] = {}

        @property
        def eot_token_id(self) -> int:
            return first_token(model)

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
            ids: list[int] = model.base.tokenizer(string, add_special_tokens=False)["input_ids"]
            return ids if add_special_tokens is False else [first_token(model), *ids]

        def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
            scored: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
            return scored

        def _loglikelihood_tokens(self, requests: Sequence[Any], **_: Any) -> list[tuple[float, bool]]:
            rows = [(context, continuation) for _, context, continuation in requests]
            fits = [n for n, row in enumerate(rows) if self._fits(requests[n][0][0], len(row[0]) + len(row[1]))]
            scored = dict(zip(fits, continuations(model, [rows[n] for n in fits]), strict=True))
            return [
                (scored[n].log_probability, scored[n].greedy) if n in scored else (0.0, False) for n in range(len(rows))
            ]

        def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[float]:
            import math

            return [-found.bits * math.log(2) for found in text_bits(model, [r.args[0] for r in requests])]

        def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[str]:
            replies: dict[int, str] = {}
            by_length: dict[int, list[int]] = {}
            asked = [prompts.closed_book(request.args[0]) for request in requests]
            for n, request in enumerate(requests):
                wanted = min(int(request.args[1].get("max_gen_toks", max_new_tokens)), max_new_tokens)
                by_length.setdefault(wanted, []).append(n)
            for wanted, members in by_length.items():
                fitting = [n for n in members if self._has_room(requests[n].args[0], asked[n], wanted)]
                written = model.generate([asked[n] for n in fitting], max_new_tokens=wanted)
                for n, generation in zip(fitting, written, strict=True):
                    replies[n] = _until(generation.text, requests[n].args[1].get("until") or ())
            return [replies.get(n, "") for n in range(len(requests))]

        def _fits(self, context: str, tokens: int) -> bool:
            limit = model.context_tokens
            if limit is not None and tokens > limit:
                self.unread[context] = f"{tokens} tokens, but {model.name!r} reads {limit}"
            return context not in self.unread

        def _has_room(self, context: str, prompt: Prompt, wanted: int) -> bool:
            try:
                model.checked_ids(prompt, wanted)
            except PromptTooLongError as error:
                self.unread[context] = str(error)
                return False
            return True

    return Speaker()


def _until(text: str, stops: str | Sequence[str]) -> str:
    """The text up to the first stop."""
    ends = [text.find(stop) for stop in ([stops] if isinstance(stops, str) else stops) if stop and stop in text]
    return text[: min(ends)] if ends else text


def _import(name: str) -> Any:
    """A module of the harness. Raises MissingExtraError where it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"running harness tasks ({error.name})", "harness") from error


@contextmanager
def _offline() -> Iterator[None]:
    """No download, no chatter: what Hugging Face's libraries and the harness read from the environment and the log."""
    before = {name: os.environ.get(name) for name in _OFFLINE}
    os.environ.update(_OFFLINE)
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        _import("datasets").disable_progress_bars()
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
