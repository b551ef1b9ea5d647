"""Starting a run of a project under its settings."""

from __future__ import annotations

from typing import Any

from groundtone.project import Project, Run
from groundtone.settings import Settings


def start_run(project: Project, settings: Settings, kind: str, **known: Any) -> Run:
    """A new run that records the configuration and the device; `known` as in `Project.start_run`."""
    from groundtone.models.device import pick_device

    device = str(pick_device(settings.model.device))
    return project.start_run(kind, config=settings.given, resolved=settings.resolved, device=device, **known)
