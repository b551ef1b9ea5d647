"""The feedback store: nothing is lost, older files are brought up to date, what is taken out is out of the file."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundtone.errors import DataError, IntegrityError, ProjectError, UserError
from groundtone.feedback import Feedback, Origin, Review, TrainingRow, TrainingRows, Vote, row_id
from groundtone.types import Preference, Verdict

OLD = """
CREATE TABLE verdicts (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, claim_key TEXT NOT NULL, person TEXT NOT NULL, value TEXT NOT NULL,
  correction TEXT NOT NULL DEFAULT '', time TEXT NOT NULL, about TEXT NOT NULL DEFAULT '{}');
CREATE TABLE votes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, person TEXT NOT NULL, outcome TEXT NOT NULL, prompt TEXT NOT NULL,
  chosen TEXT NOT NULL, rejected TEXT NOT NULL, context TEXT NOT NULL DEFAULT '[]', reason TEXT NOT NULL DEFAULT '',
  time TEXT NOT NULL, about TEXT NOT NULL DEFAULT '{}');
CREATE VIEW latest_verdicts AS
  SELECT * FROM verdicts WHERE seq IN (SELECT max(seq) FROM verdicts GROUP BY claim_key, person);
INSERT INTO verdicts (claim_key, person, value, time) VALUES ('a:0-5', 'Ann', 'supported', '2026-01-01T00:00:00+00:00');
INSERT INTO votes (person, outcome, prompt, chosen, rejected, time)
  VALUES ('Bo', 'chosen', 'Why?', 'a', 'b', '2026-01-02T00:00:00+00:00');
PRAGMA user_version = 1;
"""
REVIEWER = """
import sys
from pathlib import Path
from groundtone.feedback import Feedback, TrainingRows
store = TrainingRows(Feedback(Path(sys.argv[1])))
for n in range(10):
    store.review(store.listed()[n].id, "accepted", reviewer=sys.argv[2])
"""


@pytest.fixture
def store(tmp_path: Path) -> Feedback:
    return Feedback(tmp_path / "feedback.sqlite")


def a_row(n: int, *people: str, time: str = "2026-01-01T00:00:00+00:00") -> TrainingRow:
    row = {"prompt": f"Q{n}?", "chosen": f"good {n}", "rejected": "bad", "context": []}
    return TrainingRow(row_id("preference", row), "preference", row, "tone", tuple(Origin(p, time) for p in people))


def test_a_store_of_the_first_schema_keeps_what_it_holds_and_takes_rows(store: Feedback) -> None:
    with closing(sqlite3.connect(store.path)) as connection:
        connection.executescript(OLD)
    assert [v.person for v in store.verdicts()] == ["Ann"]
    assert [v.preference.chosen for v in store.votes()] == ["a"]
    TrainingRows(store).sync([a_row(1, "Ann")])
    assert len(TrainingRows(store).listed("waiting")) == 1
    with closing(sqlite3.connect(store.path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_database_of_somebody_else_is_left_alone(store: Feedback) -> None:
    with closing(sqlite3.connect(store.path)) as connection:
        connection.executescript("CREATE TABLE notes (text)")
    before = store.path.read_bytes()
    with pytest.raises(IntegrityError, match="not a feedback store"):
        store.add_verdict(Verdict("a:0-5", "Ann", "supported"))
    assert store.path.read_bytes() == before


class Small(Feedback):
    """A store on a disk that is full once its file has so many pages: SQLite itself then says so."""

    pages = 60

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with super()._connected() as connection:
            connection.execute(f"PRAGMA max_page_count = {self.pages}")
            yield connection


def test_a_full_disk_is_told_and_what_was_said_before_is_kept(store: Feedback) -> None:
    small = Small(store.path)
    small.add_verdict(Verdict("a:0-5", "Ann", "supported"))
    with pytest.raises(ProjectError, match=r"full.*free some space"):
        small.add_vote(Vote(Preference("Q?", "x" * 900_000, "b"), "Ann"))
    assert (len(store.verdicts()), store.votes()) == (1, [])
    small.add_verdict(Verdict("a:6-9", "Ann", "unsure"))
    assert len(store.verdicts()) == 2


def test_eight_reviewers_at_once_lose_no_decision(store: Feedback) -> None:
    TrainingRows(store).sync([a_row(n, "Ann") for n in range(10)])
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", REVIEWER, str(store.path)]
    some = [subprocess.Popen([*command, f"R{n}"], cwd=root, stderr=subprocess.PIPE) for n in range(8)]
    errors = [one.communicate(timeout=120)[1] for one in some]
    assert [one.returncode for one in some] == [0] * 8, errors
    assert store.read("SELECT count(*) FROM reviews") == [(80,)]
    assert {row.state for row in TrainingRows(store).listed()} == {"accepted"}


def test_undo_takes_back_the_last_act_of_whatever_sort(store: Feedback) -> None:
    verdict = store.add_verdict(Verdict("a:0-5", "Ann", "supported", time="2026-01-01T00:00:00+00:00"))
    vote = store.add_vote(Vote(Preference("Q?", "a", "b"), "Ann", time="2026-01-02T00:00:00+00:00"))
    store.add_vote(Vote(Preference("Q?", "a", "b"), "Bo", time="2026-01-03T00:00:00+00:00"))
    rows = TrainingRows(store)
    rows.sync([a_row(1, "Bo")])
    rows.review(rows.listed()[0].id, "rejected", reviewer="Ann", why="no")
    undone = [store.undo("Ann") for _ in range(4)]
    assert isinstance(undone[0], Review)
    assert undone[0].decision == "rejected"
    assert undone[1:] == [vote, verdict, None]
    assert rows.listed()[0].state == "waiting"
    assert [v.person for v in store.votes()] == ["Bo"]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ACTS = st.lists(
    st.one_of(
        st.builds(Verdict, TEXT, TEXT, st.sampled_from(["supported", "unsure"]), TEXT, st.just("2026-01-01")),
        st.builds(
            Vote,
            st.builds(Preference, TEXT, TEXT, TEXT, st.tuples(TEXT), TEXT),
            TEXT,
            st.sampled_from(["chosen", "tie", "both bad"]),
            st.just("2026-01-02"),
        ),
    ),
    max_size=6,
)


@given(acts=ACTS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_export_and_import_give_the_same_store_and_twice_is_once(
    tmp_path_factory: pytest.TempPathFactory, acts: list[Verdict | Vote]
) -> None:
    folder = tmp_path_factory.mktemp("stores")
    one, other = Feedback(folder / "one.sqlite"), Feedback(folder / "other.sqlite")
    for act in (*acts, *acts[:1]):  # the first stands twice
        if isinstance(act, Verdict):
            one.add_verdict(act, about={"claim": act.correction})
        else:
            one.add_vote(act)
    rows = TrainingRows(one)
    rows.sync([a_row(1, "Ann"), a_row(2, "Ann", "Bo")])
    rows.review(rows.listed()[0].id, "accepted", reviewer="Cy", row={"prompt": "x"}, why="better so")
    rows.record_export("0" * 64, "rows.jsonl", lines=["", rows.listed()[0].id])
    lines = list(one.export())
    assert other.load(lines).added == len(lines)
    assert list(other.export()) == lines
    again = other.load(lines)
    assert (again.added, again.known) == (0, len(lines))
    assert list(other.export()) == lines


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "line 2 is no JSON"),
        ("[]", "its kind is"),
        ('{"kind": "gossip"}', "its kind is 'gossip'"),
        ('{"kind": "vote", "person": "Ann"}', "a vote has the fields"),
        (
            '{"kind": "verdict", "claim_key": "a", "person": "b", "value": "great", "correction": "", "time": "", '
            '"about": {}}',
            "value is 'great'",
        ),
        (
            '{"kind": "row", "id": "a", "row_kind": "sft", "row": {}, "reason": "", "origins": ["Ann"], "notes": []}',
            "an origin is 'Ann'",
        ),
    ],
)
def test_a_line_that_is_none_of_ours_is_named_and_nothing_is_added(store: Feedback, line: str, why: str) -> None:
    store.add_verdict(Verdict("a:0-5", "Ann", "supported", time="2026-01-01"))
    (good,) = store.export()
    fresh = Feedback(store.path.with_name("fresh.sqlite"))
    with pytest.raises(DataError, match=why):
        fresh.load([good, line])
    assert list(fresh.export()) == []


def test_a_removed_person_is_in_no_byte_of_the_store(store: Feedback) -> None:
    secret = "Zebedee Quillfeather"
    store.add_verdict(Verdict("a:0-5", secret, "contradicted", "It takes seventeen umbrellas."))
    store.add_vote(Vote(Preference("Q?", "seventeen umbrellas", "b"), secret))
    store.add_verdict(Verdict("a:0-5", "Bo", "supported"))
    rows = TrainingRows(store)
    rows.sync([a_row(1, secret), a_row(2, secret, "Bo"), a_row(3, "Bo")])
    rows.review(rows.listed()[2].id, "accepted", reviewer=secret)
    before = store.remove(person=secret, dry_run=True)
    assert (before.verdicts, before.votes, before.renamed, len(before.rows), len(before.seen)) == (1, 1, 1, 1, 2)
    assert secret in store.people()
    assert store.remove(person=secret) == before
    held = b"".join(path.read_bytes() for path in store.path.parent.iterdir())
    assert secret.encode() not in held
    assert b"umbrellas" not in held
    assert [(row.people, row.state) for row in rows.listed()] == [(("Bo",), "waiting"), (("Bo",), "accepted")]
    assert not store.remove(person=secret)


def test_what_was_said_before_a_time_goes_and_the_rest_stays(store: Feedback) -> None:
    for month in (1, 3):
        store.add_vote(Vote(Preference("Q?", "a", "b"), "Ann", time=f"2026-0{month}-01T00:00:00+00:00"))
    TrainingRows(store).sync([a_row(1, "Ann"), a_row(2, "Ann", time="2026-03-01T00:00:00+00:00")])
    gone = store.remove(before=datetime(2026, 2, 1, tzinfo=UTC))
    assert (gone.votes, len(gone.rows)) == (1, 1)
    assert [vote.time[:7] for vote in store.votes()] == ["2026-03"]
    assert [row.row["prompt"] for row in TrainingRows(store).listed()] == ["Q2?"]


def test_forgetting_a_document_takes_rows_that_quote_it(store: Feedback) -> None:
    rows = TrainingRows(store)
    rows.sync([a_row(1, "Ann"), a_row(2, "Ann")])
    assert store.forget(lambda _, text: "good 1" in text) == (0, 0)
    assert [row.row["prompt"] for row in rows.listed()] == ["Q2?"]


def test_a_review_needs_a_name_and_somebody_else(store: Feedback) -> None:
    rows = TrainingRows(store)
    rows.sync([a_row(1, "Ann")])
    (row,) = rows.listed()
    with pytest.raises(UserError, match="name the person"):
        rows.review(row.id, "accepted", reviewer="  ")
    with pytest.raises(UserError, match="let another person review it"):
        rows.review(row.id, "accepted", reviewer="ann ")
    with pytest.raises(UserError, match="no row has an id"):
        rows.review("zz", "accepted", reviewer="Bo")
    assert rows.review(row.id[:6], "rejected", reviewer="Ann").state == "rejected"
    done = rows.review(row.id, "accepted", reviewer="Bo", row={**row.row, "chosen": "better"})
    assert (done.state, done.reviewer, done.row["chosen"]) == ("accepted", "Bo", "better")
    assert done.reviewed > "2026"


def test_rows_follow_what_people_say_now_and_keep_their_reviews(store: Feedback) -> None:
    rows = TrainingRows(store)
    rows.sync([a_row(1, "Ann"), a_row(2, "Ann")])
    rows.review(rows.listed()[1].id, "accepted", reviewer="Bo")
    synced = rows.sync([a_row(2, "Ann", "Cy"), a_row(3, "Ann")])
    assert (synced.new, synced.kept, synced.withdrawn) == (1, 1, 1)
    assert [(r.row["prompt"], r.state, r.people) for r in rows.listed()] == [
        ("Q2?", "accepted", ("Ann", "Cy")),
        ("Q3?", "waiting", ("Ann",)),
    ]
    assert json.loads(next(iter(store.export())))["kind"] == "row"
