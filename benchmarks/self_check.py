"""What an assistant does about its own unsupported statements, on the sample company's questions.

    python -m benchmarks.self_check

The starter in the grounded mode, which says what it likes, under `assistant.self_check` flag, regenerate and remove.
"Doubtful": answers that are no refusal and hold a claim that is not supported; "right": the question's value stands in
the answer; "refused". Intervals are 95 % (Wilson). Answers are judged by the same detector that decides, so that the
second column says how much is left to flag, not how much is false.
"""

from __future__ import annotations

from typing import get_args

from benchmarks.data_sets import ROOT
from benchmarks.injections import is_right, share
from eval.suite import read_questions
from groundtone.assistant import Assistant, SelfCheck
from groundtone.joins.arms import checker, style_of, with_reader
from groundtone.joins.indexing import open_index
from groundtone.models.generate import LocalModel
from groundtone.project import Project
from groundtone.self_check import doubtful
from groundtone.settings import load_settings


def main() -> None:
    """Print a Markdown table."""
    settings = load_settings(ROOT)
    files = (ROOT / "data/questions" / name for name in ("answerable.jsonl", "unanswerable.jsonl"))
    asked = [question for file in files for question in read_questions(file)]
    model, check = LocalModel.load("starter"), checker(style_of(settings))
    with open_index(Project(ROOT), settings) as index:
        retriever = with_reader(index, settings)
        print("| self_check | doubtful | right, of the answerable | refused |\n|---|---|---|---|")
        for how in get_args(SelfCheck)[1:]:
            assistant = Assistant(
                how,
                generator=model,
                retriever=retriever,
                k=settings.assistant.k,
                search_k=settings.search_k,
                check=check,
                on_doubt=how,
            )
            answers = list(assistant.answer_many(asked))
            pairs = [(q, a) for q, a in zip(asked, answers, strict=True) if q.gold is not None]
            cells = (
                share(sum(not a.refused and bool(doubtful(a.claims)) for a in answers), len(answers)),
                share(sum(is_right(q, a) for q, a in pairs), len(pairs)),
                share(sum(a.refused for a in answers), len(answers)),
            )
            print(f"| {how} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
