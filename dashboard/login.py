"""Who looks: nobody in particular on this machine, a name with its password, or whom Streamlit's OIDC login names.

A viewer has groups, which decide whose documents are shown, and may or may not write.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.config import DashboardConfig, UserConfig, overrides, project_folder
from groundtone.addresses import is_loopback
from groundtone.errors import GroundtoneError
from groundtone.passwords import hash_password, password_matches
from groundtone.project import Project
from groundtone.settings import load_settings

_KEY = "gt-user"
_NOBODY = hash_password("")  # so that an unknown name takes as long as a wrong password


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks; `name` is "" where nobody logged in."""

    name: str = ""
    groups: tuple[str, ...] = ()
    may_write: bool = True


def viewer() -> Viewer:
    """Who looks at this session, by the settings of the project; without a readable groundtone.yaml nobody writes."""
    config = _config()
    if config is None:
        return Viewer(may_write=False)
    if config.login == "none":
        return Viewer("", tuple(config.groups), not config.read_only)
    name = str(st.session_state.get(_KEY, "")) if config.login == "password" else _email()
    user = config.users.get(name)
    if user is None:
        return Viewer(may_write=False)
    return Viewer(name, tuple(user.groups), not (config.read_only or user.read_only))


def guarded() -> bool:
    """Whether anybody's groups are configured, or nobody can tell since groundtone.yaml cannot be read."""
    config = _config()
    return config is None or bool(config.groups) or any(user.groups for user in config.users.values())


def person() -> str:
    """The name that verdicts, votes and edits are stored under: of whoever logged in, else what was typed."""
    return viewer().name or str(st.session_state.get("person", "")).strip() or "anonymous"


def person_input(place: DeltaGenerator, *, label_visibility: Literal["visible", "collapsed"] = "visible") -> str:
    """Asks for the name where nobody logged in; `person` from now on."""
    known = viewer().name
    place.text_input(
        "Your name",
        value=known or "reviewer",
        key="person",
        persist_state="session",
        max_chars=60,
        disabled=bool(known),
        label_visibility=label_visibility,
        icon=":material/person:",
    )
    return person()


def gate() -> None:
    """Ask for the login where one is configured; the script ends here until it is given.

    Where groundtone.yaml cannot be read nobody knows who may see what: everything is shown to this machine only.
    """
    config = _config()
    if config is None:
        st.error("groundtone.yaml cannot be read, so nothing can be changed from here: `groundtone doctor` says why.")
        _refuse_open_network()
    elif config.login == "none":
        _refuse_open_network()
    elif config.login == "password":
        _password(config)
    else:
        _oidc(config)


def _config() -> DashboardConfig | None:
    root = project_folder(sys.argv[1:])
    if not Project(root).config_path.is_file():
        return DashboardConfig()
    try:
        return _read(str(root), Project(root).config_path.stat().st_mtime_ns, overrides(sys.argv[1:]))
    except GroundtoneError:
        return None


@st.cache_resource(show_spinner=False, max_entries=2)
def _read(root: str, stamp: int, given: tuple[str, ...]) -> DashboardConfig:
    return load_settings(Path(root), given).dashboard


def _refuse_open_network() -> None:
    """Also where somebody starts Streamlit directly with another address."""
    address = st.get_option("server.address")
    if address is not None and not is_loopback(str(address)):
        st.error(f"The dashboard listens on {address} without a login: set dashboard.login, or listen on 127.0.0.1.")
        st.stop()


def _password(config: DashboardConfig) -> None:
    if st.session_state.get(_KEY) in config.users:
        with st.sidebar:
            st.button(f"Log out {st.session_state[_KEY]}", key="gt-logout", type="tertiary", on_click=_forget)
        return
    _, middle, _ = st.columns([1, 1.2, 1])
    with middle, st.form("gt-login"):
        st.subheader("groundtone")
        name = st.text_input("Name", key="gt-login-name")
        password = st.text_input("Password", type="password", key="gt-login-password")
        if st.form_submit_button("Log in", type="primary"):
            known = config.users.get(name, UserConfig())
            right = password_matches(password, known.password or _NOBODY)
            if right and known.password:
                st.session_state[_KEY] = name
                st.rerun()
            st.error("This name and password do not belong together.")
    st.stop()


def _forget() -> None:
    st.session_state.pop(_KEY, None)


def _email() -> str:
    return str(st.user.get("email") or "") if st.user.is_logged_in else ""


def _oidc(config: DashboardConfig) -> None:
    if not st.user.is_logged_in:
        st.button("Log in", key="gt-login-oidc", type="primary", on_click=st.login)
        st.stop()
    if _email() not in config.users:
        st.error(f"{_email() or 'This account'} is not among dashboard.users of this project.")
        st.button("Log out", key="gt-logout", on_click=st.logout)
        st.stop()
