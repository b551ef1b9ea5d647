from __future__ import annotations

import threading

import pytest

from groundtone.errors import ModelError
from groundtone.models.generate import LocalModel
from groundtone.models.score import log_probabilities
from groundtone.prompts import closed_book
from tests.tiny_models import FAMILIES

N = 16


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reply_does_not_depend_on_its_batch(local, prompt_list, family):
    model = local(family)
    together = model.generate(prompt_list, max_new_tokens=N)
    assert together == [model.generate([prompt], max_new_tokens=N)[0] for prompt in prompt_list]
    assert together == model.generate(prompt_list, max_new_tokens=N)
    assert len({g.text for g in together}) > 1, "the prompts must matter, or this test proves nothing"


@pytest.mark.parametrize("family", FAMILIES)
def test_pieces_join_to_the_generated_text(local, prompt_list, family):
    model = local(family)
    for prompt, whole in zip(prompt_list, model.generate(prompt_list, max_new_tokens=N), strict=True):
        pieces = list(model.stream(prompt, max_new_tokens=N))
        assert "".join(pieces) == whole.text
        assert len(pieces) > 1


def test_tokens_are_counted_and_a_stop_token_ends_the_reply(local, prompt_list, monkeypatch):
    model = local("llama")
    prompt = prompt_list[0]
    endless = model.generate([prompt], max_new_tokens=N)[0]
    assert (endless.finish, endless.reply_tokens) == ("length", N)
    assert endless.prompt_tokens == model.prompt_tokens(prompt) == len(model.format.prompt_ids(prompt))
    written = model._write([model.format.prompt_ids(prompt)], N)[0]
    stop = written[6]
    first = written.index(stop)
    monkeypatch.setattr(model.base.model.generation_config, "eos_token_id", [stop])
    ended = model.generate([prompt], max_new_tokens=N)[0]
    assert (ended.finish, ended.reply_tokens) == ("stop", first)
    assert ended.text == model.format.decode(written[:first]).strip()
    assert "".join(model.stream(prompt, max_new_tokens=N)) == ended.text


def test_a_stop_text_ends_the_reply_of_a_model_without_a_template(local, prompt_list, monkeypatch):
    model = local("plain")
    whole = model.generate(prompt_list[:1], max_new_tokens=N)[0].text
    stop = whole[5:8]
    monkeypatch.setattr(model.format, "stops", (stop,))
    cut = model.generate(prompt_list[:1], max_new_tokens=N)[0]
    assert cut.text == whole.split(stop)[0].strip()
    assert cut.finish == "stop"
    assert cut.reply_tokens < N
    assert "".join(model.stream(prompt_list[0], max_new_tokens=N)) == cut.text


def test_closing_a_stream_stops_its_writer(local, prompt_list):
    model = local("llama")
    pieces = model.stream(prompt_list[0], max_new_tokens=300)
    next(pieces)
    pieces.close()
    assert not [t for t in threading.enumerate() if t.name == "groundtone-stream" and t.is_alive()]
    assert model.generate(prompt_list[:1], max_new_tokens=2)[0].reply_tokens == 2


def test_an_error_while_writing_reaches_the_reader_of_the_stream(local, prompt_list, monkeypatch):
    model = local("llama")

    def broken(**_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model.base.model, "forward", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(model.stream(prompt_list[0], max_new_tokens=3))


def test_a_prompt_without_room_for_the_reply_is_refused_with_the_numbers(local):
    model = local("llama")
    prompt = closed_book("delivery " * 500)
    tokens = model.prompt_tokens(prompt)
    for call in (lambda: model.generate([prompt], max_new_tokens=N), lambda: model.stream(prompt, max_new_tokens=N)):
        with pytest.raises(ModelError, match=rf"{tokens} tokens and {N} .* reads 512"):
            call()


def test_an_adapter_that_is_off_leaves_the_base_bit_for_bit(local, folder, adapter, prompt_list):
    plain = local("llama")
    model = LocalModel.load(str(folder("llama")), adapter=adapter(), batch_size=3)
    tuned = model.generate(prompt_list, max_new_tokens=N)
    replies = ["It takes 3 days [1]."] * len(prompt_list)
    off = model.with_adapter(False)
    assert off.generate(prompt_list, max_new_tokens=N) == plain.generate(prompt_list, max_new_tokens=N) != tuned
    assert log_probabilities(off, prompt_list, replies) == log_probabilities(plain, prompt_list, replies)
    assert log_probabilities(model, prompt_list, replies) != log_probabilities(plain, prompt_list, replies)
    assert model.generate(prompt_list, max_new_tokens=N) == tuned, "switching back on restores the voice"
    assert off.model is model.model
    assert off.name == plain.name != model.name


def test_the_context_manager_switches_one_view_for_a_while(folder, adapter, prompt_list):
    model = LocalModel.load(str(folder("llama")), adapter=adapter())
    name, tuned = model.name, model.generate(prompt_list[:1], max_new_tokens=N)
    with model.adapter(False):
        assert model.generate(prompt_list[:1], max_new_tokens=N) != tuned
        assert model.name != name
    assert model.generate(prompt_list[:1], max_new_tokens=N) == tuned
    assert model.name == name


def test_views_used_by_several_threads_do_not_disturb_each_other(folder, adapter, prompt_list):
    tuned = LocalModel.load(str(folder("llama")), adapter=adapter(), batch_size=2)
    views = [tuned, tuned.with_adapter(False)] * 2
    alone = [view.generate(prompt_list, max_new_tokens=6) for view in views[:2]] * 2
    found: dict[int, list[str]] = {}

    def ask(n: int) -> None:
        found[n] = ["".join(views[n].stream(prompt, max_new_tokens=6)) for prompt in prompt_list]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(views))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n] for n in range(len(views))] == [[g.text for g in texts] for texts in alone]
    assert alone[0] != alone[1]


def test_no_prompts_give_no_replies(local):
    assert local("llama").generate([], max_new_tokens=3) == []
    assert log_probabilities(local("llama"), [], []) == []


def test_a_base_without_an_adapter_cannot_switch_one_on(local):
    with pytest.raises(ModelError, match="without an adapter"):
        local("llama").with_adapter(True)


def test_a_view_on_weights_in_training_switches_no_adapter(local):
    """Off would silently be whatever its owner has switched on."""
    held = local("llama")
    around = LocalModel.around(held.base, held.model)
    for strength in (0, 0.5, 1):
        with pytest.raises(ModelError, match="somebody else holds"):
            around.with_strength(strength)
    with pytest.raises(ModelError, match="somebody else holds"):
        around.with_adapter(False)
