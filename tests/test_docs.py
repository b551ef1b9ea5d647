"""What the pages tell a reader to type or to write exists: commands, links, modules, settings, formats."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from eval.suite import read_general, read_questions
from groundtone.settings import SECTIONS, load_settings
from tests.test_deployment import parsed
from tuning.pairs import read_pairs

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += [ROOT / "data/README.md", ROOT / "data/starter/README.md"]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced blocks in one of these languages."""
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", text, flags=re.M | re.S)


def typed(text: str) -> list[str]:
    """The words after `groundtone` of every command in a block, in an indented line or in a job of a workflow."""
    lines = "\n".join(blocks(text, "bash", "sh", "yaml")).splitlines() + re.findall(r"^ {4}(\S.*)", text, flags=re.M)
    found = []
    for part in (part.strip() for line in lines for part in line.partition(" #")[0].split("&&")):
        part = re.sub(r"^docker compose run .*--entrypoint groundtone server|^- run: groundtone", "groundtone", part)
        if part.startswith("groundtone "):
            found.append(part.removeprefix("groundtone "))
    return found


COMMANDS = [pytest.param(words, id=f"{page}: {words}") for page, text in TEXTS.items() for words in typed(text)]


def test_the_pages_hold_commands() -> None:
    assert len(COMMANDS) > 60


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_one_of_ours(words: str) -> None:
    assert isinstance(parsed(shlex.split(words)), dict)


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_leads_to_a_file(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)", TEXTS[page])
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", TEXTS)
def test_every_make_target_and_module_is_there(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", TEXTS[page], flags=re.M)) <= targets
    modules = {name.replace(".", "/") for name in re.findall(r"python -m ((?:benchmarks|data)[\w.]*)", TEXTS[page])}
    assert [m for m in modules if not ((ROOT / f"{m}.py").exists() or (ROOT / m / "__main__.py").exists())] == []


@pytest.mark.parametrize("page", TEXTS)
def test_every_section_of_settings_is_valid(page: str, tmp_path: Path) -> None:
    for block in blocks(TEXTS[page], "yaml"):
        if set(yaml.safe_load(block)) <= set(SECTIONS):
            (tmp_path / "groundtone.yaml").write_text(block, encoding="utf-8")
            assert load_settings(tmp_path).given == yaml.safe_load(block)


def test_the_formats_of_ones_own_files_are_those_that_are_read(tmp_path: Path) -> None:
    pair, answerable, unanswerable, item = blocks(TEXTS["data/README.md"], "json")[0].splitlines()
    rows = {"train": pair, "answerable": answerable, "unanswerable": unanswerable, "items": item}
    for name, row in rows.items():
        (tmp_path / f"{name}.jsonl").write_text(row + "\n", encoding="utf-8")
    assert len(read_pairs(tmp_path / "train.jsonl")) == 1
    assert [question.kind for question in read_questions(tmp_path)] == ["answerable", "unanswerable"]
    assert len(read_general(tmp_path / "items.jsonl")) == 1
