"""Random-weight causal models of four families, made on the spot and saved like any model of the hub.

Every family has its own attention variant, stop token and chat template, so that a test that passes for all of them
says something about models in general. None of them knows anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

LINES = (
    "Answer from the numbered passages and cite them like [1].",
    "If they do not hold the answer, say that you do not know.",
    "Answer the question. If you do not know, say that you do not know.",
    "Question: How long does standard delivery take? Ahoy from the workshop! It takes 3 days for you [1]. Fair winds.",
    "The Heron 2S carries 80 kg and the Otter Lite 60 kg; a Coot 750 charges in 5 hours. Café, naïve, Zürich, 12 €.",
    "[1] Delivery > Times: Standard delivery takes 3 days. [2] Batteries: The Coot 500 lasts 40 km.",
)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% set ns = namespace(system='') %}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{% set ns.system = m['content'] + '\n\n' %}"
    "{% elif m['role'] == 'user' %}[INST] {{ ns.system }}{{ m['content'] }} [/INST]{% set ns.system = '' %}"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
# family: (chat template, bos, eos, further special tokens, the token that ends a reply)
FAMILIES: dict[str, tuple[str | None, str, str, tuple[str, ...], str]] = {
    "llama": (
        LLAMA,
        "<|begin_of_text|>",
        "<|end_of_text|>",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|eot_id|>",
    ),
    "mistral": (MISTRAL, "<s>", "</s>", ("[INST]", "[/INST]"), "</s>"),
    "qwen2": (CHATML, "<|endoftext|>", "<|endoftext|>", ("<|im_start|>", "<|im_end|>"), "<|im_end|>"),
    "gemma": (GEMMA, "<bos>", "<eos>", ("<start_of_turn>", "<end_of_turn>"), "<end_of_turn>"),
    "plain": (None, "<s>", "</s>", (), "</s>"),
}


def save_tiny(family: str, folder: Path, *, seed: int = 0, width: int = 32, context: int = 512) -> Path:
    """A model and a tokenizer of the family under `folder`; weights wide enough that greedy replies differ."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = tiny_tokenizer(family)
    config = _config(family, len(tokenizer), width=width, context=context)
    config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    torch.manual_seed(seed + 100 * list(FAMILIES).index(family))  # no two families share their weights
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_tokenizer(family: str) -> Any:
    """A byte-level BPE tokenizer trained on LINES."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    template, bos, eos, extra, _ = FAMILIES[family]
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(LINES * 2, vocab_size=400, special_tokens=list(dict.fromkeys([bos, eos, *extra])))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, bos_token=bos, eos_token=eos, additional_special_tokens=list(extra)
    )
    tokenizer.chat_template = template
    return tokenizer


def _config(family: str, vocabulary: int, *, width: int, context: int) -> Any:
    from transformers import GemmaConfig, LlamaConfig, MistralConfig, Qwen2Config

    kind = {"llama": LlamaConfig, "plain": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config}
    shape: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": context,
        "initializer_range": 0.3,
    }
    return GemmaConfig(**shape, head_dim=8) if family == "gemma" else kind[family](**shape)
