from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from data.detector.answers import Bad, LabelledAnswer, begin, halueval, held_out, ragtruth, summedits
from data.detector.corrupt import contradict, reword
from data.detector.made_up import made_up, without_support
from data.detector.rows import Rows, as_rows, best_threshold, label_of
from data.detector.span_rows import capped, distinct, token_rows
from data.detector.stack import across_sets, fit_stack, new_ground
from data.detector.train import as_json, fit
from eval.detectors.features import Rarity
from eval.detectors.lexical import NAMES
from eval.detectors.trees import Trees
from groundtone.settings import load_settings

RARITY = Rarity({}, 5.0)
PARAGRAPHS = [
    f"The {name} bridge was built in {1900 + n} over the river. It carries {n + 20} trains a day to Port Ellery. "
    f"Engineers from {name} did not repair the northern arch before the flood. The large station opened in {1950 + n}. "
    "Visitors may walk along the old wall during summer evenings. The council pays for its lamps every year."
    for n, name in enumerate(["Ardel", "Bremen", "Corva", "Delmar", "Estrel"])
]


def test_every_marked_span_lies_inside_its_answer_and_true_answers_have_none():
    rows = list(made_up(("d/one", PARAGRAPHS), random.Random(0), answers=80))
    assert {row.hallucinated for row in rows} == {True, False}
    for row in rows:
        assert row.hallucinated == bool(row.spans)
        assert all(0 <= bad.start < bad.end <= len(row.answer) for bad in row.spans)
        for token_row in token_rows(row):
            assert all(0 <= mark["start"] < mark["end"] <= len(token_row["text"]) for mark in token_row["spans"])
    kinds = {bad.kind for row in rows for bad in row.spans}
    assert kinds == {"contradicted", "unsupported"}
    assert rows == list(made_up(("d/one", PARAGRAPHS), random.Random(0), answers=80))


@pytest.mark.parametrize("seed", range(20))
def test_a_contradiction_changes_exactly_what_it_marks(seed):
    sentence = "The Ardel bridge was built in 1900 and carries 20 large trains."
    changed = contradict(sentence, PARAGRAPHS, random.Random(seed))
    assert changed is not None
    start, end = changed.wrong
    assert changed.text[:start] == sentence[:start]
    assert sentence.endswith(changed.text[end:])
    assert changed.text != sentence


def test_what_holds_nothing_to_change_is_left_alone():
    assert contradict("So it goes there", [], random.Random(0)) is None
    assert reword("So it goes there", random.Random(1)) == "So it goes there"


def test_without_its_support_a_claim_is_marked_and_its_neighbours_unknown():
    row = LabelledAnswer("s", tuple(PARAGRAPHS), "The Ardel bridge was built in 1900 over the river.", False, (), True)
    found = without_support(row, RARITY, random.Random(0))
    assert found is not None
    assert "built in 1900" not in " ".join(found.evidence)
    assert found.spans == (Bad(0, len(row.answer), "unsupported"),)
    assert without_support(LabelledAnswer("s", ("Short.",), "Short.", False), RARITY, random.Random(0)) is None


def test_only_known_labels_are_fitted():
    whole = LabelledAnswer("s", ("e",), "Aa bb. Cc dd.", True)
    assert label_of(whole, (0, 6), 2) is None
    assert label_of(whole, (0, 6), 1) is True
    marked = LabelledAnswer("s", ("e",), "Aa bb. Cc dd.", True, (Bad(0, 2),), True, ((7, 13),))
    assert [label_of(marked, span, 2) for span in ((0, 6), (7, 13))] == [True, None]


def test_shipped_trees_say_what_the_library_says():
    rows = as_rows(list(made_up(("d/one", PARAGRAPHS), random.Random(0), answers=150)), RARITY)
    model = fit(rows)
    assert rows.x.shape[1] == len(NAMES)
    theirs = model.predict_proba(rows.x)[:, 1]
    assert Trees.read(json.loads(json.dumps(as_json(model)))).probability(rows.x) == pytest.approx(theirs, abs=2e-3)


def test_the_threshold_parts_what_can_be_parted():
    risk = np.array([0.2, 0.25, 0.6, 0.7])
    assert 0.25 < best_threshold(np.array([False, False, True, True]), risk, np.ones(4)) <= 0.6


def test_trees_judge_only_sets_of_other_origins():
    asked: list[int] = []

    class Fitted:
        def predict_proba(self, x):
            return np.full((len(x), 2), 0.5)

    def fit_one(rows: Rows) -> Fitted:
        asked.append(len(rows.y))
        return Fitted()

    sets = {name: numbers(10 * n) for n, name in enumerate(("made up", "summedits", "support taken out", "dolly"), 1)}
    sets["dolly"] = Rows(sets["dolly"].x, sets["dolly"].y & False, sets["dolly"].answer, sets["dolly"].weight)
    risks = across_sets(sets, fit_one)
    assert {name: len(found) for name, found in risks.items()} == {
        "made up": 10, "summedits": 20, "support taken out": 30,
    }  # fmt: skip
    assert asked == [20 + 30 + 40, 10, 10]


def test_the_stack_believes_the_part_that_is_right_and_never_reads_one_backwards():
    sets = {"one": numbers(400), "two": numbers(400)}
    right = {name: np.where(rows.y, 0.8, 0.2) for name, rows in sets.items()}
    assert fit_stack(sets, right).weights["lexical"] > 1
    told = new_ground(sets, right)["one"]
    assert told["lexical"] == 1
    assert told["explicit"] < told["stacked"] <= 1
    backwards = {name: 1 - risk for name, risk in right.items()}
    assert fit_stack(sets, backwards).weights["lexical"] == 0


def numbers(count: int) -> Rows:
    """Claims about which explicit comparison knows nothing."""
    x, y = np.zeros((count, len(NAMES))), np.arange(count) % 2 == 0
    x[:, NAMES.index("explicit_support")] = np.random.default_rng(0).uniform(size=count)
    return Rows(x, y, np.arange(count), np.ones(count))


def test_equal_claims_stay_once_and_not_at_all_where_they_are_marked_differently():
    first, second = ({"text": text, "context": "c", "spans": []} for text in "ab")
    assert distinct([first, second, first]) == [first, second]
    assert distinct([first, second, first | {"spans": [1]}, first | {"context": "d"}]) == [
        second,
        first | {"context": "d"},
    ]


def test_rows_with_marks_come_first_where_not_all_fit():
    rows = [{"spans": [1] * (n % 3 == 0), "n": n} for n in range(9)]
    assert [row["n"] for row in capped(rows, 5)] == [0, 1, 2, 3, 6]


def test_about_a_third_of_the_sources_is_kept_apart():
    assert 0.3 < np.mean([held_out(f"source {n}") for n in range(3000)]) < 0.4


def test_published_files_are_read_into_one_shape(tmp_path: Path):
    (tmp_path / "summedits_news.json").write_text(
        json.dumps([
            {"doc": "D", "summary": "It takes 5 days.", "original_summary": "It takes 3 days.", "label": 0},
            {"doc": "D", "summary": "It takes 3 days.", "original_summary": "It takes 3 days.", "label": 1},
        ]), encoding="utf-8",
    )  # fmt: skip
    edited, kept = summedits(tmp_path, ["news"])
    assert [edited.answer[bad.start : bad.end] for bad in edited.spans] == ["5"]
    assert (kept.hallucinated, kept.spans, kept.located) == (False, (), True)
    (tmp_path / "qa_one-turn_data.json").write_text(
        json.dumps({"question": "q", "knowledge": "k", "right_answer": "r", "hallucinated_answer": "h"}) + "\n"
    )
    assert [row.hallucinated for row in halueval(tmp_path)] == [False, True]
    (tmp_path / "wow").mkdir()
    (tmp_path / "wow" / "begin_dev.tsv").write_text(
        "knowledge\tresponse\tbegin_label\nk\ta\tFully attributable\nk\tb\tGeneric\nk\tc\tNot fully attributable\n"
    )
    assert [(row.answer, row.hallucinated) for row in begin(tmp_path)] == [("a", False), ("c", True)]
    assert next(ragtruth_of(tmp_path)).spans == (Bad(0, 2, "contradicted"),)


def ragtruth_of(folder: Path):
    import gzip

    with gzip.open(folder / "QA_sources.jsonl.gz", "wt") as file:
        file.write(json.dumps({"source_id": "1", "source_info": {"passages": "p one\n\np two"}}) + "\n")
    with gzip.open(folder / "x_hallucination.jsonl.gz", "wt") as file:
        label = {"start": 0, "end": 2, "label_type": "Evident Conflict"}
        file.write(json.dumps({"source_id": "1", "response": "No way.", "labels": [label]}) + "\n")
    return ragtruth(folder)


def test_the_recipe_of_the_span_detector_is_a_valid_project():
    assert load_settings(Path(__file__).parents[2] / "data" / "detector").tuning.method == "tokens"
