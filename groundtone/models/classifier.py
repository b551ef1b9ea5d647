"""Tuned encoders in use: what label a text has, with probabilities; which of its words are of what kind, with offsets.

A run's folder holds all that is needed but the base's own weights. Nothing is unpickled. Low-rank updates are merged
into the base when it is loaded, so that a prediction costs one forward pass of the base.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundtone.errors import DataError, IntegrityError, ModelError
from groundtone.models.adapter import AdapterCard, read_card
from groundtone.models.classifier_base import EncoderBase, Task, load_encoder_base, pad
from groundtone.models.classifier_format import ENCODER_FORMAT_VERSION, Pair, TextFormat, Window
from groundtone.models.classifier_spans import FoundSpan, Tagging, joined_tokens, spans_of, tag_names
from groundtone.models.quiet import quiet
from groundtone.models.tensor_files import stored_shapes
from groundtone.models.weights import weights_sha256

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "FoundSpan",
    "Judgement",
    "Tagging",
    "TextClassifier",
    "TokenClassifier",
    "TunedEncoder",
    "load_classifier",
    "load_tuned",
    "tag_names",
]

_BATCH_TOKENS = 4096
_ADAPTER = "adapter_model.safetensors"
_INSIDE = ("adapter", "model")


@dataclass(frozen=True, slots=True)
class Judgement:
    """The labels of a text (one, or any number where several may hold), and the probability of every label."""

    labels: tuple[str, ...]
    probabilities: dict[str, float]


Given = str | tuple[str, str]


class TextClassifier:
    """Says which labels a text, or a pair of texts, has."""

    def __init__(self, encoder: _Encoder, card: AdapterCard) -> None:
        self._encoder = encoder
        self.labels: tuple[str, ...] = tuple(card.config["labels"])
        self.multi_label: bool = card.config["multi_label"]
        self.threshold: float = card.config["threshold"]

    @classmethod
    def load(cls, folder: Path, *, base: str | None = None, device: str = "auto") -> TextClassifier:
        """The classifier of a run's folder, or of the adapter's. `base` is where its base lies now, if it moved.

        Raises ModelError for a folder that holds none, or a base with other weights.
        """
        encoder, card = _load(folder, "classify", base=base, device=device)
        return cls(encoder, card)

    def predict(self, texts: Sequence[Given]) -> list[Judgement]:
        """One judgement per text, in order; of a pair (text, second text) as it was tuned."""
        made = []
        for row in self.probabilities(texts):
            by_label = {label: float(p) for label, p in zip(self.labels, row, strict=True)}
            called = (
                tuple(label for label, p in by_label.items() if p >= self.threshold)
                if self.multi_label
                else (max(by_label, key=lambda label: by_label[label]),)
            )
            made.append(Judgement(called, by_label))
        return made

    def probabilities(self, texts: Sequence[Given]) -> Floats:
        """(texts, labels). They add up to 1 where a text has one label; a text that is too long is cut."""
        import numpy as np

        windows = self._encoder.text_format.whole(_pairs(texts))
        logits = self._encoder.logits(windows)
        stacked = np.stack(logits) if logits else np.zeros((0, len(self.labels)))
        return 1 / (1 + np.exp(-stacked)) if self.multi_label else _softmax(stacked)


class TokenClassifier:
    """Finds spans in a text, which may be read after a context."""

    def __init__(self, encoder: _Encoder, card: AdapterCard) -> None:
        self._encoder = encoder
        self.labels: tuple[str, ...] = tuple(card.config["labels"])

    @classmethod
    def load(cls, folder: Path, *, base: str | None = None, device: str = "auto") -> TokenClassifier:
        """As `TextClassifier.load`, for a run of method tokens."""
        encoder, card = _load(folder, "tokens", base=base, device=device)
        return cls(encoder, card)

    def predict(self, texts: Sequence[Given], *, least: float | None = None) -> list[Tagging]:
        """The spans of each text, or of the second text of a pair (context, text); texts of any length.

        A token has a label where that is likelier than none; with `least`, from that probability on.
        """
        given = _pairs(texts)
        windows = self._encoder.text_format.windows(given)
        logits = iter(self._encoder.logits([window for own in windows for window in own]))
        return [
            spans_of(words, *joined_tokens(own, [_softmax(next(logits)) for _ in own]), self.labels, least=least)
            for own, (_, words) in zip(windows, given, strict=True)
        ]


def load_classifier(folder: Path, *, base: str | None = None, device: str = "auto") -> TextClassifier | TokenClassifier:
    """Whatever a run's folder holds. Raises ModelError where it is neither."""
    card = _card(_adapter_folder(folder))
    kind = TokenClassifier if card.config.get("method") == "tokens" else TextClassifier
    return kind.load(folder, base=base, device=device)


@dataclass(frozen=True, slots=True)
class _Encoder:
    """A model in eval mode and how texts are shown to it."""

    model: Any
    base: EncoderBase
    text_format: TextFormat

    def logits(self, windows: Sequence[Window]) -> list[Floats]:
        """In order: (labels) for a text, (tokens, labels) for tokens."""
        import torch

        made: dict[int, Floats] = {}
        for batch in _batches([len(window.ids) for window in windows]):
            shown = pad([windows[n].ids for n in batch], [windows[n].types for n in batch], base=self.base)
            with torch.inference_mode():
                given = {name: tensor.to(self.base.device) for name, tensor in shown.items()}
                out = self.model(**given).logits.double().cpu().numpy()
            for n, row in zip(batch, out, strict=True):
                made[n] = row[: len(windows[n].ids)] if row.ndim == 2 else row
        return [made[n] for n in range(len(windows))]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of windows of about one length, at most `_BATCH_TOKENS` together."""
    batch: list[int] = []
    for n in sorted(range(len(lengths)), key=lambda n: lengths[n]):
        if batch and (len(batch) + 1) * lengths[n] > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(n)
    if batch:
        yield batch


def _adapter_folder(folder: Path) -> Path:
    """Of a run: its adapter, or the model that was tuned whole; else the folder itself."""
    return next((Path(folder) / name for name in _INSIDE if (Path(folder) / name).is_dir()), Path(folder))


def _card(folder: Path) -> AdapterCard:
    card = read_card(folder)
    if card is None or card.template != ENCODER_FORMAT_VERSION:
        said = f"format {card.template}" if card else "no card"
        raise ModelError(
            f"{folder} holds no tuned encoder of format {ENCODER_FORMAT_VERSION} ({said}): tune one with "
            "tuning.method classify or tokens"
        )
    return card


@dataclass(frozen=True, slots=True)
class TunedEncoder:
    """A base with what was tuned merged into it, in eval mode."""

    model: Any
    base: EncoderBase
    card: AdapterCard


def load_tuned(folder: Path, task: Task, *, base: str | None = None, device: str = "auto") -> TunedEncoder:
    """What a run's folder, or its adapter's, holds for this task. Raises ModelError where it is for another, or does
    not fit the base; IntegrityError where tensors are missing.
    """
    place = _adapter_folder(folder)
    card = _card(place)
    if card.config.get("method") != task:
        raise ModelError(f"{folder} was tuned with method {card.config.get('method')}, not {task}: load it as that")
    tuned_whole = not (place / _ADAPTER).is_file()
    loaded = load_encoder_base(str(place) if tuned_whole else base or card.base, device=device)
    if not tuned_whole and weights_sha256(loaded.folder) != card.base_sha256:
        raise ModelError(
            f"{folder} was tuned on {card.base!r} (weights {card.base_sha256[:12]}), not on the weights in "
            f"{loaded.folder}: load that base, or tune again"
        )
    labels = tuple(card.config.get("labels", ()))
    fresh = loaded.new_model(task, labels=tag_names(labels) if task == "tokens" else labels)
    if tuned_whole and fresh.modules:
        raise IntegrityError(f"{place} lacks {', '.join(fresh.modules)}: copy the folder again, or tune again")
    model = fresh.model if tuned_whole else _merged(fresh.model, place, card)
    return TunedEncoder(model.eval().requires_grad_(False), loaded, card)


def _load(folder: Path, task: Task, *, base: str | None, device: str) -> tuple[_Encoder, AdapterCard]:
    tuned = load_tuned(folder, task, base=base, device=device)
    config = tuned.card.config
    shown = tuned.base.text_format(max_tokens=config["max_tokens"], overlap_tokens=config["overlap_tokens"])
    return _Encoder(tuned.model, tuned.base, shown), tuned.card


def _merged(model: Any, folder: Path, card: AdapterCard) -> Any:
    """The base with the adapter's updates and its head; every stored tensor has its place."""
    from peft import PeftModel
    from peft.utils import get_peft_model_state_dict

    shapes = stored_shapes(folder / _ADAPTER)
    try:
        with quiet():
            wrapped = PeftModel.from_pretrained(model, str(folder))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"adapter {folder} does not fit {card.base!r}: {reason}; tune it again") from error
    expected = {
        key: tuple(value.shape)
        for key, value in get_peft_model_state_dict(wrapped, save_embedding_layers=False).items()
    }
    if expected != shapes:
        odd = sorted(set(expected.items()) ^ set(shapes.items()))[0]
        raise IntegrityError(f"adapter {folder} does not fit {card.base!r}: first difference {odd[0]} {odd[1]}")
    return wrapped.merge_and_unload()


def _pairs(texts: Sequence[Given]) -> list[Pair]:
    pairs: list[Pair] = [(None, item) if isinstance(item, str) else item for item in texts]
    empty = next((n for n, (_, text) in enumerate(pairs) if not text.strip()), None)
    if empty is not None:
        raise DataError(f"text {empty} (from 0) is empty: leave it out")
    return pairs


def _softmax(logits: Floats) -> Floats:
    import numpy as np

    raised = np.exp(logits - logits.max(axis=-1, keepdims=True)) if logits.size else logits
    shares: Floats = raised / raised.sum(axis=-1, keepdims=True)
    return shares
