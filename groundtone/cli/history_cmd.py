"""`groundtone adapters history`: the versions behind an adapter, and what changed in every suite with each."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from groundtone.cli.show import next_step, print_json, print_table
from groundtone.project import Project

__all__ = ["show_history"]


def show_history(where: Project, run: str, *, as_json: bool, folder: Path | None) -> None:
    """Print the chain, oldest first, then a table of suites for every version that was evaluated."""
    from eval.estimates import in_words
    from groundtone.joins.history import history

    versions = history(where, run)
    if as_json:
        print_json([asdict(version) for version in versions])
        return
    print_table(
        ["version", "run", "created (UTC)", "made", "rows", "data", "gate"],
        [
            [str(n), v.run, v.created[:19], v.made, str(v.rows or ""), v.data, v.verdict or "not evaluated"]
            for n, v in enumerate(versions, 1)
        ],
    )
    for number, version in enumerate(versions, 1):
        if version.changes:
            print(f"\nversion {number}, {version.run}, by {version.evaluation}")
            rows = []
            for c in version.changes:
                before = in_words(c.before) if c.before else "-"
                paired = in_words(c.difference, signed=True) if c.difference else "-"
                rows.append([c.suite, before, in_words(c.after), paired, c.verdict])
            print_table(["suite", "before", "now", "on the same items", ""], rows)
    next_step(f"groundtone tune --from {run}", "go on from it when new rows arrive", project=folder)
