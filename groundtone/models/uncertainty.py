"""How sure a local model was of a reply: token log-probabilities, predictive and semantic entropy, self-consistency.

None of these says whether a reply is true. A value that cannot be had (a NaN from half precision, no samples) is None
with its reason, never 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from groundtone.errors import ModelError
from groundtone.models.generate import LocalModel
from groundtone.models.score import log_probabilities
from groundtone.text import content_words
from groundtone.types import Prompt, Score
from groundtone.values import find_values, missing_values

__all__ = ["Same", "Uncertainty", "meaning_clusters", "mutual_containment", "sample_replies", "uncertainty"]

Same = Callable[[Sequence[tuple[str, str]]], Sequence[bool]]
OVERLAP = 0.7  # share of either text's content words that the other must hold to say the same


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """The signals of one reply; see `uncertainty`. `clusters` numbers the meaning of each sample, from 0."""

    mean_log_probability: Score
    least_log_probability: Score
    predictive_entropy: Score
    semantic_entropy: Score
    self_consistency: Score
    samples: tuple[str, ...] = ()
    clusters: tuple[int, ...] = ()


def uncertainty(
    model: LocalModel,
    prompts: Sequence[Prompt],
    replies: Sequence[str],
    *,
    samples: int = 5,
    max_new_tokens: int = 96,
    temperature: float = 1.0,
    seed: int = 0,
    same: Same | None = None,
) -> list[Uncertainty]:
    """The signals of each reply, in nats where they are entropies; all of a call is batched.

    mean and least log-probability: over the reply's tokens given the prompt, the stop token included.
    predictive_entropy: minus the mean log-probability per token of sampled replies (length-normalised Monte Carlo,
        Malinin and Gales, arXiv 2002.07650).
    semantic_entropy: entropy of the shares of meanings among the samples (the discrete form of Farquhar et al. 2024,
        doi:10.1038/s41586-024-07421-0), 0 to ln(samples).
    self_consistency: the share of samples that say the same as the reply (as in SelfCheckGPT, arXiv 2303.08896).

    `same` decides which pairs of texts say the same (an NLI model both ways, say); None is `mutual_containment`. With
    `samples` 0 only the log-probabilities are taken. Raises ModelError for a row beyond the model's context.
    """
    given = log_probabilities(model, prompts, replies)
    drawn = sample_replies(
        model, prompts, samples=samples, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed
    )
    spread = log_probabilities(
        model,
        [prompt for prompt, texts in zip(prompts, drawn, strict=True) for _ in texts],
        [text for texts in drawn for text in texts],
    )
    alike = same or _pairwise(mutual_containment)
    rows = []
    for number, (reply, texts) in enumerate(zip(replies, drawn, strict=True)):
        own = spread[number * samples : (number + 1) * samples]
        clusters = meaning_clusters(texts, same=alike)
        rows.append(
            Uncertainty(
                _over(given[number], fmean),
                _over(given[number], min),
                _entropy_of(own),
                _semantic_entropy(clusters),
                _consistency(reply, texts, alike),
                tuple(texts),
                tuple(clusters),
            )
        )
    return rows


def sample_replies(
    model: LocalModel,
    prompts: Sequence[Prompt],
    *,
    samples: int,
    max_new_tokens: int = 96,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[list[str]]:
    """`samples` replies per prompt, drawn from the model's whole distribution; the same seed and batch, the same texts.

    The process's own random state is left as it was. Raises ModelError for a temperature that is not above 0.
    """
    if samples < 0 or not 0 < temperature < math.inf:
        raise ModelError(f"samples={samples} at temperature {temperature}: give 0 or more at a temperature above 0")
    import torch
    from transformers import GenerationConfig

    ids = [model.checked_ids(prompt, max_new_tokens) for prompt in prompts for _ in range(samples)]
    stops, pad = model.stop_ids(), model.base.tokenizer.pad_token_id
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        eos_token_id=stops or None,
        pad_token_id=pad,
    )
    texts: list[str] = []
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        for start in range(0, len(ids), model.batch_size):
            batch = ids[start : start + model.batch_size]
            width = max(len(row) for row in batch)
            rows = torch.tensor([[pad] * (width - len(row)) + row for row in batch], device=model.base.device)
            mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in batch], device=model.base.device)
            with model.active() as network:
                output = network.generate(input_ids=rows, attention_mask=mask, generation_config=settings)
            for row, new in zip(batch, output[:, width:].tolist(), strict=True):
                kept = next((new[: n + 1] for n, token in enumerate(new) if token in stops), new)
                texts.append(model.generation(kept, prompt_tokens=len(row)).text)
    return [texts[n * samples : (n + 1) * samples] for n in range(len(prompts))]


def mutual_containment(a: str, b: str) -> bool:
    """Whether two texts say the same: equal values, and each holds most of the other's content words."""
    first, second = find_values(a), find_values(b)
    if missing_values(first, second) or missing_values(second, first):
        return False
    left, right = set(content_words(a)), set(content_words(b))
    if not left or not right:
        return left == right
    common = len(left & right)
    return common >= OVERLAP * len(left) and common >= OVERLAP * len(right)


def meaning_clusters(texts: Sequence[str], *, same: Same) -> list[int]:
    """A cluster number per text, from 0 in order of appearance: a text joins the first cluster whose first text says
    the same (the greedy grouping of Kuhn et al., arXiv 2302.09664)."""
    firsts: list[str] = []
    numbers: list[int] = []
    for text in texts:
        alike = same([(text, first) for first in firsts]) if firsts else []
        number = next((n for n, equal in enumerate(alike) if equal), len(firsts))
        if number == len(firsts):
            firsts.append(text)
        numbers.append(number)
    return numbers


def _pairwise(judge: Callable[[str, str], bool]) -> Same:
    return lambda pairs: [judge(a, b) for a, b in pairs]


def _over(values: Sequence[float], of: Callable[[Sequence[float]], float]) -> Score:
    """A statistic of log-probabilities; None where one of them is no number, for what is left would look surer."""
    broken = sum(not math.isfinite(value) for value in values)
    if broken:
        return Score(None, f"{broken} of {len(values)} log-probabilities are not finite: try model.dtype float32")
    if not values:
        return Score(None, "no tokens")
    return Score(float(of(values)))


def _entropy_of(rows: Sequence[Sequence[float]]) -> Score:
    """Over the samples whose log-probabilities are finite; how many are not is said."""
    if not rows:
        return Score(None, "no samples were drawn")
    kept = [fmean(row) for row in rows if row and all(math.isfinite(value) for value in row)]
    lost = len(rows) - len(kept)
    if not kept:
        return Score(None, "no sample has finite log-probabilities: try model.dtype float32")
    return Score(-fmean(kept), f"{lost} of {len(rows)} samples left out: log-probabilities not finite" if lost else "")


def _semantic_entropy(clusters: Sequence[int]) -> Score:
    if not clusters:
        return Score(None, "no samples were drawn")
    shares = [count / len(clusters) for count in Counter(clusters).values()]
    return Score(max(0.0, -sum(share * math.log(share) for share in shares)))


def _consistency(reply: str, texts: Sequence[str], same: Same) -> Score:
    if not texts:
        return Score(None, "no samples were drawn")
    return Score(fmean(float(equal) for equal in same([(text, reply) for text in texts])))
