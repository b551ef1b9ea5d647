"""`groundtone tune` in several processes: the very same command, run by every one of them under a launcher."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from groundtone.errors import ConfigError
from groundtone.joins.methods import SEVERAL
from groundtone.models.device import pick_device
from groundtone.settings import Settings


def launched() -> bool:
    """Whether a launcher started this process."""
    return "RANK" in os.environ


def launch(settings: Settings, arguments: Sequence[str], *, processes: int) -> int:
    """Runs `groundtone ARGUMENTS` in so many processes and returns the exit code.

    On GPUs under `accelerate launch`, with tuning.accelerate as its configuration (FSDP, several machines). On CPUs
    accelerate would need MPI for that, so torch's own launcher starts them, and they talk through gloo. Raises
    ConfigError for a method that trains in one process, and for a configuration that is not there or for GPUs.
    """
    method = settings.tuning.method
    if method not in SEVERAL:
        raise ConfigError([f"tuning.method {method} trains in one process: {' and '.join(SEVERAL)} in several"])
    module = ("-m", "groundtone.cli.main", *arguments)
    config = settings.tuning.accelerate
    environment = dict(os.environ)
    if pick_device(settings.model.device).type == "cpu":
        environment |= {"ACCELERATE_USE_CPU": "true"}
        if config is not None:
            raise ConfigError([f"tuning.accelerate is {config!r}, but the device is a CPU: leave it out"])
        command = ("torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), *module)
    else:
        command = ("accelerate.commands.launch", *_how(settings, config, processes), *module)
    return subprocess.run([sys.executable, "-m", *command], env=environment, check=False).returncode


def _how(settings: Settings, config: str | None, processes: int) -> tuple[str, ...]:
    if config is None:
        # all that accelerate would guess is said: it warns about every guess
        plain = ("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no")
        return ("--multi_gpu", "--num_processes", str(processes), *plain)
    path: Path = settings.path(config)
    if not path.is_file():
        raise ConfigError([f"tuning.accelerate names {path}, which does not exist: make it with `accelerate config`"])
    return ("--config_file", str(path), "--num_processes", str(processes))
