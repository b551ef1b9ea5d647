"""Training runs: what was tuned, how did it go, and in what do two runs differ?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import cache, look, runbar, views_training, views_work
from dashboard.runs import Problem
from groundtone.project import Manifest, Project

TAIL_S = 3.0
CHOSEN = "gt-chosen-runs"
HEADLINE = look.Headline(
    "Build", "What did training do?", "Select runs to lay their curves over each other; a run that goes on is followed."
)
NO_RUNS = Problem("Nothing was tuned yet", "A tuning run teaches the house voice to the model.", "groundtone tune")


def main() -> None:
    """Lay the page out: the table of runs, then tabs about those that are selected."""
    choice = runbar.draw(HEADLINE, needs_evaluation=False)
    everything = Project(choice.root).runs()
    tunings = [manifest for manifest in everything if manifest.kind == "tune"]
    if not tunings:
        look.problem(NO_RUNS)
        st.stop()
    chosen = pick(choice.root, tunings)
    if not chosen:
        st.html('<p class="gt-note">Select one run or more in the table.</p>')
        st.stop()
    curves, rows, worst, settings, log, lineage = st.tabs(
        ["Curves", "First rows", "Worst 20 predictions", "Config differences", "Log", "Lineage"]
    )
    with curves:
        live = any(manifest.state() == "running" for manifest in chosen)
        st.fragment(draw_curves, run_every=TAIL_S if live else None)(choice.root, [m.id for m in chosen])
    with rows:
        first_rows(choice.root, chosen[0])
    with worst:
        worst_predictions(choice.root, chosen[0])
    with settings:
        config_differences(chosen)
    with log:
        show_log(choice.root, chosen[0])
    with lineage:
        st.dataframe(views_training.lineage_table(chosen[0], everything), hide_index=True, width="stretch")


def pick(root: Path, tunings: list[Manifest]) -> list[Manifest]:
    """The table; the runs that are selected, the newest where none was ever."""
    table = views_training.runs_table(tunings, Project(root).runs_folder)
    # A table remembers row numbers: a run that is added would put others in the place of those that were selected.
    ids = [manifest.id for manifest in tunings]
    kept = [ids.index(one) for one in st.session_state.get(CHOSEN, ()) if one in ids] or [0]
    event: Any = st.dataframe(
        table, key=f"training-runs-{ids[0]}-{len(ids)}", hide_index=True, height=min(38 * len(table) + 40, 330),
        on_select="rerun", selection_mode="multi-row", selection_default={"selection": {"rows": kept}},
        column_config={
            "Progress": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1),
            "Loss": st.column_config.NumberColumn(format="%.3f"),
            "Held-out loss": st.column_config.NumberColumn(format="%.3f"),
            "Minutes": st.column_config.NumberColumn(format="%.1f"),
        },
    )  # fmt: skip
    chosen = [tunings[row] for row in event["selection"]["rows"] if row < len(tunings)]
    newest_alone = [manifest.id for manifest in chosen] == ids[:1]
    st.session_state[CHOSEN] = [] if newest_alone else [manifest.id for manifest in chosen]  # [] follows the newest
    return chosen


def draw_curves(root: Path, ids: list[str]) -> None:
    """Losses and learning rate of the runs, one chart each; steps are the trainer's."""
    folder = Project(root).runs_folder
    lines = {run: views_training.metrics(folder / run) for run in ids}
    if not any(lines.values()):
        look.problem(Problem("No figures yet", "metrics.jsonl is missing or empty.", "groundtone tune"))
        return
    for column, (key, title) in zip(st.columns(len(views_training.CURVES)), views_training.CURVES.items(), strict=True):
        table = views_training.curves_table(lines, key)
        with column:
            st.html(f'<div class="gt-subtitle">{title}</div>')
            if table.empty:
                st.html('<p class="gt-note">Not measured in these runs.</p>')
            else:
                st.altair_chart(views_training.curve_chart(table, title), width="stretch", key=f"curve-{key}")


def first_rows(root: Path, run: Manifest) -> None:
    """Rows as tokens: what the loss skips is greyed."""
    report = views_training.report_of(Project(root).runs_folder / run.id)
    shown = views_training.rows_html(report, seen=cache.taught(root))
    if shown:
        st.html(
            '<p class="gt-note">Exactly what the model read. Grey: prompt, masked, no loss. '
            "Marked: the reply and its stop token, what it learns.</p>"
        )
        st.html(shown)
    else:
        look.problem(
            Problem("This run kept no rows", "Its data report does not look at tokens.", "groundtone data report")
        )


def worst_predictions(root: Path, run: Manifest) -> None:
    """The worst held-out replies of the run's newest evaluation."""
    evaluations = cache.evaluations(root).of(run.id)
    worst = []
    if evaluations:
        records = evaluations[0].path / "records.jsonl"
        worst = views_training.worst_predictions(records, readable=cache.readable())
    if worst:
        st.html(
            f'<p class="gt-note">Held-out prompts in {evaluations[0].id} with the lowest mean of tone and format.</p>'
        )
        st.html(views_training.worst_html(worst))
    else:
        look.problem(
            Problem(
                "No held-out replies of this run",
                "An evaluation asks the held-out prompts of eval.voice.",
                f"groundtone eval --tuned {run.id}",
            )
        )


def config_differences(chosen: list[Manifest]) -> None:
    """What the selected runs do not share."""
    if len(chosen) < 2:
        st.html('<p class="gt-note">Select a second run in the table: only what differs is listed.</p>')
        return
    table = views_training.differences(chosen)
    if table.empty:
        st.html('<p class="gt-note">These runs have the same settings, seed and device.</p>')
    else:
        st.dataframe(table, hide_index=True, width="stretch")


def show_log(root: Path, run: Manifest) -> None:
    """What the run's process printed, where the dashboard started it; else what the run says of itself."""
    jobs = views_work.jobs_of(root)
    job = next((job for job in jobs.listed() if job.worker and run.process.endswith(f":{job.worker}")), None)
    if job is not None:
        st.code(views_work.tail(jobs.log(job.id)) or "nothing printed", language=None)
        return
    st.html('<p class="gt-note">Started in a terminal, where its output stayed. What the run noted:</p>')
    st.json(run.notes, expanded=2)


main()
