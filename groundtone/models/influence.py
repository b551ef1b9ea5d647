"""What an adapter's weights tie together: gradients and activations of replies, as vectors that are compared by cosine.

Two texts that push the adapter's weights the same way taught it the same thing, or were taught by it (TracIn, Pruthi et
al. 2020, arXiv:2002.08484, at the last checkpoint; LESS, arXiv:2402.04333, for LoRA). Influence, not proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from groundtone.errors import ModelError
from groundtone.models.generate import LocalModel
from groundtone.models.score import reply_spans
from groundtone.text import Span
from groundtone.types import Prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Piece", "activations", "gradients"]

DIMENSIONS = 8192  # of a projected gradient: the standard error of a cosine is about 1 / sqrt(8192), 0.011


@dataclass(frozen=True, slots=True)
class Piece:
    """A reply to a prompt, and the characters of it that count; no spans: the whole reply."""

    prompt: Prompt
    reply: str
    spans: tuple[Span, ...] = ()


def gradients(
    model: LocalModel,
    pieces: Sequence[Piece],
    *,
    dimensions: int = DIMENSIONS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """(pieces, dimensions): the gradient of each piece's log-probability by the adapter's weights, projected, length 1.

    Projected by a count sketch (Charikar et al. 2002, doi:10.1007/3-540-45465-9_59), which keeps inner products in
    expectation; the same seed, the same projection. A piece without tokens, or whose gradient is not finite, is a row
    of zeros. Raises ModelError for a view whose adapter is off or absent.
    """
    import numpy as np
    import torch

    found = np.zeros((len(pieces), dimensions), dtype=np.float32)
    with _learning(model) as (network, weights):
        sketch = _Sketch([p.numel() for p in weights], dimensions, seed, device=weights[0].device)
        for n, piece in enumerate(pieces):
            chosen = _chosen_log_probability(network, model, piece)
            if chosen is not None:
                made = torch.autograd.grad(chosen, weights, allow_unused=True)
                found[n] = _unit(sketch.of(made))
            if progress is not None:
                progress(n + 1, len(pieces))
    return found


def activations(model: LocalModel, pieces: Sequence[Piece]) -> NDArray[np.float32]:
    """(pieces, width): the mean of the last layer's states that predict a piece's tokens, length 1; zeros for none."""
    import numpy as np
    import torch

    rows: list[NDArray[np.float32]] = []
    with model.active() as network:
        width = network.config.get_text_config().hidden_size
        for piece in pieces:
            ids, places = _places(model, piece)
            if not places:
                rows.append(np.zeros(width, dtype=np.float32))
                continue
            states = network(
                input_ids=torch.tensor([ids], device=model.base.device),
                use_cache=False,
                output_hidden_states=True,
                logits_to_keep=1,
            ).hidden_states[-1][0]
            rows.append(_unit(states[[place - 1 for place in places]].float().mean(dim=0)))
    return np.stack(rows) if rows else np.zeros((0, width), dtype=np.float32)


@contextmanager
def _learning(model: LocalModel) -> Iterator[tuple[Any, list[Any]]]:
    """The network with gradients for its adapter's weights alone, and these; as it was afterwards."""
    import torch

    with model.active(merging=False) as network, torch.inference_mode(False), torch.enable_grad():
        weights = [p for name, p in network.named_parameters() if "lora_" in name and p.is_floating_point()]
        if not weights or model.strength == 0:
            raise ModelError(f"model {model.name!r} has no adapter switched on: gradients by its weights need one")
        before = [p.requires_grad for p in weights]
        for p in weights:
            p.requires_grad_(True)
        try:
            yield network, weights
        finally:
            for p, was in zip(weights, before, strict=True):
                p.requires_grad_(was)


def _places(model: LocalModel, piece: Piece) -> tuple[list[int], list[int]]:
    """All tokens of prompt and reply, and the places of those that count; the stop token never does."""
    before = model.format.prompt_ids(piece.prompt)
    after = model.format.completion_ids(piece.prompt, piece.reply)
    wanted = piece.spans or ((0, len(piece.reply)),)
    spans = reply_spans(model.format, piece.prompt, piece.reply)
    places = [n for n, (a, b) in enumerate(spans) if any(a < end and start < b for start, end in wanted)]
    return [*before, *after], [len(before) + n for n in places]


def _chosen_log_probability(network: Any, model: LocalModel, piece: Piece) -> Any:
    """The summed log-probability of the piece's tokens as a tensor with a graph; None where it has no tokens."""
    import torch

    ids, places = _places(model, piece)
    limit = model.context_tokens
    if not places or (limit is not None and len(ids) > limit):
        return None
    rows = torch.tensor([ids], device=model.base.device)
    logits = network(input_ids=rows, use_cache=False).logits[0]
    at = torch.tensor(places, device=rows.device)
    chosen = torch.log_softmax(logits[at - 1].float(), dim=-1).gather(-1, rows[0][at][:, None])
    return chosen.sum()


class _Sketch:
    """A count sketch: every weight is added, with a random sign, to one random coordinate."""

    def __init__(self, sizes: Sequence[int], dimensions: int, seed: int, *, device: Any) -> None:
        import torch

        generator = torch.Generator().manual_seed(seed)
        self._dimensions = dimensions
        self._where = [torch.randint(dimensions, (n,), generator=generator).to(device) for n in sizes]
        self._signs = [(torch.randint(2, (n,), generator=generator) * 2 - 1).to(device) for n in sizes]

    def of(self, parts: Sequence[Any]) -> Any:
        import torch

        total = torch.zeros(self._dimensions, device=self._where[0].device)
        for part, where, signs in zip(parts, self._where, self._signs, strict=True):
            if part is not None:
                total.index_add_(0, where, part.float().reshape(-1) * signs)
        return total


def _unit(vector: Any) -> Any:
    """The vector at length 1 as a numpy array; zeros where it is zero or not finite."""
    import numpy as np

    plain = vector.detach().cpu().numpy().astype(np.float32)
    length = float(np.linalg.norm(plain))
    return plain / length if np.isfinite(length) and length > 0 else np.zeros_like(plain)
