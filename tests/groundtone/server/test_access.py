"""Keys, groups, models, rates: who may ask, for what, and how often."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from groundtone.cli.main import app
from groundtone.errors import IntegrityError, ProjectError, UserError
from groundtone.keys import KeyFile
from groundtone.project import Project
from groundtone.server.errors import ApiError
from groundtone.server.limits import Rates
from groundtone.server.run import check_open
from groundtone.server.state import State
from groundtone.settings import load_settings
from tests.groundtone.server.conftest import REPLY, Start, add_run, make_project

CHAT = {"model": "base+rag", "messages": [{"role": "user", "content": "What is the takeover of Plover priced at?"}]}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project", model=f"scripted:{REPLY}")


def post(url: str, key: str | None, body: object = CHAT, path: str = "/v1/chat/completions") -> httpx.Response:
    return httpx.post(url + path, json=body, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=60)


def test_a_key_is_stored_hashed_compared_and_revoked(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    text = file.add("ada", groups=["board"], models=["*+rag"])
    key = file.verify(text)
    assert key is not None
    assert (key.name, key.groups, key.allows("base+rag"), key.allows("base")) == ("ada", ("board",), True, False)
    stored = file.path.read_text()
    assert text not in stored
    assert text.split("-", 2)[2] not in stored
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    swapped = text[:-1] + ("A" if text[-1] != "A" else "B")
    assert [file.verify(wrong) for wrong in (swapped, "", "gt-", text + "x", "gt-00000000-" + "A" * 43)] == [None] * 5
    with pytest.raises(UserError, match="name of its own"):
        file.add("ada")
    KeyFile(file.path).revoke("ada")  # by another process
    assert file.verify(text) is None
    with pytest.raises(ProjectError, match="no valid key 'ada'"):
        file.revoke("ada")


def test_a_damaged_file_of_keys_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"schema": 9, "keys": []}')
    with pytest.raises(IntegrityError, match="nobody is let in"):
        KeyFile(path).verify("gt-00000000-" + "A" * 43)


def test_the_command_line_makes_lists_and_revokes_keys(project: Project) -> None:
    def call(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["serve", "keys", *arguments, "--project", str(project.root)])
        assert done.exit_code == 0, done.output
        return done.stdout

    text = call("add", "ada", "--groups", "board, staff", "--models", "base").strip()
    assert KeyFile(project.keys_path).verify(text) is not None
    (row,) = json.loads(call("list", "--json"))
    assert (row["name"], row["groups"], row["models"], row["revoked"]) == ("ada", ["board", "staff"], ["base"], "")
    assert "hash" not in row
    assert "revoked" in call("revoke", "ada")
    assert KeyFile(project.keys_path).verify(text) is None


def test_a_key_is_asked_for_once_there_is_one_and_never_logged(
    project: Project, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    served = start(project)
    assert post(served.url, None).status_code == 200
    text = served.state.keys.add("ada")
    for wrong in (None, "sk-other", text[:-1] + "-"):
        refused = post(served.url, wrong)
        assert refused.status_code == 401
        assert refused.json()["error"]["type"] == "authentication_error"
        assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert post(served.url, text).status_code == 200
    assert httpx.get(f"{served.url}/metrics").status_code == 401
    assert httpx.get(f"{served.url}/health").status_code == 200
    served.state.keys.revoke("ada")
    assert post(served.url, text).status_code == 401, "revoking the last key does not open the door"
    assert text not in caplog.text


def test_a_running_server_goes_on_asking_when_its_keys_are_deleted(project: Project, start: Start) -> None:
    text = KeyFile(project.keys_path).add("ada")
    served = start(project)
    project.keys_path.unlink()
    assert [post(served.url, key).status_code for key in (None, text)] == [401, 401]
    again = served.state.keys.add("ben")
    assert post(served.url, again).status_code == 200
    project.keys_path.unlink()
    assert post(served.url, again).status_code == 401


def test_a_server_beyond_this_machine_asks_from_the_first_request_on(project: Project) -> None:
    state = State.of(project, load_settings(project.root, ["server.host=0.0.0.0"]))
    try:
        assert state.asks_for_keys()
    finally:
        state.close()


def test_groups_limit_what_is_found_and_models_what_may_be_asked(project: Project, start: Start) -> None:
    served = start(project)
    board = served.state.keys.add("board", groups=["board"])
    public = served.state.keys.add("public", models=["base+rag"])
    sources = {
        name: {p["source"] for p in post(served.url, key).json()["x_grounding"]["passages"]}
        for name, key in (("board", board), ("public", public))
    }
    assert sources == {"board": {"post.md", "takeover.md"}, "public": {"post.md"}}
    assert post(served.url, public, CHAT | {"model": "base"}).status_code == 404
    listed = httpx.get(f"{served.url}/v1/models", headers={"Authorization": f"Bearer {public}"}).json()
    assert [model["id"] for model in listed["data"]] == ["base+rag"]


def test_an_adapter_tuned_on_closed_documents_speaks_only_to_their_readers(
    tmp_path: Path, tiny_folder: Path, start: Start
) -> None:
    project = make_project(tmp_path / "project", model=str(tiny_folder))
    run = add_run(project, seed=1)
    project.run(run).note(groups=["board"])
    served = start(project)
    board, public = served.state.keys.add("board", groups=["board"]), served.state.keys.add("public")
    asked = CHAT | {"model": run, "max_tokens": 8}
    told, withheld = (post(served.url, key, asked).json() for key in (board, public))
    base = post(served.url, public, asked | {"model": "base"}).json()
    assert told["choices"][0]["message"]["content"] != withheld["choices"][0]["message"]["content"]
    assert withheld["choices"][0]["message"]["content"] == base["choices"][0]["message"]["content"]
    assert "board" in withheld["x_grounding"]["provenance"]["voice_withheld"]


def test_listening_beyond_this_machine_needs_a_key(project: Project) -> None:
    for settings, wanted in (
        (load_settings(project.root, ["server.host=0.0.0.0"]), "no key is asked for"),
        (load_settings(project.root, ["server.auth=always"]), "no valid key"),
    ):
        with pytest.raises(UserError, match=wanted):
            check_open(project, settings)
    KeyFile(project.keys_path).add("ada")
    check_open(project, load_settings(project.root, ["server.host=0.0.0.0"]))
    with pytest.raises(UserError, match="no key is asked for"):
        check_open(project, load_settings(project.root, ["server.host=0.0.0.0", "server.auth=never"]))


def test_a_caller_above_the_rate_waits_as_long_as_it_is_told() -> None:
    now = [0.0]
    rates = Rates(60, clock=lambda: now[0])
    for _ in range(15):
        rates.take("ada")
    with pytest.raises(ApiError, match="60 requests a minute") as refused:
        rates.take("ada")
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "1")
    rates.take("ben")
    now[0] = 1.0
    rates.take("ada")


def test_a_rate_is_kept_over_http(project: Project, start: Start) -> None:
    served = start(project, "server.requests_per_minute=8")
    answers = [post(served.url, None) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert answers[-1].json()["error"]["code"] == "rate_limit_exceeded"
