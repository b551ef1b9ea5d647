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
from groundtone.feedback import Feedback, Vote
from groundtone.files import write_atomic
from groundtone.models.adapter import CARD, AdapterCard
from groundtone.project import Project, Run
from groundtone.settings import load_settings
from groundtone.types import Preference
from tests.tiny_models import save_tiny
from tuning.recorder import read_metrics

NAMES = ("Otter", "Heron", "Teal", "Coot", "Swan", "Rail")
VOTES = [
    Preference(
        f"How long does the {name} take?", f"Ahoy! The {name} takes {n} days.", f"It takes {n} days, the {name}."
    )
    for n, name in enumerate(NAMES, 2)
]
Tune = Callable[..., Run]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny model, pairs, thumbs and six votes."""
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
    return Project(root)


@pytest.fixture(scope="module")
def tune(project: Project) -> Tune:
    """Tunes with these settings of the `tuning` section; what it says is collected in `said`."""

    def run(*, said: list[str] | None = None, **given: Any) -> Run:
        plain = {"lora": {"targets": "all-linear"}, "epochs": 1, "batch_size": 4, "learning_rate": 5e-3}
        config = {"model": {"id": "tiny"}, "tuning": {**plain, **given}, "eval": {"style": "none.yaml"}}
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
    assert "6 votes of people" in said  # a tie is no preference
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
