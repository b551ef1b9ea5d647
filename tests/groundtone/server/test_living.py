"""What changes while the server runs: the champion, the index, adapters, the disk, clients that leave, the end."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from groundtone import pipeline
from groundtone.feedback import Feedback
from groundtone.inert import inert
from groundtone.models.generate import LocalModel
from groundtone.project import Project
from groundtone.prompts import closed_book
from groundtone.server import completions
from groundtone.settings import load_settings
from tests.groundtone.server.conftest import PUBLIC, REPLY, Served, Start, add_run, make_project, until
from tests.tiny_models import save_tiny

QUESTION = "How long are parcels kept?"


def content(reply: dict) -> str:  # type: ignore[type-arg]
    return str(reply["choices"][0]["message"]["content"])


@pytest.fixture
def local_project(tmp_path: Path, tiny_folder: Path) -> Project:
    return make_project(tmp_path / "project", model=str(tiny_folder))


def test_a_promotion_counts_at_once_and_a_removed_run_is_a_clear_404(
    local_project: Project, start: Start, tiny_folder: Path
) -> None:
    served = start(local_project)
    untuned = content(served.ask(model="champion", max_tokens=8))
    assert untuned == content(served.ask(model="base+rag", max_tokens=8))
    first, second = add_run(local_project, seed=1), add_run(local_project, seed=2)
    voices = []
    for run in (first, second):
        local_project.set_champion(run)
        voices.append(content(served.ask(model="champion", max_tokens=8)))
        assert voices[-1] == content(served.ask(model=f"{run}+rag", max_tokens=8))
    assert len({untuned, *voices}) == 3
    alone = LocalModel.load(str(tiny_folder), adapter=local_project.run_path(first) / "adapter")
    written = alone.generate([closed_book(QUESTION)], max_new_tokens=8)[0].text
    assert content(served.ask(model=first, max_tokens=8)) == inert(written).strip()
    listed = [m["id"] for m in httpx.get(f"{served.url}/v1/models").json()["data"]]
    assert {first, f"{second}+rag"} <= set(listed)
    shutil.rmtree(local_project.run_path(first))
    body = {"model": first, "messages": [{"role": "user", "content": QUESTION}]}
    gone = httpx.post(f"{served.url}/v1/chat/completions", json=body)
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "model_not_found")
    assert content(served.ask(model=f"{second}+rag", max_tokens=8)) == voices[1]
    assert served.state.arms.engine is not None
    until(lambda: served.state.arms.engine.adapters == (second,))  # its memory is given back
    shutil.rmtree(local_project.run_path(second))
    lost = httpx.post(f"{served.url}/v1/chat/completions", json=body | {"model": "champion"})
    assert lost.status_code in (404, 503)
    assert second in lost.json()["error"]["message"]
    assert content(served.ask(model="base+rag", max_tokens=8)) == untuned


def test_a_run_that_tuned_a_whole_model_is_served_and_a_reward_model_is_not(
    local_project: Project, start: Start
) -> None:
    voice, reward = (local_project.start_run("tune", resolved=load_settings(local_project.root).resolved) for _ in "ab")
    for run, seed in ((voice, 5), (reward, 6)):
        save_tiny("llama", run.path / "model", context=2048, seed=seed)
        run.finish()
    reward.note(speaks=False)
    served = start(local_project)
    written = LocalModel.load(str(voice.path / "model")).generate([closed_book(QUESTION)], max_new_tokens=8)[0].text
    assert content(served.ask(model=voice.id, max_tokens=8)) == inert(written).strip()
    assert content(served.ask(model="base", max_tokens=8)) != inert(written).strip()
    listed = [m["id"] for m in httpx.get(f"{served.url}/v1/models").json()["data"]]
    assert voice.id in listed
    assert reward.id not in listed
    body = {"model": reward.id, "messages": [{"role": "user", "content": QUESTION}]}
    assert httpx.post(f"{served.url}/v1/chat/completions", json=body).status_code == 404


def test_questions_are_answered_while_the_index_is_rebuilt(tmp_path: Path, start: Start) -> None:
    project = make_project(tmp_path / "project", model=f"scripted:{REPLY}")
    served, page = start(project), project.root / "docs/post.md"
    stop = threading.Event()

    def rebuild() -> None:
        for days in range(20, 24):
            page.write_text(PUBLIC.replace("Letters", f"In {days} days letters"))
            pipeline.index(project, load_settings(project.root))
        stop.set()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(rebuild)
        answers = [served.ask()]
        while not stop.is_set() and not done.done():
            answers.append(served.ask())
        done.result()
    assert all("14 days" in answer["x_grounding"]["passages"][0]["text"] for answer in answers)
    assert "In 23 days" in served.ask()["x_grounding"]["passages"][0]["text"]


def test_an_index_that_is_updated_or_rebuilt_is_searched_at_once(tmp_path: Path, start: Start) -> None:
    project = make_project(tmp_path / "project", model=f"scripted:{REPLY}")
    served = start(project)

    def texts() -> str:
        return " ".join(p["text"] for p in served.ask()["x_grounding"]["passages"])

    assert "14 days" in texts()
    page = project.root / "docs/post.md"
    page.write_text(page.read_text().replace("14 days", "15 days"))
    pipeline.index(project, load_settings(project.root))
    assert "15 days" in texts()
    for path in project.folder.glob("index.sqlite*"):
        path.unlink()
    page.write_text(page.read_text().replace("15 days", "16 days"))
    pipeline.index(project, load_settings(project.root))
    assert "16 days" in texts()


def test_documents_that_disagree_reach_the_client_with_their_dates(tmp_path: Path, start: Start) -> None:
    project = make_project(tmp_path / "project", model=f"scripted:{REPLY}")
    for name, date, days in (("post.md", "2026-02-01", 14), ("old.md", "2024-01-01", 9)):
        text = f"---\neffective: {date}\n---\n# Post room\n\nParcels are kept for {days} days in the post room.\n"
        (project.root / "docs" / name).write_text(text)
    pipeline.index(project, load_settings(project.root))
    reply = start(project).ask()
    cited = reply["x_grounding"]["citations"][0]["source"]
    (found,) = reply["x_grounding"]["disagreements"]
    dates = {"post.md": "2026-02-01", "old.md": "2024-01-01"}
    assert [d["source"] for d in found["documents"]] == [cited, next(s for s in dates if s != cited)]
    assert [d["date"] for d in found["documents"]] == [dates[d["source"]] for d in found["documents"]]
    assert {"14", "9"} <= set(found["why"].replace(",", "").split())


def test_without_an_index_documents_are_not_available_and_the_rest_is(tmp_path: Path, start: Start) -> None:
    project = make_project(tmp_path / "project", model=f"scripted:{REPLY}")
    project.index_path.unlink()
    served = start(project)
    body = {"model": "base+rag", "messages": [{"role": "user", "content": QUESTION}]}
    refused = httpx.post(f"{served.url}/v1/chat/completions", json=body)
    assert refused.status_code == 503
    assert "groundtone index" in refused.json()["error"]["message"]
    assert content(served.ask(model="base")) == "Parcels are kept for 14 days."


def test_feedback_is_stored_and_a_full_disk_is_told(tmp_path: Path, start: Start, scripted_project: Project) -> None:
    project = make_project(tmp_path / "project", model=f"scripted:{REPLY}")
    served = start(project)
    claim = served.ask()["x_grounding"]["claims"][0]
    rows = [
        {"kind": "verdict", "claim_key": claim["key"], "value": "supported", "person": "ada"},
        {"kind": "vote", "prompt": QUESTION, "chosen": "a", "rejected": "b", "reason": "tone"},
        {"kind": "correction", "prompt": QUESTION, "reply": "9 days", "correction": "14 days", "reason": "facts"},
    ]
    for row in rows:
        assert httpx.post(f"{served.url}/v1/feedback", json=row).status_code == 201
    store = Feedback(project.feedback_path)
    assert [(v.claim_key, v.person, v.value) for v in store.verdicts()] == [(claim["key"], "ada", "supported")]
    assert [(v.preference.chosen, v.preference.reason) for v in store.votes()] == [("a", "tone"), ("14 days", "facts")]
    with closing(sqlite3.connect(project.feedback_path)) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    full = FullStore(project.feedback_path, pages=pages)
    served.state.feedback = full
    refused = httpx.post(f"{served.url}/v1/feedback", json=rows[1] | {"chosen": "x" * 100_000})
    assert refused.status_code == 503
    assert "disk" in refused.json()["error"]["message"]
    assert len(store.votes()) == 2
    assert httpx.post(f"{served.url}/v1/feedback", json={"kind": "vote"}).status_code == 400


class FullStore(Feedback):
    """A store whose file may not grow beyond so many pages: SQLite then answers as it does on a full disk."""

    def __init__(self, path: Path, *, pages: int) -> None:
        super().__init__(path)
        self._pages = pages

    def _connected(self):  # type: ignore[no-untyped-def]
        from contextlib import contextmanager

        @contextmanager
        def limited():  # type: ignore[no-untyped-def]
            with super(FullStore, self)._connected() as connection:
                connection.execute(f"PRAGMA max_page_count = {self._pages}")
                yield connection

        return limited()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_stops_its_reply(tiny: Served, stream: bool) -> None:
    engine = tiny.state.arms.engine
    assert engine is not None
    body = {"model": "base", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 512, "stream": stream}
    with engine.local.active():  # nothing is written meanwhile
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{tiny.url}/v1/chat/completions", json=body, timeout=httpx.Timeout(30, read=0.5))
        until(lambda: tiny.state.desk.inside == 0)
    until(lambda: engine.running == engine.waiting == 0)
    assert content(tiny.ask(model="base", max_tokens=2))


def test_a_client_that_leaves_in_the_midst_of_a_stream_stops_it(tiny: Served) -> None:
    engine = tiny.state.arms.engine
    assert engine is not None
    body = {"model": "base", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 512, "stream": True}
    with ExitStack() as held:
        with httpx.stream("POST", f"{tiny.url}/v1/chat/completions", json=body, timeout=30) as response:
            next(response.iter_lines())
            held.enter_context(engine.local.active())  # nothing more is written until it has left
        until(lambda: tiny.state.desk.inside == 0)
    assert content(tiny.ask(model="base", max_tokens=2))


@pytest.mark.parametrize("stream", [True, False])
def test_a_reply_that_takes_too_long_is_ended(local_project: Project, start: Start, stream: bool) -> None:
    served = start(local_project, "server.timeout_s=0.3")
    engine = served.state.arms.engine
    assert engine is not None
    body = {"model": "base", "messages": [{"role": "user", "content": QUESTION}], "stream": stream}
    with engine.local.active():  # nothing is written meanwhile
        refused = httpx.post(f"{served.url}/v1/chat/completions", json=body, timeout=30)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "timeout")
    until(lambda: served.state.desk.inside == 0)


def test_an_error_in_the_midst_of_a_stream_is_an_event(
    tiny: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret details")

    monkeypatch.setattr(completions, "url_citations", broken)
    body = {"model": "base", "messages": [{"role": "user", "content": QUESTION}], "stream": True, "max_tokens": 3}
    lines = httpx.post(f"{tiny.url}/v1/chat/completions", json=body, timeout=30).text.split("\n")
    *_, name, data = [line for line in lines if line]
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"]["type"] == "server_error"
    assert "secret details" not in data
    assert "secret details" in caplog.text


def test_a_full_queue_is_429_and_the_next_free_place_is_taken(local_project: Project, start: Start) -> None:
    served = start(local_project, "server.max_running=1", "server.max_waiting=0")
    engine = served.state.arms.engine
    assert engine is not None
    with ThreadPoolExecutor(1) as pool:
        with engine.local.active():  # nothing is written meanwhile
            first = pool.submit(served.ask, model="base", max_tokens=2)
            until(lambda: served.state.desk.inside == 1)
            body = {"model": "base", "messages": [{"role": "user", "content": QUESTION}]}
            refused = httpx.post(f"{served.url}/v1/chat/completions", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
        assert int(refused.headers["Retry-After"]) >= 1
        assert content(first.result())
    until(lambda: served.state.desk.inside == 0)
    assert content(served.ask(model="base", max_tokens=2))


def test_stopping_finishes_what_is_in_work_and_takes_nothing_new(local_project: Project, start: Start) -> None:
    served = start(local_project)
    lines: list[str] = []
    body = {"model": "base", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 150, "stream": True}
    with httpx.Client(timeout=60) as kept:
        assert kept.get(f"{served.url}/health").status_code == 200

        def read() -> None:
            with httpx.stream("POST", f"{served.url}/v1/chat/completions", json=body, timeout=60) as response:
                lines.extend(response.iter_lines())

        reader = threading.Thread(target=read)
        reader.start()
        until(lambda: served.state.desk.inside == 1)
        served.state.desk.draining = True  # what `handle_exit` does first
        assert kept.get(f"{served.url}/health").status_code == 503
        served.server.should_exit = True
        reader.join(60)
    assert [line for line in lines if line][-1] == "data: [DONE]"


def test_many_clients_at_once_each_get_their_own_answer(tiny: Served) -> None:
    questions = [f"How long is parcel {n} kept, and why?" for n in range(24)]
    alone = [content(tiny.ask(question, model="base", max_tokens=10)) for question in questions]
    together: dict[int, str] = {}

    def ask(n: int) -> None:
        together[n] = content(tiny.ask(questions[n], model="base", max_tokens=10))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[n] for n in range(len(questions))] == alone
    assert len(set(alone)) > 1
