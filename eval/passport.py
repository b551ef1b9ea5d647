"""The release passport: what was judged, by its hashes, what was measured, how to repeat it; JSON and an HTML page.

The page needs nothing from outside (no script, no font, no image), follows the reader's light or dark setting, and
prints. Everything that comes from data is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from eval.estimates import from_json, in_words
from eval.metrics import METRICS
from eval.passport_page import PAGE, bars, forest
from eval.report_parts import LABELS

__all__ = ["SCHEMA", "passport", "to_html"]

SCHEMA = 1
_SQUARE = ("base/closed", "tuned/closed", "base/rag", "tuned/rag")
_CHART = ("correct", "hallucination")


def passport(
    summary: Mapping[str, Any],
    *,
    hashes: Mapping[str, str],
    inputs: Mapping[str, str],
    versions: Mapping[str, str],
    revision: str,
    device: str,
    config: Mapping[str, Any],
    blame: Mapping[str, Any] | None,
    reproduce: Sequence[str],
) -> dict[str, Any]:
    """The passport as plain JSON data; what was not measured stands there as None or empty, and is said on the page."""
    return {
        "schema": SCHEMA,
        "run": summary["run"],
        "created": summary["created"],
        "verdict": summary["gate"]["verdict"],
        "checks": summary["gate"]["checks"],
        "tuned_run": summary["tuned_run"],
        "model": summary["model"],
        "hashes": dict(hashes),
        "inputs": dict(inputs),
        "arms": summary["arms"],
        "coverage": summary["coverage"],
        "differences": summary["differences"],
        "forgetting": summary["forgetting"],
        "leak": summary.get("leak"),
        "error_causes": summary.get("error_causes") or {},
        "side_by_side": summary.get("side_by_side") or [],
        "detector_card": summary.get("detector_card"),
        "blame": blame,
        "revision": revision,
        "device": device,
        "versions": dict(versions),
        "config": dict(config),
        "reproduce": list(reproduce),
    }


def to_html(data: Mapping[str, Any]) -> str:
    """The page."""
    sections = [
        _gate(data),
        _square(data),
        _differences(data["differences"]),
        _forgetting(data["forgetting"]),
        _causes(data),
        _card(data["detector_card"]),
        _identity(data),
    ]
    state = {"PASS": "pass", "HOLD": "fail"}.get(data["verdict"], "unsure")
    return PAGE.format(
        title=escape(f"Release passport {data['run']}"),
        state=state,
        verdict=escape(data["verdict"]),
        about=escape(f"{data['tuned_run'] or data['model']} · judged {data['created'][:10]}"),
        body="\n".join(section for section in sections if section),
    )


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _text(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(
        "<tr>" + f'<th scope="row">{escape(row[0])}</th>' + "".join(f"<td>{escape(c)}</td>" for c in row[1:]) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _gate(data: Mapping[str, Any]) -> str:
    rows = [[c["name"], c["verdict"], c["why"], f"{c['margin']:g}"] for c in data["checks"]]
    return _section("Gate", _rows(["check", "verdict", "why", "margin"], rows))


def _square(data: Mapping[str, Any]) -> str:
    """The 2x2 with n and intervals, the other arms beside it."""
    arms = data["arms"]
    names = [arm for arm in _SQUARE if arm in arms] + [arm for arm in arms if arm not in _SQUARE]
    if not names:
        return _section("Arms", _text("No question was asked."))
    failed = [
        f"{arm}: {c['errors']} of {c['asked']} questions failed" for arm, c in data["coverage"].items() if c["errors"]
    ]
    found = {(arm, metric): from_json(arms[arm].get(metric)) for arm in names for metric in METRICS}
    measured = {key: estimate for key, estimate in found.items() if estimate is not None and estimate.n}
    charts = [
        bars(LABELS[metric], [(arm, measured[arm, metric]) for arm in names if (arm, metric) in measured])
        for metric in _CHART
        if any((arm, metric) in measured for arm in names)
    ]
    tables = [
        _rows(
            [kind, *several],
            [
                [LABELS[metric], *(in_words(measured[a, metric]) if (a, metric) in measured else "–" for a in several)]
                for metric in METRICS
                if any((arm, metric) in measured for arm in several)
            ],
        )
        for kind, several in _kinds(names).items()
    ]
    left_out = _text("–: could not be measured, such as correctness where there is no gold answer.")
    return _section("Arms", *charts, *tables, left_out, *map(_text, failed))


def _kinds(names: Sequence[str]) -> dict[str, list[str]]:
    """Arms that answer the questions, and arms that answer prompts of the voice: a table of all is too wide to read."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault("prompts" if "/heldout" in name else "questions", []).append(name)
    return kinds


def _differences(rows: Sequence[Mapping[str, Any]]) -> str:
    """Paired differences as a forest plot, then all of them as numbers."""
    if not rows:
        return _section("Paired differences", _text("No two arms to compare."))
    names = list(dict.fromkeys(row["name"] for row in rows))
    cells = {(row["metric"], row["name"]): from_json(row["estimate"]) for row in rows}
    drawn = [
        (f"{LABELS[metric]}, {name}", estimate)
        for (metric, name), estimate in cells.items()
        if name == names[0] and estimate is not None and estimate.mean is not None and abs(estimate.mean) <= 1
        and metric not in ("reply_tokens", "prompt_tokens", "latency_s")
    ]  # fmt: skip
    table = [
        [LABELS[metric], *(in_words(cells.get((metric, name)), signed=True) for name in names)]
        for metric in METRICS
        if any((metric, name) in cells for name in names)
    ]
    return _section("Paired differences", forest(drawn), _rows(["", *names], table))


def _forgetting(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return _section("Forgetting", _text("Could not be measured: no general items under both base and tuned."))
    drawn = [(row["suite"], estimate) for row in rows if (estimate := from_json(row["difference"])) is not None]
    table = [
        [
            row["suite"],
            in_words(from_json(row["base"])),
            in_words(from_json(row["tuned"])),
            in_words(from_json(row["difference"]), signed=True),
            row["verdict"],
        ]
        for row in rows
    ]
    return _section("Forgetting", forest(drawn), _rows(["suite", "base", "tuned", "difference", "verdict"], table))


def _causes(data: Mapping[str, Any]) -> str:
    """Whose fault wrong answers are, and, where blame was asked for, what each false span comes from."""
    parts = []
    for arm, found in data["error_causes"].items():
        shares = [[cause, in_words(from_json(row["share"]))] for cause, row in found["causes"].items()]
        parts.append(_rows([f"{arm}: {found['traced']} of {found['wrong']} wrong answers traced", "share"], shares))
    counted = _blamed(data["blame"])
    if counted:
        parts.append(_rows(["cause of an unsupported span", "spans"], [[c, str(n)] for c, n in counted.items()]))
    return _section("Causes", *parts) if parts else ""


def _blamed(blame: Mapping[str, Any] | None) -> dict[str, int]:
    counts: dict[str, int] = {}
    for span in (blame or {}).get("spans") or ():
        counts[str(span.get("cause"))] = counts.get(str(span.get("cause")), 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _card(card: Mapping[str, Any] | None) -> str:
    if card is None:
        return _section("Detector card", _text("There is none: rates of claims are the detector's own, unverified."))
    figures = ("prevalence", "precision", "recall", "f1", "always_positive_f1", "auroc", "ece", "kappa")
    rows = [[name.replace("_", " "), in_words(from_json(card.get(name)))] for name in figures]
    rates = []
    for arm, rate in card["rates"].items():
        shown = in_words(from_json(rate["headline"] or rate["provisional"]))
        rates.append([arm, shown if rate["headline"] else f"{shown} (provisional)", rate["why"]])
    told = f"{card['detector']}, judged by {card['people']} people on {card['n']} claims"
    return _section(
        "Detector card", _rows([told, ""], rows), _rows(["arm", "claims not carried", ""], rates), _text(card["note"])
    )


def _identity(data: Mapping[str, Any]) -> str:
    known = {"model": data["model"], "tuned run": data["tuned_run"] or "none", "device": data["device"]}
    known |= {"code": data["revision"] or "unknown"}
    hashes = [[name, value or "unknown"] for name, value in {**data["hashes"], **data["inputs"]}.items()]
    return _section(
        "What was judged",
        _rows(["", ""], [[k, str(v)] for k, v in known.items()]),
        _rows(["content", "SHA-256"], hashes),
        "<h3>To repeat it</h3>",
        f"<pre>{escape(chr(10).join(data['reproduce']))}</pre>",
        "<details><summary>Packages</summary>",
        _rows(["package", "version"], [[k, v] for k, v in data["versions"].items()]),
        "</details>",
    )
