from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone.errors import DataError, IntegrityError
from groundtone.types import Hit, Passage
from retrieval.coverage import Coverage, coverage_of, fit, measure
from retrieval.filters import Where
from retrieval.index import Index
from retrieval.leaving_out import ask_twice, corpus_of
from retrieval.probes import Probe, families, make_probes
from tests.retrieval.hashing_encoder import HashingEncoder

_TOPICS = {
    "tea": "Green tea is steeped for three minutes in water below boiling point. Black tea takes boiling water and "
    "four minutes of patience. A warmed pot keeps the leaves from losing their taste.",
    "chess": "A bishop moves along diagonals and never leaves the colour of its square. The knight jumps over other "
    "pieces in the shape of a letter. Castling moves king and rook in one turn.",
    "sailing": "A sailing boat tacks when it turns its bow through the wind. The keel keeps the hull from drifting "
    "sideways. Reefing makes the mainsail smaller before a storm arrives.",
    "bread": "Sourdough rises slowly because wild yeast works at room temperature. Salt tightens the dough and slows "
    "the yeast down. A hot oven with steam gives the loaf its crust.",
    "stars": "A white dwarf is the core that remains after a red giant loses its outer layers. Neutron stars spin many "
    "times each second. Astronomers measure distance by parallax over half a year.",
    "bees": "Worker bees dance to tell others where flowers bloom. The queen lays every egg of the hive. Beekeepers "
    "smoke the frames before they harvest honey in summer.",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("topics")
    for name, text in _TOPICS.items():
        (folder / f"{name}.md").write_text(f"# About {name}\n\n{text}\n", encoding="utf-8")
    made = Index.open(tmp_path_factory.mktemp("index") / "index.sqlite", encoder=HashingEncoder(dim=256))
    made.update(folder)
    return made


@pytest.fixture(scope="module")
def coverage(index: Index) -> Coverage:
    return fit(index, count=40)


def test_a_missing_document_is_told_from_one_that_is_there(index: Index, coverage: Coverage) -> None:
    asked = [
        Probe("How long does black tea take in boiling water?", ("tea.md",)),
        Probe("Which piece jumps over other pieces like a knight?", ("chess.md",)),
        Probe("What keeps the hull of a sailing boat from drifting?", ("sailing.md",)),
        Probe("Why does sourdough with wild yeast rise slowly?", ("bread.md",)),
        Probe("Where do neutron stars spin each second?", ("stars.md",)),
        Probe("Who lays every egg of the hive?", ("bees.md",)),
    ]
    found = measure(coverage, index, asked)
    assert found.auroc.mean == 1
    assert found.refused_at_95.mean == 1
    for probe in asked:
        hits = index.search(probe.query)
        assert coverage.covers(probe.query, hits), probe.query
    query = "Does the pension scheme reimburse orthodontic invoices abroad?"
    assert not coverage.covers(query, index.search(query))


def test_hits_of_left_out_documents_never_come_back(index: Index) -> None:
    probes = make_probes(index.passages(), count=30)
    for row in ask_twice(index, corpus_of(index.passages()), probes):
        assert set(row.probe.sources) <= row.left_out
        assert row.left_out.isdisjoint(hit.passage.source for hit in row.missing)
        assert row.missing


def test_the_same_index_gives_the_same_coverage(index: Index, coverage: Coverage) -> None:
    assert fit(index, count=40) == coverage


def test_what_was_saved_is_what_is_loaded(index: Index, coverage: Coverage, tmp_path: Path) -> None:
    coverage.save(tmp_path / "coverage.json")
    loaded = Coverage.load(tmp_path / "coverage.json")
    assert loaded == coverage
    hits = index.search("Who lays every egg?")
    assert loaded.probability("Who lays every egg?", hits) == coverage.probability("Who lays every egg?", hits)


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: "{",
        lambda d: "[]",
        lambda d: json.dumps(d | {"schema": 99}),
        lambda d: json.dumps(d | {"signals": ["score"]}),
        lambda d: json.dumps(d | {"spread": [0.0, 1.0]}),
        lambda d: json.dumps(d | {"centre": [0.0]}),
        lambda d: json.dumps({k: v for k, v in d.items() if k != "threshold"}),
    ],
)
def test_a_damaged_file_is_refused_and_fitted_again(index: Index, coverage: Coverage, tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "coverage.json"
    coverage.save(path)
    path.write_text(damage(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    with pytest.raises(IntegrityError, match="delete it"):
        Coverage.load(path)
    assert coverage_of(index, path).is_of(index)
    assert Coverage.load(path).is_of(index)


def test_a_changed_index_is_fitted_anew(tmp_path: Path) -> None:
    folder, path = tmp_path / "docs", tmp_path / "coverage.json"
    folder.mkdir()
    for name, text in _TOPICS.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    with Index.open(tmp_path / "index.sqlite", encoder=HashingEncoder()) as changing:
        changing.update(folder)
        before = coverage_of(changing, path)
        assert coverage_of(changing, path) == before
        (folder / "bees.md").write_text("Wasps build paper nests below the roof of a barn in spring.", encoding="utf-8")
        changing.update(folder)
        assert not before.is_of(changing)
        assert coverage_of(changing, path).is_of(changing)
        assert "wasp" in Coverage.load(path).frequency


def test_no_hit_is_no_coverage(coverage: Coverage) -> None:
    assert coverage.probability("anything", []) == 0


@given(score=st.floats(0, 1), better=st.floats(0, 1), query=st.text(max_size=40))
def test_a_better_score_never_makes_it_less_likely(score: float, better: float, query: str) -> None:
    frequency = {"tea": 3, "boil": 2}
    made = Coverage("hash", 10, frequency, (0.4, 0.5), (0.1, 0.2), 0.5, 0, _NOTHING)
    passage = Passage("p", "d", "tea.md", "Tea takes boiling water.", 0, 24)
    low, high = sorted((score, better))
    probabilities = [made.probability(query, [Hit(passage, value)]) for value in (low, high)]
    assert 0 <= probabilities[0] <= probabilities[1] <= 1


def test_a_word_of_no_document_speaks_against_it(coverage: Coverage, index: Index) -> None:
    hits = index.search("Who lays every egg of the hive?")
    plain = coverage.probability("Who lays every egg of the hive?", hits)
    assert coverage.probability("Who lays every egg of the orthodontist hive?", hits) < plain


def test_real_questions_set_the_threshold(index: Index, coverage: Coverage) -> None:
    asked = [probe for seed in (7, 8, 9) for probe in make_probes(index.passages(), count=60, seed=seed)]
    few, many = (fit(index, count=40, asked=asked[:n]) for n in (10, len(asked)))
    assert few.threshold == coverage.threshold
    kept = measure(many, index, asked).kept
    assert kept.n == len(asked) >= 40
    assert kept.mean is not None
    assert kept.mean >= 0.95


def test_copies_are_left_out_together() -> None:
    def passage(source: str, text: str) -> Passage:
        return Passage(source, source, source, text, 0, len(text))

    tea, copy = _TOPICS["tea"], _TOPICS["tea"].replace("three minutes", "two minutes")
    found = families([passage("a.md", tea), passage("b.md", copy), passage("c.md", _TOPICS["bees"])])
    assert found["a.md"] == found["b.md"] != found["c.md"]


def test_probes_are_repeatable_and_spread_over_documents(index: Index) -> None:
    passages = index.passages()
    probes = make_probes(passages, count=12)
    assert probes == make_probes(passages, count=12)
    assert probes != make_probes(passages, count=12, seed=1)
    assert {source for probe in probes for source in probe.sources} == set(index.documents())


def test_too_few_documents_and_foreign_probes_are_refused(index: Index, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of 1 probes"):
        fit(index, probes=[Probe("a question", ("elsewhere.md",))])
    empty = Index.open(tmp_path / "index.sqlite", encoder=HashingEncoder())
    with empty, pytest.raises(DataError, match="0 different documents"):
        fit(empty)


def test_searches_are_few(index: Index) -> None:
    """Documents are left out in groups: of 100 documents at most 5 at once, so 20 searches do for all probes."""

    class Counting:
        def __init__(self) -> None:
            self.kept: list[int] = []

        def passages(self) -> list[Passage]:
            return [Passage(f"p{i}", f"d{i}", f"{i}.md", f"word{i} alone", 0, 5) for i in range(100)]

        def search_many(
            self, queries: Sequence[str], *, k: int = 5, groups: Sequence[str] = (), where: Where | None = None
        ) -> list[list[Hit]]:
            self.kept.append(len(where["source"]) if where else 100)
            return [[] for _ in queries]

    counting = Counting()
    probes = [Probe("q", (f"{i}.md",)) for i in range(100)]
    assert len(ask_twice(counting, corpus_of(counting.passages()), probes)) == 100
    assert counting.kept == [100] + [95] * 20


_NOTHING = measure(
    Coverage("", 0, {}, (0.0, 0.0), (1.0, 1.0), 0.5, 0, None),  # type: ignore[arg-type]
    type("Empty", (), {"passages": lambda self: [], "search_many": lambda self, *a, **k: []})(),
    [],
)
