"""What to tune for what: defaults per task, each with its reason. A key that the configuration names itself wins.

The figures are starting points from the literature named beside them, not measurements of your data: the learning
curve and the gate say what they come to there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["PRESETS", "Default", "PresetName", "preset_lines", "with_preset"]

PresetName = Literal[
    "voice", "question_answering", "summarisation", "entity_extraction", "classification", "language", "domain"
]


@dataclass(frozen=True, slots=True)
class Default:
    """The value of a key of the `tuning` section, such as "lora.rank", and why it is that."""

    key: str
    value: Any
    why: str


_LORA_RATE = "ten times the rate of full tuning suits LoRA (arXiv:2405.09673)"
_EVERY_LAYER = "adapters on every linear layer match full tuning, on attention alone they do not (arXiv:2305.14314)"
_BERT_RATE = "of the range that BERT's authors searched, 2e-5 to 5e-5 (arXiv:1810.04805, A.3)"
_BERT_EPOCHS = "2 to 4 passes (arXiv:1810.04805, A.3)"
_WHOLE = "an encoder is small: tune it whole, as its authors did"
_FACTS = "values belong into the documents: new facts are learned slowly and then made up from (arXiv:2405.05904)"
_ONCE = "text that is read more than once is soon recited (arXiv:2202.07646)"

_LIKE_BERT = (
    Default("batch_size", 16, "16 or 32 (arXiv:1810.04805, A.3)"),
    Default("schedule", "linear", "as BERT was tuned"),
    Default("warmup", 0.1, "as BERT was trained; without it small data sets diverge (arXiv:2006.04884)"),
)

PRESETS: dict[PresetName, tuple[Default, ...]] = {
    "voice": (
        Default("method", "sft", "a tone is learned from replies that have it"),
        Default("lora.rank", 8, "a tone is a small change"),
        Default("lora.targets", "mlp", "feed-forward layers alone forget least at equal size"),
        Default("learning_rate", 2e-4, _LORA_RATE),
        Default("epochs", 3, "few rows; the evaluation per pass shows when it is enough"),
        Default("replay", 0.05, "a twentieth of general rows slows forgetting (arXiv:2403.08763); needs replay_data"),
    ),
    "question_answering": (
        Default("method", "sft", "answers are written from the passages of each row"),
        Default("lora.rank", 16, "reading passages is a larger change than a tone"),
        Default("lora.targets", "all-linear", _EVERY_LAYER),
        Default("learning_rate", 1e-4, _LORA_RATE),
        Default("epochs", 2, "more passes teach the answers instead of the reading"),
        Default("facts", "refuse", _FACTS),
    ),
    "summarisation": (
        Default("method", "sft", "summaries are replies to a text"),
        Default("lora.rank", 16, "as for question answering"),
        Default("lora.targets", "all-linear", _EVERY_LAYER),
        Default("learning_rate", 1e-4, _LORA_RATE),
        Default("epochs", 2, "as for question answering"),
        Default("gradient_checkpointing", True, "texts are long, and activations grow with them (arXiv:1604.06174)"),
    ),
    "entity_extraction": (
        Default("method", "tokens", "every token gets a label"),
        Default("lora", None, _WHOLE),
        Default("learning_rate", 5e-5, _BERT_RATE),
        Default("epochs", 4, _BERT_EPOCHS),
        *_LIKE_BERT,
    ),
    "classification": (
        Default("method", "classify", "every text gets a label"),
        Default("lora", None, _WHOLE),
        Default("learning_rate", 3e-5, _BERT_RATE),
        Default("epochs", 3, _BERT_EPOCHS),
        *_LIKE_BERT,
    ),
    "language": (
        Default("method", "pretrain", "a language is learned from running text"),
        Default("lora.rank", 64, "learning from much text needs a high rank (arXiv:2405.09673)"),
        Default("lora.alpha", 32, "with rsLoRA: 32 / sqrt(64) = 4"),
        Default("lora.variant", "rslora", "keeps the update's size at high ranks (arXiv:2312.03732)"),
        Default("lora.targets", "all-linear", _EVERY_LAYER),
        Default("learning_rate", 1e-4, _LORA_RATE),
        Default("epochs", 1, _ONCE),
        Default("warmup", 0.01, "the rate is raised anew when training goes on (arXiv:2403.08763)"),
    ),
    "domain": (
        Default("method", "pretrain", "a domain's words are learned from its documents (arXiv:2004.10964)"),
        Default("lora.rank", 32, "between a tone and a language"),
        Default("lora.alpha", 32, "update scaled by 1"),
        Default("lora.targets", "all-linear", _EVERY_LAYER),
        Default("learning_rate", 1e-4, _LORA_RATE),
        Default("epochs", 1, _ONCE),
        Default("warmup", 0.03, "the rate is raised anew when training goes on (arXiv:2403.08763)"),
    ),
}


def with_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """The `tuning` section with its preset's values where it says nothing; as it is for an unknown preset or none."""
    merged = {key: dict(value) if isinstance(value, Mapping) else value for key, value in given.items()}
    wanted = given.get("preset")
    for default in (default for name, defaults in PRESETS.items() if name == wanted for default in defaults):
        if _named(given, default.key) or (default.key == "replay" and not given.get("replay_data")):
            continue
        section, _, key = default.key.rpartition(".")
        (merged.setdefault(section, {}) if section else merged)[key] = default.value
    return merged


def preset_lines(name: PresetName, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Every default of a preset for people: its value and reason, or that the configuration says otherwise."""
    lines = []
    for default in PRESETS[name]:
        if _named(given, default.key):
            lines.append(f"{default.key}: set in the configuration (preset {name}: {default.value})")
        else:
            lines.append(f"{default.key}: {default.value} - {default.why}")
    return tuple(lines)


def _named(given: Mapping[str, Any], key: str) -> bool:
    """Whether the configuration says something of the key, or has null or another value where its section would be."""
    section, _, rest = key.partition(".")
    if section not in given or not rest:
        return section in given
    inside = given[section]
    return not isinstance(inside, Mapping) or rest in inside
