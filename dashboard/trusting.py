"""How far the detector can be trusted, from people's verdicts: confusion matrix and reliability. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from dashboard.claims import Claims
from dashboard.measures import interval, percent
from dashboard.palette import GREY
from dashboard.runs import estimate
from dashboard.views import tile
from groundtone.feedback import Agreement, JudgedClaim, agreement
from groundtone.joins.review import fair_sample
from groundtone.stats import wilson_interval

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

MIN_VERDICTS = 25  # below this many judged claims kappa's interval spans most of its range
MIN_QUESTIONS = 5  # fewer say nothing of how far a sample of them varies
RESAMPLES = 1000
BINS = 5  # of equal width; with tens of verdicts more would hold one or two each
CHECKED = ("supported", "unsupported", "contradicted")
Pair = tuple[bool, bool, float]  # flagged by the detector, wrong to people, the detector's risk


@dataclass(frozen=True, slots=True)
class Sample:
    """The verdicts on an evaluation's claims that figures of the detector rest on.

    `fair` where none of their claims was picked for its risk; `left_out` were, and say nothing of rates.
    """

    verdicts: tuple[JudgedClaim, ...] = ()
    fair: bool = True
    left_out: int = 0


def sample(claims: Claims, judged: Sequence[JudgedClaim]) -> Sample:
    """The fair ones of the verdicts on these claims; all where none is fair: they show the riskiest claims only."""
    known = claims.among(one.verdict.claim_key for one in judged)
    own = [one for one in judged if one.verdict.claim_key in known]
    fair = fair_sample(own)
    if fair or not own:
        return Sample(tuple(fair), True, len(own) - len(fair))
    return Sample(tuple(own), False)


def trust(claims: Claims, some: Sample) -> Agreement:
    """Agreement of the detector with everyone's latest verdicts."""
    found = claims.among(one.verdict.claim_key for one in some.verdicts)
    return agreement((found[v.verdict.claim_key].verdict, v.verdict.value) for v in some.verdicts)


def kappa_ends(claims: Claims, some: Sample) -> tuple[float, float] | None:
    """The 95 % interval of kappa, bootstrapped over questions, whose claims hang together; None for too few of them."""
    import numpy as np

    found = claims.among(one.verdict.claim_key for one in some.verdicts)
    cells: dict[
        str, list[int]
    ] = {}  # of a question: how often both say supported, the detector alone, people alone, none
    for one in some.verdicts:
        entry, said = found[one.verdict.claim_key], one.verdict.value
        if entry.verdict in CHECKED and said != "unsure":
            at = 2 * (entry.verdict != "supported") + (said != "supported")
            cells.setdefault(entry.item, [0] * 4)[at] += 1
    if len(cells) < MIN_QUESTIONS:
        return None
    counts = np.array(list(cells.values()), dtype=float)
    weights = np.random.default_rng(0).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES)
    both, detector, people, none = (weights @ counts).T
    n = both + detector + people + none
    expected = ((both + detector) * (both + people) + (people + none) * (detector + none)) / n**2
    kept = expected < 1  # where both use a single class kappa is undefined
    if 2 * kept.sum() < RESAMPLES:
        return None
    kappa = ((both + none) / n - expected)[kept] / (1 - expected[kept])
    low, high = np.quantile(kappa, (0.025, 0.975))
    return float(low), float(high)


def _kappa(found: Agreement, ends: tuple[float, float] | None) -> tuple[str, str]:
    """Kappa and its interval, as written."""
    if found.kappa is None:
        return "undefined", ""
    wide = f"[{ends[0]:.2f}, {ends[1]:.2f}]" if ends else "no interval"
    return f"κ {found.kappa:.2f}".replace("-", "−"), wide.replace("-", "−")


def pairs(claims: Claims, some: Sample) -> list[Pair]:
    """One pair per verdict that says something, on a claim that the detector checked.

    "true elsewhere" counts as not carried: the passages that were shown do not hold it.
    """
    found = claims.among(one.verdict.claim_key for one in some.verdicts)
    known = [(found[one.verdict.claim_key], one.verdict.value) for one in some.verdicts]
    return [
        (entry.verdict != "supported", said != "supported", entry.risk)
        for entry, said in known
        if entry.verdict in CHECKED and said != "unsure"
    ]


def sampled(some: Sample) -> str:
    """What a reader must know of the verdicts behind a figure; "" where they are simply a fair sample."""
    if not some.fair:
        return "All on claims picked for their risk: no fair sample. Judge in the order “Random sample” for one."
    if some.left_out:
        plural = "verdicts" if some.left_out > 1 else "verdict"
        return f"{some.left_out} {plural} on claims picked for their risk left out."
    return ""


def progress_html(
    done: int, total: int, found: Agreement, some: Sample, *, ends: tuple[float, float] | None = None
) -> str:
    """ "12 of 80 judged" as a bar, the detector's agreement with people so far, a warning while it rests on few."""
    share = done / total if total else 0.0
    kappa, wide = _kappa(found, ends)
    kappa = f"{kappa} {wide}".strip() if found.kappa is not None else "κ undefined"
    biased = "" if some.fair else ", riskiest only"
    verdicts = f"{found.n} verdict{'s' if found.n != 1 else ''}"
    said = "0 human verdicts: unverified" if found.n == 0 else f"{kappa} on {verdicts}{biased}"
    few = f'<span class="gt-few">△ fewer than {MIN_VERDICTS}: too few to trust κ</span>'
    return (
        f'<div class="gt-progress" role="progressbar" aria-valuenow="{done}" aria-valuemax="{total}">'
        f'<div class="gt-progress-bar"><i style="width:{100 * share:.1f}%"></i></div>'
        f"<div><strong>{done} of {total} judged</strong><span>{percent(share)}</span>"
        f'{few if found.n < MIN_VERDICTS else ""}<span title="{sampled(some)}">{said}</span></div></div>'
    )


def agreement_html(found: Agreement, some: Sample, *, ends: tuple[float, float] | None = None) -> str:
    """How far the detector can be trusted: kappa on n verdicts, or that nobody has judged yet."""
    label = "Detector against people"
    if found.n == 0:
        note = (
            "0 human verdicts: unverified. The figures above rest on the detector alone until people judge its claims."
        )
        return tile(label, "unverified", note, quiet=True)
    kappa, wide = _kappa(found, ends)
    verdicts = f"{found.n} human verdict{'s' if found.n != 1 else ''}"
    notes = [f"Cohen's kappa{wide and f' {wide}'} on {verdicts} · {found.agreed} agree."]
    if found.kappa is None:
        notes.append("Detector and people used a single class only.")
    if found.n < MIN_VERDICTS:
        notes.append(f"Too few to rely on: judge at least {MIN_VERDICTS}.")
    notes += filter(None, [sampled(some)])
    return tile(label, kappa, " ".join(notes), quiet=found.kappa is None)


def confusion_html(found: Sequence[Pair]) -> str:
    """The confusion matrix with each row's share right, its interval and n."""
    rows = []
    for flagged, name in ((True, "Detector: not carried"), (False, "Detector: supported")):
        own = [wrong for f, wrong, _ in found if f == flagged]
        right = wilson_interval(sum(w == flagged for w in own), len(own))
        share = f"{percent(right.mean)} right<small>{interval(right)} · n {len(own)}</small>" if own else "none judged"
        marks = [("✓" if flagged == wrong else "✕", own.count(wrong)) for wrong in (True, False)]
        cells = "".join(f"<td>{icon} {count}</td>" for icon, count in marks)
        rows.append(f"<tr><td>{name}</td>{cells}<td>{share}</td></tr>")
    head = "".join(f"<th>{h}</th>" for h in ("", "People: not carried", "People: supported", "Right"))
    return f'<table class="gt-table"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def reliability_table(found: Sequence[Pair]) -> pd.DataFrame:
    """Per bin of risk: the mean risk and the share that people found not carried, in per cent, with interval and n."""
    import pandas as pd

    rows = []
    for at in range(BINS):
        own = [(wrong, risk) for _, wrong, risk in found if min(int(risk * BINS), BINS - 1) == at]
        if not own:
            continue
        share = wilson_interval(sum(wrong for wrong, _ in own), len(own))
        risk = sum(r for _, r in own) / len(own)
        low, mean, high = (100 * (v or 0.0) for v in (share.low, share.mean, share.high))
        rows.append({"Risk": 100 * risk, "Wrong": mean, "Low": low, "High": high, "n": len(own)})
    return pd.DataFrame(rows, columns=["Risk", "Wrong", "Low", "High", "n"])


def reliability_chart(table: pd.DataFrame, *, accent: str) -> alt.LayerChart:
    """Claims that people found not carried over the detector's risk; on the dashed line the risk is a probability."""
    import altair as alt
    import pandas as pd

    whole = alt.Scale(domain=[0, 100])
    base = alt.Chart(table).encode(x=alt.X("Risk:Q", title="detector's risk, %", scale=whole))
    bars = base.mark_rule(color=accent, strokeWidth=2).encode(y=alt.Y("Low:Q", scale=whole), y2="High:Q")
    dots = base.mark_point(filled=True, size=90, color=accent, opacity=1).encode(
        y=alt.Y("Wrong:Q", title="not carried, say people, %", scale=whole),
        tooltip=["Risk", "Wrong", "Low", "High", "n"],
    )
    counts = base.mark_text(dx=14, color=GREY, align="left").encode(y="Wrong:Q", text=alt.Text("n:Q", format="d"))
    ideal = alt.Chart(pd.DataFrame({"Risk": [0, 100], "Wrong": [0, 100]}))
    line = ideal.mark_line(color=GREY, strokeDash=[4, 4]).encode(x="Risk:Q", y="Wrong:Q")
    return alt.layer(line, bars, dots, counts).properties(height=260).configure_view(strokeWidth=0)


NO_CARD = (
    '<p class="gt-note">No detector card: the evaluation found no verdict on a claim that nothing picked for its risk. '
    "Judge a random sample, then evaluate again to have precision, recall and a corrected rate.</p>"
)
CARD = (
    ("precision", "Precision"),
    ("recall", "Recall"),
    ("f1", "F1"),
    ("auroc", "AUROC"),
    ("ece", "Calibration error"),
)


def card_html(card: Mapping[str, Any]) -> str:
    """The detector card's figures, each with its interval and n; one that could not be measured says so.

    A card without any verdict has no figures to show.
    """
    if all(estimate(card.get(name)) is None for name, _ in CARD):
        return NO_CARD
    cells = []
    for name, label in CARD:
        value = estimate(card.get(name))
        figure = f"{value.mean:.2f}" if value and value.mean is not None else "–"
        note = "not measured" if value is None else f"{interval(value)} · n {value.n}"
        cells.append(f"<div><span>{label}</span>{figure}<span>{note}</span></div>")
    note = escape(str(card.get("note", "")))
    return f'<div class="gt-facts gt-card">{"".join(cells)}</div><p class="gt-note">{note}</p>'
