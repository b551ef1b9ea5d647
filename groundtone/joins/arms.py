"""The arms of the 2x2 and its two honest rows, built from settings; all local arms share one set of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from eval.claims import check_claims
from eval.detectors import BUILT_IN, Detector, load_detector
from eval.style import Style, read_style
from groundtone.answer_spans import ReadingRetriever
from groundtone.assistant import Assistant, Check, Mode, Voice
from groundtone.errors import ProjectError
from groundtone.joins.access import groups_of_base, groups_of_folder, groups_of_run, union
from groundtone.joins.retrievers import BatchRetriever
from groundtone.models.extractive import ExtractiveModel
from groundtone.models.load import load_generator
from groundtone.project import Project
from groundtone.refusal import is_refusal
from groundtone.settings import Settings
from groundtone.types import Claim, Generator, Hit, Retriever
from tuning.run_folder import adapter_folder, model_folder

if TYPE_CHECKING:
    from groundtone.models.reader import Reader

ARMS = ("base/closed", "base/rag", "tuned/closed", "tuned/rag", "prompted/rag", "extractive/rag")


@dataclass(frozen=True, slots=True)
class Models:
    """The generators behind the arms; `tuned` is None where nothing was tuned.

    `groups` and `base_groups` are what a caller must be in to be served by the one or the other.
    """

    base: Generator
    tuned: Generator | None
    groups: tuple[str, ...] = ()
    base_groups: tuple[str, ...] = ()


def load_models(project: Project, settings: Settings, *, tuned: str | None, arm: str = "") -> Models:
    """The base, and the adapter of the tuning run `tuned` on the same weights; no weights for an extractive `arm`."""
    if arm.startswith("extractive/"):
        return Models(ExtractiveModel(), None)
    model = settings.model
    whole = model_folder(project.run_path(tuned)) if tuned else None
    if whole is not None:
        return _separate(project, settings, tuned=tuned or "", folder=whole)
    adapter: Path | None = adapter_folder(project.run_path(tuned)) if tuned else None
    if adapter is None and model.adapter:
        adapter = settings.path(model.adapter)
    generator = generator_of(settings, adapter=adapter)
    base_groups = groups_of_base(model_id(settings))
    if adapter is None:
        return Models(generator, None, base_groups=base_groups)
    groups = union(base_groups, groups_of_folder(project, adapter), groups_of_run(project, tuned) if tuned else ())
    from groundtone.models.generate import LocalModel

    assert isinstance(generator, LocalModel), "only local weights carry an adapter"
    return Models(generator.with_adapter(False), generator, groups, base_groups)


def _separate(project: Project, settings: Settings, *, tuned: str, folder: Path) -> Models:
    """Base and tuned as two sets of weights: what a run that tuned the whole model needs."""
    model = settings.model
    base, own = (
        load_generator(
            where,
            dtype=model.dtype,
            device=model.device,
            batch_size=model.batch_size,
            allow_template_mismatch=model.allow_template_mismatch,
        )
        for where in (model_id(settings), str(folder))
    )
    base_groups = groups_of_base(model_id(settings))
    groups = union(base_groups, groups_of_base(str(folder)), groups_of_run(project, tuned))
    return Models(base, own, groups, base_groups)


def described(generator: Generator) -> str:
    """The generator's name, with its base's parameters where its weights are here: what stands beside its figures."""
    from groundtone.models.generate import LocalModel

    if not isinstance(generator, LocalModel):
        return generator.name
    own = (p.numel() for name, p in generator.base.model.named_parameters() if "lora_" not in name)
    return in_parameters(generator.name, sum(own))


def in_parameters(name: str, parameters: int) -> str:
    """ "starter, 2.6 M parameters"."""
    size = f"{parameters / 1e9:.1f} B" if parameters >= 1e9 else f"{parameters / 1e6:.1f} M"
    return f"{name}, {size} parameters"


def generator_of(settings: Settings, *, adapter: Path | None, model: str = "") -> Generator:
    """The configured model, or the weights that `model` names, loaded as the settings say."""
    given = settings.model
    return load_generator(
        model or model_id(settings),
        adapter=adapter,
        dtype=given.dtype,
        device=given.device,
        batch_size=given.batch_size,
        base_url=given.base_url,
        allow_template_mismatch=given.allow_template_mismatch,
    )


def model_id(settings: Settings) -> str:
    """The model's id; a folder of the project is named from the project's root, wherever the command runs."""
    folder = settings.path(settings.model.id)
    return str(folder) if folder.is_dir() else settings.model.id


def with_reader(retriever: BatchRetriever, settings: Settings) -> BatchRetriever:
    """The retriever with `assistant.reader` reading what it finds; as it is where nobody reads."""
    reader = reader_of(settings)
    return retriever if reader is None else ReadingRetriever(retriever, reader)


def reader_of(settings: Settings) -> Reader | None:
    """Who reads what is found (`assistant.reader`), or None."""
    named = settings.assistant.reader
    if named is None:
        return None
    from groundtone.models.reader import BUNDLED, Reader, bundled_reader

    folder = bundled_reader() if named == BUNDLED else adapter_folder_of(settings.path(named))
    return Reader.load(folder, device=settings.model.device)


def adapter_folder_of(folder: Path) -> Path:
    """The adapter in the folder of a tuning run, or the folder itself."""
    return folder / "adapter" if (folder / "adapter").is_dir() else folder


def style_of(settings: Settings) -> Style:
    """The house style with the validators of the configuration; an empty one where the project has none."""
    path = settings.path(settings.eval.style)
    style = read_style(path) if path.is_file() else Style()
    return replace(style, validators=(*style.validators, *settings.eval.validators))


@cache
def _detector(name: str, device: str, base_url: str | None, batch_size: int) -> Detector:
    return load_detector(name, device=device, base_url=base_url, batch_size=batch_size)


def detector_of(settings: Settings) -> Detector:
    """The detector that `eval.detector` names, loaded once; a project's folder is named from the project's root."""
    name = settings.eval.detector
    kind, colon, rest = name.rpartition(":")
    folder = settings.path(rest)
    if folder.is_dir() and name not in BUILT_IN:
        name = f"{kind}{colon}{folder}"
    return _detector(name, settings.model.device, settings.model.base_url, settings.model.batch_size)


def checker(style: Style) -> Check:
    """Judges the claims of an answer against the hits it was shown; the house's fixed phrases claim nothing."""
    fixed = (*style.opens_with, *style.closes_with)

    def check(text: str, hits: Sequence[Hit]) -> tuple[Claim, ...]:
        return check_claims(text, [hit.passage for hit in hits], boilerplate=fixed)

    return check


def build_arm(
    arm: str,
    settings: Settings,
    *,
    models: Models,
    retriever: Retriever | None,
    style: Style,
    check: Check | None,
    measuring: bool = False,
) -> Assistant:
    """One arm by its name. Raises ProjectError for an unknown arm, or a tuned one where nothing was tuned.

    `measuring` serves whoever asks: an evaluation is nobody's caller, and must measure the voice that it names.
    """
    if arm not in ARMS:
        raise ProjectError(f"there is no arm {arm!r}; choose one of {', '.join(ARMS)} or champion")
    who, where = arm.split("/")
    generator: Generator | None = {"tuned": models.tuned, "extractive": ExtractiveModel()}.get(who, models.base)
    if generator is None:
        raise ProjectError(f"arm {arm!r} needs a tuned model: run `groundtone tune` first")
    given = settings.assistant
    context, context_tokens = context_of(who, settings)
    mode: Mode = "strict" if given.mode == "strict" else "grounded"
    if where == "closed" or who == "extractive":
        mode = "closed-book" if where == "closed" else "quote"
    return Assistant(
        arm,
        generator=generator,
        retriever=retriever if where == "rag" else None,
        mode=mode,
        k=given.k,
        search_k=settings.search_k,
        context=context,
        context_tokens=context_tokens,
        max_new_tokens=settings.model.max_new_tokens,
        batch_size=settings.eval.batch_size if measuring else settings.model.batch_size,
        min_score=given.min_score,
        min_answer=given.min_answer,
        voice=voice_of(who, style),
        check=check,
        on_doubt=given.self_check,
        fenced=given.fenced and who != "tuned",  # a voice is served on the prompt that it was tuned on
        required_groups=() if measuring else _required(who, models),
        stand_in=models.base if who == "tuned" and not models.base_groups else None,
    )


def context_of(who: str, settings: Settings) -> tuple[Literal["sentences", "passages"], int]:
    """What an arm is shown of each hit, and its budget in tokens: who quotes reads whole passages."""
    given = settings.assistant
    return ("passages", 10 * given.context_tokens) if who == "extractive" else (given.context, given.context_tokens)


def _required(who: str, models: Models) -> tuple[str, ...]:
    return {"tuned": models.groups, "extractive": ()}.get(who, models.base_groups)


def voice_of(who: str, style: Style) -> Voice:
    """What an arm knows of the voice: a tuned model has it, a prompted one is told, the others know nothing."""
    if who not in ("tuned", "prompted"):
        return Voice()
    told = (style.guide, style.examples) if who == "prompted" else ("", ())
    return Voice(
        *told,
        opening=next(iter(style.opens_with), ""),
        closing=next(iter(style.closes_with), ""),
        refusal=next((pair.reply for pair in style.examples if is_refusal(pair.reply)), ""),
    )
