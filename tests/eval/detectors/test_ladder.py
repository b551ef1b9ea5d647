from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.claims import check_answers, check_claims
from eval.detectors import BUILT_IN, load_detector
from eval.detectors.explicit import ExplicitDetector
from eval.detectors.features import FEATURES, OPPOSITE_WORDS, Rarity, read_claim
from eval.detectors.lexical import MODEL_FILE, LexicalDetector
from eval.detectors.protocol import Case
from eval.detectors.stacked import StackedDetector
from eval.detectors.trees import Trees
from eval.evidence import Evidence
from groundtone.errors import DataError, ModelError
from tests.eval.worlds import passage

REPORT = passage(
    "The company earned 67 million in 1998. Its headquarters are in Port Ellery. Deliveries may be returned within 30 "
    "days. The workshop does not repair tandems."
)
TEXTS = st.text(alphabet="aB c.!?[1]2\n|,-€’é词", max_size=200)


@pytest.mark.parametrize("name", BUILT_IN)
@given(text=TEXTS, shown=TEXTS)
@settings(max_examples=60, deadline=None)
def test_every_claim_keeps_its_characters_and_a_risk_in_bounds(name, text, shown):
    detector = load_detector(name)
    for claim in check_claims(text, [passage(shown)], detector=detector):
        assert text[claim.start : claim.end] == claim.text
        assert claim.why
        assert (claim.verdict == "unchecked") == ("risk" not in claim.scores)
        assert 0 <= claim.scores.get("risk", 0) <= 1
    case = Case((text,), Evidence([passage(shown)]))
    for found in detector.judge([case])[0]:
        assert all(0 <= start < end <= len(text) for start, end in found.spans)


@pytest.mark.parametrize("name", BUILT_IN)
def test_other_numbers_are_contradicted_and_named(name):
    text = "The company earned 999 million in 1998 [1]."
    ((found,),) = load_detector(name).judge([Case((text,), Evidence([REPORT]))])
    assert found.verdict == "contradicted"
    assert "67 million" in found.why
    assert [text[a:b] for a, b in found.spans] == ["999 million"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_copies_are_supported_and_strangers_are_not(name):
    text = "Its headquarters are in Port Ellery. Penguins eat herring at night in Antarctica."
    verdicts = [claim.verdict for claim in check_claims(text, [REPORT], detector=load_detector(name))]
    assert verdicts == ["supported", "unsupported"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_own_names_need_no_evidence(name):
    shown, claim = Evidence([REPORT]), "Returns to Otterwheel are free within 30 days."
    judged = [load_detector(name).judge([Case((claim,), shown, own)])[0][0] for own in (("The Otterwheel team",), ())]
    assert judged[0].risk < judged[1].risk
    assert not any("Otterwheel" in claim[a:b] for a, b in judged[0].spans)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_batch_says_what_its_answers_say_alone(name):
    detector = load_detector(name)
    answers = [
        ("The company earned 67 million.", [REPORT]),
        ("", [REPORT]),
        ("Herons nest here.", []),
        ("日本語。", [REPORT]),
    ]
    together = check_answers(answers, detector=detector)
    assert together == [check_claims(text, shown, detector=detector) for text, shown in answers]
    assert [claim.verdict for claim in together[2]] == ["unchecked"]


def test_fifty_kilobytes_are_judged_claim_by_claim():
    text = "The company earned 67 million in 1998. " * 1300
    claims = check_claims(text, [REPORT], detector=load_detector("lexical"))
    assert len(claims) == 1300
    assert {claim.verdict for claim in claims} == {"supported"}


def test_markers_change_neither_features_nor_places():
    evidence, rarity = Evidence([REPORT]), Rarity({}, 5.0)
    bare, marked = "The company sold boats in 1998.", "The company sold boats [1] in 1998 [2]."
    one, other = (read_claim(text, evidence, rarity) for text in (bare, marked))
    assert one.features == other.features
    assert [marked[w.start : w.end] for w in other.words] == [bare[w.start : w.end] for w in one.words]


def test_features_say_what_is_new():
    found = read_claim("Penguins sold 12 boats in Bremen.", Evidence([REPORT]), Rarity({}, 5.0))
    told = dict(zip(FEATURES, found.features, strict=True))
    assert told["novel_share"] == told["bigrams_novel"] == told["trigrams_novel"] == 1
    assert (told["values_missing"], told["names_missing"]) == (1, 1)
    copy = read_claim("Its headquarters are in Port Ellery.", Evidence([REPORT]), Rarity({}, 5.0))
    told = dict(zip(FEATURES, copy.features, strict=True))
    assert (told["novel_share"], told["best"], told["names_missing"]) == (0, 1, 0)


def test_opposites_go_both_ways():
    assert all(word in OPPOSITE_WORDS[other] for word, others in OPPOSITE_WORDS.items() for other in others)


def test_without_evidence_there_is_nothing_to_read():
    with pytest.raises(ValueError, match="no evidence"):
        read_claim("Herons nest.", Evidence([]), Rarity({}, 5.0))


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=20))
def test_trees_add_up_like_nested_ifs(rows):
    stump = {"feature": [1, -1, 0, -1, -1], "threshold": [0.5, 0, -1.0, 0, 0], "left": [1, 0, 3, 0, 0],
             "right": [2, 0, 4, 0, 0], "value": [0, -2.0, 0, 1.0, 3.0]}  # fmt: skip
    leaf = {"feature": [-1], "threshold": [0.0], "left": [0], "right": [0], "value": [0.25]}
    trees = Trees.read({"features": ["a", "b"], "baseline": 0.5, "trees": [stump, leaf]})
    expected = [0.75 + (-2.0 if b <= 0.5 else 1.0 if a <= -1.0 else 3.0) for a, b in rows]
    odds = [p / (1 - p) for p in trees.probability(rows)]
    assert odds == pytest.approx([2.718281828459045**e for e in expected], rel=1e-6)


def test_trees_that_do_not_fit_are_refused(tmp_path):
    broken = {"feature": [3], "threshold": [0.0], "left": [0], "right": [0], "value": [1.0]}
    with pytest.raises(DataError, match="do not fit together"):
        Trees.read({"features": ["a"], "baseline": 0.0, "trees": [broken]})
    data = json.loads(MODEL_FILE.read_text(encoding="utf-8"))
    (tmp_path / "m.json").write_text(json.dumps(data | {"features": ["a"]}), encoding="utf-8")
    with pytest.raises(DataError, match="other features"):
        LexicalDetector.read(tmp_path / "m.json")


def test_the_shipped_model_is_small_and_says_what_it_was_fitted_on():
    data = json.loads(MODEL_FILE.read_text(encoding="utf-8"))
    assert MODEL_FILE.stat().st_size < 400_000
    assert not any("ragtruth" in name for name in data["fitted on"])
    assert sum(data["fitted on"].values()) > 5000


def test_names_are_read_from_one_table():
    assert isinstance(load_detector(), StackedDetector)
    assert isinstance(load_detector("explicit"), ExplicitDetector)
    assert load_detector("lexical") is load_detector("lexical")
    with pytest.raises(ModelError, match="is empty"):
        load_detector("  ")
    with pytest.raises(ModelError, match="could not be loaded as a cross-encoder"):
        load_detector("/no/such/folder")
