"""Random-weight sentence encoders of four families, made on the spot and saved as sentence-transformers saves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TINY_TEXTS = [
    "Standard delivery takes 3 days.",
    "How long does delivery take?",
    "",
    "delivery " * 100,
    "Café, naïve, 12 €",
    "How much does it take?",
]
WINDOW = 64
_WORDS = (
    "standard",
    "delivery",
    "takes",
    "days",
    "how",
    "long",
    "does",
    "take",
    "much",
    "it",
    "3",
    "12",
    ".",
    "?",
    ",",
)


def save_tiny_encoder(family: str, folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """A mean-pooled encoder in `folder`; `changes` are JSON files to write over its own, by their path."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    special = ["<pad>", "<unk>", "<cls>", "<sep>", "<mask>"]
    vocabulary = {word: number for number, word in enumerate([*special, *_WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("<sep>", 3), ("<cls>", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", cls_token="<cls>", sep_token="<sep>"
    ).save_pretrained(folder)
    names = {"distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}}
    sizes = names.get(
        family, {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    )
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        family, vocab_size=len(vocabulary), max_position_embeddings=WINDOW + 8, pad_token_id=0, **sizes
    )
    model = AutoModel.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # large enough that a wrong mask or scale shows
    model.save_pretrained(folder)
    kinds = ("Transformer", "Pooling", "Normalize")
    files = {
        "modules.json": [
            {
                "idx": i,
                "name": str(i),
                "path": f"{i}_{kind}" if i else "",
                "type": f"sentence_transformers.models.{kind}",
            }
            for i, kind in enumerate(kinds)
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True},
        "sentence_bert_config.json": {"max_seq_length": WINDOW, "do_lower_case": False},
        **changes,
    }
    (folder / "2_Normalize").mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder
