"""The ladder of hallucination detectors: one protocol, and one table of what a name may be."""

from __future__ import annotations

from pathlib import Path

from eval.detectors.protocol import Case, Detector, Finding
from groundtone.errors import ModelError

__all__ = ["BUILT_IN", "DEFAULT", "Case", "Detector", "Finding", "load_detector"]

BUILT_IN = ("explicit", "lexical", "stacked")
DEFAULT = "stacked"


def load_detector(
    name: str = DEFAULT, *, device: str = "auto", base_url: str | None = None, batch_size: int = 16
) -> Detector:
    """The detector that `eval.detector` names.

    explicit              numbers, dates, units, names and negations compared by meaning; no weights
    lexical               our boosted trees over such comparisons, with explicit's contradictions; shipped
    stacked               what explicit flags and what a logistic regression over both flags besides; ranked by it
    span:FOLDER           a token classifier tuned with method `tokens`: marks the words that nothing carries
    llm:provider:model    a chat model through LangChain; what it says cannot be parsed is unchecked
    anything else         an NLI, HHEM or MiniCheck cross-encoder: a folder or a Hugging Face id
    """
    if name == "explicit":
        from eval.detectors.explicit import ExplicitDetector

        return ExplicitDetector()
    if name == "lexical":
        from eval.detectors.lexical import LexicalDetector

        return LexicalDetector.shipped()
    if name == "stacked":
        from eval.detectors.stacked import StackedDetector

        return StackedDetector.shipped()
    if name.startswith("span:"):
        from eval.detectors.span import SpanDetector

        return SpanDetector.load(Path(name.removeprefix("span:")), device=device)
    if name.startswith("llm:"):
        from eval.detectors.judge import JudgeDetector
        from groundtone.models.load import load_generator

        return JudgeDetector(load_generator(name.removeprefix("llm:"), base_url=base_url, batch_size=batch_size))
    if not name.strip():
        raise ModelError(
            "eval.detector is empty: write explicit, lexical, stacked, span:FOLDER, llm:MODEL or a cross-encoder's id"
        )
    from eval.detectors.cross_encoder import CrossEncoderDetector

    return CrossEncoderDetector.load(name, device=device, batch_size=batch_size)
