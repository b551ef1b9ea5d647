"""Charts and diagrams of slides -> tables and lists, from their XML (ECMA-376, 21.2 and 21.4).

python-pptx knows some kinds of charts only, and no diagrams ("SmartArt") at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from retrieval import markup
from retrieval.formats.extract import shown_number
from retrieval.formats.packed import parse

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


def tables(chart: Any) -> Iterator[str]:
    """The title of a chart, then the numbers behind it: for each of its plots a row per category or pair of numbers."""
    if chart.has_title and chart.chart_title.has_text_frame:
        yield chart.chart_title.text_frame.text.strip()
    root = parse(chart.part.blob, "a chart")
    for plot in root.iter():
        series = plot.findall(f"{_CHART}ser")
        if not series:
            continue
        if series[0].find(f"{_CHART}xVal") is not None:
            for one in series:
                yield _table([_points(one, "xVal"), _points(one, "yVal")], ["", _name(one)])
            continue
        labels = next((found for one in series if (found := _points(one, "cat"))), {})
        yield _table([labels, *(_points(one, "val") for one in series)], ["", *(_name(one) for one in series)])


def _table(columns: list[dict[int, str]], names: list[str]) -> str:
    places = sorted({at for column in columns for at in column})
    labels = columns[0] or {at: str(at + 1) for at in places}
    rows = [[column.get(at, "") for column in (labels, *columns[1:])] for at in places]
    return markup.table([names, *rows]) if rows else ""


def _name(series: Element) -> str:
    found = series.find(f"{_CHART}tx//{_CHART}v")
    return (found.text or "").strip() if found is not None else ""


def _points(series: Element, what: str) -> dict[int, str]:
    """The values of a series by their place; of labels on several levels those of the lowest."""
    place = series.find(f"{_CHART}{what}")
    if place is None:
        return {}
    level = place.find(f".//{_CHART}lvl")
    points = (place if level is None else level).iter(f"{_CHART}pt")
    look = place.findtext(f".//{_CHART}formatCode")
    return {int(point.get("idx", "0")): _shown(point.findtext(f"{_CHART}v") or "", look) for point in points}


def _shown(value: str, look: str | None) -> str:
    """A number as it is written in full, a date as ISO; `look` is the format of numbers, None for texts."""
    from openpyxl.styles.numbers import is_date_format
    from openpyxl.utils.datetime import from_excel

    try:
        if look is None:
            return " ".join(value.split())
        if is_date_format(look):
            return str(from_excel(float(value)).date())
        return shown_number(float(value))
    except (ValueError, OverflowError, AttributeError):
        return " ".join(value.split())


def diagram(shape: Any) -> Iterator[str]:
    """The texts of a diagram as a list, in the order in which they were written; nothing for a picture."""
    place = shape.element.find(f".//{_DIAGRAM}relIds")
    if place is None:
        return
    root = parse(shape.part.related_part(place.get(f"{_RELATION}dm")).blob, "a diagram")
    texts = ("".join(t.text or "" for t in point.iter(f"{_DRAWING}t")) for point in root.iter(f"{_DIAGRAM}pt"))
    yield "\n".join(f"- {' '.join(text.split())}" for text in texts if text.strip())
