"""Metrics: each takes a question and its answer and gives a Score with the reason. The table below is all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from eval.metrics.citations import citation_precision, citation_recall
from eval.metrics.correctness import MAX_WORDS, complete, content_f1, correct, follows_change
from eval.metrics.cost import latency_s, prompt_tokens, reply_tokens
from eval.metrics.format import house_format
from eval.metrics.hallucination import hallucination
from eval.metrics.refusals import refused_right, refused_wrong
from eval.metrics.restyled import restyled
from eval.metrics.retrieval import recall_at, reciprocal_rank
from eval.metrics.tone import ToneBands, tone
from eval.style import Style
from groundtone.types import Answer, Question, Score

__all__ = ["LOWER_IS_BETTER", "METRICS", "RETRIEVAL_METRICS", "UNBOUNDED", "Metric", "house_metrics"]

Metric = Callable[[Question, Answer], Score]

METRICS = (
    "hallucination",
    "correct",
    "complete",
    "content_f1",
    "refused_right",
    "refused_wrong",
    "citation_precision",
    "citation_recall",
    "tone",
    "format",
    "follows_change",
    "restyled",
    "reply_tokens",
    "prompt_tokens",
    "latency_s",
)
RETRIEVAL_METRICS = ("recall@1", "recall@5", "mrr")
LOWER_IS_BETTER = frozenset(("hallucination", "refused_wrong", "reply_tokens", "prompt_tokens", "latency_s"))
UNBOUNDED = frozenset(("reply_tokens", "prompt_tokens", "latency_s"))


def house_metrics(style: Style, bands: ToneBands | None, *, max_words: int = MAX_WORDS) -> dict[str, Metric]:
    """Every metric by name; without tone bands, tone is left out and so shows as not measured."""
    metrics: dict[str, Metric] = {
        "hallucination": hallucination,
        "correct": partial(correct, max_words=max_words),
        "complete": complete,
        "content_f1": content_f1(style.boilerplate),
        "refused_right": refused_right,
        "refused_wrong": refused_wrong,
        "citation_precision": citation_precision,
        "citation_recall": citation_recall,
        "format": house_format(style),
        "follows_change": partial(follows_change, max_words=max_words),
        "restyled": restyled,
        "reply_tokens": reply_tokens,
        "prompt_tokens": prompt_tokens,
        "latency_s": latency_s,
        "recall@1": recall_at(1),
        "recall@5": recall_at(5),
        "mrr": reciprocal_rank,
    }
    if bands is not None:
        metrics["tone"] = tone(bands)
    return metrics
