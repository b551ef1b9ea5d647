from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detector import f1, fitted_on, judge, measure, sample, ways_from
from benchmarks.detector_claims import Judged, best_cut, claims_of
from data.detector.answers import Bad, LabelledAnswer, held_out
from eval.detectors import load_detector

TRUE, FALSE = "The Coot lasts 40 km.", "Penguins eat herring at night."


def rows(count=60):
    return [
        LabelledAnswer(
            f"s{n // 2}", (f"{TRUE} It costs {n} euros.",), f"{TRUE} {FALSE}" if n % 2 else TRUE, bool(n % 2),
            (Bad(len(TRUE) + 1, len(TRUE) + 1 + len(FALSE), "unsupported"),) if n % 2 else (), True,
        )
        for n in range(count)
    ]  # fmt: skip


def test_characters_of_flagged_claims_add_up():
    row = rows()[1]
    judged = [Judged(row, ((0, len(TRUE)), (len(TRUE) + 1, len(row.answer))), np.array([0.2, 0.9]))]
    claims = claims_of(judged)
    assert claims.characters(0.5).tolist() == [[len(FALSE), len(FALSE), len(FALSE)]]
    assert claims.characters(0.0).tolist() == [[len(FALSE), len(TRUE) + len(FALSE), len(FALSE)]]
    assert claims.wrong.tolist() == [False, True]


def test_sources_stay_whole_and_the_same():
    taken = sample(rows(), 10)
    assert len(taken) == 10
    assert {row.source for row in taken}.isdisjoint({row.source for row in rows()} - {row.source for row in taken})
    assert taken == sample(rows(), 10)


def test_the_cut_is_chosen_for_its_gain():
    labels, scores = np.array([False, False, True, True]), np.array([0.1, 0.2, 0.8, 0.9])
    assert f1(labels, scores >= best_cut(scores, lambda t: f1(labels, scores >= t)[2]))[2] == pytest.approx(100)


def test_models_of_folds_judge_every_answer_once():
    given = [row for row in rows() if not held_out(row.source)]
    fitted = fitted_on(given)
    for make in fitted.kinds().values():
        judged = fitted.judged(make)
        assert sorted(one.row.answer + one.row.source for one in judged) == sorted(r.answer + r.source for r in given)
    assert make(fitted.whole).name == "stacked"
    alone, per_minute = judge(load_detector("lexical"), given[:4])
    assert [len(one.risks) for one in alone] == [len(one.spans) for one in alone]
    assert per_minute > 0


def test_the_printed_table_names_every_figure(capsys):
    measure("Made up", rows(), [load_detector("explicit")], fit_too=False)
    told = capsys.readouterr().out
    for figure in ("always positive", "explicit", "AUROC", "ECE", "characters P", "riskiest 20%", "answers/min"):
        assert figure in told


def test_where_claims_are_marked_an_answers_chance_follows_from_theirs():
    judged = [
        Judged(row, ((0, len(TRUE)), (len(TRUE) + 1, len(row.answer)))[: 1 + row.hallucinated], np.array([0.2, 0.9]))
        if row.hallucinated
        else Judged(row, ((0, len(TRUE)),), np.array([0.2]))
        for row in rows(40)
    ]
    join = ways_from(judged)["any, calibrated"]
    assert join(np.array([0.2])) < join(np.array([0.2, 0.2])) < join(np.array([0.2, 0.9])) <= 1
    assert join(np.array([])) == 0
    assert "any, calibrated" not in ways_from(judged[:1])
