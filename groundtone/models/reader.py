"""The reader: points at the words of a passage that answer a question, or says that none do.

A sentence encoder with a merged LoRA adapter and a two-column head, made by `tuning.span`. It runs in the encoders' own
engines: in numpy for a question from cold, in torch for many. Scores are comparable between passages: each is the
log-odds of the best span against "no answer" (position 0) in that passage.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from groundtone.errors import IntegrityError, ModelError
from groundtone.models.adapter import read_card
from groundtone.models.device import pick_device
from groundtone.models.encoders import MINILM, known_folder
from groundtone.models.encoders.folder import EncoderFolder
from groundtone.models.encoders.folder_encoder import cut
from groundtone.models.span_format import MAX_TOKENS, SPAN_FORMAT_VERSION, Shown, SpanFormat
from groundtone.models.weights import weights_sha256
from groundtone.text import Span, sentence_spans

BUNDLED = "minilm"
FEW_TOKENS = 2048  # in a call that numpy reads while torch is not imported: sooner done than importing
_LONGEST_SPAN = 48  # tokens
_BATCH_TOKENS = 4096
TENSORS = "adapter_model.safetensors"
_PREFIX = "base_model.model."

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class InSentence:
    """The best span inside one sentence of a passage, both in its characters, and its log-odds."""

    sentence: Span
    answer: Span
    score: float


@dataclass(frozen=True, slots=True)
class Reading:
    """The best span of one passage, in its characters, and its log-odds against "no answer" there.

    `sentences` says the same of each sentence alone, in reading order.
    """

    start: int
    end: int
    text: str
    score: float
    sentences: tuple[InSentence, ...] = ()


class _Engine(Protocol):
    def states(self, batch: Sequence[list[int]]) -> list[Floats]:
        """For each text, sorted by length, its last hidden states (tokens, dim)."""
        ...


def bundled_reader() -> Path:
    """The folder of the reader that comes along: an adapter for all-MiniLM-L6-v2, with its licence."""
    return Path(__file__).resolve().parent / "minilm_reader"


class Reader:
    """Reads passages. Holds the merged weights, once an engine is needed."""

    def __init__(
        self,
        folder: EncoderFolder,
        *,
        updates: dict[str, Floats],
        head: tuple[Floats, Floats],
        span_format: SpanFormat,
        device: str = "auto",
    ) -> None:
        self._folder = folder
        self._updates = updates
        self._head = head  # weight (2, dim) and bias (2,)
        self._format = span_format
        self._device = device
        self._numpy: _Engine | None = None
        self._torch: _Engine | None = None

    @classmethod
    def load(cls, adapter: Path, *, base: str = MINILM, device: str = "auto") -> Reader:
        """The reader whose adapter lies in the folder `adapter`. Raises ModelError when it does not fit the base."""
        from tokenizers import Tokenizer

        folder = known_folder(base)
        if folder is None or not folder.plain_bert:
            raise ModelError(
                f"reader base {base!r} is not on this machine as a plain BERT encoder: install "
                "'groundtone[offline]', or set assistant.reader to null"
            )
        card = read_card(adapter)
        if card is None or card.template != SPAN_FORMAT_VERSION:
            raise ModelError(
                f"{adapter} holds no reader of format {SPAN_FORMAT_VERSION} (it says "
                f"{card.template if card else 'nothing'}): tune one with tuning.method span"
            )
        if card.base_sha256 != weights_sha256(folder.path):
            raise ModelError(f"reader {adapter} was tuned on {card.base!r}, not on the weights in {folder.path}")
        updates, head = _read_adapter(adapter)
        window = json.loads((folder.path / "config.json").read_text(encoding="utf-8"))["max_position_embeddings"]
        span_format = SpanFormat(
            Tokenizer.from_file(str(folder.path / "tokenizer.json")), max_tokens=min(MAX_TOKENS, int(window))
        )
        return cls(folder, updates=updates, head=head, span_format=span_format, device=device)

    def read(self, question: str, passages: Sequence[tuple[str, str]]) -> list[Reading]:
        """For each (heading, passage) the best span, in order."""
        return self.read_many([(question, heading, text) for heading, text in passages])

    def read_many(self, rows: Sequence[tuple[str, str, str]]) -> list[Reading]:
        """For each (question, heading, passage) the best span, in order; an empty passage has an empty span."""
        shown = self._format.show([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])
        engine = self._engine_for(sum(len(row.ids) for row in shown))
        order = sorted(range(len(rows)), key=lambda i: len(shown[i].ids))
        found: dict[int, Reading] = {}
        for start, end in cut([len(shown[i].ids) for i in order], budget=_BATCH_TOKENS):
            batch = order[start:end]
            for i, states in zip(batch, engine.states([shown[i].ids for i in batch]), strict=True):
                logits = states @ self._head[0].T + self._head[1]
                found[i] = _best(shown[i], logits[:, 0], logits[:, 1], rows[i][2])
        return [found[i] for i in range(len(rows))]

    def _engine_for(self, tokens: int) -> _Engine:
        if self._torch is None and (
            "torch" in sys.modules or tokens > FEW_TOKENS or self._device not in ("auto", "cpu")
        ):
            from groundtone.models.encoders.bert_torch import TorchBert

            self._torch = TorchBert(self._folder, device=pick_device(self._device), updates=self._updates)
            self._numpy = None
        if self._torch is not None:
            return self._torch
        if self._numpy is None:
            from groundtone.models.encoders.bert_numpy import NumpyBert

            self._numpy = NumpyBert(self._folder, updates=self._updates)
        return self._numpy


def _read_adapter(folder: Path) -> tuple[dict[str, Floats], tuple[Floats, Floats]]:
    """PEFT's two files as additions to the encoder's matrices, B A alpha / rank, and the head's weight and bias."""
    from safetensors.numpy import load_file

    try:
        settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        stored = {key.removeprefix(_PREFIX): value for key, value in load_file(folder / TENSORS).items()}
        if settings.get("use_dora"):
            raise ModelError(
                f"reader {folder} is a DoRA, which is no addition to the weights: tune it as another variant"
            )
        rank = settings["r"]  # rsLoRA divides by its root (arXiv:2312.03732)
        scale = np.float32(settings["lora_alpha"] / (rank**0.5 if settings.get("use_rslora") else rank))
        head = (_wide(stored["qa_outputs.weight"]), _wide(stored["qa_outputs.bias"]))
        updates = {}
        for key, down in stored.items():
            if key.endswith(".lora_A.weight"):
                name = key.removesuffix(".lora_A.weight")
                up = _wide(stored[f"{name}.lora_B.weight"])
                updates[f"{name.removeprefix('bert.')}.weight"] = scale * (up @ _wide(down))
    except (OSError, ValueError, KeyError) as error:
        raise IntegrityError(f"reader {folder} cannot be read ({error}): tune it again") from error
    return updates, head


def _wide(stored: NDArray[np.generic]) -> Floats:
    return np.asarray(stored, dtype=np.float32)


def _best(shown: Shown, start: Floats, end: Floats, passage: str) -> Reading:
    """The span with the highest sum of logits, at most `_LONGEST_SPAN` tokens long; over all, and per sentence."""
    inside = [i for i, span in enumerate(shown.offsets) if span]
    if not inside:
        return Reading(0, 0, "", float("-inf"))
    first, last = inside[0], inside[-1] + 1
    reach = np.arange(last - first)[None, :] - np.arange(last - first)[:, None]  # tokens from start to end
    pairs = start[first:last, None] + end[None, first:last] - (start[0] + end[0])
    pairs = np.where((reach >= 0) & (reach < _LONGEST_SPAN), pairs, -np.inf)
    spans = [shown.offsets[i] or (0, 0) for i in range(first, last)]
    opens, closes, score = _highest(pairs, spans)
    sentences = []
    for a, b in sentence_spans(passage):
        rows = [i for i, span in enumerate(spans) if a <= span[0] and span[1] <= b]
        if rows:
            part = slice(rows[0], rows[-1] + 1)
            low, high, odds = _highest(pairs[part, part], spans[part])
            sentences.append(InSentence((a, b), (low, high), odds))
    return Reading(opens, closes, passage[opens:closes], score, tuple(sentences))


def _highest(pairs: Floats, spans: Sequence[Span]) -> tuple[int, int, float]:
    """First and last character of the best pair of tokens, and its score."""
    at = int(pairs.argmax())
    size = len(spans)
    return spans[at // size][0], spans[at % size][1], float(pairs.flat[at])
