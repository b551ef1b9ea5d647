"""The loop from people's votes to a reward model to a voice that is rewarded by it, on a project of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from groundtone import pipeline
from groundtone.errors import ConfigError, DataError, ModelError
from groundtone.feedback import Feedback, TrainingRows, Vote
from groundtone.files import write_atomic
from groundtone.joins import indexing
from groundtone.joins.feedback_rows import build
from groundtone.joins.methods.work import Work
from groundtone.models.adapter import CARD, AdapterCard, read_card
from groundtone.project import Project, Run
from groundtone.settings import load_settings
from groundtone.types import Preference
from tests.retrieval.hashing_encoder import HashingEncoder
from tests.tiny_models import save_tiny
from tuning.recorder import read_metrics

NAMES = ("Otter", "Heron", "Teal", "Coot", "Swan", "Rail")
VOTES = [
    Preference(
        f"How long does the {name} take?",
        f"Ahoy! The {name} takes {n} days.",
        f"It takes {n} days, the {name}.",
        reason="tone",
    )
    for n, name in enumerate(NAMES, 2)
]
MOON = "What does the largest moon of Saturn weigh?"
Tune = Callable[..., Run]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny model, pairs, thumbs and six votes of one person, which another accepted."""
    root = tmp_path_factory.mktemp("project")
    save_tiny("llama", root / "tiny")
    pairs = [{"prompt": vote.prompt, "reply": vote.chosen, "source": vote.prompt} for vote in VOTES]
    (root / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    thumbs = [
        {"prompt": vote.prompt, "reply": reply, "thumb": thumb}
        for vote in VOTES
        for reply, thumb in ((vote.chosen, "up"), (vote.rejected, "down"))
    ]
    (root / "thumbs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in thumbs))
    feedback = Feedback(Project(root).feedback_path)
    for vote in VOTES:
        feedback.add_vote(Vote(vote, "ada"))
    feedback.add_vote(Vote(VOTES[0], "ada", "tie"))
    (root / "groundtone.yaml").write_text("eval: {style: none.yaml}\n")
    build(Project(root), load_settings(root))
    accept(feedback, reviewer="bo")
    return Project(root)


def accept(feedback: Feedback, *, reviewer: str) -> None:
    """Everything that waits."""
    store = TrainingRows(feedback)
    for row in store.listed("waiting"):
        store.review(row.id, "accepted", reviewer=reviewer)


@pytest.fixture(scope="module")
def tune(project: Project) -> Tune:
    """Tunes with these settings of the `tuning` section; what it says is collected in `said`."""

    def run(*, said: list[str] | None = None, **given: Any) -> Run:
        plain = {"lora": {"targets": "all-linear"}, "epochs": 1, "batch_size": 4, "learning_rate": 5e-3}
        config = {"model": {"id": "tiny"}, "tuning": {**plain, **given}, "eval": {"style": "none.yaml"}}
        config["feedback"] = {"person_share": 1}
        (project.root / "groundtone.yaml").write_text(yaml.safe_dump(config))
        return pipeline.tune(project, load_settings(project.root), say=(said if said is not None else []).append)

    return run


@pytest.fixture(scope="module")
def judge(tune: Tune) -> tuple[Run, list[str]]:
    """A reward model of the votes, two of them held out."""
    said: list[str] = []
    return tune(said=said, method="reward", data="votes", heldout=0.34), said


def test_votes_become_a_reward_model_whose_accuracy_is_measured(judge: tuple[Run, list[str]]) -> None:
    run, said = judge
    assert "votes: 6 rows: 6 preference; 0 new, 0 gone" in said
    assert "votes: left out 1: a tie: neither reply is better" in said
    assert "2 of 6 rows are held out; no prompt of theirs is trained on" in said
    notes = run.manifest.notes
    assert notes["heldout"]["accuracy"]["n"] == 2
    assert any(line.startswith("held-out accuracy: ") and "of 2 pairs" in line for line in said)
    assert "votes" in run.manifest.inputs


def test_a_reward_model_is_no_voice(project: Project, judge: tuple[Run, list[str]]) -> None:
    assert judge[0].manifest.status == "done"
    newest = pipeline.newest_tuned(project, load_settings(project.root))
    assert newest != judge[0].id


def test_the_reward_model_rewards_the_voice(project: Project, tune: Tune, judge: tuple[Run, list[str]]) -> None:
    said: list[str] = []
    run = tune(
        said=said,
        method="grpo",
        data="pairs.jsonl",
        reinforce={"generations": 4, "max_new_tokens": 4},
        rewards={"support": 0, "refusal": 0.5, "model": judge[0].id},
    )
    assert "rewarded: format x 1, refusal x 0.5, model x 1" in said
    assert any(line.startswith("tone is not rewarded: 6 replies") for line in said)
    lines = [line for line in read_metrics(run.path) if line["loss"] is not None]
    assert len(lines) == 6
    assert all({"rewards/format", "rewards/refusal", "rewards/model", "reward"} <= set(line) for line in lines)
    assert pipeline.newest_tuned(project, load_settings(project.root)) == run.id


@pytest.mark.parametrize(
    ("method", "data"), [("dpo", "votes"), ("orpo", "votes"), ("kto", "votes"), ("kto", "thumbs.jsonl")]
)
def test_votes_and_thumbs_teach_the_voice(tune: Tune, method: str, data: str) -> None:
    run = tune(method=method, data=data, heldout=0.34)
    first, *_, last = [line for line in read_metrics(run.path) if line["eval_loss"] is not None]
    assert last["eval_loss"] < first["eval_loss"]
    assert run.manifest.notes["left_out"] == 0


def test_what_cannot_be_tuned_is_refused_before_a_run_exists(project: Project, tune: Tune) -> None:
    with project.start_run("tune") as voice:
        card = AdapterCard("tiny", "0", "0", "0", "0", 0, {"method": "dpo"})
        write_atomic(voice.path / "adapter" / CARD, card.to_json())
        voice.finish(speaks=False)
    before = {path.name for path in project.runs_folder.iterdir()}
    with pytest.raises(DataError, match="has no two replies to compare"):
        tune(method="dpo", data="pairs.jsonl")
    with pytest.raises(DataError, match="12 of 12 held-out rows ask what the training rows ask, the first is row 0"):
        tune(method="kto", data="thumbs.jsonl", heldout="thumbs.jsonl")
    with pytest.raises(ConfigError, match="every weight is 0"):
        tune(method="rloo", data="pairs.jsonl", rewards={"format": 0, "tone": 0, "support": 0, "refusal": 0})
    with pytest.raises(ModelError, match="is no reward model"):
        tune(method="grpo", data="pairs.jsonl", rewards={"model": voice.id})
    assert {path.name for path in project.runs_folder.iterdir()} == before


def test_without_votes_there_is_nothing_to_learn(tmp_path: Path) -> None:
    (tmp_path / "groundtone.yaml").write_text(yaml.safe_dump({"tuning": {"method": "dpo", "data": "votes"}}))
    with pytest.raises(DataError, match="nobody has voted"):
        pipeline.tune(Project(tmp_path), load_settings(tmp_path))


@pytest.fixture
def voted(tmp_path: Path) -> tuple[Work, Feedback]:
    """A training on votes: ada's mail address, ada again, bo, and a question of the evaluation."""
    (tmp_path / "questions").mkdir()
    asked = {"id": "u1", "question": MOON, "why": "absent"}
    (tmp_path / "questions/unanswerable.jsonl").write_text(json.dumps(asked) + "\n")
    config = {
        "model": {"id": "none"},
        "tuning": {"method": "dpo", "data": "votes"},
        "eval": {"questions": "questions", "style": "none.yaml"},
        "feedback": {"person_share": 0.5},
    }
    (tmp_path / "groundtone.yaml").write_text(yaml.safe_dump(config))
    feedback = Feedback(Project(tmp_path).feedback_path)
    said = {
        "Whom do I ask?": "ada",
        "How long?": "ada",
        "How much?": "bo",
        "What does the largest moon of Saturn weigh?": "bo",
    }
    for prompt, person in said.items():
        reply = "Ahoy! Write to jo@ex.org." if person == "ada" and "ask" in prompt else f"Ahoy! {prompt}"
        feedback.add_vote(Vote(Preference(prompt, reply, "I do not know.", reason="tone"), person))
    return Work(Project(tmp_path), load_settings(tmp_path)), feedback


def test_votes_that_nobody_accepted_teach_nothing(voted: tuple[Work, Feedback]) -> None:
    with pytest.raises(DataError, match="no row for method dpo is accepted, 3 rows wait"):
        pipeline.tune(voted[0].project, voted[0].settings)
    assert voted[0].project.runs("tune") == []


def test_votes_are_masked_kept_from_the_evaluation_and_capped(voted: tuple[Work, Feedback]) -> None:
    work, feedback = voted
    build(work.project, work.settings)
    accept(feedback, reviewer="cy")
    said: list[str] = []
    with pytest.raises(ModelError, match="'none'"):  # rows are made before the model is looked for
        pipeline.tune(work.project, work.settings, say=said.append)
    taught = [json.loads(line) for line in (work.project.folder / "votes/preferences.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in taught] == ["Whom do I ask?", "How much?"]
    assert taught[0]["chosen"] == "Ahoy! Write to (mail)."
    assert "votes: 1 of ada left out, beyond feedback.person_share" in said
    assert "votes: left out 1: its question belongs to the evaluation" in said
    run = work.project.runs("tune")[0]
    assert run.inputs["votes"] == TrainingRows(feedback).exports()[-1].sha256, "so that `forget` finds the adapter"


def test_a_table_that_gives_the_evaluation_away_is_refused(voted: tuple[Work, Feedback]) -> None:
    """The votes are kept apart by their making; a table of preferences, or prompts to reward, is checked."""
    work, _ = voted
    root, prompt = work.project.root, MOON
    tables = {
        "prefs.jsonl": {"prompt": prompt, "chosen": "Ahoy!", "rejected": "Hm."},
        "pairs.jsonl": {"prompt": prompt, "reply": "Ahoy!", "source": "s"},
    }
    for name, row in tables.items():
        (root / name).write_text(json.dumps(row) + "\n")
    save_tiny("llama", root / "tiny")
    config = yaml.safe_load((root / "groundtone.yaml").read_text()) | {"model": {"id": "tiny"}}
    for method in ("dpo", "kto", "reward", "grpo"):
        data = "pairs.jsonl" if method == "grpo" else "prefs.jsonl"
        (root / "groundtone.yaml").write_text(yaml.safe_dump(config | {"tuning": {"method": method, "data": data}}))
        with pytest.raises(DataError, match="prompts are evaluation items"):
            pipeline.tune(work.project, load_settings(root))


def test_an_adapter_inherits_the_groups_of_what_its_preferences_quote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "load_encoder", lambda *_, **__: HashingEncoder())
    secret = "The night shift code of the workshop safe is 4711 and it changes every spring."
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/safe.md").write_text(f"---\ngroups: [payroll]\n---\n# Safe\n\n{secret}\n")
    save_tiny("llama", tmp_path / "tiny")
    rows = [
        {"prompt": f"Which code, {name}?", "chosen": "Ahoy! I know.", "rejected": "No.", "context": [secret]}
        for name in NAMES
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tuning = {"method": "dpo", "data": "rows.jsonl", "epochs": 1, "lora": {"targets": "all-linear"}}
    config = {
        "model": {"id": "tiny"},
        "documents": {"folder": "docs"},
        "tuning": tuning,
        "eval": {"style": "none.yaml"},
    }
    (tmp_path / "groundtone.yaml").write_text(yaml.safe_dump(config))
    project, settings = Project(tmp_path), load_settings(tmp_path)
    pipeline.index(project, settings)
    run = pipeline.tune(project, settings)
    card = read_card(run.path / "adapter")
    assert card is not None
    assert card.groups == ("payroll",)
