"""Tiny encoders with real sub-word tokenizers, made on the spot, and rows that they can learn in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuning.encoder_rows import TextRow, TokenRow
from tuning.encoder_rows_spans import LabelledSpan
from tuning.lora import Lora
from tuning.recipe import Recipe

WINDOW = 48
NAMES = "anna bert carla david emil frida".split()
PLACES = "oslo paris rome tokyo lima cairo".split()
WORDS = [*NAMES, *PLACES, *"went to and met in the yesterday with bad good fine poor was it . , ? 1 2".split()]
LORA = Lora(rank=8, alpha=16, targets="all-linear")
RECIPE = Recipe(epochs=6, learning_rate=1e-2, batch_size=8)


def save_encoder(folder: Path, family: str = "bert", *, seed: int = 0) -> Path:
    """A BERT with WordPiece over whole words and single letters, or a RoBERTa with byte-level BPE over bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    if family == "bert":
        names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        letters = [chr(n) for n in range(97, 123)]
        pieces = list(dict.fromkeys([*names, *WORDS, *letters, *(f"##{letter}" for letter in letters)]))
        tokenizer = Tokenizer(models.WordPiece({p: n for n, p in enumerate(pieces)}, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    else:
        names = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
        pieces = [*names, *sorted(pre_tokenizers.ByteLevel.alphabet())]
        tokenizer = Tokenizer(models.BPE({p: n for n, p in enumerate(pieces)}, []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", 3), ("<s>", 2), trim_offsets=False)
    pad, unknown, first, last, mask = names
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, unk_token=unknown, cls_token=first, sep_token=last, mask_token=mask
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        family, vocab_size=len(pieces), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=WINDOW + (1 if family == "roberta" else 0), pad_token_id=0,
        type_vocab_size=2 if family == "bert" else 1, initializer_range=0.3,
    )  # fmt: skip
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


def text_rows() -> list[TextRow]:
    """Who went where, labelled by the place's continent; two labels of equal size."""
    rows = []
    for n, name in enumerate(NAMES):
        for m, place in enumerate(PLACES):
            label = "near" if m < 3 else "far"
            rows.append(TextRow(f"rows.jsonl:{len(rows) + 1}", f"{name} went to {place}", None, (label,), f"{n}{m}"))
    return rows


def token_rows(*, context: bool = False) -> list[TokenRow]:
    """Sentences with names and places; with a context, only a place that the context does not name is marked."""
    rows = []
    for n, name in enumerate(NAMES):
        for place in PLACES:
            text = f"{name} went to {place} ."
            at = text.index(place)
            spans = [LabelledSpan(0, len(name), "PER"), LabelledSpan(at, at + len(place), "LOC")]
            before = None
            if context:
                before = f"it was in {PLACES[n]} ."
                spans = [LabelledSpan(at, at + len(place), "wrong")] if place != PLACES[n] else []
            rows.append(TokenRow(f"rows.jsonl:{len(rows) + 1}", text, before, tuple(spans)))
    return rows


def joined(rows: Sequence[TokenRow], *, size: int = 12) -> list[TokenRow]:
    """Texts of several rows each, longer than a window."""
    made = []
    for first in range(size):
        chosen = [rows[(first * 5 + 7 * n) % len(rows)] for n in range(size)]
        text, spans = "", list[LabelledSpan]()
        for row in chosen:
            spans += [LabelledSpan(s.start + len(text), s.end + len(text), s.label) for s in row.spans]
            text += f"{row.text} "
        made.append(TokenRow(f"long.jsonl:{first + 1}", text, None, tuple(spans)))
    return made


def settings(base: Path, **changes: Any) -> dict[str, Any]:
    """What every training of the tests shares."""
    return {"base": str(base), "lora": LORA, "recipe": RECIPE, "device": "cpu", **changes}
