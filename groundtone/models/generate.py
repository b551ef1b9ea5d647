"""Local causal language models: batched and streamed greedy generation, with or without a LoRA adapter.

Guarantees: the same batch gives the same text; the pieces of a stream, joined, equal `generate` of that prompt alone;
with the adapter off, or dialled to 0, the model is its base, bit for bit.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundtone.errors import ModelError, PromptTooLongError
from groundtone.models.adapter import attach, dial_problem
from groundtone.models.chat_format import ChatFormat
from groundtone.models.decoding import decoding_problem, write_all, write_by_transformers
from groundtone.models.merging import Merged, merged, without_adapter
from groundtone.models.streaming import finish_text, settled
from groundtone.models.weights import Base, load_base
from groundtone.types import Generation, Prompt


@dataclass(slots=True)
class _Loaded:
    """Weights and what belongs to them, shared by all views. The lock is held while the adapter's state matters."""

    base: Base
    model: Any  # the base, or the base inside PEFT
    format: ChatFormat
    adapter: Path | None
    borrowed: bool = False  # somebody else holds the weights and decides what is switched on
    lock: threading.RLock = field(default_factory=threading.RLock)
    merged: dict[float, Merged | None] = field(default_factory=dict)  # of the strength that was asked for last


class LocalModel:
    """A Generator on this machine's weights. Views from `with_adapter` and `with_strength` share them, at no cost.

    Prompts are sorted by length and generated `batch_size` at a time; a reply that is whole makes room for the next.
    """

    def __init__(self, loaded: _Loaded, *, batch_size: int = 16, strength: float = 0.0) -> None:
        self._loaded = loaded
        self.strength = strength  # of the adapter: 0 is the base, 1 the adapter as it was tuned
        self.batch_size = batch_size
        self.name = _name(loaded.base, loaded.adapter, strength)

    @classmethod
    def load(
        cls,
        id_or_path: str,
        *,
        adapter: Path | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batch_size: int = 16,
        allow_template_mismatch: bool = False,
    ) -> LocalModel:
        """The model, its adapter on when one is given; ModelError when either cannot be loaded or they do not fit.

        `id_or_path` is "starter", a folder or a Hugging Face id; the adapter must have been tuned on that very base
        and, unless `allow_template_mismatch`, on prompts as this version of groundtone writes them.
        """
        base = load_base(id_or_path, dtype=dtype, device=device)
        chat_format = ChatFormat(base.tokenizer)
        model = base.model
        if adapter is not None:
            model = attach(base, Path(adapter), allow_template_mismatch=allow_template_mismatch)
        loaded = _Loaded(base, model, chat_format, adapter)
        return cls(loaded, batch_size=batch_size, strength=0.0 if adapter is None else 1.0)

    @classmethod
    def around(cls, base: Base, model: Any, *, batch_size: int = 16) -> LocalModel:
        """A generator on weights that somebody else holds, as they are at every moment: a model in training.

        `model` is the base's own, or PEFT's around it; its modes are the caller's business. Its adapter cannot be
        switched or dialled: somebody is training it.
        """
        return cls(_Loaded(base, model, ChatFormat(base.tokenizer), None, borrowed=True), batch_size=batch_size)

    @property
    def base(self) -> Base:
        """The base as it was loaded."""
        return self._loaded.base

    @property
    def model(self) -> Any:
        """The transformers model, inside PEFT when there is an adapter; `active` puts it into this view's state."""
        return self._loaded.model

    @property
    def format(self) -> ChatFormat:
        """How prompts become tokens for this model."""
        return self._loaded.format

    @property
    def context_tokens(self) -> int | None:
        """How many tokens prompt and reply may have together; None: no limit is known."""
        return self.base.context_tokens

    def prompt_tokens(self, prompt: Prompt) -> int:
        """How many tokens the prompt has as the model is shown it."""
        return len(self.format.prompt_ids(prompt))

    def with_adapter(self, on: bool) -> LocalModel:
        """A view on the same weights with the adapter on or off."""
        return self.with_strength(float(on))

    def with_strength(self, strength: float) -> LocalModel:
        """A view on the same weights whose adapter has `strength` times its effect: 0 the base, 1 as it was tuned.

        Above 1 the voice is exaggerated. Raises ModelError for a negative or infinite strength, or for one between
        and beyond 0 and 1 where the adapter is more than an addition to the weights (DoRA, whole modules), and for a
        view `around` a model in training, whose state is not ours to change.
        """
        if not 0 <= strength < math.inf:
            raise ModelError(
                f"adapter strength is {strength}: give 0 (the base), 1 (as it was tuned) or a number beyond"
            )
        if self._loaded.borrowed:
            raise ModelError(
                f"model {self.name!r} stands on weights that somebody else holds: switch the adapter there, or load "
                "the model with LocalModel.load"
            )
        if strength and self._loaded.adapter is None:
            raise ModelError(f"model {self.name!r} was loaded without an adapter: load it with one to switch it on")
        if strength not in (0, 1) and self._loaded.adapter is not None:
            problem = dial_problem(self._loaded.adapter)
            if problem:
                raise ModelError(f"adapter {self._loaded.adapter} cannot run at strength {strength:g}: {problem}")
        return LocalModel(self._loaded, batch_size=self.batch_size, strength=float(strength))

    @contextmanager
    def adapter(self, on: bool) -> Iterator[LocalModel]:
        """This view with the adapter on or off for a while."""
        before, wanted = (self.strength, self.name), self.with_adapter(on)
        self.strength, self.name = wanted.strength, wanted.name
        try:
            yield self
        finally:
            self.strength, self.name = before

    @contextmanager
    def active(self, *, merging: bool = True) -> Iterator[Any]:
        """The transformers model in this view's adapter state, under the lock and without gradients.

        Unless `merging`, an adapter that is on stays beside the weights, where gradients and other adapters find it.
        """
        import torch

        with self._loaded.lock, self._dialled(merging), torch.inference_mode():
            yield self.model

    def _dialled(self, merging: bool) -> AbstractContextManager[Any]:
        """The adapter at this view's strength; off at 0, for there the base's own code path runs."""
        if self._loaded.adapter is None:
            return nullcontext()
        if self.strength and merging and dial_problem(self._loaded.adapter) is None:
            if self.strength not in self._loaded.merged:
                self._loaded.merged = {self.strength: merged(self.model, self.strength)}
            weights = self._loaded.merged[self.strength]
            if weights is not None:
                return weights.on()
        if self.strength == 1:
            return nullcontext()
        if self.strength == 0:
            return without_adapter(self.model)
        from peft.helpers import rescale_adapter_scale

        scaled: AbstractContextManager[Any] = rescale_adapter_scale(self.model, self.strength)
        return scaled

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[Generation]:
        """One greedy reply per prompt, in order; ModelError when a prompt leaves no room for `max_new_tokens`."""
        ids = [self.checked_ids(prompt, max_new_tokens) for prompt in prompts]
        order = sorted(
            range(len(ids)), key=lambda n: (-len(ids[n]), n)
        )  # longest first: memory runs out early or never
        written = self._write([ids[n] for n in order], max_new_tokens)
        replies = dict(zip(order, written, strict=True))
        return [self.generation(replies[n], prompt_tokens=len(ids[n])) for n in range(len(ids))]

    def stream(self, prompt: Prompt, *, max_new_tokens: int) -> Iterator[str]:
        """The reply in pieces, written by a thread; closing the iterator stops the writing after the current token."""
        ids = self.checked_ids(prompt, max_new_tokens)
        return settled(self._growing(ids, max_new_tokens), stops=self.format.stops)

    def _growing(self, ids: list[int], max_new_tokens: int) -> Iterator[str]:
        """Decoded prefixes of the reply, one per token."""
        tokens: queue.Queue[int | BaseException | None] = queue.Queue()
        stopped = threading.Event()

        def work() -> None:
            try:
                self._write([ids], max_new_tokens, each=tokens.put, given_up=stopped.is_set)
                tokens.put(None)
            except BaseException as error:  # handed to the reader, who raises it
                tokens.put(error)

        writer = threading.Thread(target=work, name="groundtone-stream", daemon=True)
        writer.start()
        seen: list[int] = []
        try:
            while (token := tokens.get()) is not None:
                if isinstance(token, BaseException):
                    raise token
                if token in self.stop_ids():
                    continue
                seen.append(token)
                yield self.format.decode(seen)
        finally:
            stopped.set()
            writer.join()

    def checked_ids(self, prompt: Prompt, max_new_tokens: int) -> list[int]:
        """Token ids of a prompt that leaves room for the reply; PromptTooLongError, with the numbers, for another."""
        ids = self.format.prompt_ids(prompt)
        limit = self.context_tokens
        if limit is not None and len(ids) + max_new_tokens > limit:
            raise PromptTooLongError(
                f"the prompt has {len(ids)} tokens and {max_new_tokens} are kept for the reply, but {self.name!r} "
                f"reads {limit} in all: show it fewer or shorter passages, or lower max_new_tokens"
            )
        return ids

    def stop_ids(self) -> list[int]:
        """The tokens that end a reply, sorted."""
        named = self.base.model.generation_config.eos_token_id
        several = named if isinstance(named, list) else [named]
        ids = [*several, self.base.tokenizer.eos_token_id, self.format.stop_id]
        return sorted({i for i in ids if i is not None})

    def is_whole(self, new_ids: Sequence[int], *, limit: int, stops: Collection[int]) -> bool:
        """Whether a reply ends with the last of these tokens: one of `stops`, its limit, or a stop text."""
        if len(new_ids) >= limit or new_ids[-1] in stops:
            return True
        texts = self.format.stops
        said = self.format.decode(list(new_ids)) if texts else ""
        return any(text in said for text in texts)

    def _write(
        self,
        prompts: Sequence[list[int]],
        max_new_tokens: int,
        *,
        each: Callable[[int], object] | None = None,
        given_up: Callable[[], bool] | None = None,
    ) -> list[list[int]]:
        """New token ids per prompt, up to and including the stop token; `each` is shown every token at once."""
        replies = [_Reply(self, ids, max_new_tokens, each, given_up) for ids in prompts]
        pad, device = self.base.tokenizer.pad_token_id, self.base.device
        together = decoding_problem(self.base.model) is None
        with self.active() as network:
            if together:
                write_all(network, replies, pad=pad, device=device, at_once=self.batch_size)
            else:
                for start in range(0, len(replies), self.batch_size):
                    write_by_transformers(
                        network, replies[start : start + self.batch_size], limit=max_new_tokens, pad=pad, device=device
                    )
        return [reply.new_ids for reply in replies]

    def generation(self, new_ids: list[int], *, prompt_tokens: int) -> Generation:
        """The reply that was written as `new_ids`, its stop token included where there is one."""
        stops = set(self.stop_ids())
        stopped = bool(new_ids) and new_ids[-1] in stops
        kept = new_ids[:-1] if stopped else new_ids
        text = self.format.decode(kept)
        cut = any(stop in text for stop in self.format.stops)
        finish = "stop" if stopped or cut else "length"
        return Generation(finish_text(text, stops=self.format.stops), prompt_tokens, len(kept), finish)  # type: ignore[arg-type]


class _Reply:
    """A reply that is being written; `over` also when its reader has given it up."""

    def __init__(
        self,
        local: LocalModel,
        ids: list[int],
        limit: int,
        each: Callable[[int], object] | None,
        given_up: Callable[[], bool] | None,
    ) -> None:
        self.ids = ids
        self.new_ids: list[int] = []
        self._local, self._limit, self._each, self._given_up = local, limit, each, given_up
        self._stops = frozenset(local.stop_ids())
        self._whole = False

    @property
    def over(self) -> bool:
        return self._whole or (self._given_up is not None and self._given_up())

    def add(self, token: int) -> None:
        if self.over:
            return
        self.new_ids.append(token)
        self._whole = self._local.is_whole(self.new_ids, limit=self._limit, stops=self._stops)
        if self._each is not None:
            self._each(token)


def _name(base: Base, adapter: Path | None, strength: float) -> str:
    """The base's id (a folder's last part), what the adapter is called (its folder, or its run's), and its strength."""
    title = Path(base.id).name if Path(base.id).is_dir() else base.id
    if adapter is None or strength == 0:
        return title
    dialled = "" if strength == 1 else f"@{strength:g}"
    return f"{title}+{adapter.resolve().parent.name if adapter.name == 'adapter' else adapter.name}{dialled}"
