"""Projects with a tiny model or a script, and real servers of them on loopback ports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
import yaml

from groundtone import pipeline
from groundtone.project import Project
from groundtone.server.app import create_app
from groundtone.server.run import Server, listen
from groundtone.server.state import State
from groundtone.settings import load_settings
from tests.tiny_models import save_tiny

PUBLIC = "# Post room\n\nParcels are kept for 14 days. Letters are kept for 3 days. Ada Finch runs the post room.\n"
SECRET = "---\ngroups: [board]\n---\n# Takeover\n\nThe takeover of Plover Ltd is priced at 12 million euros.\n"
REPLY = "Parcels are kept for 14 days [1]."


@dataclass(frozen=True, slots=True)
class Served:
    """A running server and what it holds."""

    url: str  # of the server; the API is below /v1
    project: Project
    state: State
    server: Server

    def ask(self, question: str = "How long are parcels kept?", *, model: str = "base+rag", **more: object) -> dict:  # type: ignore[type-arg]
        """One chat completion as plain JSON; raises for any other status than 200."""
        body = {"model": model, "messages": [{"role": "user", "content": question}], **more}
        response = httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=60)
        assert response.status_code == 200, response.text
        found: dict = response.json()  # type: ignore[type-arg]
        return found


Start = Callable[..., Served]


def make_project(root: Path, *, model: str) -> Project:
    """Two documents, one of them for the board only, indexed."""
    (root / "docs").mkdir(parents=True)
    (root / "docs/post.md").write_text(PUBLIC)
    (root / "docs/takeover.md").write_text(SECRET)
    config = {"documents": {"folder": "docs"}, "model": {"id": model}, "assistant": {"reader": None, "min_score": 0}}
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    project = Project(root)
    pipeline.index(project, load_settings(root))
    return project


@contextmanager
def serving(project: Project, *overrides: str) -> Iterator[Served]:
    """A server of the project in a thread of this process, stopped at the end."""
    app = create_app(project, load_settings(project.root, overrides))
    listening = listen("127.0.0.1", 0)
    server = Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    host, port = listening.getsockname()
    try:
        yield Served(f"http://{host}:{port}", project, app.state.groundtone, server)
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
        assert not thread.is_alive(), "the server did not stop"


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(project, *overrides)`: a server for one test."""
    with ExitStack() as stack:
        yield lambda project, *overrides: stack.enter_context(serving(project, *overrides))


@pytest.fixture(scope="session")
def scripted_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose model always says REPLY."""
    return make_project(tmp_path_factory.mktemp("scripted") / "project", model=f"scripted:{REPLY}")


@pytest.fixture(scope="session")
def scripted(scripted_project: Project) -> Iterator[Served]:
    """Its server."""
    with serving(scripted_project) as served:
        yield served


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random llama that reads 2,048 tokens."""
    return save_tiny("llama", tmp_path_factory.mktemp("tiny") / "llama", context=2048)


@pytest.fixture(scope="session")
def tiny_project(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Project:
    """A project on that model."""
    return make_project(tmp_path_factory.mktemp("local") / "project", model=str(tiny_folder))


@pytest.fixture(scope="session")
def tiny(tiny_project: Project) -> Iterator[Served]:
    """Its server: replies of several tokens, written by the batching engine."""
    with serving(tiny_project) as served:
        yield served


def until(true: Callable[[], bool]) -> None:
    """Waits for a state that another thread brings about."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def add_run(project: Project, *, seed: int) -> str:
    """A tuning run that is done, with a random adapter for the project's model."""
    import torch
    from peft import LoraConfig, get_peft_model

    from groundtone.models.weights import load_base

    settings = load_settings(project.root)
    run = project.start_run("tune", resolved=settings.resolved)
    torch.manual_seed(seed)
    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(load_base(settings.model.id).model, lora).save_pretrained(str(run.path / "adapter"))
    run.finish()
    return run.id
