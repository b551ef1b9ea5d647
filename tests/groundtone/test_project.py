"""The project folder: atomic writes, runs that tell how they ended, pointers that never lie, no secrets on disk."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from groundtone import files
from groundtone.errors import ProjectError, UserError
from groundtone.manifest import MASK, Manifest, git_revision, mask_secrets
from groundtone.project import CONFIG_NAME, Project, sha256_file, sha256_text, write_atomic


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("data", ["", "text — ü\n", b"\x00\xff", "x" * 100_000])
def test_write_atomic_writes_exactly_this_and_leaves_nothing_else(tmp_path: Path, data: str | bytes) -> None:
    path = tmp_path / "deep" / "file.json"
    write_atomic(path, "before")
    write_atomic(path, data)
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert entries(path.parent) == {"file.json"}


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_keeps_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "file"
    write_atomic(path, "earlier")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, step, full)
    with pytest.raises(UserError, match="disk is full") as caught:
        write_atomic(path, "later")
    assert str(path) in str(caught.value)
    assert path.read_text() == "earlier"
    assert entries(tmp_path) == {"file"}


def test_a_full_device_is_a_user_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError, match="No space") as caught, open("/dev/full", "w") as device:
        device.write("x")
    assert isinstance(files.as_user_error(caught.value, Path("f")), UserError)


def test_a_link_is_followed_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_atomic(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_written_files_obey_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_hashes_are_sha256_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("ü", encoding="utf-8")
    assert sha256_file(tmp_path / "f") == sha256_text("ü") == hashlib.sha256("ü".encode()).hexdigest()


def test_a_run_begins_running_and_ends_done(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with project.start_run("tune", config={"a": 1}, resolved={"a": 1, "b": 2}, seed=7, inputs={"data": "ff"}) as run:
        assert project.run(run.id).manifest.status == "running"
        run.note(step=1)
    manifest = project.run(run.id).manifest
    assert (manifest.status, manifest.seed, manifest.notes) == ("done", 7, {"step": 1})
    assert manifest.created <= manifest.finished
    assert manifest.versions["python"].startswith(f"{sys.version_info.major}.")
    assert run.path == project.run_path(run.id) == tmp_path.resolve() / ".groundtone" / "runs" / run.id
    assert run.id.startswith("tune-")
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


@pytest.mark.parametrize("error", [ValueError("too long"), KeyboardInterrupt()])
def test_a_run_that_breaks_is_failed_with_its_reason(tmp_path: Path, error: BaseException) -> None:
    project = Project(tmp_path)
    with pytest.raises(type(error)), project.start_run("eval") as run:
        raise error
    manifest = project.run(run.id).manifest
    assert manifest.status == "failed"
    assert ("too long" in manifest.notes["reason"]) or ("stopped by the user" in manifest.notes["reason"])


def test_a_full_disk_does_not_hide_why_a_run_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def work() -> None:
        with Project(tmp_path).start_run("eval"):
            monkeypatch.setattr(files.os, "fsync", full)
            raise ValueError("the first error")

    with pytest.raises(ValueError, match="the first error") as caught:
        work()
    assert "disk is full" in caught.value.__notes__[0]


def test_finish_keeps_its_notes_inside_the_context(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with project.start_run("eval") as run:
        run.finish(items=3)
    assert project.run(run.id).manifest.notes == {"items": 3}


def test_runs_are_newest_first_and_by_kind(tmp_path: Path) -> None:
    project = Project(tmp_path)
    ids = []
    for kind in ("tune", "eval", "tune", "eval"):
        with project.start_run(kind) as run:
            ids.append(run.id)
    failed = project.start_run("eval")
    failed.fail("no")
    assert [m.id for m in project.runs()] == [failed.id, *reversed(ids)]
    assert [m.id for m in project.runs("tune")] == [ids[2], ids[0]]
    newest = project.latest("eval")
    assert newest is not None
    assert newest.id == ids[3]
    assert project.latest("serve") is None


def test_foreign_and_half_written_folders_are_reported_not_fatal(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with project.start_run("tune") as good:
        pass
    runs = project.runs_folder
    (runs / "tune-20250101-000000-aaaa").mkdir()
    for name, text in {
        "half": '{"kind": "tune", "id": "ha',
        "foreign": '{"epochs": 3}',
        "newer": good.manifest.model_copy(update={"id": "newer", "schema_version": 99}).model_dump_json(),
        "renamed": good.manifest.model_dump_json(),
    }.items():
        (runs / name).mkdir()
        (runs / name / "manifest.json").write_text(text)
    (runs / "stray.txt").write_text("x")
    assert [m.id for m in project.runs()] == [good.id]
    problems = project.run_problems()
    assert len(problems) == 6
    for name in ("tune-20250101-000000-aaaa", "half", "foreign", "newer", "renamed", "stray.txt"):
        assert sum(str(runs / name) in problem for problem in problems) == 1, name


def test_a_manifest_of_a_later_minor_version_is_read(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with project.start_run("tune") as run:
        pass
    path = run.path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"a_new_field": 1}))
    assert project.run(run.id).manifest.status == "done"


@pytest.mark.parametrize(
    "run_id", ["", "..", "../../etc", "tune-20250101-000000-zzzz", "/tmp", "tune-20250101-000000-aaaa"]
)
def test_an_unknown_run_id_is_refused_and_never_a_path(tmp_path: Path, run_id: str) -> None:
    project = Project(tmp_path)
    project.runs_folder.mkdir(parents=True)
    with pytest.raises(ProjectError, match="there is no run"):
        project.run_path(run_id)


def test_a_misspelt_run_id_names_the_nearest(tmp_path: Path) -> None:
    project = Project(tmp_path)
    run = project.start_run("tune")
    with pytest.raises(ProjectError, match=run.id):
        project.run_path(run.id[:-1])


def test_champion_points_to_a_run_that_exists(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert project.champion() is None
    first, second = project.start_run("tune"), project.start_run("tune")
    project.set_champion(first.id, evaluation="eval-1")
    project.set_champion(second.id)
    assert project.champion() == second.id
    assert json.loads(project.champion_path.read_text())["previous"] == first.id
    with pytest.raises(ProjectError):
        project.set_champion("tune-20250101-000000-aaaa")
    assert project.champion() == second.id
    (second.path / "manifest.json").unlink()
    second.path.rmdir()
    with pytest.raises(ProjectError, match="there is no run"):
        project.champion()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "3"])
def test_a_broken_champion_pointer_says_how_to_mend_it(tmp_path: Path, text: str) -> None:
    project = Project(tmp_path)
    write_atomic(project.champion_path, text)
    with pytest.raises(ProjectError, match="promote"):
        project.champion()
    run = project.start_run("tune")
    project.set_champion(run.id)
    assert project.champion() == run.id


def test_a_dead_process_leaves_an_interrupted_run_that_can_be_resumed(tmp_path: Path) -> None:
    code = f"from groundtone.project import Project; print(Project({str(tmp_path)!r}).start_run('tune').id)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    project = Project(tmp_path)
    run_id = done.stdout.strip()
    assert project.run(run_id).manifest.state() == "interrupted"
    resumed = project.resume_run(run_id)
    assert resumed.manifest.state() == "running"
    resumed.finish()
    with pytest.raises(ProjectError, match="done"):
        project.resume_run(run_id)


def test_a_living_process_keeps_its_run(tmp_path: Path) -> None:
    project = Project(tmp_path)
    run = project.start_run("tune")
    path = run.path / "manifest.json"
    host = run.manifest.process.rpartition(":")[0]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"process": f"{host}:{os.getppid()}"}))
    with pytest.raises(ProjectError, match="still running"):
        project.resume_run(run.id)


def test_the_project_is_found_upwards(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / CONFIG_NAME).touch()
    assert Project.find(deep).root == tmp_path.resolve()
    (tmp_path / CONFIG_NAME).unlink()
    with pytest.raises(ProjectError, match="groundtone init"):
        Project.find(deep)


def test_secrets_are_masked_and_counts_are_not(tmp_path: Path) -> None:
    config = {
        "api_key": "sk-1",
        "apiKey": "sk-2",
        "max_new_tokens": 96,
        "token": "t",
        "nested": {"db-password": 5, "keys": ["a", "b"], "credentials": {"user": "u"}, "monkey": "m", "tokenizer": "x"},
        "base_url": "https://me:pw@host/v1",
        "store": "host=db password=pw user=me",
        "empty_secret": "",
    }
    expected = {
        "api_key": MASK,
        "apiKey": MASK,
        "max_new_tokens": 96,
        "token": MASK,
        "nested": {
            "db-password": MASK,
            "keys": [MASK, MASK],
            "credentials": {"user": MASK},
            "monkey": "m",
            "tokenizer": "x",
        },
        "base_url": f"https://{MASK}@host/v1",
        "store": f"host=db password={MASK} user=me",
        "empty_secret": "",
    }
    assert mask_secrets(config) == expected
    assert mask_secrets(mask_secrets(config)) == expected
    run = Project(tmp_path).start_run("tune", config=config, resolved=config)
    text = (run.path / "manifest.json").read_text()
    assert not any(secret in text for secret in ("sk-1", "sk-2", "me:pw"))


def test_the_revision_follows_git(tmp_path: Path) -> None:
    assert git_revision(tmp_path) == ""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "f").write_text("1")
    subprocess.run([*git, "add", "f"], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    clean = git_revision(tmp_path)
    assert len(clean) == 40
    (tmp_path / "f").write_text("2")
    assert git_revision(tmp_path) == f"{clean}+changes"
