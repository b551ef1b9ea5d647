from __future__ import annotations

from hashlib import sha256

import pytest

from groundtone.errors import ModelError
from groundtone.models.chat_format import ChatFormat
from groundtone.prompts import GROUNDED
from groundtone.types import Prompt
from tests.tiny_models import FAMILIES, tiny_tokenizer

REPLY = "Ahoy! Zürich café takes 3 days [1]."


@pytest.mark.parametrize("family", FAMILIES)
def test_prompt_and_completion_are_the_templates_own_conversation(local, prompt_list, family):
    chat_format = local(family).format
    for prompt in prompt_list:
        ids = chat_format.prompt_ids(prompt) + chat_format.completion_ids(prompt, REPLY)
        shown = chat_format.decode(ids, keep_specials=True)
        assert shown.startswith(chat_format.text(prompt))
        whole = chat_format._render(chat_format._messages(prompt), reply=REPLY)
        assert whole.startswith(shown)
        assert not whole[len(shown) :].strip(), "only white space may follow the stop token"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_completion_ends_with_the_stop_token_and_holds_it_once(local, prompt_list, family):
    chat_format = local(family).format
    stop = local(family).base.tokenizer.convert_tokens_to_ids(FAMILIES[family][4])
    assert chat_format.stop_id == stop
    ids = chat_format.completion_ids(prompt_list[0], REPLY)
    assert ids[-1] == stop
    assert ids.count(stop) == 1
    assert chat_format.decode(ids).strip() == REPLY


@pytest.mark.parametrize("family", FAMILIES)
def test_the_system_message_is_shown_by_every_family(local, prompt_list, family):
    text = local(family).format.text(prompt_list[0])
    assert text.count(GROUNDED.splitlines()[0]) == 1
    assert text.index(GROUNDED) < text.index("Question:")


def test_outer_white_space_of_a_reply_is_not_trained(local, prompt_list):
    chat_format = local("llama").format
    assert chat_format.completion_ids(prompt_list[0], f"  {REPLY}\n") == chat_format.completion_ids(
        prompt_list[0], REPLY
    )


def test_tokens_that_would_merge_across_the_border_leave_the_prompt_as_served():
    tokenizer = tiny_tokenizer("plain")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'] }}{{ eos_token if m['role'] == 'assistant' }}{% endfor %}"
    )
    chat_format = ChatFormat(tokenizer)
    prompt = Prompt(({"role": "user", "content": "standard deli"},), "q")
    joint = tokenizer("standard delivery takes</s>", add_special_tokens=False)["input_ids"]
    before, after = chat_format.prompt_ids(prompt), chat_format.completion_ids(prompt, "very takes")
    assert joint[: len(before)] != before, "the example must merge"
    assert chat_format.decode(before + after) == "standard delivery takes"


def test_a_template_that_prints_the_date_prints_the_same_one_on_every_day(prompt_list):
    tokenizer = tiny_tokenizer("llama")
    dated = (
        "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
        "{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}{%- endif %}Today Date: {{ date_string }} "
        "{% macro iso() %}{{ strftime_now('%Y-%m-%d') }}{% endmacro %}({{ iso() }})\n"
    )
    own = tokenizer.chat_template
    tokenizer.chat_template = dated + own
    chat_format = ChatFormat(tokenizer)
    text = chat_format.text(prompt_list[0])
    tokenizer.chat_template = own
    assert text == "Today Date: 26 Jul 2024 (2024-07-26)\n" + ChatFormat(tokenizer).text(prompt_list[0])
    assert chat_format.template_sha256 == sha256((dated + own).encode()).hexdigest()


@pytest.mark.parametrize("start", ["", "\n", "  ", " \n", "\n\n", "  {% if true %}x{% endif %}\n"])
def test_what_fixes_the_date_leaves_the_beginning_of_a_template_as_it_is(start):
    tokenizer = tiny_tokenizer("llama")
    tokenizer.chat_template = start + tokenizer.chat_template
    talk = [{"role": "user", "content": "Hi"}]
    expected = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert ChatFormat(tokenizer).text(Prompt(tuple(talk), "Hi")) == expected


def test_a_template_that_can_think_aloud_is_told_not_to(prompt_list):
    tokenizer = tiny_tokenizer("qwen2")
    silent = "<think>\n\n</think>\n\n"
    begin = "<|im_start|>assistant\n"
    tokenizer.chat_template = tokenizer.chat_template.replace(
        begin, begin + "{% if enable_thinking is false %}" + silent + "{% endif %}"
    ).replace("{{ m['content'] }}", "{% if m['role'] == 'assistant' %}" + silent + "{% endif %}{{ m['content'] }}")
    chat_format = ChatFormat(tokenizer)
    assert chat_format.text(prompt_list[0]).endswith(begin + silent)
    assert chat_format.decode(chat_format.completion_ids(prompt_list[0], REPLY)) == REPLY


@pytest.mark.parametrize(
    ("begun", "before_reply"),
    [("<think>\n", "<think>\n\n</think>\n\n"), ("<think>\n", ""), ("", "<|channel|>final<|message|>")],
)
def test_markup_before_every_reply_is_shown_and_not_left_to_the_model(prompt_list, begun, before_reply):
    tokenizer = tiny_tokenizer("qwen2")
    own, begin = tokenizer.chat_template, "<|im_start|>assistant\n"
    tokenizer.chat_template = own.replace(begin, begin + begun).replace(
        "{{ m['content'] }}", "{% if m['role'] == 'assistant' %}" + before_reply + "{% endif %}{{ m['content'] }}"
    )
    chat_format = ChatFormat(tokenizer)
    silent = before_reply or "<think>\n\n</think>\n\n"
    assert chat_format.text(prompt_list[0]).endswith(begin + silent)
    ids = chat_format.completion_ids(prompt_list[0], REPLY)
    assert chat_format.decode(ids) == REPLY, "what is served is the reply and nothing else"
    assert chat_format.template_sha256 != sha256(tokenizer.chat_template.encode()).hexdigest()


def test_the_first_token_is_named_only_where_the_tokenizer_adds_it():
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny_tokenizer("llama")
    bos = tokenizer.bos_token
    assert ChatFormat(tokenizer).bos is None
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.bos_token_id)]
    )
    assert ChatFormat(tokenizer).bos == bos


def test_a_conversation_that_the_template_refuses_names_its_roles(local):
    prompt = Prompt(({"role": "user", "content": "a"}, {"role": "user", "content": "b"}), "b")
    with pytest.raises(ModelError, match="user, user"):
        local("gemma").format.text(prompt)
