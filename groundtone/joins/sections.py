"""What an evaluation's summary holds beside the 2x2: the voice, robustness, a judge's opinion where one is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eval.answer_judge import judge_answers
from eval.robustness import METRIC, measure_robustness
from eval.voice import measure_voice
from groundtone.joins.material import Material
from groundtone.settings import Settings
from groundtone.types import EvalRecord

__all__ = ["sections_of"]

_NOT_VOICE = ("general", "leak")


def sections_of(settings: Settings, material: Material, records: Sequence[EvalRecord]) -> dict[str, Any]:
    """The sections by name, as plain JSON data. Raises ModelError where the named judge cannot be reached."""
    given = settings.eval
    probes = [record for record in records if record.question.kind.startswith(f"{METRIC}/")]
    asked = [r for r in records if r.question.kind not in _NOT_VOICE and not r.question.kind.startswith(f"{METRIC}/")]
    draw: dict[str, Any] = {"resamples": given.resamples, "seed": given.seed}
    sections: dict[str, Any] = {
        "voice": measure_voice(asked, style=material.style, bands=material.bands, heldout=material.heldout, **draw),
        "robustness": measure_robustness(
            probes, why="" if given.robustness else "eval.robustness is switched off", **draw
        ),
    }
    if given.answer_judge:
        from groundtone.models.chat import ChatModel

        judge = ChatModel(given.answer_judge, base_url=settings.model.base_url)
        sections["answer_judge"] = judge_answers(asked, judge, repeats=given.answer_judge_repeats, **draw)
    return sections
