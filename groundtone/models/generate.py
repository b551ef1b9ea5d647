"""Local causal language models: batched and streamed greedy generation, with or without a LoRA adapter.

Guarantees: the same batch gives the same text; the pieces of a stream, joined, equal `generate` of that prompt alone;
with the adapter off, or dialled to 0, the model is its base, bit for bit.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundtone.errors import ModelError, PromptTooLongError
from groundtone.models.adapter import attach, dial_problem
from groundtone.models.chat_format import ChatFormat
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
    lock: threading.RLock = field(default_factory=threading.RLock)


class LocalModel:
    """A Generator on this machine's weights. Views from `with_adapter` and `with_strength` share them, at no cost.

    Prompts are sorted by length and generated `batch_size` at a time with left padding.
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

        `model` is the base's own, or PEFT's around it; its modes are the caller's business.
        """
        return cls(_Loaded(base, model, ChatFormat(base.tokenizer), None), batch_size=batch_size)

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
        and beyond 0 and 1 where the adapter is more than an addition to the weights (DoRA, whole modules).
        """
        if not 0 <= strength < math.inf:
            raise ModelError(
                f"adapter strength is {strength}: give 0 (the base), 1 (as it was tuned) or a number beyond"
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
    def active(self) -> Iterator[Any]:
        """The transformers model in this view's adapter state, under the lock and without gradients."""
        import torch

        with self._loaded.lock, torch.inference_mode(), self._dialled():
            yield self.model

    def _dialled(self) -> AbstractContextManager[Any]:
        """The adapter at this view's strength; off at 0, for there the base's own code path runs."""
        if self._loaded.adapter is None or self.strength == 1:
            return nullcontext()
        if self.strength == 0:
            off: AbstractContextManager[Any] = self.model.disable_adapter()
            return off
        from peft.helpers import rescale_adapter_scale

        scaled: AbstractContextManager[Any] = rescale_adapter_scale(self.model, self.strength)
        return scaled

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[Generation]:
        """One greedy reply per prompt, in order; ModelError when a prompt leaves no room for `max_new_tokens`."""
        ids = [self.checked_ids(prompt, max_new_tokens) for prompt in prompts]
        order = sorted(
            range(len(ids)), key=lambda n: (-len(ids[n]), n)
        )  # longest first: memory runs out early or never
        replies: dict[int, Generation] = {}
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            written = self._write([ids[n] for n in batch], max_new_tokens, [])
            for n, new_ids in zip(batch, written, strict=True):
                replies[n] = self.generation(new_ids, prompt_tokens=len(ids[n]))
        return [replies[n] for n in range(len(ids))]

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
                self._write([ids], max_new_tokens, [_Relay(tokens, stopped)])
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

    def _write(self, prompts: Sequence[list[int]], max_new_tokens: int, criteria: list[Any]) -> list[list[int]]:
        """New token ids per prompt, up to and including the stop token; left padding, greedy."""
        import torch
        from transformers import GenerationConfig

        width = max(len(ids) for ids in prompts)
        pad = self.base.tokenizer.pad_token_id
        input_ids = torch.tensor([[pad] * (width - len(ids)) + ids for ids in prompts], device=self.base.device)
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=self.base.device)
        stops = self.stop_ids()
        if self.format.stops:
            criteria = [*criteria, _TextStops(self.format, width)]
        settings = GenerationConfig(
            max_new_tokens=max_new_tokens, do_sample=False, num_beams=1, eos_token_id=stops or None, pad_token_id=pad
        )
        with self.active() as model:
            output = model.generate(
                input_ids=input_ids, attention_mask=mask, generation_config=settings, stopping_criteria=criteria
            )
        return [_until_stop(row, stops) for row in output[:, width:].tolist()]

    def generation(self, new_ids: list[int], *, prompt_tokens: int) -> Generation:
        """The reply that was written as `new_ids`, its stop token included where there is one."""
        stops = set(self.stop_ids())
        stopped = bool(new_ids) and new_ids[-1] in stops
        kept = new_ids[:-1] if stopped else new_ids
        text = self.format.decode(kept)
        cut = any(stop in text for stop in self.format.stops)
        finish = "stop" if stopped or cut else "length"
        return Generation(finish_text(text, stops=self.format.stops), prompt_tokens, len(kept), finish)  # type: ignore[arg-type]


class _Relay:
    """A stopping criterion that passes each new token on and stops when its reader is gone."""

    def __init__(self, tokens: queue.Queue[int | BaseException | None], stopped: threading.Event) -> None:
        self._tokens = tokens
        self._stopped = stopped

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        self._tokens.put(int(input_ids[0, -1]))
        return torch.full((len(input_ids),), self._stopped.is_set(), dtype=torch.bool, device=input_ids.device)


class _TextStops:
    """A stopping criterion for templates without a stop token: a row is done when its reply holds a stop text."""

    def __init__(self, chat_format: ChatFormat, width: int) -> None:
        self._format = chat_format
        self._width = width

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        texts = [self._format.decode(row) for row in input_ids[:, self._width :].tolist()]
        done = [any(stop in text for stop in self._format.stops) for text in texts]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)


def _name(base: Base, adapter: Path | None, strength: float) -> str:
    """The base's id (a folder's last part), what the adapter is called (its folder, or its run's), and its strength."""
    title = Path(base.id).name if Path(base.id).is_dir() else base.id
    if adapter is None or strength == 0:
        return title
    dialled = "" if strength == 1 else f"@{strength:g}"
    return f"{title}+{adapter.resolve().parent.name if adapter.name == 'adapter' else adapter.name}{dialled}"


def _until_stop(ids: list[int], stops: list[int]) -> list[int]:
    """The ids up to and including the first stop token; what follows is padding."""
    first = next((n for n, i in enumerate(ids) if i in stops), None)
    return ids if first is None else ids[: first + 1]
