"""The queue of claims: an index beside the records that always fits them, risk first, evidence, trust and changes."""

from __future__ import annotations

import json
import os
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from dashboard import review, runs, trusting, views
from dashboard.access import readable_sources, sources_of
from dashboard.claims import NAME, RISK, Claims
from groundtone.feedback import Agreement, JudgedClaim
from groundtone.files import write_atomic
from groundtone.types import Estimate, Verdict
from retrieval.index import Index
from tests.dashboard.fixtures import ARMS, ODD
from tests.retrieval.hashing_encoder import HashingEncoder


@pytest.fixture
def folder(project: Path) -> Path:
    """The evaluation's folder."""
    return runs.load_evaluations(project).runs[0].path


def lines(folder: Path) -> list[dict[str, Any]]:
    """The records as they lie in the file."""
    return [json.loads(line) for line in (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_claim_is_listed_once_riskiest_first_and_opens_its_own_record(folder: Path) -> None:
    claims = Claims(folder)
    found = claims.queue()
    assert len(found) == claims.count() == 24 * len(ARMS)
    assert len({entry.key for entry in found}) == len(found)
    risks = [(RISK[entry.verdict], -entry.risk) for entry in found]
    assert risks == sorted(risks)
    for entry in found:
        row = review.open_row(claims, entry)
        assert row is not None
        assert (row.record["item_id"], row.record["arm"], row.claim["start"]) == (entry.item, entry.arm, entry.start)


def test_filters_count_as_many_as_they_list_and_windows_make_up_the_whole(folder: Path) -> None:
    claims = Claims(folder)
    for arm in ("", *ARMS):
        for verdicts in ((), ("contradicted",), ("unsupported", "supported")):
            found = claims.queue(arm=arm, verdicts=verdicts)
            assert claims.count(arm=arm, verdicts=verdicts) == len(found)
            windows = [claims.queue(arm=arm, verdicts=verdicts, limit=7, offset=at) for at in range(0, len(found), 7)]
            assert [entry for window in windows for entry in window] == found


def test_claims_that_people_dispute_come_first(folder: Path) -> None:
    claims = Claims(folder)
    last = claims.queue()[-1]
    said = [JudgedClaim(Verdict(last.key, who, value)) for who, value in (("A", "supported"), ("B", "contradicted"))]
    assert review.contested(said) == [last.key]
    assert claims.queue(first=review.contested(said))[0] == last
    assert review.contested(said[:1]) == []


def test_general_items_stay_out_of_the_queue_and_their_flips_are_found(folder: Path) -> None:
    before = Claims(folder).queue()
    some = lines(folder)[0]
    question = dict(some["question"], kind="general")
    with (folder / "records.jsonl").open("a", encoding="utf-8") as out:
        for arm, value in (("base", 1.0), ("tuned", 0.0)):
            scores = {"arithmetic": {"value": value, "why": ""}, "conversation": {"value": None, "why": ""}}
            out.write(json.dumps(dict(some, item_id="g1", arm=arm, question=question, scores=scores)) + "\n")
    claims = Claims(folder)
    assert claims.queue() == before
    (flip,) = claims.flips("arithmetic", broken=True)
    assert flip.item == "g1"
    assert claims.flips("arithmetic", broken=False) == claims.flips("conversation", broken=True) == []


def test_changed_records_make_the_index_anew_and_a_cut_off_line_is_counted(folder: Path) -> None:
    assert Claims(folder).skipped == 0
    kept = lines(folder)[:3]
    text = "".join(json.dumps(record) + "\n" for record in kept)
    (folder / "records.jsonl").write_text(text + '{"item_id": "q9", "arm": "ba', encoding="utf-8")
    claims = Claims(folder)
    assert (claims.count(), claims.skipped) == (3, 1)
    (folder / NAME).write_bytes(b"no database at all")
    assert Claims(folder).count() == 3


def test_a_run_that_is_deleted_while_shown_finds_nothing_and_raises_nothing(folder: Path) -> None:
    claims = Claims(folder)
    entry = claims.queue()[0]
    (folder / "records.jsonl").unlink()
    assert review.open_row(claims, entry) is None
    assert Claims(folder).count() == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_run_is_indexed_elsewhere(folder: Path) -> None:
    folder.chmod(0o555)
    claims = Claims(folder)
    assert claims.count() > 0
    assert claims.path.parent != folder


def test_the_next_claim_is_one_that_was_not_judged(folder: Path) -> None:
    rows = Claims(folder).queue(limit=5)
    judged = {rows[1].key: "supported", rows[2].key: "unsure"}
    assert review.next_open(rows, judged, 0) == 3
    assert review.next_open(rows, judged, 4) == 0
    assert review.next_open(rows, {row.key: "unsure" for row in rows}, 2) == 2


def test_evidence_says_when_nothing_was_retrieved_and_where_it_stands(folder: Path) -> None:
    claims = Claims(folder)
    shown = []
    for entry in claims.queue():
        row = review.open_row(claims, entry)
        assert row is not None
        html = review.evidence_html(row)
        retrieved = row.arm.endswith("/rag")
        assert ("Not retrieved" in html) != retrieved
        assert 'class="gt-sentence"' in html
        assert retrieved or "at rank 37" in review.evidence_html(row, {"rank": 37})
        shown.append(html + review.question_html(row) + review.claim_html(row, "unsure"))
    assert not any("<script" in html for html in shown)
    assert any(ODD in unescape(html) for html in shown)


def test_blind_review_tells_nothing_of_the_detector_until_judged(folder: Path) -> None:
    claims = Claims(folder)
    rows = claims.queue()
    row = review.open_row(claims, rows[0])
    assert row is not None
    assert "Contradicted" not in review.claim_html(row, "", blind=True)
    assert "Contradicted" in review.claim_html(row, "supported", blind=True)
    table = review.queue_table(rows, {rows[0].key: "supported"}, blind=True)
    assert table[""][0] == "✕"
    assert set(table[""][1:]) == {"·"}


def test_trust_is_unverified_without_verdicts_and_kappa_with_them(folder: Path) -> None:
    claims = Claims(folder)
    none = trusting.sample(claims, [])
    assert "unverified" in trusting.agreement_html(trusting.trust(claims, none), none)
    said = [JudgedClaim(Verdict(entry.key, "Ann", entry.verdict)) for entry in claims.queue()]  # type: ignore[arg-type]
    some = trusting.sample(claims, said)
    assert trusting.trust(claims, some).kappa == pytest.approx(1)
    found = trusting.pairs(claims, some)
    assert len(found) == len(said)
    assert all(flagged == wrong for flagged, wrong, _ in found)
    assert trusting.reliability_table(found)["n"].sum() == len(found)
    assert "✕ 0" in trusting.confusion_html(found)
    assert "fewer than 25" in trusting.progress_html(3, 9, Agreement(0.5, 3, 4), some)
    assert "fewer than 25" not in trusting.progress_html(30, 40, Agreement(0.5, 25, 30), some)


def test_kappa_stands_with_its_interval_or_says_that_there_is_none(folder: Path) -> None:
    claims = Claims(folder)
    entries = claims.queue(order="random")

    def judged(some: int, wrong: int) -> trusting.Sample:
        said = [
            "supported" if (e.verdict == "supported") != (n < wrong) else "contradicted" for n, e in enumerate(entries)
        ]
        pairs = list(zip(entries, said, strict=True))[:some]
        return trusting.Sample(tuple(JudgedClaim(Verdict(e.key, "Ann", value)) for e, value in pairs))  # type: ignore[arg-type]

    half = judged(60, 12)
    found, ends = trusting.trust(claims, half), trusting.kappa_ends(claims, half)
    assert ends is not None
    assert found.kappa is not None
    assert ends[0] < found.kappa < ends[1]
    assert f"[{ends[0]:.2f}, {ends[1]:.2f}]" in trusting.agreement_html(found, half, ends=ends)
    assert f"[{ends[0]:.2f}, {ends[1]:.2f}] on 60 verdicts" in trusting.progress_html(60, 99, found, half, ends=ends)
    assert trusting.kappa_ends(claims, judged(60, 0)) == (1, 1)
    few = judged(2, 0)
    assert trusting.kappa_ends(claims, few) is None
    assert "no interval" in trusting.agreement_html(Agreement(0.5, 1, 2), few)


def test_figures_of_the_detector_rest_on_claims_that_nothing_picked(folder: Path) -> None:
    claims = Claims(folder)
    rows = claims.queue(order="random")
    about: dict[str, list[dict[str, Any]]] = {"riskiest": [], "random": []}
    for entry in rows[:6]:
        row = review.open_row(claims, entry)
        assert row is not None
        about["riskiest"].append(review.about(row, "run", order="riskiest"))
        about["random"].append(review.about(row, "run", order="random"))
    picked = [JudgedClaim(Verdict(e.key, "Ann", "supported"), about["riskiest"][n]) for n, e in enumerate(rows[:6])]
    drawn = [JudgedClaim(Verdict(e.key, "Bo", "supported"), about["random"][n]) for n, e in enumerate(rows[:4])]
    both, biased = trusting.sample(claims, picked + drawn), trusting.sample(claims, picked)
    assert (len(both.verdicts), both.fair, both.left_out) == (4, True, 6)
    assert (len(biased.verdicts), biased.fair) == (6, False)
    assert "no fair sample" in trusting.agreement_html(trusting.trust(claims, biased), biased)
    assert "left out" in trusting.sampled(both)


def test_a_run_that_is_deleted_after_it_was_opened_has_no_claims(folder: Path) -> None:
    claims = Claims(folder)
    assert claims.count() > 0
    shutil.rmtree(folder)
    assert (claims.count(), claims.queue(), claims.arms()) == (0, [], [])


def test_a_random_queue_holds_every_claim_and_does_not_follow_the_risk(folder: Path) -> None:
    claims = Claims(folder)
    drawn, risky = claims.queue(order="random"), claims.queue()
    assert {e.key for e in drawn} == {e.key for e in risky}
    ranks = [RISK[e.verdict] for e in drawn]
    assert ranks != sorted(ranks)
    assert [e.key for e in claims.queue(order="random", limit=10)] == [e.key for e in drawn[:10]]


def test_records_of_documents_that_may_not_be_read_are_as_if_they_were_not_there(folder: Path) -> None:
    everything = Claims(folder)
    touched = {entry.key: sources_of(everything.record(entry.line) or {}) for entry in everything.queue()}
    hidden = sorted(set().union(*touched.values()))[0]
    some = Claims(folder, readable=frozenset(set().union(*touched.values()) - {hidden}))
    left = {key for key, sources in touched.items() if hidden not in sources}
    assert 0 < len(left) < len(touched)
    assert {e.key for e in some.queue()} == {e.key for e in some.queue(order="random")} == left
    assert some.count() == len(left)
    assert set(some.among(touched)) == left
    (gone, *_) = [e for e in everything.queue() if e.key not in left]
    assert some.record(gone.line) is None
    assert len(some.correct("tuned/rag")) < len(everything.correct("tuned/rag"))
    assert Claims(folder, readable=frozenset()).count() == 0


def test_an_index_says_what_a_group_may_read_and_one_that_cannot_be_read_hides_all_where_groups_are_used(
    tmp_path: Path,
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "open.md").write_text("# Open\n\nEverybody may read this.\n")
    (tmp_path / "docs" / "pay.md").write_text("---\ngroups: [hr]\n---\n# Pay\n\nOnly some may read this.\n")
    path = tmp_path / "index.sqlite"
    with Index.open(path, encoder=HashingEncoder()) as index:
        index.update(tmp_path / "docs")
    assert readable_sources(path, (), guarded=False) == {"open.md"}
    assert readable_sources(path, ("hr",), guarded=False) == {"open.md", "pay.md"}
    (tmp_path / "broken.sqlite").touch()
    assert readable_sources(tmp_path / "broken.sqlite", (), guarded=True) == frozenset()
    assert readable_sources(tmp_path / "broken.sqlite", (), guarded=False) is None


def test_changed_answers_are_the_items_whose_correctness_differs(folder: Path) -> None:
    claims = Claims(folder)
    found = views.flips(claims, "base/rag", claims, "tuned/rag")
    correct = {(r["item_id"], r["arm"]): r["scores"]["correct"]["value"] for r in lines(folder)}
    ids = {item for item, _ in correct}
    worse = sorted(i for i in ids if correct[i, "tuned/rag"] < correct[i, "base/rag"])
    better = sorted(i for i in ids if correct[i, "tuned/rag"] > correct[i, "base/rag"])
    assert [f.item for f in found["broken"]] == worse
    assert [f.item for f in found["fixed"]] == better
    for row in views.pair_rows(found["fixed"], claims, claims):
        assert row["before"] != row["after"]


def test_a_difference_of_two_runs_holds_zero_for_the_same_run_and_turns_its_sign_with_them() -> None:
    first, second = Estimate(0.3, 0.2, 0.45, 80), Estimate(0.5, 0.4, 0.6, 60)
    same, there, back = (views.unpaired(a, b) for a, b in ((first, first), (first, second), (second, first)))
    assert same is not None
    assert there is not None
    assert back is not None
    assert same.low is not None
    assert same.high is not None
    assert same.low < same.mean == 0 < same.high
    assert (there.mean, there.low, there.high) == pytest.approx(
        (-(back.mean or 0), -(back.high or 0), -(back.low or 0))
    )
    assert views.unpaired(Estimate(0.3, None, None, 1), second) is None


def test_evidence_that_was_not_retrieved_names_its_own_document_and_is_closed_with_it(folder: Path) -> None:
    elsewhere = lines(folder)
    closed = next(r for r in elsewhere if r["arm"] == "tuned/closed" and r["answer"]["claims"][0]["passage_id"])
    closed["answer"]["claims"][0] |= {"passage_id": "o0", "evidence": "Helmets are lent out free of charge."}
    lost = next(r for r in elsewhere if r["arm"] == "base/closed" and r["answer"]["claims"][0]["passage_id"])
    lost["answer"]["claims"][0]["passage_id"] = "of no record"
    write_atomic(folder / "records.jsonl", "".join(json.dumps(r) + "\n" for r in elsewhere))
    claims = Claims(folder)
    shown = {}
    for entry in claims.queue():
        row = review.open_row(claims, entry)
        assert row is not None
        shown[entry.item, entry.arm] = review.evidence_html(row)
    told = shown[closed["item_id"], "tuned/closed"]
    assert "Helmets are lent out" in told
    assert "safety.md" in told
    gold = closed["question"]["gold"]["quotes"][0][0]
    assert gold not in told
    assert 'class="gt-file"' not in shown[lost["item_id"], "base/closed"]
    sources = frozenset(s for entry in claims.queue() for s in sources_of(claims.record(entry.line) or {}))
    some = Claims(folder, readable=sources - {"safety.md"})
    assert ("tuned/closed", closed["item_id"]) not in {(e.arm, e.item) for e in some.queue()}
    assert ("base/closed", lost["item_id"]) not in {(e.arm, e.item) for e in Claims(folder, readable=sources).queue()}
