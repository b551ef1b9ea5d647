"""Any cross-encoder by its id: NLI models, HHEM, MiniCheck and whatever else scores a premise against a hypothesis.

What its outputs mean is read from the model's own config and never assumed: NLI models disagree about the order of
their labels. A long premise is read in windows of whole sentences, and the window that carries the claim best counts
(as SummaC does, arXiv 2111.09525).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eval.detectors.protocol import NO_EVIDENCE, Case, Finding
from eval.evidence import Evidence
from eval.splitting import strip_markers
from groundtone.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CrossEncoderDetector", "Reading", "label_reading"]

THRESHOLD = 0.5
WINDOW_WORDS = 90  # of a premise; models of 512 tokens read it whole, and a claim rarely rests on more
_SUPPORTS = re.compile(r"\b(?:entail\w*|support\w*|consistent|faithful|grounded|yes|true)\b", re.I)
_DENIES = re.compile(r"\b(?:contradict\w*|refut\w*)\b", re.I)
_OPPOSED = re.compile(r"^(?:not|non|un|in)[ _-]?(?:\w)|hallucinat|inconsistent|unsupported|unfaithful", re.I)


@dataclass(frozen=True, slots=True)
class Reading:
    """Which output says that the premise carries the claim, and which that it denies it (None: no such output).

    A single output is a logit for "carries".
    """

    outputs: int
    supports: int
    denies: int | None


def label_reading(labels: Mapping[int, str], outputs: int, *, name: str) -> Reading:
    """How to read a model's outputs from its config's `id2label`.

    Two unnamed outputs are read as HHEM and MiniCheck publish them: 1 is "consistent". Raises ModelError where three or
    more outputs have no names that say which is entailment.
    """
    if outputs == 1:
        return Reading(1, 0, None)
    named = {number: re.sub(r"[_-]", " ", text) for number, text in labels.items()}
    supports = [n for n, text in named.items() if _SUPPORTS.search(text) and not _OPPOSED.search(text)]
    denies = [n for n, text in named.items() if _DENIES.search(text)]
    if len(supports) == 1:
        return Reading(outputs, supports[0], denies[0] if len(denies) == 1 else None)
    if outputs == 2 and not supports:
        return Reading(2, 1, None)
    raise ModelError(
        f"{name!r} has the labels {', '.join(labels.values()) or 'none'}: none of them alone says entailment "
        "or support; name them in id2label of its config.json, or choose another eval.detector"
    )


class CrossEncoderDetector:
    """A sequence classifier over (evidence, claim) pairs."""

    def __init__(self, model: Any, tokenizer: Any, reading: Reading, *, name: str, batch_size: int = 16) -> None:
        self.name = name
        self._model = model
        self._tokenizer = tokenizer
        self._reading = reading
        self._batch_size = batch_size

    @classmethod
    def load(cls, id_or_path: str, *, device: str = "auto", batch_size: int = 16) -> CrossEncoderDetector:
        """The model in evaluation mode. ModelError where it cannot be loaded or its labels cannot be read."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from groundtone.models.device import pick_device

        try:
            tokenizer = AutoTokenizer.from_pretrained(id_or_path)
            model = AutoModelForSequenceClassification.from_pretrained(id_or_path)
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError(
                f"eval.detector {id_or_path!r} could not be loaded as a cross-encoder ({reason}): write explicit, "
                "lexical, a folder, or the id of a sequence classifier"
            ) from error
        labels = {int(n): str(text) for n, text in (model.config.id2label or {}).items()}
        reading = label_reading(labels, int(model.config.num_labels), name=id_or_path)
        return cls(model.to(pick_device(device)).eval(), tokenizer, reading, name=id_or_path, batch_size=batch_size)

    def judge(self, cases: Sequence[Case]) -> list[tuple[Finding, ...]]:
        """Every claim against every window of its evidence; the best window counts, the strongest denial beside it."""
        windows = [_windows(case.evidence) for case in cases]
        pairs = [
            (text, strip_markers(claim))
            for case, own in zip(cases, windows, strict=True)
            for claim in case.claims
            for _, text in own
        ]
        scores = iter(self._score(pairs))
        return [
            tuple(self._finding(own, [next(scores) for _ in own], case.evidence) for _ in case.claims)
            for case, own in zip(cases, windows, strict=True)
        ]

    def both_ways(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether the texts of each pair entail each other: what `groundtone.models.uncertainty` takes as `same`."""
        forth = self._score(pairs)
        back = self._score([(second, first) for first, second in pairs])
        return [min(one, other) >= THRESHOLD for (one, _), (other, _) in zip(forth, back, strict=True)]

    def _finding(
        self, windows: Sequence[tuple[int, str]], scores: Sequence[tuple[float, float]], evidence: Evidence
    ) -> Finding:
        if not windows:
            return NO_EVIDENCE
        best = max(range(len(windows)), key=lambda i: (scores[i][0], -i))
        worst = max(range(len(windows)), key=lambda i: (scores[i][1], -i))
        supports, denies = scores[best][0], scores[worst][1]
        shown = worst if supports < THRESHOLD <= denies else best
        sentence, text = evidence.sentences[windows[shown][0]], windows[shown][1]
        given = {"entailment": round(supports, 4), "contradiction": round(denies, 4)}
        risk = min(1.0, max(0.0, 1 - supports))
        if supports >= THRESHOLD:
            return Finding("supported", risk, sentence.passage_id, text, (), f"entailed at {supports:.2f}", given)
        if denies >= THRESHOLD:
            why = f"contradicted at {denies:.2f}"
            return Finding("contradicted", risk, sentence.passage_id, text, (), why, given)
        return Finding("unsupported", risk, sentence.passage_id, text, (), f"entailed at {supports:.2f} only", given)

    def _score(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, float]]:
        """(supports, denies) per pair, both probabilities; longest pairs first, so that a batch pads little."""
        import torch

        order = sorted(range(len(pairs)), key=lambda n: (-len(pairs[n][0]) - len(pairs[n][1]), n))
        found: dict[int, tuple[float, float]] = {}
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            encoded = self._tokenizer(
                [pairs[n][0] for n in batch],
                [pairs[n][1] for n in batch],
                padding=True,
                truncation="longest_first",
                max_length=min(self._tokenizer.model_max_length, 4096),
                return_tensors="pt",
            ).to(self._model.device)
            with torch.inference_mode():
                logits = self._model(**encoded).logits.float().cpu().numpy()
            found.update(zip(batch, self._read(logits), strict=True))
        return [found[n] for n in range(len(pairs))]

    def _read(self, logits: NDArray[np.float32]) -> list[tuple[float, float]]:
        import numpy as np

        way = self._reading
        if way.outputs == 1:
            return [(float(p), 0.0) for p in 1 / (1 + np.exp(-logits[:, 0]))]
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = shifted / shifted.sum(axis=1, keepdims=True)
        return [(float(row[way.supports]), float(row[way.denies]) if way.denies is not None else 0.0) for row in shares]


def _windows(evidence: Evidence) -> list[tuple[int, str]]:
    """The evidence in pieces of whole sentences of one passage: the first sentence's index, and the text."""
    pieces: list[tuple[int, list[str]]] = []
    last = ""
    for index, sentence in enumerate(evidence.sentences):
        size = sum(len(part.split()) for part in pieces[-1][1]) if pieces else 0
        if not pieces or sentence.passage_id != last or size + len(sentence.text.split()) > WINDOW_WORDS:
            pieces.append((index, []))
        pieces[-1][1].append(sentence.text)
        last = sentence.passage_id
    return [(index, " ".join(parts)) for index, parts in pieces]
