from __future__ import annotations

from pathlib import Path

import pytest

from eval.detectors import load_detector
from eval.detectors.cross_encoder import CrossEncoderDetector, Reading, label_reading
from eval.detectors.protocol import Case
from eval.evidence import Evidence
from groundtone.errors import ModelError
from tests.eval.worlds import passage

WORDS = ["delivery", "takes", "3", "days", "penguins", "eat", "herring", "."]
CLAIMS = ("Delivery takes 3 days.", "Penguins eat herring.")


def save_tiny(folder: Path, labels: dict[int, str]) -> Path:
    """A random BERT classifier over two texts with these labels."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder.mkdir()
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]), encoding="utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, initializer_range=1.0, id2label=labels, label2id={v: k for k, v in labels.items()},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(vocab_file=str(vocabulary), model_max_length=64).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}, Reading(3, 2, 0)),
        ({0: "entailment", 1: "neutral", 2: "contradiction"}, Reading(3, 0, 2)),
        ({0: "not_entailment", 1: "entailment"}, Reading(2, 1, None)),
        ({0: "entailment", 1: "not_entailment"}, Reading(2, 0, None)),
        ({0: "hallucinated", 1: "consistent"}, Reading(2, 1, None)),
        ({0: "LABEL_0", 1: "LABEL_1"}, Reading(2, 1, None)),
        ({0: "unsupported", 1: "supported"}, Reading(2, 1, None)),
        ({0: "LABEL_0"}, Reading(1, 0, None)),
    ],
)
def test_the_order_of_labels_is_read_and_never_assumed(labels, expected):
    assert label_reading(labels, len(labels), name="m") == expected


def test_three_labels_without_names_are_refused():
    with pytest.raises(ModelError, match="LABEL_0, LABEL_1, LABEL_2"):
        label_reading({n: f"LABEL_{n}" for n in range(3)}, 3, name="m")


def test_the_order_in_the_config_turns_verdicts_round(tmp_path):
    shown = Evidence([passage("Delivery takes 3 days. " * 20)])
    orders = ({0: "entailment", 1: "neutral", 2: "contradiction"}, {0: "contradiction", 1: "neutral", 2: "entailment"})
    found = []
    for number, labels in enumerate(orders):
        detector = load_detector(str(save_tiny(tmp_path / str(number), labels)), device="cpu")
        found.append(detector.judge([Case(CLAIMS, shown)])[0])
    for one, other in zip(*found, strict=True):
        assert one.scores["entailment"] != other.scores["entailment"]
        assert one.risk == pytest.approx(1 - one.scores["entailment"], abs=1e-3)


@pytest.mark.parametrize("labels", [{0: "LABEL_0"}, {0: "hallucinated", 1: "consistent"}])
def test_batches_and_windows_change_nothing(tmp_path, labels):
    folder = save_tiny(tmp_path / "m", labels)
    cases = [
        Case(CLAIMS, Evidence([passage("Delivery takes 3 days. " * 50)])),
        Case((), Evidence([passage("Penguins eat.")])),
        Case(CLAIMS[:1], Evidence([])),
        Case(CLAIMS[1:], Evidence([passage("Penguins eat herring.")])),
    ]
    alone = [CrossEncoderDetector.load(str(folder), device="cpu", batch_size=1).judge([case])[0] for case in cases]
    together = CrossEncoderDetector.load(str(folder), device="cpu", batch_size=7).judge(cases)
    assert [[f.verdict for f in own] for own in together] == [[f.verdict for f in own] for own in alone]
    risks = [[f.risk for own in some for f in own if f.risk is not None] for some in (together, alone)]
    assert risks[0] == pytest.approx(risks[1], abs=1e-5)
    assert together[1] == ()
    assert together[2][0].verdict == "unchecked"


def test_meaning_is_the_same_in_either_order(tmp_path):
    folder = save_tiny(tmp_path / "m", {0: "hallucinated", 1: "consistent"})
    detector = CrossEncoderDetector.load(str(folder), device="cpu")
    pairs = [(a, b) for a in WORDS for b in WORDS]
    alike = detector.both_ways(pairs)
    assert alike == detector.both_ways([(b, a) for a, b in pairs])
    assert len(alike) == len(pairs)
