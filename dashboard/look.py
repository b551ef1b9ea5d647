"""The dashboard's look inside Streamlit: the style sheet, the theme's colours for charts, small repeated pieces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard import runs, views

STYLE = Path(__file__).parent / "style.css"


@dataclass(frozen=True, slots=True)
class ChartColours:
    """The accent and the background, for charts; both themes keep a contrast of at least 4.5 to 1."""

    accent: str
    surface: str


@dataclass(frozen=True, slots=True)
class Headline:
    """What stands on top of a page: its group in the navigation, the question that it answers, one line more."""

    group: str
    title: str
    lead: str


def chart_colours() -> ChartColours:
    """The colours of the theme that this reader sees."""
    dark = st.context.theme.type == "dark"
    return ChartColours("#7cb4ef", "#12161c") if dark else ChartColours("#1f5f9e", "#ffffff")


def heading(page: Headline) -> None:
    """A page's headline."""
    st.html(
        f'<header class="gt-head"><div class="gt-eyebrow">{page.group}</div><h1>{page.title}</h1>'
        f"<p>{page.lead}</p></header>"
    )


def section(title: str, lead: str = "") -> None:
    """A section's headline."""
    st.html(f'<div class="gt-section"><h2>{title}</h2>{f"<p>{lead}</p>" if lead else ""}</div>')


def problem(found: runs.Problem) -> None:
    """Something missing or broken, with the command that mends it."""
    st.html(views.problem_html(found))
