from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest

from groundtone.errors import DataError, DocumentError
from groundtone.types import Document, Passage
from retrieval.chunk import Chunk
from retrieval.index import Index
from retrieval.interface import SearchableIndex
from retrieval.postgres import documents, jobs
from retrieval.postgres import search as pg_search
from retrieval.postgres.connect import Database
from retrieval.postgres.index import PgIndex
from retrieval.postgres.schema import build_vector_index, prepare
from retrieval.postgres.words import indexed, tsquery
from retrieval.search import convex
from retrieval.versions import PENALTY, outdated
from tests.retrieval.hashing_encoder import HashingEncoder

ROOT = Path(__file__).resolve().parents[3]
QUESTIONS = [
    json.loads(line)["question"]
    for line in (ROOT / "data/questions/answerable.jsonl").read_text(encoding="utf-8").splitlines()[:40]
]


@pytest.mark.parametrize("cls", [Index, PgIndex])
def test_both_indexes_offer_the_interface(cls: type) -> None:
    for name, wanted in inspect.getmembers(SearchableIndex, lambda m: inspect.isfunction(m) or isinstance(m, property)):
        if name.startswith("__") and name not in ("__enter__", "__exit__"):
            continue
        found = inspect.getattr_static(cls, name)
        assert type(found) is type(wanted), name
        if not isinstance(wanted, property):
            ours = inspect.signature(found).parameters
            for parameter in inspect.signature(wanted).parameters.values():
                assert ours[parameter.name].kind == parameter.kind, name
                assert ours[parameter.name].default == parameter.default, name


def test_the_same_documents_give_the_same_passages_in_both_stores(handbooks: tuple[Index, PgIndex]) -> None:
    sqlite, pg = handbooks
    assert pg.passages() == sqlite.passages()
    assert pg.documents() == sqlite.documents()
    assert pg.passage_count == sqlite.passage_count > 100
    assert pg.content_hash() == sqlite.content_hash()
    passage = pg.passages()[7]
    assert pg.document(passage.doc_id) == sqlite.document(passage.doc_id)
    assert pg.locate(passage.source, passage.text) == sqlite.locate(passage.source, passage.text) != []


def test_vectors_rank_as_the_index_in_memory_does(handbooks: tuple[Index, PgIndex]) -> None:
    """Its order leaves out copies, so ranks by the dense score are compared, where both show the passage."""
    sqlite, pg = handbooks
    compared = 0
    for query in QUESTIONS:
        ours = {hit.passage.id: hit for hit in pg.search(query, k=10)}
        theirs = {hit.passage.id: hit for hit in sqlite.search(query, k=10)}
        shared = ours.keys() & theirs.keys()
        assert len(shared) >= 8, query
        for passage_id in shared:
            assert ours[passage_id].score == pytest.approx(theirs[passage_id].score, abs=2e-3)
        compared += len(shared)
        assert next(iter(ours.values())).score == pytest.approx(next(iter(theirs.values())).score, abs=2e-3)
    assert compared >= 9 * len(QUESTIONS)


def test_the_fusion_in_sql_is_the_fusion_in_memory(dsn: str, handbooks: tuple[Index, PgIndex]) -> None:
    """Words alone and vectors alone give the two scores; `convex` over them gives the order that SQL gives."""
    old = outdated(Document("", "", source) for source in handbooks[1].documents())
    with (
        PgIndex.open(dsn, encoder=HashingEncoder(), fusion_weight=1.0, schema="handbook") as dense,
        PgIndex.open(dsn, encoder=HashingEncoder(), fusion_weight=0.0, schema="handbook") as lexical,
        PgIndex.open(dsn, encoder=HashingEncoder(), fusion_weight=0.6, schema="handbook") as both,
    ):
        for query in QUESTIONS[:12]:
            current = {
                p.id: 1 - PENALTY if p.source in old and not old[p.source].meant_by(query) else 1.0
                for p in handbooks[1].passages()
            }
            parts = [{h.passage.id: h.score for h in index.search(query, k=400)} for index in (dense, lexical)]
            ids = list(parts[0])
            scores = [np.array([part[i] / current[i] for i in ids], dtype=np.float32) for part in parts]
            fusion = convex(scores[1], scores[0], 0.6) * np.array([current[i] for i in ids])
            expected = dict(zip(ids, fusion, strict=True))
            found = both.search(query, k=400)
            assert {hit.passage.id for hit in found} == set(ids)
            fused = [float(expected[hit.passage.id]) for hit in found]
            assert [hit.score for hit in found] == pytest.approx(fused, abs=1e-5)
            assert [hit.ranks["fused"] for hit in found] == list(range(1, len(found) + 1))


def test_hits_quote_their_document_and_their_best_sentences(handbooks: tuple[Index, PgIndex]) -> None:
    _, pg = handbooks
    for query in QUESTIONS[:5]:
        for hit in pg.search(query, k=5):
            p = hit.passage
            assert pg.document(p.doc_id).text[p.start : p.end] == p.text
            assert hit.best
            assert all(0 <= a < b <= len(p.text) for a, b in hit.best)


def test_an_update_reads_only_what_changed_and_deletes_at_once(pg: PgIndex, folder: Path) -> None:
    before = pg.content_hash()
    report = pg.update(folder)
    assert (report.read, report.unchanged, report.removed) == (0, 3, 0)
    assert pg.content_hash() == before
    (folder / "returns.txt").write_text("Returns\n\nA bike can be returned within 99 days of delivery.\n")
    (folder / "people" / "leave.md").unlink()
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    (folder / "delivery.md").write_bytes(b"")
    report = pg.update(folder)
    assert (report.read, report.unchanged, report.removed) == (1, 0, 1)
    assert {f.source for f in report.failed} == {"broken.pdf", "delivery.md"}
    assert "stays in the index" in next(f.reason for f in report.failed if f.source == "delivery.md")
    assert pg.documents() == ["delivery.md", "returns.txt"]
    assert "99 days" in pg.search("returned bike days", k=1)[0].passage.text
    assert all(hit.passage.source != "people/leave.md" for hit in pg.search("days of leave", k=9))


def test_keys_and_versions_that_a_reader_may_not_see_are_not_told(pg: PgIndex, folder: Path) -> None:
    (folder / "returns-2024.md").write_text("---\neffective: 2024-01-01\n---\n# Returns\n\nWithin 14 days.\n")
    (folder / "returns-2025.md").write_text(
        "---\neffective: 2025-01-01\ngroups: [board]\nmerger: acme\n---\n# Returns\n\nWithin 30 days.\n"
    )
    pg.update(folder)
    with pytest.raises(DataError, match="no document has the metadata key 'merger'") as told:
        pg.search("returns", where={"merger": "acme"})
    assert "groups" not in str(told.value)
    assert len(pg.search("returns", where={"merger": "acme"}, groups=["board"])) == 1
    with pytest.raises(DataError, match="merger"):
        pg.search("returns", where={"mergr": "acme"}, groups=["board"])
    assert pg._state is not None
    assert pg._state.outdated == {}


def test_a_deleted_document_leaves_no_row(dsn: str, pg: PgIndex, schema: str, folder: Path) -> None:
    (folder / "people" / "leave.md").unlink()
    pg.update(folder)
    with psycopg.connect(dsn) as connection:
        for table in ("documents", "passages", "vectors", "jobs"):
            rows = connection.execute(f"SELECT * FROM {schema}.{table}").fetchall()
            assert rows
            assert "leave" not in str(rows).lower(), table
        orphans = connection.execute(
            f"SELECT count(*) FROM {schema}.vectors WHERE doc NOT IN (SELECT number FROM {schema}.documents)"
        ).fetchone()
    assert orphans == (0,)


def test_a_missing_folder_removes_nothing(pg: PgIndex, folder: Path) -> None:
    with pytest.raises(DocumentError, match="does not exist"):
        pg.update(folder / "gone")
    assert len(pg.documents()) == 3


def test_a_reader_sees_the_old_version_whole_until_the_new_one_is_committed(
    dsn: str, pg: PgIndex, schema: str, folder: Path
) -> None:
    old = [hit.passage.text for hit in pg.search("courier price", k=9)]
    database = Database(dsn, schema=schema)
    with database.connection() as connection, connection.transaction():
        doc = Document.of("delivery.md", "By boat only.")
        made = Chunk(Passage("p", doc.id, doc.source, doc.text, 0, len(doc.text)), ((0, len(doc.text)),))
        vectors = [HashingEncoder().encode(made.embedded())]
        stored = documents.Stored("x", "y")
        documents.put(connection, doc, [made], vectors=vectors, version=stored, language="english")
        assert [hit.passage.text for hit in pg.search("courier price", k=9)] == old
    database.close()
    assert [p.text for p in pg.passages() if p.source == "delivery.md"] == ["By boat only."]


def test_filters_and_groups_keep_k(dsn: str, schema: str, tmp_path: Path) -> None:
    root = tmp_path / "many"
    (root / "b").mkdir(parents=True)
    for n in range(60):
        secret = "groups: [staff]\n" if n % 3 == 0 else ""
        front = f"---\ntitle: Page {n}\n{secret}effective: 2024-01-0{n % 9 + 1}\n---\n"
        where = root / "b" if n < 6 else root
        (where / f"page{n}x.md").write_text(f"{front}# Page {n}\n\nA note on bikes and parcels, number {n}.\n")
    with PgIndex.open(dsn, encoder=HashingEncoder(), schema=schema) as index:
        index.update(root)
        assert len(index.search("bikes and parcels", k=40)) == 40
        assert len(index.search("bikes and parcels", k=60)) == 40, "every third page is for staff only"
        assert len(index.search("bikes and parcels", k=60, groups=["staff"])) == 60
        found = index.search("bikes and parcels", k=5, where={"source": "B/*"}, groups=["staff"])
        assert len(found) == 5
        assert all(hit.passage.source.startswith("b/") for hit in found)
        dated = index.search("zebra", k=5, where={"effective": ("2024-01-02", "2024-01-03")})
        assert len(dated) == 5
        assert {int(h.passage.source[4:].split("x")[0]) % 9 for h in dated if h.passage.source[0] == "p"} <= {1, 2}
        with pytest.raises(DataError, match="did you mean 'effective'"):
            index.search("bikes", where={"efective": "2024-01-02"})
        assert index.search("bikes", where={"source": "nowhere/*"}) == []


def test_the_current_version_goes_before_the_outdated_one(dsn: str, schema: str, tmp_path: Path) -> None:
    for year in (2024, 2026):
        (tmp_path / f"returns-{year}.md").write_text(
            f"# Returns {year}\n\nA bike goes back within {year - 2000} days.\n"
        )
    with PgIndex.open(dsn, encoder=HashingEncoder(), schema=schema) as index:
        index.update(tmp_path)
        assert index.search("a bike goes back within days", k=2)[0].passage.source == "returns-2026.md"
        assert index.search("a bike goes back within days in 2024", k=2)[0].passage.source == "returns-2024.md"
        (tmp_path / "returns-2026.md").unlink()
        index.update(tmp_path)
        assert index.search("a bike goes back within days", k=2)[0].passage.source == "returns-2024.md"


def test_a_version_that_is_still_to_come_goes_behind_until_its_day(
    dsn: str, schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for year in (2026, 2027):
        (tmp_path / f"travel-{year}.md").write_text(
            f"---\neffective: {year}-01-01\n---\n# Travel\n\nA night in a hotel may cost {year - 1900} euros.\n"
        )
    with PgIndex.open(dsn, encoder=HashingEncoder(), schema=schema) as index:
        index.update(tmp_path)
        for day, first in (("2026-12-31", "travel-2026.md"), ("2027-01-01", "travel-2027.md")):
            monkeypatch.setattr("retrieval.postgres.index.today_utc", lambda day=day: day)
            assert index.search("hotel night cost")[0].passage.source == first
        monkeypatch.setattr("retrieval.postgres.index.today_utc", lambda: "2026-12-31")
        assert len({hit.score for hit in index.search("hotel night cost in 2027")}) == 1, "it is asked for by its year"


def test_signs_and_other_scripts_are_searched_and_never_syntax(dsn: str, schema: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# 営業\n\n東京本社の営業時間は九時からです。\n", encoding="utf-8")
    (tmp_path / "b.md").write_text("# Café\n\nThe Zürich café is 20 km/h away; it's 25-30 francs.\n", encoding="utf-8")
    (tmp_path / "c.md").write_text("# Else\n\nSomething else altogether.\n")
    with PgIndex.open(dsn, encoder=HashingEncoder(), schema=schema, fusion_weight=0.0) as index:
        assert index.update(tmp_path).failed == ()
        for query, source in (("営業時間", "a.md"), ("cafe zurich", "b.md"), ("30 francs", "b.md"), ("km/h", "b.md")):
            hits = index.search(query, k=3)
            assert hits[0].passage.source == source, query
            assert hits[0].ranks["lexical"] == 1
        for query in (
            "'; DROP TABLE passages; --",
            "%s %(x)s",
            "a & b | !c <-> :*",
            "it's",
            "\\",
            "x" * 100_000,
            "\x00a",
        ):
            assert len(index.search(query, k=3)) in (0, 3), query
        assert index.search("", k=3) == index.search("?! 🙂", k=3) == []
        for passage in index.passages():
            assert index.document(passage.doc_id).text[passage.start : passage.end] == passage.text
        with pytest.raises(DataError, match="k is 0"):
            index.search("a", k=0)


def test_what_postgresql_cannot_hold_is_replaced_sign_by_sign() -> None:
    doc = Document.of("a.md", "a\x00b\ud800c", title="t\x00", tags=["\udfff"])
    kept = documents.storable(doc)
    assert kept.text == "a\ufffdb\ufffdc"
    assert kept == Document.of("a.md", kept.text, title="t\ufffd", tags=["\ufffd"])
    assert documents.storable(kept) == kept


def test_words_are_cut_alike_on_both_sides() -> None:
    assert indexed("Zürich's 25-30 km/h, €4.90") == "zurich s 25 30 km h 4 90"
    assert tsquery("What is 4.90 in Zürich?") == "'4 90' | 'zurich'"
    assert tsquery("🙂") == ""


@pytest.fixture
def many(dsn: str, schema: str) -> Iterator[tuple[PgIndex, np.ndarray]]:
    """3,000 random vectors of 32 numbers below an HNSW index, every hundredth for staff only."""
    encoder = HashingEncoder(dim=32)
    database = Database(dsn, schema=schema)
    language = prepare(database, encoder=encoder.name, dim=32, language="english", rebuild=False)
    random = np.random.default_rng(0)
    rows = random.standard_normal((3000, 32)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with database.connection() as connection, connection.transaction():
        for start in range(0, 3000, 10):  # documents of ten passages of one vector, whose names name no year
            name = "".join("abcdefghij"[int(digit)] for digit in f"{start:04}")
            doc = Document.of(name, "x" * 10, **({"groups": ["staff"]} if start % 1000 == 0 else {}))
            chunks = [Chunk(Passage(f"{start + i}", doc.id, doc.source, "x", i, i + 1), ()) for i in range(10)]
            vectors = [row[None] for row in rows[start : start + 10]]
            stored = documents.Stored("x", "y")
            documents.put(connection, doc, chunks, vectors=vectors, version=stored, language=language)
    assert build_vector_index(database, least_vectors=1000)
    assert not build_vector_index(database, least_vectors=1000), "it is there already"
    with PgIndex.open(dsn, encoder=encoder, schema=schema, fusion_weight=1.0) as index:
        yield index, rows
    database.close()


def test_the_vector_index_finds_what_the_exact_search_finds(
    many: tuple[PgIndex, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, rows = many
    queries = [f"query {n} of bikes parcels days leave {n * n}" for n in range(30)]
    exact = [index.search(query, k=10, groups=["staff"]) for query in queries]
    wanted = rows.astype(np.float16).astype(np.float32) @ HashingEncoder(dim=32).encode(queries).T
    for n, hits in enumerate(exact):
        assert [int(h.passage.id) for h in hits] == np.argsort(-wanted[:, n], kind="stable")[:10].tolist()
    monkeypatch.setattr(pg_search, "EXACT_VECTORS", 1000)
    approximate = [index.search(query, k=10, groups=["staff"]) for query in queries]
    overlap = [
        len({h.passage.id for h in a} & {h.passage.id for h in b}) for a, b in zip(exact, approximate, strict=True)
    ]
    assert np.mean(overlap) >= 9.5
    # 1 % of the passages: none is lost to the filter, whether the graph is walked or not
    monkeypatch.setattr(pg_search, "EXACT_VECTORS", 0)
    monkeypatch.setattr(pg_search, "MAX_SCAN_TUPLES", 10**9)
    for query in queries[:5]:
        hits = index.search(query, k=30, groups=["staff"], where={"groups": "staff"})
        assert len(hits) == 30
        assert all(int(h.passage.id) % 1000 < 10 for h in hits)


def test_a_job_of_a_file_that_went_is_not_stored(dsn: str, pg: PgIndex, schema: str, folder: Path) -> None:
    database = Database(dsn, schema=schema)
    with database.connection() as connection:
        jobs.queue(connection, ["returns.txt"])
        job = jobs.take(connection, worker="me", lease_s=60, max_tries=3)
        assert job is not None
        jobs.keep_only(connection, ["delivery.md"])
        with pytest.raises(jobs.LeaseLostError):
            jobs.finish(connection, job, outcome="read")
    database.close()
