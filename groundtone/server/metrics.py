"""Figures for Prometheus, in a registry of the application's own, so that two applications do not share counts."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """What the server counts. Labels take known values only, so that clients cannot make series at will."""

    def __init__(self, *, inside: Callable[[], float], rows: Callable[[], float]) -> None:
        """`inside` tells how many requests are in work or wait, `rows` how many replies are being written."""
        self._registry = CollectorRegistry()
        own = self._registry
        self.requests = Counter("groundtone_requests", "Requests answered.", ("endpoint", "status"), registry=own)
        self.replies = Counter("groundtone_replies", "Replies and how they ended.", ("model", "end"), registry=own)
        self.tokens = Counter("groundtone_tokens", "Tokens read and written.", ("model", "kind"), registry=own)
        first, whole = "Until a reply's first piece.", "Until a reply was whole."
        self.first_s = Histogram("groundtone_first_token_seconds", first, buckets=_SECONDS, registry=own)
        self.whole_s = Histogram("groundtone_reply_seconds", whole, buckets=_SECONDS, registry=own)
        Gauge("groundtone_requests_inside", "Requests in work or waiting.", registry=own).set_function(inside)
        Gauge("groundtone_batch_rows", "Replies that are being written together.", registry=own).set_function(rows)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def replied(self, model: str, *, prompt_tokens: int | None, reply_tokens: int | None, end: str) -> None:
        """Count one reply; tokens that nobody counted are left out."""
        self.replies.labels(model, end).inc()
        for kind, count in (("prompt", prompt_tokens), ("reply", reply_tokens)):
            if count:
                self.tokens.labels(model, kind).inc(count)
