"""Tone and format: does it sound like us, and does it parse?"""

from __future__ import annotations

from html import escape
from pathlib import Path

import streamlit as st

from dashboard import cache, forest, look, marks, runbar, views, views_tone
from dashboard.measures import arm_name
from dashboard.runs import Evaluation, Problem
from groundtone.types import Estimate

HEADLINE = look.Headline(
    "Understand",
    "Does it sound like us, and does it parse?",
    "Tone is measured against the style of the held-out replies, format against the rules of the style file.",
)
OURS = "tuned/rag"
AGAINST = {"base/rag": "Against the base", "prompted/rag": "Against the base told the style"}
NO_TONE = Problem("Tone was not measured", "This evaluation's records carry no tone scores.", "groundtone eval")


def main() -> None:
    """Lay the page out: win rates, features, with and without context, broken rules."""
    choice = runbar.draw(HEADLINE)
    run = choice.run
    assert run is not None
    found = read(*_records_of(run))
    if not found.tone and not found.checked:
        look.problem(NO_TONE)
        st.stop()
    win_rates(choice.root, run)
    features(found)
    with_and_without(run)
    classifier(run)
    validators(found)


def _records_of(run: Evaluation) -> tuple[str, tuple[int, int], frozenset[str] | None]:
    path = run.path / "records.jsonl"
    stat = path.stat() if path.exists() else None
    return str(path), (stat.st_mtime_ns, stat.st_size) if stat else (0, 0), cache.readable()


@st.cache_resource(show_spinner="Reading the records…", max_entries=4)
def read(path: str, stamp: tuple[int, int], readable: frozenset[str] | None) -> views_tone.Spoken:
    """What the records say of the voice, read again when the file changes."""
    return views_tone.spoken(Path(path), readable=readable)


@st.cache_resource(show_spinner=False, max_entries=4)
def scored(path: str, stamp: tuple[int, int], readable: frozenset[str] | None) -> dict[str, Estimate | None]:
    """Win rates by the tone score; their bootstrap takes seconds on 50,000 records."""
    tone = read(path, stamp, readable).tone
    return {f"{name}, by score": views_tone.win_rate(tone, OURS, arm) for arm, name in AGAINST.items()}


def win_rates(root: Path, run: Evaluation) -> None:
    """Tuned against base and reference, by the tone score and by people's blind votes."""
    look.section("Who sounds more like us", "Question by question over the same passages; a tie counts half.")
    voted = views_tone.voted_rate(cache.feedback(root).votes())
    lines = views_tone.rate_lines({**scored(*_records_of(run)), "Against the base, by blind votes": voted})
    if not lines:
        st.html('<p class="gt-note">No question was answered by both models of any comparison.</p>')
    else:
        plot = forest.forest_html({"": lines}, forest.shares("share of comparisons won by the tuned model (better →)"))
        st.html(plot + forest.legend_html(at="50 %"))
    if voted is None:
        st.html('<p class="gt-note">Nobody has voted blind yet: a score has no ears.</p>')
        st.page_link("screens/chat.py", label="Vote in Chat A/B", icon=":material/forum:")


def features(found: views_tone.Spoken) -> None:
    """Style features against their target bands."""
    look.section(
        "Style features against their target bands",
        "Share of replies inside the band of the held-out replies, with 95 % interval; ↑ too much, ↓ too little.",
    )
    shown = views_tone.features_html(found, [arm for arm in (OURS, "base/rag") if arm in found.tone])
    st.html(shown or '<p class="gt-note">✓ Every reply lies inside every band.</p>')


def with_and_without(run: Evaluation) -> None:
    """Tone and format of every arm, and what documents change about the tone."""
    look.section("With and without documents", "Passages pull the tone towards theirs; this is by how much.")
    left, right = st.columns([1, 1.2], gap="large")
    left.html(views_tone.arms_html(run.summary))
    with right:
        lines = views.difference_lines(run.summary, "tone")
        if not lines:
            st.html('<p class="gt-note">No paired differences of tone in this evaluation.</p>')
            return
        st.html('<div class="gt-subtitle">Paired differences of tone, in percentage points</div>')
        st.html(forest.forest_html({"": lines}, forest.Scale("better →")) + forest.legend_html())


def classifier(run: Evaluation) -> None:
    """How well a classifier tells our replies from the house's."""
    look.section(
        "Can a classifier tell it from us?",
        "Area under the curve of a classifier between its replies and held-out ones of the house: at 0.5 it cannot.",
    )
    lines, missing = views_tone.likeness(run.summary)
    for line in missing:
        st.html(f'<p class="gt-note">{escape(line)}</p>')
    if lines:
        scale = forest.Scale("← more like us", 0.5, (0.4, 1.0), views_tone.write_auc)
        st.html(forest.forest_html({"": lines}, scale) + forest.legend_html(at="0.5"))
    elif not missing:
        look.problem(
            Problem("Not measured here", "This evaluation's summary holds no style figures.", "groundtone eval")
        )


def validators(found: views_tone.Spoken) -> None:
    """Rules that replies break, with replies that break them."""
    look.section("Rules of the format", "Every reply is checked; these break a rule.")
    arms = list(found.checked)
    if not arms:
        st.html('<p class="gt-note">No rules are configured: eval.style names the style file that holds them.</p>')
        return
    default = arms.index(OURS) if OURS in arms else 0
    arm = st.selectbox("Replies of", arms, index=default, format_func=arm_name, key="rules-arm", bind="query-params")
    broken = views_tone.rules_broken(found, arm)
    if not broken:
        st.html(f'<p class="gt-note">✓ All {found.checked[arm]} replies keep every rule.</p>')
    for rule, count, failures in broken:
        said = marks.plain_label(rule)
        with st.expander(f"{count} of {found.checked[arm]}: {said}", icon=":material/rule:"):
            st.html(views_tone.failures_html(failures))


main()
