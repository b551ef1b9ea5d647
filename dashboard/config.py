"""The `dashboard` section of groundtone.yaml, and which project the app was started for. No Streamlit import."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

APP = Path(__file__).parent / "app.py"
PROJECT_VARIABLE = "GROUNDTONE_PROJECT"


class DashboardConfig(BaseModel):
    """Where the dashboard listens."""

    model_config = ConfigDict(extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on; there is no login, so keep it on this machine.")
    port: int = Field(8501, ge=1, le=65535, description="Port to listen on.")


def project_folder(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Path:
    """The project asked for: `--project DIR`, else $GROUNDTONE_PROJECT, else the working folder."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--project", type=Path)
    known, _ = parser.parse_known_args(list(arguments))
    return (known.project or Path(environment.get(PROJECT_VARIABLE, "."))).expanduser().resolve()
