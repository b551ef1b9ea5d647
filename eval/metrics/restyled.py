"""How often a model's own words stood in the strict mode; where they did not, the quotation was shown instead."""

from __future__ import annotations

from groundtone.types import Answer, Question, Score

__all__ = ["restyled"]


def restyled(question: Question, answer: Answer) -> Score:
    """Answers of the strict mode: 1 when the reply is the model's restyling, 0 when it is the quotation."""
    if answer.provenance.get("mode") != "strict":
        return Score(None, "the mode was not strict")
    if answer.refused:
        return Score(None, "it refused")
    why = answer.provenance.get("quoted_because", "")
    return Score(0.0, f"quoted instead: {why}") if why else Score(1.0, "the restyled reply stood")
