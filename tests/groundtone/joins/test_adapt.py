"""Adapting an encoder: kept when it learns what carries over to documents it never saw, refused when it is noise."""

from __future__ import annotations

import json
import random
import re
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from groundtone.errors import DataError, ProjectError
from groundtone.feedback import Feedback
from groundtone.joins.adapt import AdaptReport, adapt
from groundtone.joins.adapt_judge import Asked, Judged, asked_by_people, ndcg
from groundtone.joins.adapt_rows import (
    LEAST_DOCUMENTS,
    NEGATIVES,
    WINDOW_CHARS,
    mine,
    read_corpus,
    split_by_document,
    window,
)
from groundtone.models.encoders import Encoder, load_encoder
from groundtone.project import Project
from groundtone.settings import Settings, load_settings
from groundtone.text import sentence_spans
from groundtone.types import Document, Estimate, Passage, Verdict
from retrieval.chunk import chunk
from retrieval.records import StoredPassage, Version
from retrieval.store import Store
from tests.tiny_encoders import save_word_encoder

TOPICS, DOCUMENTS, EPOCHS = 12, 80, 20
SAID = [f"p{at}" for at in range(TOPICS)]  # what documents call a topic
ASKED = [f"q{at}" for at in range(TOPICS)]  # what people call it: an encoder must learn that they are the same


def pick(document: int) -> list[int]:
    return random.Random(document).sample(range(TOPICS), 3)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Settings]:
    """A project of one-sentence documents about three topics each, indexed by an encoder that knows no synonyms."""
    root = tmp_path_factory.mktemp("adapt")
    folder = str(save_word_encoder(root, words=[*SAID, *ASKED, "about"]))
    encoder = load_encoder(folder, runtime="torch")
    config = {
        "model": {"device": "cpu"},
        "retrieval": {"encoder": folder, "runtime": "torch"},
        "eval": {"questions": "none"},
    }
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    project = Project(root)
    fill(project, encoder)
    return project, load_settings(root)


def fill(project: Project, encoder: Encoder) -> None:
    with closing(Store(project.index_path, encoder=encoder.name, dim=encoder.dim)) as store:
        for at in range(DOCUMENTS):
            doc = Document.of(f"{at}.md", f"about {' '.join(SAID[t] for t in pick(at))}.")
            chunks = chunk(doc, encoder)
            vectors = [encoder.encode(made.embedded()) for made in chunks]
            store.put(doc, chunks, vectors=vectors, version=Version(doc.id, ""))
        store.publish()


def questions(project: Project, settings: Settings, *, shuffled: bool) -> list[Asked]:
    """Each document asked for by the other names of its topics; shuffled: by those of another document."""
    corpus = read_corpus(project, load_encoder(settings.retrieval.encoder, runtime="torch"), seed=0)
    asked = []
    for stored in corpus.passages:
        at = int(stored.passage.source.removesuffix(".md"))
        topics = random.Random(at + 1000).sample(range(TOPICS), 3) if shuffled else pick(at)
        text = " ".join(ASKED[t] for t in topics)
        asked += [Asked(text, stored.passage.source, (stored.passage.id,)) for _ in range(2)]
    return asked


def run(
    world: tuple[Project, Settings], *, shuffled: bool, rate: float, epochs: int, said: list[tuple[str, int, int]]
) -> AdaptReport:
    extra = questions(*world, shuffled=shuffled)
    return adapt(
        *world,
        progress=lambda *step: said.append(step),
        extra=extra,
        learning_rate=rate,
        epochs=epochs,
        method="full",
        seed=1,
    )


def test_an_encoder_that_learned_the_synonyms_is_kept_and_can_be_loaded(world: tuple[Project, Settings]) -> None:
    said: list[tuple[str, int, int]] = []
    report = run(world, shuffled=False, rate=1e-2, epochs=EPOCHS, said=said)
    assert report.kept, report.lines()
    tuned = [
        (done, steps) for stage, done, steps in said if re.fullmatch(r"tune .* about [\d.]+ min(?:, [\d.]+ GB)?", stage)
    ]
    assert tuned == [(at, report.steps) for at in range(report.steps + 1)], "time and memory before the first step"
    assert report.difference.low is not None
    assert report.difference.low > 0
    assert load_encoder(report.encoder, runtime="torch").encode(["q1"]).shape == (1, 32)
    assert (Path(report.encoder) / "model.safetensors").is_file()
    manifest = world[0].run(report.run).manifest
    assert manifest.status == "done"
    assert set(manifest.inputs) == {"documents.json", "questions.jsonl"}
    documents = json.loads((world[0].run_path(report.run) / "documents.json").read_text())
    assert not set(documents["train"]) & set(documents["heldout"])
    assert any("retrieval.encoder" in line for line in report.lines())


@pytest.mark.parametrize(("shuffled", "rate", "epochs"), [(True, 1e-2, 4), (False, 1e-9, 1)])
def test_noise_and_an_encoder_that_did_not_change_are_refused(
    world: tuple[Project, Settings], shuffled: bool, rate: float, epochs: int
) -> None:
    report = run(world, shuffled=shuffled, rate=rate, epochs=epochs, said=[])
    assert not report.kept
    assert report.encoder == ""
    assert not (world[0].run_path(report.run) / "encoder").exists()
    assert "stays as it is" in report.lines()[-1]


def test_an_index_of_another_encoder_is_refused_with_the_fix(world: tuple[Project, Settings], tmp_path: Path) -> None:
    other = load_encoder(str(save_word_encoder(tmp_path, words=SAID, width=16)), runtime="torch")
    with pytest.raises(ProjectError, match="groundtone index"):
        read_corpus(world[0], other, seed=0)
    with pytest.raises(ProjectError, match="groundtone index"):
        read_corpus(Project(tmp_path), other, seed=0)
    assert not (tmp_path / ".groundtone").exists()


def test_hard_negatives_are_near_and_never_an_answer(world: tuple[Project, Settings]) -> None:
    encoder = load_encoder(world[1].retrieval.encoder, runtime="torch")
    corpus = read_corpus(world[0], encoder, seed=0)
    asked = questions(*world, shuffled=False)[:40]
    texts = {s.passage.id: s.passage.text for s in corpus.passages}
    examples = mine(encoder, corpus, asked, seed=0)
    assert [e.question for e in examples] == [q.text for q in asked]
    for question, example in zip(asked, examples, strict=True):
        assert example.passage == texts[question.passages[0]]
        assert example.passage not in example.negatives
        assert len(example.negatives) == NEGATIVES


def stored(text: str, *, nearest: int, sentence_vectors: bool = True) -> StoredPassage:
    """A passage whose sentence `nearest` is the one that the query [1, 0] is nearest to."""
    spans = tuple(sentence_spans(text))
    rows = [[0.5, 0.5], *([1.0, 0.0] if at == nearest else [0.0, 1.0] for at in range(len(spans)))]
    vectors = np.array(rows if sentence_vectors else rows[:1], dtype=np.float16)
    return StoredPassage(1, Passage("p", "d", "d.md", text, 0, len(text), "Title"), spans, vectors)


@given(lengths=st.lists(st.integers(3, 60), min_size=1, max_size=12), data=st.data())
def test_a_passage_is_trained_on_by_the_part_that_fits_the_question(lengths: list[int], data: st.DataObject) -> None:
    sentences = [f"S{at} {'word ' * size}end." for at, size in enumerate(lengths)]
    nearest = data.draw(st.integers(0, len(lengths) - 1))
    query = np.array([1.0, 0.0], dtype=np.float32)
    text = " ".join(sentences)
    part = window(stored(text, nearest=nearest), query)
    assert part.startswith("Title: ")
    inside = part.removeprefix("Title: ")
    assert inside in text
    assert sentences[nearest] in inside
    assert len(inside) <= max(WINDOW_CHARS, len(sentences[nearest]))
    assert window(stored(text, nearest=nearest, sentence_vectors=False), query) == f"Title: {text}"


def estimate(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 9)


@pytest.mark.parametrize(
    ("rise", "own", "kept"),
    [
        ((0.01, 0.05), None, True),
        ((0.0, 0.05), None, False),
        ((-0.01, 0.05), None, False),
        ((0.01, 0.05), (-0.1, 0.02), True),
        ((0.01, 0.05), (-0.1, -0.02), False),
    ],
)
def test_only_a_rise_beyond_noise_that_costs_no_own_question_is_kept(
    rise: tuple[float, float], own: tuple[float, float] | None, kept: bool
) -> None:
    judged = Judged(estimate(0, 1), estimate(0, 1), estimate(*rise), estimate(*own) if own else None)
    assert judged.decision()[0] is kept


@given(sizes=st.lists(st.integers(1, 9), min_size=2 * LEAST_DOCUMENTS, max_size=30), seed=st.integers(0, 5))
def test_the_split_shares_no_document_and_loses_no_question(sizes: list[int], seed: int) -> None:
    asked = [Asked(f"{at} {n}", f"{at}.md", ("p",)) for at, size in enumerate(sizes) for n in range(size)]
    train, heldout = split_by_document(asked, seed=seed)
    assert not {q.source for q in train} & {q.source for q in heldout}
    assert sorted((*train, *heldout), key=lambda q: q.text) == sorted(asked, key=lambda q: q.text)
    assert min(len({q.source for q in part}) for part in (train, heldout)) >= LEAST_DOCUMENTS


def test_too_few_documents_are_an_error_that_says_how_many_are_needed() -> None:
    with pytest.raises(DataError, match=r"of 3 documents; 8 are needed"):
        split_by_document([Asked("q", f"{at}.md", ("p",)) for at in range(3)], seed=0)


def test_a_question_whose_answer_a_person_called_supported_is_asked(
    world: tuple[Project, Settings], tmp_path: Path
) -> None:
    corpus = read_corpus(world[0], load_encoder(world[1].retrieval.encoder, runtime="torch"), seed=0)
    passages = [s.passage for s in corpus.passages]
    feedback = Feedback(tmp_path / "feedback.sqlite")
    about = {"question": "what about it", "evidence": passages[3].text.upper()}
    feedback.add_verdict(Verdict("a:0-1", "me", "supported"), about=about)
    feedback.add_verdict(Verdict("b:0-1", "me", "contradicted"), about=about | {"question": "not this"})
    assert [(q.text, q.passages, q.kind) for q in asked_by_people(feedback, passages)] == [
        ("what about it", (passages[3].id,), "accepted")
    ]


def test_ndcg_counts_the_first_answer_only() -> None:
    assert ndcg(["a", "b"], {"a", "b"}) == 1
    assert ndcg(["x", "b", "a"], {"a", "b"}) == pytest.approx(0.6309, abs=1e-4)
    assert ndcg(["x"], {"a"}) == 0
