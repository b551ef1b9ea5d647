from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from groundtone.errors import DataError, ModelError
from retrieval.duplicates import collapse
from retrieval.index import Index
from retrieval.mmr import mmr
from retrieval.rerank import load_reranker
from tests.retrieval.hashing_encoder import HashingEncoder

LONG = "A bike that was bought online can be returned within 30 days in its original box, with the receipt inside."


def _index(tmp_path: Path, files: dict[str, str], **options: object) -> Index:
    root = tmp_path / "d"
    for source, text in files.items():
        (root / source).parent.mkdir(parents=True, exist_ok=True)
        (root / source).write_text(text)
    index = Index.open(tmp_path / "i.sqlite", encoder=HashingEncoder(), **options)  # type: ignore[arg-type]
    index.update(root)
    return index


def _dated(date: str, text: str) -> str:
    return f"---\neffective: {date}\n---\n# Returns\n\n{text}\n"


def test_copies_make_room_for_other_passages(tmp_path: Path) -> None:
    files = {f"{n}/copy.md": f"# Returns\n\n{LONG}\n" for n in range(110)}
    files |= {"other.md": "# Other\n\nThe harbour opens at nine.\n", "third.md": "# Third\n\nParcels cost 4 euros.\n"}
    with _index(tmp_path, files) as index:
        found = index.explain("bike returned within 30 days", k=3)
        assert [item.hit.passage.source for item in found] == ["0/copy.md", "other.md", "third.md"] or len(
            {item.hit.passage.text for item in found}
        ) == 3
        left_out = {copy.passage.source for item in found for copy in item.duplicates}
        assert left_out
        assert all(source.endswith("copy.md") for source in left_out)


def test_a_short_text_below_another_heading_is_no_copy(tmp_path: Path) -> None:
    with _index(tmp_path, {f"{name}.md": f"# {name}\n\nPrice: 20 euros.\n" for name in ("heron", "otter")}) as index:
        assert len(index.search("price in euros", k=2)) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LONG, LONG.replace("30", "14")),
        (LONG, LONG.replace("can be", "can not be")),
        (LONG.replace("bike", "Heron"), LONG.replace("bike", "Otter")),
    ],
)
def test_another_value_name_or_negation_is_no_copy(tmp_path: Path, one: str, other: str) -> None:
    with _index(tmp_path, {"a.md": f"# Returns\n\n{one}\n", "b.md": f"# Returns\n\n{other}\n"}) as index:
        assert len(index.search("bike returned within days", k=2)) == 2


def test_the_newer_copy_is_shown_and_says_so(tmp_path: Path) -> None:
    with _index(tmp_path, {"a.md": _dated("2024-01-01", LONG), "b.md": _dated("2026-01-01", LONG)}) as index:
        (only,) = index.explain("bike returned within days", k=2)
        assert only.hit.passage.source == "b.md"
        assert [copy.passage.source for copy in only.duplicates] == ["a.md"]


def test_of_two_values_the_newer_date_goes_first_unless_the_old_one_is_asked_for(tmp_path: Path) -> None:
    files = {
        "a/policy.md": _dated("2024-01-01", LONG.replace("30", "14")).replace("# Returns", "# Returns policy"),
        "b/news.md": _dated("2026-01-01", LONG).replace("# Returns", "# Returns news"),
    }
    with _index(tmp_path, files) as index:
        question = "policy: bike returned within 14 days in its original box"
        first, second = index.explain(question, k=2)
        assert (first.hit.passage.source, second.hit.passage.source) == ("b/news.md", "a/policy.md")
        assert any("newer than a/policy.md" in remark for remark in first.notes)
        assert any("superseded by b/news.md" in remark for remark in second.notes)
        assert first.hit.score >= second.hit.score
        assert index.search(f"{question} 2024", k=1)[0].passage.source == "a/policy.md"


@pytest.mark.parametrize(
    ("today", "first", "notes"),
    [
        ("2026-06-01", "a.md", ("changes on 2027-01-01 with b.md", "not in force before 2027-01-01: until then a.md")),
        ("2027-01-01", "b.md", ("newer than a.md", "superseded by b.md")),
    ],
)
@pytest.mark.parametrize("best", [0, 1])
def test_what_is_to_come_goes_behind_what_is_in_force(
    tmp_path: Path, today: str, first: str, notes: tuple[str, str], best: int
) -> None:
    files = {"a.md": _dated("2024-01-01", LONG.replace("30", "14")), "b.md": _dated("2027-01-01", LONG)}
    with _index(tmp_path, files) as index:
        snap = index._current()
        entries = collapse(snap, [best, 1 - best], [0.9, 0.8], query="bike returned", today=today)
        order = [snap.passages[[best, 1 - best][entry.at]].source for entry in entries]
        assert order[0] == first
        assert [entry.score for entry in entries] == [0.9, 0.8]
        for entry, note in zip(entries, notes, strict=True):
            assert [told.startswith(note) for told in entry.notes] == [True]
        asked = collapse(snap, [1, 0], [0.9, 0.8], query="bike returned in 2027", today="2026-06-01")
        assert asked[0].at == 0, "the year asks for it"


@pytest.mark.parametrize(("today", "shown"), [("2026-06-01", "a.md"), ("2027-01-01", "b.md")])
@pytest.mark.parametrize("best", [0, 1])
def test_of_two_copies_the_one_in_force_is_shown(tmp_path: Path, today: str, shown: str, best: int) -> None:
    files = {"a.md": _dated("2024-01-01", LONG), "b.md": _dated("2027-01-01", LONG)}
    with _index(tmp_path, files) as index:
        snap = index._current()
        (only,) = collapse(snap, [best, 1 - best], [0.9, 0.8], query="bike returned", today=today)
        assert snap.passages[[best, 1 - best][only.at]].source == shown


def test_results_tell_nothing_of_what_the_reader_may_not_see(tmp_path: Path) -> None:
    secret = _dated("2025-01-01", LONG.replace("30", "14")).replace("---\n#", "groups: [board]\n---\n#")
    files = {"returns-2024.md": _dated("2024-01-01", LONG), "returns-2025.md": secret}
    with _index(tmp_path, files) as index:
        (only,) = index.explain("bike returned within days", k=5)
        assert (only.hit.passage.source, only.notes, only.scores["penalty"]) == ("returns-2024.md", (), 0.0)
        seen = index.explain("bike returned within days", k=5, groups=["board"])
        assert [item.hit.passage.source for item in seen] == ["returns-2025.md", "returns-2024.md"]


def test_mmr_by_hand_and_at_its_ends() -> None:
    scores = np.array([0.9, 0.89, 0.5], dtype=np.float32)
    vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    assert [row for row, _ in mmr(scores, vectors, k=3, balance=0.5)] == [0, 2, 1]
    assert mmr(scores, vectors, k=2, balance=0.5)[1][1] == pytest.approx(0.25)
    assert [row for row, _ in mmr(scores, vectors, k=2, balance=1.0)] == [0, 1]
    assert len(mmr(scores, vectors, k=9, balance=0.3)) == 3


class ShortestFirst:
    name = "shortest"

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([-len(text) for text in texts], dtype=np.float32)


def test_a_reranker_decides_and_is_explained(tmp_path: Path) -> None:
    files = {f"{n}.md": f"# Page\n\nThe bike {'of the harbour ' * n}costs {n} euros.\n" for n in range(6)}
    with _index(tmp_path, files, reranker=ShortestFirst()) as index:
        found = index.explain("the bike of the harbour", k=3)
        assert [item.hit.passage.source for item in found] == ["0.md", "1.md", "2.md"]
        assert [item.ranks["rerank"] for item in found] == [1, 2, 3]
        assert found[0].scores["rerank"] > found[1].scores["rerank"]


def test_mmr_changes_the_order_and_keeps_k(tmp_path: Path) -> None:
    files = {f"{n}.md": f"# Page\n\nThe bike in the harbour costs {n} euros, tax included.\n" for n in range(6)}
    files["other.md"] = "# Workshop\n\nA bike gets new brakes on Monday mornings.\n"
    with _index(tmp_path, files, mmr=0.3) as index:
        found = index.search("what does a bike in the harbour cost", k=3)
        assert len(found) == 3
        assert "other.md" in [hit.passage.source for hit in found[:2]]


def test_a_cross_encoder_made_on_the_spot(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate("[PAD] [UNK] [CLS] [SEP] bike harbour price".split())}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    for labels, folder in ((1, "one"), (3, "three")):
        config = BertConfig(vocab_size=len(vocabulary), num_labels=labels, **size)
        BertForSequenceClassification(config).save_pretrained(tmp_path / folder)
        tokenizer.save_pretrained(tmp_path / folder)
    reranker = load_reranker(str(tmp_path / "one"), device="cpu")
    scores = reranker.score("bike", ["harbour price", "bike", "bike"])
    assert scores.shape == (3,)
    assert scores[1] == pytest.approx(scores[2])
    assert reranker.score("bike", []).shape == (0,)
    with pytest.raises(ModelError, match="3 outputs"):
        load_reranker(str(tmp_path / "three"), device="cpu")
    with pytest.raises(ModelError, match=r"retrieval\.reranker"):
        load_reranker(str(tmp_path / "none"), device="cpu")


def test_explained_stages_agree_with_the_hit(index: Index) -> None:
    for item in index.explain("price of a parcel", k=3):
        assert item.scores["dense"] == pytest.approx(max(item.scores["passage"], item.scores["sentence"]))
        assert item.scores["fused"] == pytest.approx(item.hit.score, abs=1e-6)
        assert item.hit.ranks.items() <= item.ranks.items()
        assert ("lexical" in item.ranks) == (item.scores.get("lexical", 0.0) > 0)
    assert [item.hit for item in index.explain("price of a parcel", k=3)] == index.search("price of a parcel", k=3)


def test_long_and_empty_queries(index: Index) -> None:
    assert len(index.search("price of a parcel " * 6000, k=3)) == 3
    assert index.search(" \n", k=3) == []
    with pytest.raises(DataError, match="k is -1"):
        index.search("bike", k=-1)


def test_neighbours_and_widening_keep_the_offsets(tmp_path: Path) -> None:
    lines = "".join(f"\n\n## Part {n}\n\nSentence number {n} is about bikes. It has a second one." for n in range(6))
    with _index(tmp_path, {"a.md": f"# Title{lines}\n"}) as index:
        hit = index.search("Sentence number 3", k=1)[0]
        beside = index.neighbours(hit.passage)
        assert beside.previous is not None
        assert beside.next is not None
        assert beside.previous.end <= hit.passage.start < hit.passage.end <= beside.next.start
        text = index.document(hit.passage.doc_id).text
        sizes = []
        for tokens in (1, 40, 80, 10_000):
            wide = index.widen(hit, tokens)
            p = wide.passage
            assert text[p.start : p.end] == p.text
            assert p.start <= hit.passage.start < hit.passage.end <= p.end
            assert [p.text[a:b] for a, b in wide.best] == [hit.passage.text[a:b] for a, b in hit.best]
            assert wide == hit or len(HashingEncoder().token_offsets(p.text)) <= tokens
            sizes.append(len(p.text))
        assert sizes == sorted(sizes)
        assert sizes[0] == len(hit.passage.text)
        assert sizes[-1] == index.passages()[-1].end - index.passages()[0].start


def test_without_sentence_vectors_the_sentence_that_shares_words_comes_first(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    (root / "a.md").write_text("# Time\n\nA parcel takes 3 days. The courier comes the next morning.\n")
    with Index.open(tmp_path / "i.sqlite", encoder=HashingEncoder()) as index:
        index.update(root, sentence_vectors=False)
        item = index.explain("When does the courier come?", k=1)[0]
        start, end = item.hit.best[0]
        assert item.hit.passage.text[start:end].startswith("The courier")
        assert "sentence" not in item.ranks


def test_an_lcel_chain_runs_on_the_index_with_groups_and_conditions(tmp_path: Path) -> None:
    from langchain_core.language_models import FakeListChatModel
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.runnables import RunnableLambda, RunnablePassthrough

    from retrieval.langchain import GroundtoneRetriever

    files = {"a.md": "# Leave\n\n30 days of leave.\n", "b.md": "---\ngroups: [hr]\n---\n# Pay\n\nLeave is paid.\n"}
    with _index(tmp_path, files) as index:
        seen: list[str] = []

        def show(documents: list[object]) -> str:
            seen.append(" ".join(str(d.metadata["source"]) for d in documents))  # type: ignore[attr-defined]
            return "\n".join(str(d.page_content) for d in documents)  # type: ignore[attr-defined]

        for options, expected in (
            ({}, "a.md"),
            ({"groups": ("hr",), "where": {"source": "b*"}}, "b.md"),
        ):
            retriever = GroundtoneRetriever(index=index, k=2, **options)  # type: ignore[arg-type]
            prompt = ChatPromptTemplate.from_template("{context}\n\n{question}")
            model = FakeListChatModel(responses=["30 days [1]"])
            chain = (
                {"context": retriever | RunnableLambda(show), "question": RunnablePassthrough()}
                | prompt
                | model
                | StrOutputParser()
            )
            assert chain.invoke("How much leave is there?") == "30 days [1]"
            assert seen[-1] == expected
        retriever = GroundtoneRetriever(index=index, k=2)
        found = retriever.invoke("leave", groups=("hr",), k=1, where={"source": "b.md"})
        assert [d.metadata["evidence"] for d in found] == ["Leave is paid."]
