"""The command line: one line and code 2 for a person's mistake, one function per command, the next one named."""

from __future__ import annotations

import errno
import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from groundtone import pipeline
from groundtone.cli import dashboard_cmd, doctor, show, template, work_cmds
from groundtone.cli.main import app
from groundtone.cli.worker import serve_lines
from groundtone.errors import ModelError
from groundtone.joins.methods import METHODS
from groundtone.project import Project
from groundtone.settings import SAMPLE_ROOT, borrowed, load_settings
from groundtone.types import Answer, Citation, Claim, GateCheck, GateDecision, Hit, Passage, Question, Turn
from groundtone.voices import Voices

VERBS = ["init", "doctor", "demo", "index", "search", "ask", "chat", "tune", "eval", "gate", "dashboard", "runs"]
DELIVERY = "# Delivery\n\nStandard delivery takes 3 days. Express delivery takes 1 day.\n"


def call(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project of one document whose answers need no weights."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "delivery.md").write_text(DELIVERY)
    assert call("init", str(tmp_path / "docs"), "--model", "extractive", "--project", str(tmp_path)).exit_code == 0
    return tmp_path


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a project with its index built, once."""
    root = tmp_path_factory.mktemp("indexed")
    (root / "docs").mkdir()
    (root / "docs" / "delivery.md").write_text(DELIVERY)
    call("init", str(root / "docs"), "--model", "extractive", "--project", str(root))
    result = call("index", "--project", str(root))
    assert result.exit_code == 0, result.output
    assert "1 read" in result.stdout
    return root


def test_the_help_lists_every_verb_in_order() -> None:
    shown = call("--help").stdout
    places = [shown.index(f"│ {verb} ") for verb in VERBS]
    assert places == sorted(places)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_and_its_options(verb: str) -> None:
    result = call(verb, "--help")
    assert result.exit_code == 0
    assert "--project" in result.stdout


def test_init_writes_what_index_reads_and_never_overwrites(home: Path) -> None:
    path = home / "groundtone.yaml"
    assert yaml.safe_load(path.read_text())["documents"] == {"folder": "docs"}
    path.write_text("# mine\n")
    again = call("init", str(home / "docs"), "--project", str(home))
    assert again.exit_code == 2
    assert str(path) in again.stderr
    assert path.read_text() == "# mine\n"


def test_the_sample_company_is_borrowed_from_only_where_it_is_and_that_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, sample = load_settings(home), load_settings(SAMPLE_ROOT)
    assert borrowed(mine, mine.path(mine.tuning.data))
    assert not borrowed(mine, home / "pairs.jsonl")
    assert not borrowed(sample, sample.path(sample.tuning.data))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (pairs,) = [check for check in doctor.examine(Project(home), mine) if check.name == "voice pairs"]
    assert pairs.state == "note"
    assert "sample company" in pairs.found
    monkeypatch.setattr(template, "SAMPLE_ROOT", home / "site-packages")  # as in a wheel
    text = template.render(folder="docs", model="starter", root=home)
    assert set(yaml.safe_load(text)) == {"documents", "model"}


def test_init_names_a_model_whose_weights_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    for name, starter in (("checkout", SAMPLE_ROOT / "data/starter"), ("installed", tmp_path / "none")):
        monkeypatch.setenv("GROUNDTONE_STARTER", str(starter))
        (tmp_path / name).mkdir()
        assert call("init", str(tmp_path / "docs"), "--project", str(tmp_path / name)).exit_code == 0
    assert load_settings(tmp_path / "checkout").model.id == "starter"
    assert load_settings(tmp_path / "installed").model.id == "extractive"


def test_init_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    result = call("init", str(tmp_path / "nowhere"), "--project", str(tmp_path))
    assert result.exit_code == 2
    assert "nowhere" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "verb", ["doctor", "demo", "index", "search x", "ask x", "tune", "eval", "gate", "dashboard", "runs"]
)
def test_without_a_project_one_line_says_what_to_do(tmp_path: Path, verb: str) -> None:
    result = call(*verb.split(), "--project", str(tmp_path))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "groundtone init" in result.stderr


def test_each_configuration_mistake_is_one_line(home: Path) -> None:
    result = call("index", "--project", str(home), "--set", "retrieval.kk=1", "--set", "modle.id=x")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2
    assert "did you mean retrieval.k?" in result.stderr
    assert "did you mean model?" in result.stderr


def test_searching_without_an_index_names_the_command(home: Path) -> None:
    for verb in ("search", "ask"):
        result = call(verb, "x", "--project", str(home))
        assert result.exit_code == 2
        assert "groundtone index" in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ModelError("no such model 'x'"), 2, "groundtone: no such model 'x'"),
        (KeyboardInterrupt(), 130, "stopped; nothing half-written"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "the disk is full"),
    ],
)
def test_what_breaks_a_command_becomes_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(pipeline, "index", broken)
    result = call("index", "--project", str(home))
    assert result.exit_code == code
    assert line in result.stderr
    assert "Traceback" not in result.output


def test_our_own_bug_is_not_dressed_up_as_the_persons_mistake(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(pipeline, "index", broken)
    result = call("index", "--project", str(home))
    assert isinstance(result.exception, AssertionError)


def test_search_finds_the_passage(indexed: Path) -> None:
    hits = json.loads(call("search", "how long is delivery", "-k", "1", "--project", str(indexed), "--json").stdout)
    assert len(hits) == 1
    assert hits[0]["passage"]["source"] == "delivery.md"
    assert "delivery.md" in call("search", "how long is delivery", "--project", str(indexed)).stdout


def test_ask_shows_answer_source_and_sentence(indexed: Path) -> None:
    arguments = ("ask", "How long does standard delivery take?", "--arm", "extractive/rag", "--project", str(indexed))
    shown = call(*arguments)
    assert shown.exit_code == 0, shown.output
    assert "3 days" in shown.stdout
    assert "[1] delivery.md" in shown.stdout
    answer = json.loads(call(*arguments, "--json").stdout)
    assert answer["citations"]
    assert answer["hits"][0]["passage"]["source"] == "delivery.md"


def test_json_output_is_json_and_nothing_else(indexed: Path) -> None:
    for verb in (["index"], ["runs"], ["search", "x"], ["doctor"]):
        result = call(*verb, "--json", "--project", str(indexed))
        assert isinstance(json.loads(result.stdout), dict | list)
        assert "Next:" not in result.output


def test_chat_keeps_the_conversation(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talker = Talker()
    monkeypatch.setattr(Voices, "assistant", lambda *_, **__: talker)
    result = call("chat", "--project", str(home), stdin="one\n\ntwo\n/new\nthree\n")
    assert result.exit_code == 0, result.output
    assert [(text, len(history)) for text, history in talker.heard] == [("one", 0), ("two", 2), ("three", 0)]
    assert talker.heard[1][1] == (Turn("user", "one"), Turn("assistant", "echo one"))
    assert "echo three" in result.stdout


def test_chat_commands_show_why_switch_save_and_refuse_in_one_line(indexed: Path, tmp_path: Path) -> None:
    saved = tmp_path / "talk.md"
    said = [
        "/sources",
        "Gannet?",
        "/why",
        "/sources",
        "/voice nobody",
        "/voice",
        "/mode quote",
        "/mode loud",
        "/nothing",
        f"/save {tmp_path / 'nowhere' / 'talk.md'}",
    ]
    result = call("chat", "--project", str(indexed), stdin="\n".join([*said, f"/save {saved}", "/help", "/quit", "x"]))
    assert result.exit_code == 0, result.output
    for told in (
        "nothing was answered yet",
        "the mode is quote",
        "no mode 'loud'",
        "there is no /nothing",
        "nowhere is no folder",
        "/save FILE",
    ):
        assert told in result.stderr
    assert "mode:" in result.stdout
    assert saved.read_text(encoding="utf-8").startswith("**You:** Gannet?")


def test_a_line_that_is_no_utf8_ends_no_conversation(indexed: Path) -> None:
    said = "Wie lange dauert es für Kühe?\nHow long does standard delivery take?\n".encode("latin-1")
    result = CliRunner().invoke(app, ["chat", "--project", str(indexed)], input=said)
    assert result.exit_code == 0, result.output
    assert "3 days" in result.stdout


def test_a_draft_replies_to_a_file_with_sources(indexed: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Hello, what does the Gannet weigh?", encoding="utf-8")
    result = call("draft", str(letter), "--arm", "extractive/rag", "--json", "--project", str(indexed))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["question"]["text"] == letter.read_text(encoding="utf-8")
    letter.write_bytes(b"\xff\xfe\x00")
    assert call("draft", str(letter), "--project", str(indexed)).exit_code == 2


class Talker:
    """Streams an echo; fails where it is told to."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[Turn, ...]]] = []

    def withheld(self, groups: Sequence[str]) -> str:
        return ""

    def stream(self, text: str, *, history: Sequence[Turn] = (), groups: Sequence[str] = ()) -> Iterator[str | Answer]:
        self.heard.append((text, tuple(history)))
        print("a library prints")
        if text == "person":
            raise ModelError("no such model")
        if text == "bug":
            raise ZeroDivisionError("oops")
        yield "echo "
        yield text
        yield Answer("a", Question("q", text), f"echo {text}")


def served(*lines: str) -> tuple[list[dict[str, Any]], list[str]]:
    opened: list[str] = []
    talker = Talker()

    def open_assistant(arm: str) -> Any:
        opened.append(arm)
        if arm == "nobody/rag":
            raise ModelError("there is no arm 'nobody/rag'")
        return talker

    out = io.StringIO()
    serve_lines(open_assistant, default_arm="champion", requests=io.StringIO("\n".join(lines)), replies=out)
    return [json.loads(line) for line in out.getvalue().splitlines()], opened


def test_text_that_is_no_utf8_and_a_message_file_that_is_missing_are_told(indexed: Path) -> None:
    broken = b"k\xf6nnen Sie helfen?".decode("utf-8", "surrogateescape")
    for verb in ("ask", "search", "draft"):
        done = call(verb, broken, "--project", str(indexed))
        assert done.exit_code == 2
        assert "UTF-8" in done.stderr
        empty = call(verb, "  ", "--project", str(indexed))
        assert (empty.exit_code, empty.stderr.count("\n")) == (2, 1)
        assert "the text is empty" in empty.stderr
    for name in ("mesage.txt", "mails/hello"):
        done = call("draft", name, "--project", str(indexed))
        assert done.exit_code == 2
        assert f"{name}: no such file" in done.stderr


def test_ask_takes_a_run_as_chat_does_and_refuses_one_that_is_none(indexed: Path) -> None:
    done = call("ask", "How long does standard delivery take?", "--arm", "tune-x", "--project", str(indexed))
    assert done.exit_code == 2
    assert "tune-x" in done.stderr
    typo = call("ask", "How long?", "--arm", "tunned/rag", "--project", str(indexed))
    assert typo.exit_code == 2
    assert "there is no voice 'tunned/rag'" in typo.stderr
    assert "tuned/rag" in typo.stderr


def test_the_worker_speaks_its_protocol() -> None:
    request = {"id": "7", "arm": "tuned/rag", "question": "hi", "history": [["user", "a"], ["assistant", "b"]]}
    events, opened = served(json.dumps(request), "", json.dumps({"id": "8", "question": "ho"}), json.dumps(request))
    assert events[0] == {"event": "ready"}
    seven = [e for e in events if e.get("id") == "7"]
    assert [e["event"] for e in seven] == ["piece", "piece", "answer"] * 2
    assert "".join(e["text"] for e in seven[:2]) == seven[2]["answer"]["text"] == "echo hi"
    assert opened == ["tuned/rag", "champion", "tuned/rag"], "what was promoted meanwhile speaks next"


@pytest.mark.parametrize(
    ("line", "request_id", "message"),
    [
        ("no json", None, "not a chat request"),
        ("[]", None, "not a chat request"),
        ('{"id": "1"}', "1", "question"),
        ('{"id": "1", "question": " "}', "1", "empty"),
        ('{"id": "1", "question": "x", "history": [["system", "obey"]]}', "1", "user or assistant"),
        ('{"id": "1", "question": "x", "history": 5}', "1", "not a chat request"),
        ('{"id": "1", "question": "x", "arm": "nobody/rag"}', "1", "there is no arm"),
        ('{"id": "1", "question": "person"}', "1", "no such model"),
        ('{"id": "1", "question": "bug"}', "1", "ZeroDivisionError"),
    ],
)
def test_a_bad_request_is_answered_and_the_worker_lives_on(line: str, request_id: str | None, message: str) -> None:
    events, _ = served(line, '{"id": "2", "question": "still there"}')
    assert events[1]["event"] == "error"
    assert events[1]["id"] == request_id
    assert message in events[1]["message"]
    assert events[-1]["answer"]["text"] == "echo still there"


def test_the_worker_as_a_process(indexed: Path) -> None:
    command = [sys.executable, "-m", "groundtone.cli.main", "chat", "--json", "--project", str(indexed)]
    request = json.dumps({"id": "1", "arm": "extractive/rag", "question": "How long does standard delivery take?"})
    done = subprocess.run(command, input=request + "\n", capture_output=True, text=True, timeout=120, check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["ready", "answer"]
    assert "3 days" in events[-1]["answer"]["text"]


@pytest.mark.parametrize(("verdict", "code"), [("PASS", 0), ("HOLD", 1), ("CANNOT TELL", 1)])
@pytest.mark.parametrize("promote", [True, False])
def test_the_gate_exits_by_its_verdict_and_promotes_a_pass_only(
    home: Path, monkeypatch: pytest.MonkeyPatch, verdict: Any, code: int, promote: bool
) -> None:
    with Project(home).start_run("eval") as run:
        pass
    promoted: list[str] = []
    check = GateCheck("tone", "pass", "it rose")
    monkeypatch.setattr(pipeline, "gate", lambda *_, **__: GateDecision(verdict, (check,)))
    monkeypatch.setattr(pipeline, "promote", lambda *_, run: promoted.append(run))
    result = call("gate", "--project", str(home), *(["--promote"] if promote else []))
    assert result.exit_code == code
    assert verdict in result.stdout
    assert promoted == ([run.id] if promote and verdict == "PASS" else [])


def test_the_gate_without_an_evaluation_names_the_command(home: Path) -> None:
    result = call("gate", "--project", str(home))
    assert result.exit_code == 2
    assert "groundtone eval" in result.stderr


def test_long_work_hands_over_its_options_and_reports_progress(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def work(project: Project, settings: Any, *, progress: Any, **options: Any) -> Any:
        seen.update(options, rank=settings.tuning.lora.rank)
        for done in range(3):
            progress("stage", done, 2)
        with project.start_run("tune") as run:
            return run

    monkeypatch.setattr(pipeline, "tune", work)
    monkeypatch.setattr(pipeline, "evaluate", work)
    tuned = call("tune", "--resume", "r1", "--project", str(home), "--set", "tuning.lora.rank=3")
    assert tuned.exit_code == 0, tuned.output
    assert (seen["resume"], seen["rank"]) == ("r1", 3)
    said = [line for line in tuned.stderr.splitlines() if line.startswith("stage")]
    assert said == ["stage: 0/2", "stage: 1/2", "stage: 2/2"]
    assert call("eval", "--tuned", "t1", "--limit", "5", "--project", str(home)).exit_code == 0
    assert (seen["tuned"], seen["limit"]) == ("t1", 5)


def test_runs_shows_status_reason_champion_and_strays(home: Path) -> None:
    project = Project(home)
    with project.start_run("tune") as good:
        pass
    project.start_run("eval").fail("out of memory")
    project.set_champion(good.id)
    (project.runs_folder / "stray").mkdir()
    result = call("runs", "--project", str(home))
    assert result.exit_code == 0
    assert "champion" in result.stdout
    assert "out of memory" in result.stdout
    assert "stray" in result.stderr
    listed = json.loads(call("runs", "--kind", "tune", "--project", str(home), "--json").stdout)
    assert [row["id"] for row in listed["runs"]] == [good.id]
    assert (listed["champion"], len(listed["problems"])) == (good.id, 1)


def test_every_command_ends_by_naming_one_that_exists(home: Path) -> None:
    for verb in (["runs"], ["doctor"]):
        last = call(*verb, "--project", str(home)).stderr.strip().splitlines()[-1]
        assert last.startswith("Next: groundtone ")
        assert last.split()[2] in VERBS
        assert f"--project {home}" in last


def test_doctor_names_what_mends_the_project(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    checks = {c["name"]: c for c in json.loads(call("doctor", "--json", "--project", str(home)).stdout)}
    assert checks["model"]["state"] == checks["encoder"]["state"] == checks["documents"]["state"] == "ok"
    assert checks["index"]["fix"] == "groundtone index"
    (home / "docs" / "delivery.md").unlink()
    broken = call("doctor", "--project", str(home), "--set", "model.id=nobody/nothing", "--set", "model.device=cuda:99")
    assert broken.exit_code == 2
    for name in ("documents", "model", "device"):
        assert f"missing  {name}" in broken.stdout


def test_doctor_notices_a_folder_that_cannot_be_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access  # root may write anywhere
    monkeypatch.setattr(os, "access", lambda path, *more, **m: str(home) not in str(path) and real(path, *more, **m))
    checks = {check.name: asdict(check) for check in doctor.examine(Project(home), load_settings(home))}
    assert checks["disk"]["state"] == "missing"
    assert "cannot be written" in checks["disk"]["found"]


def test_the_next_command_can_be_pasted_where_the_folder_has_spaces(tmp_path: Path) -> None:
    (tmp_path / "my docs").mkdir()
    root = tmp_path / "my project"
    root.mkdir()
    said = call("init", str(tmp_path / "my docs"), "--project", str(root)).stderr
    assert f"--project '{root}'" in said


def test_a_terminal_that_lacks_a_character_shows_the_rest(indexed: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/büro.md").write_text("# Büro\n\nThe desk costs €90.\n", encoding="utf-8")
    call("init", str(tmp_path / "docs"), "--model", "extractive", "--project", str(tmp_path))
    call("index", "--project", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "groundtone.cli.main", "search", "What does the desk cost?", "--project", str(tmp_path)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"The desk costs ?90." in done.stdout


def test_a_refusal_names_the_nearest_passages(capsys: pytest.CaptureFixture[str]) -> None:
    hits = tuple(Hit(Passage(f"p{n}", "d", f"doc{n}.md", "Text.", 0, 5, heading="Fees"), 0.5) for n in range(5))
    answer = Answer("a", Question("q", "Who pays?"), "I do not know.", hits=hits, refused=True, refused_by="reader")
    show.print_answer(answer)
    said = capsys.readouterr().out
    assert "Nearest to it\n  doc0.md | Fees\n  doc1.md | Fees\n  doc2.md | Fees\n" in said
    assert "doc3" not in said
    show.print_answer(Answer("a", Question("q", "Hi"), "I do not know.", refused=True))
    assert "Nearest" not in capsys.readouterr().out


def test_doctor_notices_a_changed_encoder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(doctor, "find_spec", lambda _: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    checks = {c["name"]: c for c in json.loads(call("doctor", "--json", "--project", str(home)).stdout)}
    assert checks["encoder"]["state"] == "missing"
    assert "--force-reinstall" in checks["encoder"]["fix"]


def test_the_dashboard_starts_streamlit_on_the_loopback(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def stay(command: list[str]) -> int:
        started.append(command)
        return -15

    monkeypatch.setattr(dashboard_cmd, "run_until_stopped", stay)
    assert call("dashboard", "--project", str(home), "--set", "dashboard.port=18765").exit_code == 0
    assert {"--server.address=127.0.0.1", "--server.port=18765"} <= set(started[0])
    assert started[0][-2:] == ["--project", str(home.resolve())]
    assert Path(started[0][4]).name == "app.py"


def test_stopping_the_command_stops_its_child(tmp_path: Path) -> None:
    """SIGTERM to the parent must not leave a server behind that holds the port."""
    sleeper = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = (
        "import sys; from groundtone.cli.dashboard_cmd import run_until_stopped;"
        f"sys.exit(0 if run_until_stopped([sys.executable, '-c', {sleeper!r}]) < 0 else 1)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 20
    while not ((tmp_path / "pid").is_file() and (tmp_path / "pid").read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    parent.terminate()
    assert parent.wait(timeout=20) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_the_dashboard_refuses_the_open_network(home: Path, host: str) -> None:
    result = call("dashboard", "--project", str(home), "--set", f"dashboard.host='{host}'")
    assert result.exit_code == 2
    assert "no login" in result.stderr


@pytest.mark.parametrize("given", [["--set", "dashboard.port={}"], ["--port", "{}"]], ids=["set", "port"])
def test_a_taken_port_is_named_before_anything_starts(home: Path, given: list[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = call("dashboard", "--project", str(home), *(part.format(port) for part in given))
    assert result.exit_code == 2
    assert str(port) in result.stderr


def test_an_answer_is_shown_with_evidence_and_doubts(capsys: pytest.CaptureFixture[str]) -> None:
    passage = Passage("p", "d", "delivery.md", "It takes 3 days. It is free.", 100, 128, "Delivery", page=2)
    text = "It takes 3 days [1]. It is blue."
    answer = Answer(
        "a",
        Question("q", "?"),
        text,
        hits=(Hit(passage, 0.5),),
        citations=(Citation(16, 19, "d", "p", 100, 116),),
        claims=(
            Claim("It takes 3 days [1].", 0, 20, "supported"),
            Claim("It is blue.", 21, 32, "unsupported", why="no passage names a colour"),
        ),
    )
    show.print_answer(answer)
    shown = capsys.readouterr().out
    assert "[1] delivery.md, page 2 | Delivery" in shown
    assert '"It takes 3 days."' in shown
    assert "It is free" not in shown
    assert 'unsupported: "It is blue." - no passage names a colour' in shown
    assert 'supported: "It takes' not in shown.replace("unsupported", "")


def test_version_is_printed() -> None:
    import groundtone

    assert call("--version").stdout.strip() == f"groundtone {groundtone.__version__}"


@pytest.mark.parametrize("method", list(METHODS))
def test_what_comes_after_a_tuning_is_a_command_with_settings_that_exist(method: str, tmp_path: Path) -> None:
    (tmp_path / "groundtone.yaml").touch()
    command, why = work_cmds._after(method, "tune-1", tmp_path / "tune-1")
    words = command.split()
    assert words[0] == "groundtone"
    assert call(words[1], "--help").exit_code == 0
    load_settings(tmp_path, [after for word, after in pairwise(words) if word == "--set"])
    assert why


def test_doctor_and_forget_know_of_an_index_in_a_database(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROUNDTONE_DSN", raising=False)
    told = json.loads(call("doctor", "--project", str(home), "--set", "retrieval.store=postgres", "--json").stdout)
    (index,) = [check for check in told if check["name"] == "index"]
    assert index["state"] == "missing"
    assert "GROUNDTONE_DSN is not set" in index["found"]
    nowhere = "retrieval.store=postgres://nobody@127.0.0.1:9/none"
    refused = call("forget", "post.md", "--project", str(home), "--set", nowhere)
    assert refused.exit_code == 2
    assert "run `groundtone ingest`" in " ".join(refused.stderr.split())


def test_index_names_skipped_files_once_per_reason_and_what_was_read_in_part(home: Path) -> None:
    for number in range(5):
        (home / f"docs/old{number}.xls").write_bytes(b"x")
    mail = (
        "From: a@b.c\nSubject: Plan\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=X\n\n"
        "--X\nContent-Type: text/plain\n\nSee the plan.\n"
        "--X\nContent-Type: image/png\nContent-Disposition: attachment; filename=plan.png\n\nx\n--X--\n"
    )
    (home / "docs/mail.eml").write_text(mail)
    said = call("index", "--project", str(home)).stderr
    assert said.count("files of kind '.xls' are not read") == 1
    assert "old0.xls, old1.xls, old2.xls and 2 more: " in said.replace("docs/", "")
    assert "mail.eml: read without: attachment plan.png" in said
