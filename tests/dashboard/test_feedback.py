"""The feedback store: nothing is lost between writers, a mind can be changed, agreement is what Cohen defined."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from groundtone.errors import IntegrityError
from groundtone.feedback import Counts, Feedback, Vote, agreement, cohens_kappa
from groundtone.types import Preference, Verdict

WRITER = """
import sys
from pathlib import Path
from groundtone.feedback import Feedback, Vote
from groundtone.types import Preference, Verdict
store, me = Feedback(Path(sys.argv[1])), sys.argv[2]
for n in range(20):
    store.add_verdict(Verdict(f"a{n}:0-9", me, "supported"))
    store.add_vote(Vote(Preference(f"q{n}", "x", "y"), me))
"""


@pytest.fixture
def store(tmp_path: Path) -> Feedback:
    return Feedback(tmp_path / ".groundtone" / "feedback.sqlite")


def test_reading_a_store_that_is_not_there_finds_nothing_and_makes_nothing(store: Feedback) -> None:
    assert store.counts() == Counts()
    assert (store.verdicts(), store.votes(), list(store.export())) == ([], [], [])
    assert not store.path.parent.exists()


def test_eight_writer_processes_lose_nothing(store: Feedback) -> None:
    command = [sys.executable, "-c", WRITER, str(store.path)]
    root = Path(__file__).parents[2]
    writers = [subprocess.Popen([*command, f"person {n}"], cwd=root, stderr=subprocess.PIPE) for n in range(8)]
    errors = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 8, errors
    assert store.counts() == Counts(verdicts=160, claims=20, people=8, votes=160)


def test_the_latest_verdict_counts_and_undo_brings_the_one_before_back(store: Feedback) -> None:
    store.add_verdict(Verdict("a:0-5", "Ann", "supported"))
    store.add_verdict(Verdict("a:0-5", "Bo", "unsure"))
    last = store.add_verdict(Verdict("a:0-5", "Ann", "contradicted", "It takes 3 days."))
    assert {v.person: v.value for v in store.verdicts()} == {"Ann": "contradicted", "Bo": "unsure"}
    assert len(store.verdicts(latest=False)) == 3
    assert [c.verdict for c in store.corrections()] == [last]
    assert store.undo_verdict("Ann") == last
    assert {v.person: v.value for v in store.verdicts()} == {"Ann": "supported", "Bo": "unsure"}
    assert store.undo_verdict("Ann") is not None
    assert store.undo_verdict("Ann") is None
    assert [v.person for v in store.verdicts()] == ["Bo"]


def test_only_decided_votes_become_preferences(store: Feedback) -> None:
    chosen = Preference("How long?", "3 days [1].", "5 days.", ("Delivery > Times: 3 days.",), "wrong fact")
    store.add_vote(Vote(chosen, "Ann", about={"chosen_arm": "tuned/rag"}))
    store.add_vote(Vote(Preference("Why?", "a", "b"), "Ann", "both bad"))
    assert store.preferences() == [chosen]
    assert [vote.outcome for vote in store.votes()] == ["chosen", "both bad"]


def test_export_gives_every_line_back_whatever_the_text(store: Feedback) -> None:
    odd = 'line\nbreak "quote" \u2028 שלום 🚲 $x$ \ud83d'
    store.add_verdict(Verdict("a:0-5", "Ann", "unsupported", odd), about={"claim": odd})
    store.add_vote(Vote(Preference(odd, odd, "b", (odd,)), "Ann"))
    lines = list(store.export())
    assert all("\n" not in line for line in lines)
    verdict, vote = (json.loads(line) for line in lines)
    kept = odd.replace("\ud83d", "?")
    assert (verdict["correction"], verdict["about"]["claim"]) == (kept, kept)
    assert (vote["prompt"], vote["context"]) == (kept, [kept])


def test_a_file_that_is_no_store_and_a_newer_store_are_refused_untouched(tmp_path: Path) -> None:
    foreign = tmp_path / "feedback.sqlite"
    foreign.write_bytes(b"not a database, but somebody's notes" * 40)
    with pytest.raises(IntegrityError, match="not a feedback store"):
        Feedback(foreign).add_verdict(Verdict("a:0-5", "Ann", "supported"))
    assert foreign.read_bytes().startswith(b"not a database")
    newer = tmp_path / "newer.sqlite"
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(IntegrityError, match="schema 9"):
        Feedback(newer).counts()


def test_kappa_is_observed_agreement_corrected_for_chance() -> None:
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert cohens_kappa(pairs) == pytest.approx(0.4)  # 0.7 observed, 0.5 expected


def test_kappa_is_near_zero_for_raters_who_ignore_each_other() -> None:
    dice = random.Random(7)
    kappa = cohens_kappa((dice.random() < 0.6, dice.random() < 0.4) for _ in range(20_000))
    assert kappa == pytest.approx(0, abs=0.03)


def test_kappa_has_its_fixed_points() -> None:
    both = [(True, True), (False, False)] * 5
    assert cohens_kappa(both) == pytest.approx(1)
    assert cohens_kappa([(a, not b) for a, b in both]) == pytest.approx(-1)
    assert cohens_kappa([]) is None
    assert cohens_kappa([(True, True)] * 9) is None


def test_agreement_reads_verdicts_as_supported_or_not() -> None:
    found = agreement(
        [
            ("supported", "supported"),
            ("contradicted", "unsupported"),
            ("unsupported", "true elsewhere"),
            ("supported", "contradicted"),
            ("supported", "unsure"),
            ("unchecked", "supported"),
        ]
    )
    assert (found.n, found.agreed) == (4, 3)
    assert found.kappa == pytest.approx(0.5)
