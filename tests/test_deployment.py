"""The container files say what the code does: commands parse, what is copied is there, nothing runs as root."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from groundtone.cli.main import app
from groundtone.server.config import ServerConfig
from groundtone.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "groundtone"}


def instructions(name: str) -> list[str]:
    """The arguments of an instruction of the Dockerfile, continuation lines joined."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    return re.findall(rf"^\s*{name} (.+)$", joined, flags=re.M)


def called(service: dict[str, Any]) -> list[list[str]]:
    """The words after `groundtone` of every command that a service runs."""
    command = service["command"]
    if service.get("entrypoint") != ["sh", "-c"]:
        return [command]
    (script,) = command
    parts = [shlex.split(part) for part in re.split(r"&&|;", script)]
    parts = [part[1:] if part[0] == "exec" else part for part in parts]
    assert {part[0] for part in parts} == {"groundtone"}
    return [part[1:] for part in parts]


def parsed(words: list[str]) -> dict[str, Any]:
    """The parameters of the command that these words name. Raises what the command line raises for wrong ones."""
    command, name, rest, context = get_command(app), "groundtone", list(words), None
    while isinstance(command, TyperGroup):
        context = command.make_context(name, rest[:0], parent=context, resilient_parsing=True)
        if not rest or rest[0].startswith("-"):
            break  # a group that does something itself, such as serve
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
    return command.make_context(name, rest, parent=context).params


COMMANDS = [words for service in OURS.values() for words in called(service)]
COMMANDS.append(json.loads(instructions("CMD")[-1]))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_and_setting_is_one_of_ours(words: list[str], tmp_path: Path) -> None:
    given = parsed(words)
    assert given["project"] == Path("/project")
    (tmp_path / "groundtone.yaml").write_text("")
    assert load_settings(tmp_path, given.get("overrides") or ()).root == tmp_path.resolve()


def test_a_wrong_option_would_be_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        parsed(["serve", "--prject", "/project"])


def test_the_image_has_two_stages_and_ends_as_nobody_in_particular() -> None:
    assert len(instructions("FROM")) == 2
    assert instructions("USER") == ["10001:10001"]
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "USER 10001" in last
    assert "pip install" not in last
    assert "ARG PIP_EXTRA_INDEX_URL" in DOCKERFILE.partition("\nFROM python")[2]


def test_what_is_copied_is_there_is_sent_and_is_all_that_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    copied = {word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"}
    assert copied == sent
    assert {name.partition(".")[0] for name in project["tool"]["setuptools"]["packages"]} <= copied
    extras = next(line for line in instructions("ARG") if line.startswith("EXTRAS=")).removeprefix("EXTRAS=")
    assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])


def test_nothing_is_published_beyond_this_machine_and_our_services_have_no_rights() -> None:
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
    for name, service in OURS.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert not service["user"].startswith("0"), name
    assert set(SERVICES) == {"server", "dashboard", "ingest", "db", "vllm"}
    assert SERVICES["vllm"]["profiles"] == ["vllm"]


def test_ports_health_checks_and_times_are_those_of_the_server() -> None:
    defaults = ServerConfig()
    (health,) = instructions("HEALTHCHECK")
    assert f":{defaults.port}/health" in health
    assert '@router.get("/health"' in (ROOT / "groundtone/server/others.py").read_text(encoding="utf-8")
    assert SERVICES["server"]["ports"] == [f"127.0.0.1:{defaults.port}:{defaults.port}"]
    assert int(SERVICES["server"]["stop_grace_period"].removesuffix("s")) > defaults.shutdown_s


def test_no_variable_that_has_no_default_is_anything_but_the_password() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    needed = re.findall(r"\$\{(\w+)(?!\w|:-)[^}]*\}", text)
    assert set(needed) == {"POSTGRES_PASSWORD"}
    documented = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in documented for name in set(re.findall(r"\$\{(\w+)", text)))
