"""What holds the house together: layers, light imports, shipped packages, and docs that say what the code does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

import groundtone
from groundtone.cli.docs import reference
from groundtone.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HEAVY = {"torch", "transformers", "faiss", "streamlit", "langchain", "langchain_core", "sentence_transformers", "peft"}
HEAVY |= {"trl", "datasets"}
OUR_PACKAGES = ("groundtone", "retrieval", "tuning", "eval", "dashboard")
NOT_OURS = {".venv", ".git", ".groundtone", "build", "dist", "node_modules"}


def python(code: str, *, cwd: Path = ROOT, path: str = str(ROOT)) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )


def files(pattern: str) -> list[Path]:
    """Files of the repository, without installed, generated and hidden tool folders."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob(pattern))
    return sorted(path for path in found if not NOT_OURS & set(path.parts) and "cache" not in str(path).lower())


@pytest.mark.parametrize(
    "code",
    [
        "import groundtone",
        "import groundtone; groundtone.load_settings; groundtone.Project; groundtone.Answer",
        "import groundtone.cli.main, groundtone.cli.docs, groundtone.cli.template, groundtone.cli.worker",
        "import contextlib, sys; sys.argv[1:] = ['--help']\n"
        "import groundtone.cli.main\n"
        "with contextlib.suppress(SystemExit): groundtone.cli.main.main()",
    ],
)
def test_heavy_packages_are_imported_late(code: str) -> None:
    done = python(f"{code}\nimport sys; print('LOADED', *sorted({{m.partition('.')[0] for m in sys.modules}}))")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert "groundtone" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("arguments", [["-c", "import groundtone"], ["-m", "groundtone.cli.main", "--help"]])
def test_starting_takes_about_a_second_at_most(arguments: list[str]) -> None:
    """The best of three, so that a busy machine does not decide."""
    times_s = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, cwd=ROOT, check=True)
        times_s.append(time.perf_counter() - began)
    assert min(times_s) < 1.5, times_s


def test_arrows_point_down() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_public_api_is_what_all_says() -> None:
    code = "import groundtone; print(*[type(getattr(groundtone, n)).__name__ + ':' + n for n in groundtone.__all__])"
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert [item.partition(":")[2] for item in done.stdout.split()] == groundtone.__all__ == sorted(groundtone.__all__)
    assert set(groundtone.__all__) <= set(dir(groundtone))
    with pytest.raises(AttributeError, match="Assistant"):
        groundtone.__getattr__("Asistant")


@pytest.mark.parametrize("name", ["eval.py", "tuning/__init__.py"])
def test_a_file_that_hides_our_package_is_named(tmp_path: Path, name: str) -> None:
    shadow = tmp_path / name
    shadow.parent.mkdir(exist_ok=True)
    shadow.write_text("")
    for code in ("import groundtone", f"import {name.partition('/')[0].removesuffix('.py')}, groundtone"):
        done = python(code, cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.strip().splitlines()[-1].startswith(f"ImportError: {shadow} hides")


def test_a_folder_of_that_name_without_code_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "eval").mkdir()
    assert python("import groundtone", cwd=tmp_path).returncode == 0


def test_every_package_is_listed_and_every_listed_package_is_there() -> None:
    listed = set(PYPROJECT["tool"]["setuptools"]["packages"])
    there = {
        ".".join(path.parent.parts) for top in OUR_PACKAGES for path in files("__init__.py") if path.parts[0] == top
    }
    assert listed == there | {"groundtone.models.minilm_reader"}, "a folder of weights is packaged like one of code"


def test_every_python_file_of_ours_lies_in_a_package() -> None:
    for top in OUR_PACKAGES:
        for path in (ROOT / top).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), f"{path} would be missing from the wheel"


def test_the_version_is_the_same_everywhere() -> None:
    assert PYPROJECT["project"]["version"] == groundtone.__version__


def test_every_dependency_is_pinned_in_the_constraints() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins), "exact versions, no local suffix"
    pinned = {canonical(pin.partition("==")[0]) for pin in pins}
    project = PYPROJECT["project"]
    asked = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    names = {canonical(re.split(r"[\[=<>~! ]", line)[0]) for line in asked} - {"groundtone"}
    assert names <= pinned
    assert "groundtone" not in pinned


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class TaskLoader(yaml.SafeLoader):
    """Tasks of lm-evaluation-harness name Python functions with a tag of its own; here they stay names."""


TaskLoader.add_constructor("!function", lambda loader, node: str(node.value))


@pytest.mark.parametrize("path", [*files("*.yaml"), *files("*.yml")], ids=str)
def test_every_yaml_file_parses(path: Path) -> None:
    loader = TaskLoader if "harness" in str(path) else yaml.SafeLoader
    assert list(yaml.load_all((ROOT / path).read_text(encoding="utf-8"), Loader=loader)) != [None]


def bash_lines(path: Path) -> list[str]:
    """Command lines of the ```bash blocks, without prompts, comments and continuation lines."""
    blocks = re.findall(r"^```(?:bash|sh)\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.S | re.M)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line.strip().removeprefix("$ ") for line in joined.splitlines() if line.strip()]


DOCUMENTS = [path for path in files("*.md") if path.parts[0] not in ("data", "tests")]


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_commands_in_the_docs_exist_with_these_options(path: Path) -> None:
    commands = vars(get_command(app))["commands"]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    for line in bash_lines(ROOT / path):
        if made := re.match(r"make ([a-z-]+)", line):
            assert made[1] in targets, line
        called = re.match(r"(?:\S*/)?groundtone ([a-z]\S*)(.*)", line)
        if called:
            assert called[1] in commands, line
            command = commands[called[1]]
            for word in called[2].split():  # of a group such as "data", the next word is the command
                if word not in vars(command).get("commands", {}):
                    break
                command = vars(command)["commands"][word]
            assert vars(command).get("invoke_without_command", True), f"{line}: name the command of this group"
            known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}
            given = re.findall(r"(?<=\s)--?[a-z][a-z-]*", re.sub(r"\"[^\"]*\"|'[^']*'|#.*", "", called[2]))
            assert set(given) <= known, line


def test_the_reference_is_generated_from_the_commands() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_make_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, flags=re.M)
    assert phony is not None
    described = re.findall(r"^([a-z-]+):.*## ", text, flags=re.M)
    expected = {"help", "dev", "demo", "test", "check", "docs", "reproduce"}
    expected |= {"bench-eval", "bench-retrieval", "bench-serving", "bench-tuning", "bench-guards"}
    assert set(described) == set(phony[1].split()) == expected


def test_nothing_is_unpickled() -> None:
    forbidden = re.compile(
        r"\bimport (?:pickle|dill|joblib|shelve)\b|torch\.load\(|allow_pickle=True|yaml\.(?:unsafe_)?load\("
    )
    for top in OUR_PACKAGES:
        for path in (ROOT / top).rglob("*.py"):
            assert forbidden.search(path.read_text(encoding="utf-8")) is None, path
