"""The panel in the sidebar: start long work, watch it, read its log, cancel it; a reload finds it as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

from dashboard import login, runs, views_work
from dashboard.config import project_folder, set_flags
from groundtone.errors import GroundtoneError
from groundtone.jobs import Job, Jobs

EVERY_S = 2.0
_STOPPING, _WATCHED = "gt-stopping", "gt-watched"


def draw() -> None:
    """The panel for the project that the app was started for; nothing where there is no project."""
    root = project_folder(sys.argv[1:])
    if runs.project_problem(root):
        return
    viewer = login.viewer()
    jobs = views_work.jobs_of(root)
    latest = jobs.latest()
    running = latest is not None and latest.state == "running"
    if latest is None and not viewer.may_write:
        return
    with st.sidebar.container(key="gt-work"):
        st.html('<div class="gt-eyebrow">Work</div>')
        if latest is not None:
            st.fragment(_watch, run_every=EVERY_S if running else None)(root, viewer.may_write)
        if not running and viewer.may_write:
            _offer(root, jobs)


def _watch(root: Path, may_write: bool) -> None:
    """The job that runs, or the last one; the whole page is drawn again when its figures begin and when it ended."""
    jobs = views_work.jobs_of(root)
    job = jobs.latest()
    if job is None:
        return
    log = jobs.log(job.id)
    progress = views_work.progress_of(job, log, root)
    watched, now = st.session_state.get(_WATCHED), (job.id, job.state, progress is not None)
    st.session_state[_WATCHED] = now
    if watched is not None and watched[:2] == (job.id, "running") and watched != now:
        st.rerun()  # it ended, or a page can show it from now on: a training run has its first step
    stopping = st.session_state.get(_STOPPING) == job.id
    st.html(views_work.job_html(job, progress, stopping=stopping))
    if job.state == "running":
        st.progress(progress.share if progress else 0.0)
    with st.container(horizontal=True, gap="small"):
        with st.popover("Log", icon=":material/article:"):
            st.code(views_work.shown_command(job.command), language=None, wrap_lines=True)
            st.code(views_work.tail(log) or "nothing printed yet", language=None, height=320, wrap_lines=True)
        if job.state == "running" and may_write:
            st.button(
                "Cancel", key="gt-cancel", icon=":material/stop_circle:", disabled=stopping, on_click=_cancel,
                args=(jobs, job),
            )  # fmt: skip


def _cancel(jobs: Jobs, job: Job) -> None:
    if jobs.cancel(job.id):  # the panel tells it: a toast of this fragment would take the place of the style sheet
        st.session_state[_STOPPING] = job.id


def _offer(root: Path, jobs: Jobs) -> None:
    with st.popover("Start…", icon=":material/play_arrow:", width="stretch"):
        for kind, (label, what) in views_work.COMMANDS.items():
            st.button(
                label, key=f"gt-start-{kind}", help=what, width="stretch", on_click=_start, args=(root, jobs, kind)
            )


def _start(root: Path, jobs: Jobs, kind: str) -> None:
    try:
        jobs.start(kind, [*views_work.command_of(kind, root), *set_flags(sys.argv[1:])], cwd=root)
    except GroundtoneError as error:  # somebody else was quicker
        st.toast(str(error), icon=":material/warning:")
