"""Data quality: what am I about to teach?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import cache, edits, login, look, runbar, views_data, views_training
from dashboard.closed import Seen, hidden_html
from dashboard.config import overrides, set_flags
from dashboard.edits import Edits, Row
from dashboard.runs import Problem
from groundtone.errors import GroundtoneError
from groundtone.project import Project
from groundtone.settings import load_settings

HEADLINE = look.Headline(
    "Build", "What am I about to teach?", "Look at what the data report found, then edit, drop or keep single rows."
)


def main() -> None:
    """Lay the page out: issues, facts, the rows, the export."""
    choice = runbar.draw(HEADLINE, needs_evaluation=False)
    root = choice.root
    try:
        name = str(load_settings(root, overrides(sys.argv[1:])).tuning.data)
        seen = cache.seen(root / name)
    except GroundtoneError as error:
        look.problem(Problem("There is no data to look at", str(error), "groundtone data report"))
        st.stop()
    report = newest_report(root)
    check = issues(root, report)
    facts = facts_in(root, seen)
    look.section("Rows", f"{len(seen.everything)} rows of {name}.")
    if seen.hidden:
        st.html(hidden_html(seen.hidden))
    lines = facts if check == views_data.FACTS else views_data.lines_of(report, check, file=Path(name).name)
    wanted = None if check == views_data.ALL_ROWS else set(lines)
    rows = [row for row in seen.shown if wanted is None or row.number in wanted]
    if rows:
        edit(root, rows)
    else:
        st.html(views_data.no_rows_html(report, check, looked="fresh-facts" in st.session_state, hidden=seen.hidden))
    save(root, seen, name)


def newest_report(root: Path) -> dict[str, Any]:
    """The report of this session's check, else of the newest tuning run that wrote one; {} for none."""
    fresh = st.session_state.get("fresh-report")
    if isinstance(fresh, dict):
        return fresh
    project = Project(root)
    for manifest in project.runs("tune"):
        report = views_training.report_of(project.runs_folder / manifest.id)
        if report:
            st.html(f'<p class="gt-note">Report of {manifest.id}; the file may have changed since.</p>')
            return report
    return {}


def ask(root: Path, what: str, key: str) -> None:
    """Run a report in a process of its own and keep what it says in this session."""
    try:
        with st.spinner("Looking at every row…", show_time=True):
            command = [*views_data.report_command(root, what), *set_flags(sys.argv[1:])]
            st.session_state[key] = views_data.run_report(command)
    except GroundtoneError as error:
        look.problem(Problem("The check failed", str(error), f"groundtone data {what}"))
    else:
        st.rerun()


def issues(root: Path, report: dict[str, Any]) -> str:
    """The table of findings; returns the check whose rows are to be shown."""
    look.section("Issues", "Duplicates, leakage, personal data, masks, over-length, contradictions.")
    if st.button("Check again", key="check-again", icon=":material/refresh:"):
        ask(root, "report", "fresh-report")
    if not report:
        look.problem(Problem("Nothing was checked yet", "No tuning run has a report.", "groundtone data report"))
    table = views_data.issues_table(report)
    if report and table.empty:
        st.html(f'<p class="gt-note">✓ The checks found nothing in {report.get("rows", 0)} rows.</p>')
    elif not table.empty:
        st.html(views_data.issues_html(table))
    checks = [views_data.ALL_ROWS, *table["Check"], views_data.FACTS]
    return st.pills("Show the rows of", checks, default=views_data.ALL_ROWS, key="rows-of") or views_data.ALL_ROWS


def facts_in(root: Path, seen: Seen) -> list[int]:
    """Facts that the replies would teach; returns their lines."""
    with st.expander(
        "Facts in tone data", icon=":material/psychology_alt:", expanded="fresh-facts" in st.session_state
    ):
        st.html('<p class="gt-note">A fact belongs into the documents, where it can be changed; not into weights.</p>')
        if st.button("Look for facts", key="look-facts", icon=":material/search:"):
            ask(root, "check", "fresh-facts")
        checked = st.session_state.get("fresh-facts")
        if checked is None:
            return []
        table = views_data.facts_table(checked, seen, readable=cache.readable())
        if table.empty:
            st.html('<p class="gt-note">✓ No reply teaches a fact that its own passages do not hold.</p>')
        else:
            st.dataframe(table, key="facts", hide_index=True, width="stretch")
        return [int(line) for line in table["Line"].dropna()]


def _store(root: Path) -> Edits:
    return Edits(Project(root).folder / "data_edits.sqlite")


def edit(root: Path, rows: list[Row]) -> None:
    """The rows, and the one in hand with its decision."""
    store = _store(root)
    decisions = store.latest()
    event: Any = st.dataframe(
        views_data.rows_table(rows, decisions), key="data-rows", hide_index=True, height=300, width="stretch",
        on_select="rerun", selection_mode="single-row-required",
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    row = rows[min(chosen[0], len(rows) - 1) if chosen else 0]
    viewer, now = login.viewer(), views_data.decided(row, decisions.get(row.key))
    with st.form(f"row-{row.key}"):
        prompt = st.text_area("Prompt", str(now.get("prompt", "")), height=80)
        reply = st.text_area("Reply", str(now.get("reply", "")), height=110)
        if passages := views_data.context_html(row.data.get("context")):
            st.html(passages)
        with st.container(horizontal=True, gap="small"):
            off, edited_before = not viewer.may_write, now is not row.data
            label = "Back to the file's text" if edited_before else "Keep"
            kept = st.form_submit_button(label, icon=":material/check:", disabled=off)
            dropped = st.form_submit_button("Drop", icon=":material/delete:", disabled=off)
            edited = st.form_submit_button("Save the edit", icon=":material/edit:", disabled=off)
    person = login.person()
    try:
        if edited:
            store.decide(row, "edit", person=person, changes={"prompt": prompt, "reply": reply})
        elif kept or dropped:
            store.decide(row, "keep" if kept else "drop", person=person)
        else:
            return
    except GroundtoneError as error:
        look.problem(Problem("Not stored", str(error)))
        return
    st.rerun()


def save(root: Path, seen: Seen, name: str) -> None:
    """Write the cleaned set, of the rows that are shown, and say what it is."""
    rows = seen.shown
    decisions = _store(root).latest()
    known = [decisions[row.key].word for row in rows if row.key in decisions]
    look.section("Cleaned set", "The file that was read stays as it is; a new one is written, named by its hash.")
    st.html(
        f'<p class="gt-note"><b>{len(known)}</b> of {len(rows)} rows decided: {known.count("keep")} kept, '
        f"{known.count('edit')} edited, {known.count('drop')} dropped.</p>"
    )
    if seen.hidden:
        st.html(f'<p class="gt-note">The {seen.hidden} hidden rows are left out of it.</p>')
    if st.button("Export the cleaned set", icon=":material/save:", key="export", disabled=not login.viewer().may_write):
        try:
            made = edits.export(rows, decisions, folder=Project(root).folder / "cleaned", name=name)
        except GroundtoneError as error:
            look.problem(Problem("Not exported", str(error)))
            return
        place = made.path.relative_to(root)
        st.html(
            f'<p class="gt-note">{made.rows} rows, {made.edited} edited, {made.dropped} dropped. '
            f"SHA-256 <code>{made.sha256}</code></p>"
        )
        st.code(f"groundtone tune --set tuning.data={place}", language="bash")


main()
