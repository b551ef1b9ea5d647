"""Tone, retrieval, training, data and the chat's additions under Streamlit's harness: full, empty, and written to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard import cache, views_retrieval, views_tone, views_training, views_work
from dashboard.chatting import Reply, Turn, name_html, taught, usable_html, voted_html
from dashboard.config import DashboardConfig
from dashboard.edits import Edits, export, read_rows
from dashboard.measures import arm_name
from dashboard.views_data import FACTS, no_rows_html
from groundtone.addresses import is_loopback
from groundtone.errors import DataError
from groundtone.feedback import Vote
from groundtone.joins.feedback_rows import EvaluationSet
from groundtone.passwords import hash_password, password_matches
from groundtone.project import Project, write_atomic
from groundtone.text import normalise
from groundtone.types import Preference
from tests.dashboard.test_pages import html, open_page, store, text
from tests.dashboard.test_worker import FAKE

CHOSEN = "gt-chosen-runs"
PAGES = ("tone", "retrieval", "training", "data")
ROWS = [{"prompt": f"Q{n}?", "reply": f"Ahoy {n}", "source": "s", "context": []} for n in range(4)]


@pytest.fixture(autouse=True)
def fresh_caches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test starts its own chat worker, and none is left behind."""
    monkeypatch.setattr(cache, "chat_command", lambda root: FAKE)
    yield
    cache.chat_worker.clear()


@pytest.fixture
def built(project: Path) -> Path:
    """The project with metrics, a data report and training rows."""
    found = Project(project)
    folder = found.run_path(found.runs("tune")[0].id)
    lines = [{"step": n, "steps": 4, "loss": 4.0 - n, "eval_loss": None, "lr": 0.1, "seconds": n} for n in range(5)]
    write_atomic(folder / "metrics.jsonl", "\n".join(map(json.dumps, lines)) + '\n{"step":')
    finding = {"check": "near_duplicates", "why": "alike", "fix": "vary", "where": ["train.jsonl:2 = train.jsonl:3"]}
    report = {"rows": 4, "findings": [finding], "levels": {"near_duplicates": "refuse"}}
    report["tokens"] = {"previews": ["<|user|><script>⟦Ahoy<|end|>⟧"]}
    write_atomic(folder / "data_report.json", json.dumps(report))
    write_atomic(project / "train.jsonl", "\n".join(map(json.dumps, ROWS)) + "\n")
    write_atomic(project / "groundtone.yaml", "tuning:\n  data: train.jsonl\n")
    return project


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_project_names_the_command(tmp_path: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "groundtone.yaml").touch()
    app = open_page(tmp_path, page, monkeypatch)
    assert not app.exception
    assert "groundtone " in text(app)
    assert [path.name for path in tmp_path.iterdir()] == ["groundtone.yaml"]


@pytest.mark.parametrize("page", PAGES)
def test_a_full_project_opens(built: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(built, page, monkeypatch)
    assert not app.exception
    assert "<script>" not in html(app)


def test_training_shows_curves_masked_rows_and_lineage(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(built, "training", monkeypatch)
    assert len(app.get("vega_lite_chart")) == 2  # loss and learning rate; no held-out loss was written
    assert "Not measured in these runs" in text(app)
    assert '<mark class="gt-learned">Ahoy&lt;|end|&gt;</mark>' in html(app)
    assert app.dataframe[0].value["Progress"][0] == 1.0


def test_data_rows_are_dropped_edited_and_exported_with_a_hash(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(built, "data", monkeypatch)
    assert "✕ refuses to train" in text(app)
    next(button for button in app.button if button.label == "Drop").click().run()
    assert not app.exception
    assert "1 dropped" in text(app)
    app.button(key="export").click().run()
    assert not app.exception
    (made,) = (built / ".groundtone" / "cleaned").iterdir()
    assert [json.loads(line) for line in made.read_text(encoding="utf-8").splitlines()] == ROWS[1:]
    assert made.stem.rpartition("-")[2] in html(app)


def test_an_edited_row_is_shown_as_edited_and_can_go_back(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(app: Any, label: str) -> None:
        next(button for button in app.button if button.label == label).click().run()
        assert not app.exception

    app = open_page(built, "data", monkeypatch)
    app.text_area[1].set_value("Ahoy, said better.")
    press(app, "Save the edit")
    app = open_page(built, "data", monkeypatch)  # whoever comes back later changes the edit, not the file's text
    assert app.text_area[1].value == "Ahoy, said better."
    press(app, "Back to the file's text")
    app = open_page(built, "data", monkeypatch)
    assert app.text_area[1].value == ROWS[0]["reply"]
    assert "1 kept, 0 edited" in text(app)


def test_a_check_that_names_no_row_says_what_it_is_about() -> None:
    finding = {"check": "imbalance", "where": ["smalltalk/<b> (refused 100%)"]}
    said = no_rows_html({"findings": [finding]}, "imbalance", looked=False, hidden=0)
    assert "smalltalk/&lt;b&gt; (refused 100%)" in said
    assert "smalltalk" not in no_rows_html({"findings": [finding]}, "imbalance", looked=False, hidden=1)
    assert "Nobody has looked for facts yet" in no_rows_html({}, FACTS, looked=False, hidden=0)
    assert "No row" in no_rows_html({}, FACTS, looked=True, hidden=0)


def test_an_edit_keeps_the_other_fields_and_its_row(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    rows, edits = read_rows(path), Edits(tmp_path / "edits.sqlite")
    edits.decide(rows[1], "drop", person="Ann")
    edits.decide(rows[1], "edit", person="Bo", changes={"reply": "Ahoy €5"})
    with pytest.raises(DataError, match="drop the row"):
        edits.decide(rows[2], "edit", person="Bo", changes={"reply": " "})
    made = export(rows, edits.latest(), folder=tmp_path, name="train.jsonl")
    assert [row.data for row in read_rows(made.path)] == [ROWS[0], {**ROWS[1], "reply": "Ahoy €5"}, *ROWS[2:]]
    assert (made.rows, made.edited, made.dropped) == (4, 1, 0)


@pytest.mark.parametrize("line", ["{", "[]", "5"])
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.jsonl").write_text(f'{{"prompt": "a"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"x\.jsonl:2"):
        read_rows(tmp_path / "x.jsonl")


def test_read_only_offers_nothing_that_writes(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomic(built / "groundtone.yaml", "tuning:\n  data: train.jsonl\ndashboard:\n  read_only: true\n")
    app = open_page(built, "data", monkeypatch)
    assert not app.exception
    assert all(button.disabled for button in app.button if button.label in ("Keep", "Drop", "Save the edit"))
    assert not [button for button in app.button if str(button.key).startswith("gt-start")]


def test_a_login_is_asked_for_and_given(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = f"dashboard:\n  login: password\n  users:\n    ann:\n      password: {hash_password('otter')}\n"
    write_atomic(built / "groundtone.yaml", "tuning:\n  data: train.jsonl\n" + users)
    app = open_page(built, "overview", monkeypatch)
    assert "HOLD" not in text(app)
    for password in ("wrong", "otter"):
        app.text_input(key="gt-login-name").set_value("ann")
        app.text_input(key="gt-login-password").set_value(password)
        app.button[0].click().run()
        assert ("HOLD" in text(app)) == (password == "otter")


def test_passwords_and_addresses() -> None:
    stored = hash_password("otter")
    assert password_matches("otter", stored)
    assert not any(password_matches("otter", bad) for bad in ("", "otter", "scrypt-", "scrypt-ab-", stored[:-1]))
    assert hash_password("otter") != stored
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert DashboardConfig().login == "none"


def test_editing_the_winner_stores_a_correction(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(project, "chat", monkeypatch)
    app.chat_input[0].set_value("How long?").run()
    app.get("button_group")[0].set_value("tone").run()
    app.button(key="vote-A-0").click().run()
    assert "Usable for tuning: 1 of 1 votes" in text(app)
    assert "groundtone data review-rows" in text(app)
    app.text_area(key="edited-0").set_value("It takes 3 days, friend.")
    next(button for button in app.button if button.label == "Store").click().run()
    assert not app.exception
    corrected = store(project).votes()[-1]
    assert (corrected.preference.chosen, corrected.about["kind"]) == ("It takes 3 days, friend.", "correction")


def test_a_vote_promises_what_training_rows_are_made_of() -> None:
    def vote(prompt: str, reason: str, outcome: Any = "chosen") -> Vote:
        return Vote(Preference(prompt, "Ahoy, 3 days [1].", "3 days [1].", ("Times: 3 days.",), reason), "Ann", outcome)

    asked = EvaluationSet(frozenset(), frozenset({normalise("How long does it take?")}))
    some = [vote("And then?", "tone"), vote("And then?", "wrong fact"), vote("And then?", "")]
    some += [vote("How long does it take?", "tone"), vote("And then?", "tone", "tie"), vote("And?", "", "both bad")]
    told = [taught(one, asked) for one in some]
    assert told == ["voice", "fact", "", "evaluation", "", ""]
    html = usable_html(some, asked)
    assert "Usable for tuning: 2 of 6 votes" in html
    assert "1 on questions of the evaluation, which are never trained on" in html
    assert "groundtone" not in usable_html(some[2:], asked)
    turn = Turn("And then?", ("base/rag", "tuned/rag"), vote="tie")
    assert "teaches nothing" in voted_html(turn, "")


def test_a_turn_that_nobody_can_vote_on_hides_no_model() -> None:
    turn = Turn("Q", ("base/rag", "tuned/rag"), [Reply({"text": "A"}), Reply(error="nothing was tuned yet")])
    assert [arm_name(arm) in name_html(turn, slot, blind=True) for slot, arm in enumerate(turn.arms)] == [True, True]


def test_runs_that_were_selected_stay_selected_when_another_begins(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin() -> str:
        with Project(built).start_run("tune", device="cpu") as run:
            return run.id

    def shown(app: Any) -> list[str]:
        return list(app.session_state[CHOSEN])

    older, (first,) = begin(), [run.id for run in Project(built).runs("tune")][1:]
    app = open_page(built, "training", monkeypatch)
    assert shown(app) == []  # the newest, whichever that is
    app.session_state[CHOSEN] = [first]
    begin()
    app.run()
    assert not app.exception
    assert shown(app) == [first]
    assert older in list(app.dataframe[0].value["Run"])


def test_votes_that_do_not_compare_base_and_tuned_count_for_nothing() -> None:
    said = Preference("q", "a", "b")
    arms = {"chosen_arm": "tuned/rag", "rejected_arm": "base/rag", "blind": True}
    votes = [Vote(said, "p", about=arms), Vote(said, "p", "both bad", about=arms), Vote(said, "p", about={})]
    rate = views_tone.voted_rate(votes)
    assert rate is not None
    assert (rate.n, rate.mean) == (1, 1.0)
    assert views_tone.voted_rate([]) is None


def test_a_query_cannot_become_an_option_of_the_search(tmp_path: Path) -> None:
    asked = views_retrieval.command(tmp_path, "--set=model.id=evil", groups=["staff"])
    assert asked[-2:] == ["--", "--set=model.id=evil"]
    assert "--group=staff" in asked


def test_gold_is_pinned_whatever_its_rank() -> None:
    passage = {"source": "a.md", "text": "Delivery takes 3 days.", "heading": ""}
    other = {"source": "b.md", "text": "Helmets are free.", "heading": ""}
    found = [{"hit": {"passage": other, "ranks": {"fused": n}}} for n in range(1, 20)] + [{"hit": {"passage": passage}}]
    table = views_retrieval.ranks_table(found, [("a.md", "takes 3 days")], top=3)
    assert list(table["Rank"]) == [20, 1, 2, 3]
    assert views_retrieval.gold_line(found[:5], [("a.md", "takes 3 days")]).startswith("✕")


def test_only_fixed_words_become_commands(tmp_path: Path) -> None:
    assert views_work.command_of("tune", tmp_path)[-3:] == ["tune", "--project", str(tmp_path)]
    with pytest.raises(AssertionError):
        views_work.command_of("tune; rm", tmp_path)


def test_a_half_written_metrics_file_is_read_as_far_as_it_goes(built: Path) -> None:
    found = Project(built)
    step = views_training.last_step(found.run_path(found.runs("tune")[0].id))
    assert step is not None
    assert (step.step, step.steps, step.loss) == (4, 4, 0.0)


def test_a_question_that_one_arm_did_not_search_for_is_missed_when_another_missed_it(tmp_path: Path) -> None:
    def line(arm: str, recall: float | None) -> str:
        gold = {"values": [], "quotes": [["post.md", "Parcels are kept."]]}
        record = {
            "item_id": "a1",
            "arm": arm,
            "question": {"id": "a1", "text": "How long?", "gold": gold},
            "answer": None,
            "scores": {name: {"value": recall, "why": ""} for name in ("recall@1", "recall@5")},
            "error": "",
        }
        return json.dumps(record) + "\n"

    records = tmp_path / "records.jsonl"
    records.write_text(line("base/closed", None) + line("base/rag", 0.5))
    assert [one.missed for one in views_retrieval.sought_in(records)] == [True]


def test_the_style_auc_comes_from_the_summary_that_evaluation_writes() -> None:
    auc = {"mean": 0.62, "low": 0.5, "high": 0.74, "n": 148, "missing": 0}
    told = {"tuned/heldout": {"auc": auc, "why": ""}, "base/heldout": {"auc": None, "why": "too few replies"}}
    lines, missing = views_tone.likeness({"voice": {"likeness": told}})
    assert [(line.name, line.value.mean) for line in lines] == [("Tuned · held-out prompts", 0.62)]
    assert missing == ["Base · held-out prompts: not measured, too few replies."]
    assert views_tone.likeness({}) == ([], [])


def test_read_only_lets_nobody_judge_a_claim(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (built / "groundtone.yaml").write_text("dashboard:\n  read_only: true\n", encoding="utf-8")
    at = open_page(built, "hallucinations", monkeypatch)
    verdicts = [button for button in at.button if str(button.key).startswith(("say-", "undo"))]
    assert len(verdicts) == 6
    assert all(button.disabled for button in verdicts)
