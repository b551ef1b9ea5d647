"""Random-weight sentence encoders, made on the spot as sentence-transformers saves them: four families, any words."""

from __future__ import annotations

import json
from collections.abc import Sequence
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


def _tokenizer(words: Sequence[str], special: Sequence[str], **given: Any) -> Any:
    """Whole words of this vocabulary, lower case; `special` names padding, unknown, start, separator and mask."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pad, unknown, first, last, mask = special
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys([*special, *words]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing((last, 3), (first, 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        unk_token=unknown,
        cls_token=first,
        sep_token=last,
        mask_token=mask,
        **given,
    )


def save_word_encoder(folder: Path, *, words: Sequence[str], width: int = 32, seed: int = 0) -> Path:
    """A one-layer BERT of these words that sentence-transformers loads; it knows nothing but which are the same."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = _tokenizer([*".,:?>|", *words], names, model_max_length=WINDOW)
    torch.manual_seed(seed)
    bert = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=WINDOW,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            initializer_range=0.3,
        )
    )
    plain = folder / "plain"
    bert.save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    transformer = Transformer(str(plain), max_seq_length=WINDOW)
    model = SentenceTransformer(modules=[transformer, Pooling(width, pooling_mode="mean")], device="cpu")
    model.save(str(folder / "encoder"), create_model_card=False)
    return folder / "encoder"


def save_tiny_encoder(family: str, folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """A mean-pooled encoder in `folder`; `changes` are JSON files to write over its own, by their path."""
    import torch
    from transformers import AutoConfig, AutoModel

    tokenizer = _tokenizer(_WORDS, ["<pad>", "<unk>", "<cls>", "<sep>", "<mask>"])
    tokenizer.save_pretrained(folder)
    names = {"distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}}
    sizes = names.get(
        family, {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    )
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), max_position_embeddings=WINDOW + 8, pad_token_id=0, **sizes
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
