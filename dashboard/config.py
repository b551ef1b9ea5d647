"""The `dashboard` section of groundtone.yaml, and which project the app was started for. No Streamlit import."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

APP = Path(__file__).parent / "app.py"
PROJECT_VARIABLE = "GROUNDTONE_PROJECT"


class UserConfig(BaseModel):
    """One person who may log in."""

    model_config = ConfigDict(extra="forbid")

    password: str = Field("", description="Hash that `groundtone dashboard --hash-password` printed; none with oidc.")
    groups: list[str] = Field([], description="Groups whose documents are shown as well, beside public ones.")
    read_only: bool = Field(False, description="May look, but neither judge, vote nor start work.")


class DashboardConfig(BaseModel):
    """Where the dashboard listens, whom it lets in and what they may do."""

    model_config = ConfigDict(extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on; beyond this machine only with a login.")
    port: int = Field(8501, ge=1, le=65535, description="Port to listen on.")
    login: Literal["none", "password", "oidc"] = Field(
        "none",
        description="`password` asks for a name of dashboard.users and its password, `oidc` uses Streamlit's own "
        "login (its secrets.toml) and knows people of dashboard.users by their e-mail address.",
    )
    users: dict[str, UserConfig] = Field({}, description="Who may log in, by name or, with oidc, by e-mail address.")
    groups: list[str] = Field([], description="Groups of whoever looks, while there is no login.")
    read_only: bool = Field(False, description="Nobody may judge, vote or start work from the dashboard.")


def project_folder(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Path:
    """The project asked for: `--project DIR`, else $GROUNDTONE_PROJECT, else the working folder."""
    given: Path | None = _given(arguments).project
    return (given or Path(environment.get(PROJECT_VARIABLE, "."))).expanduser().resolve()


def overrides(arguments: Sequence[str]) -> tuple[str, ...]:
    """What `groundtone dashboard --set` was given; every `load_settings` of the app takes it."""
    return tuple(_given(arguments).set)


def set_flags(arguments: Sequence[str]) -> list[str]:
    """The overrides for a command that a page starts, without the dashboard's own: its users are nobody's business."""
    return [f"--set={one}" for one in overrides(arguments) if not one.strip().startswith("dashboard.")]


def _given(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--project", type=Path)
    parser.add_argument("--set", action="append", default=[])
    known, _ = parser.parse_known_args(list(arguments))
    return known
