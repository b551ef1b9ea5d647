"""`python -m groundtone.server`: the process that `groundtone serve` starts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from groundtone.errors import ConfigError, GroundtoneError, MissingExtraError
from groundtone.project import Project
from groundtone.settings import load_settings

USER_ERROR = 2


def main(arguments: list[str]) -> int:
    """Serve the project until stopped; 2 for what the caller can mend, told in one line each."""
    parser = argparse.ArgumentParser(prog="python -m groundtone.server")
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="SECTION.KEY=VALUE")
    given = parser.parse_args(arguments)
    try:
        settings = load_settings(given.project, given.overrides)
        try:
            from groundtone.server.run import serve
        except ImportError as error:
            raise MissingExtraError("the server", "serve") from error
        serve(Project(given.project), settings)
    except GroundtoneError as error:
        for problem in error.problems if isinstance(error, ConfigError) else [str(error)]:
            print(f"groundtone: {' '.join(problem.split())}", file=sys.stderr)
        return USER_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
