"""Requests that join and leave a running batch: each gets the reply that it would get alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from groundtone.errors import ModelError, PromptTooLongError
from groundtone.models.batching import BatchingEngine
from groundtone.models.generate import LocalModel
from groundtone.models.tickets import StoppedError
from groundtone.prompts import closed_book
from groundtone.types import Prompt
from tests.tiny_models import FAMILIES, save_tiny

N = 16
Local = Callable[[str], LocalModel]


@pytest.fixture
def engine_of() -> Iterator[Callable[..., BatchingEngine]]:
    """Starts engines and closes them after the test."""
    made: list[BatchingEngine] = []

    def start(local: LocalModel, **given: int) -> BatchingEngine:
        made.append(BatchingEngine(local, **given))
        return made[-1]

    yield start
    for engine in made:
        engine.close()


def drop_at_once(engine: BatchingEngine, prompts: list[Prompt], limits: list[int]) -> list[str]:
    """The joined pieces of streams that are read by a thread each."""
    texts = [""] * len(prompts)

    def read(n: int) -> None:
        texts[n] = "".join(engine.view().stream(prompts[n], max_new_tokens=limits[n]))

    threads = [threading.Thread(target=read, args=(n,)) for n in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return texts


@pytest.mark.parametrize("family", FAMILIES)
def test_replies_of_a_shared_batch_are_those_of_each_prompt_alone(
    family: str, local: Local, prompt_list: list[Prompt], engine_of: Callable[..., BatchingEngine]
) -> None:
    model = local(family)
    prompts = prompt_list * 2
    limits = [N, 3, N, 7, 1, 5, N, 2, 9, N]  # they leave at different times, and others take their rows
    alone = [model.generate([p], max_new_tokens=n)[0] for p, n in zip(prompts, limits, strict=True)]
    engine = engine_of(model, rows=3, prefill_tokens=64)
    tickets = [engine.submit(p, max_new_tokens=n) for p, n in zip(prompts, limits, strict=True)]
    assert [ticket.result() for ticket in tickets] == alone
    assert drop_at_once(engine, prompts, limits) == [generation.text for generation in alone]
    assert (engine.running, engine.waiting) == (0, 0)


def test_a_stop_token_and_a_stop_text_end_a_row_and_not_its_neighbours(
    local: Local, prompt_list: list[Prompt], engine_of: Callable[..., BatchingEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = local("plain")
    whole = model.generate(prompt_list[:1], max_new_tokens=N)[0].text
    monkeypatch.setattr(model.format, "stops", (whole[5:8],))
    alone = model.generate(prompt_list, max_new_tokens=N)
    assert {g.finish for g in alone} == {"stop", "length"}
    assert engine_of(model).view().generate(prompt_list, max_new_tokens=N) == alone


def test_adapters_of_one_base_share_a_batch_row_by_row(
    folder: Callable[[str], Path],
    adapter: Callable[..., Path],
    prompt_list: list[Prompt],
    engine_of: Callable[..., BatchingEngine],
) -> None:
    first = adapter()
    tuned = LocalModel.load(str(folder("llama")), adapter=first)
    engine = engine_of(LocalModel.load(str(folder("llama"))), rows=4)
    engine.attach("one", first)
    engine.attach("two", adapter())
    views = {None: tuned.with_adapter(False), "one": tuned, "two": tuned}
    asked = [(prompt, name) for prompt in prompt_list for name in views]
    tickets = [engine.submit(prompt, max_new_tokens=N, adapter=name) for prompt, name in asked]
    expected = [views[name].generate([prompt], max_new_tokens=N)[0] for prompt, name in asked]
    assert [ticket.result() for ticket in tickets] == expected
    assert expected[0] != expected[1], "the adapter must matter, or this test proves nothing"


def test_an_adapter_that_is_detached_finishes_its_replies_and_answers_no_new_ones(
    folder: Callable[[str], Path],
    adapter: Callable[..., Path],
    prompt_list: list[Prompt],
    engine_of: Callable[..., BatchingEngine],
) -> None:
    engine = engine_of(LocalModel.load(str(folder("llama"))), rows=2)
    path = adapter()
    engine.attach("voice", path)
    alone = engine.view("voice").generate(prompt_list[:1], max_new_tokens=40)
    running = engine.submit(prompt_list[0], max_new_tokens=40, adapter="voice")
    engine.detach("voice")
    with pytest.raises(ModelError, match="'voice' is not loaded"):
        engine.submit(prompt_list[0], max_new_tokens=2, adapter="voice")
    assert running.result() == alone[0]
    engine.attach("voice", path)
    assert engine.view("voice").generate(prompt_list[:1], max_new_tokens=40) == alone


def test_the_base_and_new_adapters_answer_after_the_last_adapter_is_gone(
    folder: Callable[[str], Path],
    adapter: Callable[..., Path],
    prompt_list: list[Prompt],
    engine_of: Callable[..., BatchingEngine],
) -> None:
    path = adapter()
    model = LocalModel.load(str(folder("llama")))
    base = model.generate(prompt_list, max_new_tokens=N)
    tuned = LocalModel.load(str(folder("llama")), adapter=path).generate(prompt_list, max_new_tokens=N)
    engine = engine_of(model, rows=2)
    for name in ("one", "two"):
        engine.attach(name, path)
        assert engine.view(name).generate(prompt_list, max_new_tokens=N) == tuned
        engine.detach(name)
        assert engine.view().generate(prompt_list, max_new_tokens=N) == base
        assert engine.adapters == ()


def test_a_cancelled_reply_frees_its_row_and_tells_its_reader(
    local: Local, prompt_list: list[Prompt], engine_of: Callable[..., BatchingEngine]
) -> None:
    model = local("llama")
    engine = engine_of(model, rows=1)
    endless = engine.submit(prompt_list[0], max_new_tokens=300)
    pieces = endless.pieces()
    next(pieces)
    endless.cancel()
    with pytest.raises(StoppedError, match="cancelled"):
        list(pieces)
    assert engine.view().generate(prompt_list[:1], max_new_tokens=2) == model.generate(
        prompt_list[:1], max_new_tokens=2
    )
    closed = engine.view().stream(prompt_list[0], max_new_tokens=300)
    next(closed)
    closed.close()  # type: ignore[attr-defined]
    engine.view().generate(prompt_list[:1], max_new_tokens=1)
    assert engine.running == 0


def test_a_prompt_without_room_is_refused_with_the_numbers_and_disturbs_nobody(
    local: Local, engine_of: Callable[..., BatchingEngine]
) -> None:
    engine = engine_of(local("llama"))
    with pytest.raises(PromptTooLongError, match=r"tokens and 16 .* reads 512"):
        engine.submit(closed_book("delivery " * 500), max_new_tokens=N)
    assert engine.waiting == 0


def test_a_failing_step_fails_its_replies_and_the_next_one_is_written(
    local: Local,
    prompt_list: list[Prompt],
    engine_of: Callable[..., BatchingEngine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = local("llama")
    engine = engine_of(model)

    def broken(**_: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_model", broken)
        with pytest.raises(ModelError, match="out of memory"):
            engine.submit(prompt_list[0], max_new_tokens=3).result()
    assert engine.view().generate(prompt_list[:1], max_new_tokens=3) == model.generate(
        prompt_list[:1], max_new_tokens=3
    )


def test_closing_the_engine_tells_whoever_waits(local: Local, prompt_list: list[Prompt]) -> None:
    engine = BatchingEngine(local("llama"), rows=1)
    tickets = [engine.submit(prompt_list[0], max_new_tokens=400) for _ in range(3)]
    engine.close()
    for ticket in tickets:
        with pytest.raises(StoppedError):
            list(ticket.pieces())
    with pytest.raises(StoppedError, match="closed"):
        engine.submit(prompt_list[0], max_new_tokens=1)


def test_an_adapter_that_does_not_fit_leaves_the_engine_as_it_was(
    folder: Callable[[str], Path],
    adapter: Callable[..., Path],
    local: Local,
    prompt_list: list[Prompt],
    engine_of: Callable[..., BatchingEngine],
    tmp_path: Path,
) -> None:
    foreign = adapter("llama", with_card=False)
    wide = LocalModel.load(str(save_tiny("llama", tmp_path / "wide", width=48)))
    expected = wide.generate(prompt_list, max_new_tokens=N)
    engine = engine_of(wide)
    for _ in range(2):
        with pytest.raises(ModelError, match="does not fit"):
            engine.attach("foreign", foreign)
    assert engine.view().generate(prompt_list, max_new_tokens=N) == expected
    assert engine.adapters == ()
