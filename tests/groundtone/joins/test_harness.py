"""The harness on a tiny model: offline, one set of weights, paired records, and reports instead of wrong zeros."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from groundtone.errors import DataError, ModelError
from groundtone.joins.arms import Models
from groundtone.joins.harness import PUNKT, harness_model, run_harness, task_files
from groundtone.models.generate import LocalModel
from groundtone.models.scripted import ScriptedModel
from tests.tiny_models import save_tiny

pytest.importorskip("lm_eval", reason="needs the harness extra")
ROOT = Path(__file__).resolve().parents[3]
TASKS = ROOT / "data/general/harness"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    return LocalModel.load(str(save_tiny("llama", tmp_path_factory.mktemp("tiny"), context=256)), batch_size=8)


def copied(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        for kind in ("yaml", "jsonl"):
            (folder / f"{name}.{kind}").write_bytes((TASKS / f"{name}.{kind}").read_bytes())
    return folder


def test_tasks_run_offline_on_both_arms_and_pair(model: LocalModel, tmp_path: Path) -> None:
    folder = copied(tmp_path / "tasks", "knowledge", "sums", "prose")
    report = run_harness(Models(model, model), folder, limit=3, max_new_tokens=4)
    assert report.unmeasured == {}
    items = {arm: sorted(r.item_id for r in report.records if r.arm == arm) for arm in ("base", "tuned")}
    assert items["base"] == items["tuned"]
    assert len(items["base"]) == 6
    assert report.chance == {"knowledge": 0.25}
    assert report.bits["prose"]["base"] == report.bits["prose"]["tuned"]
    texts = {arm: [r.answer and r.answer.text for r in report.records if r.arm == arm] for arm in ("base", "tuned")}
    assert texts["base"] == texts["tuned"], "one set of weights, twice asked"


def test_ifeval_without_its_tokenizer_says_what_to_do(model: LocalModel, tmp_path: Path) -> None:
    import nltk

    try:
        nltk.data.find(PUNKT)
    except LookupError:
        report = run_harness(Models(model, None), copied(tmp_path / "tasks", "ifeval"), limit=1)
        assert "nltk.downloader punkt_tab" in report.unmeasured["ifeval"]
        assert report.records == ()
    else:
        pytest.skip("punkt_tab is installed here")


def test_a_broken_task_costs_no_other(model: LocalModel, tmp_path: Path) -> None:
    folder = copied(tmp_path / "tasks", "knowledge")
    (folder / "absent.yaml").write_text((TASKS / "sums.yaml").read_text().replace("sums.jsonl", "nowhere.jsonl"))
    (folder / "odd.yaml").write_text("- not\n- a mapping\n")
    report = run_harness(Models(model, None), folder, limit=2)
    assert "nowhere.jsonl is absent" in report.unmeasured["absent"]
    assert set(report.unmeasured) == {"absent", "odd"}
    assert len(report.records) == 2


def test_what_is_too_long_is_an_error_and_no_zero(tmp_path: Path) -> None:
    short = LocalModel.load(str(save_tiny("llama", tmp_path / "model", context=48)))
    report = run_harness(Models(short, None), copied(tmp_path / "tasks", "sums"), limit=2, max_new_tokens=40)
    assert [r.scores for r in report.records] == [{}, {}]
    assert all("reads 48" in r.error for r in report.records)


def test_a_tokenizer_that_appends_its_end_token_changes_nothing(model: LocalModel) -> None:
    from tokenizers.processors import TemplateProcessing

    speaker = harness_model(model)
    plain = speaker.tok_encode("Standard delivery")
    tokenizer = model.base.tokenizer
    before = tokenizer.backend_tokenizer.post_processor
    ending = (tokenizer.eos_token, tokenizer.eos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {ending[0]}", pair=f"$A $B {ending[0]}", special_tokens=[ending]
    )
    try:
        assert tokenizer("Standard delivery")["input_ids"][-1] == ending[1], "the trap is set"
        assert speaker.tok_encode("Standard delivery") == plain
    finally:
        tokenizer.backend_tokenizer.post_processor = before


@pytest.mark.parametrize("made", [None, "empty"])
def test_a_folder_without_tasks_is_an_error(tmp_path: Path, made: Any) -> None:
    folder = tmp_path / "tasks"
    if made:
        folder.mkdir()
    with pytest.raises(DataError, match="tasks"):
        task_files(folder)


def test_a_model_without_probabilities_is_refused() -> None:
    with pytest.raises(ModelError, match="weights on this machine"):
        run_harness(Models(ScriptedModel("hello"), None), TASKS)
