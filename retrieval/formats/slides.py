"""PowerPoint (pptx) through python-pptx -> Markdown, one page per slide."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

from retrieval import markup
from retrieval.formats import charts
from retrieval.formats.extract import Extract, of_pages
from retrieval.formats.packed import open_zip
from retrieval.formats.word import core_properties

_ROW_EMU = 360_000  # 1 cm: shapes whose tops differ by less stand in one row


def read_pptx(data: bytes) -> Extract:
    """Each slide's title as a heading, its text as lists, its tables and charts as tables, then its notes."""
    from pptx import Presentation

    with open_zip(data, ".pptx") as packed:
        title, meta = core_properties(packed)
    slides = list(Presentation(io.BytesIO(data)).slides)
    pages = [markup.tidy("\n\n".join(_slide(slide))).strip() for slide in slides]
    return of_pages(pages, title=title or _first_title(slides), meta=meta)


def _first_title(slides: Iterable[Any]) -> str:
    first = next(iter(slides), None)
    shape = first.shapes.title if first is not None else None
    return " ".join(shape.text_frame.text.split()) if shape is not None else ""


def _slide(slide: Any) -> Iterator[str]:
    title = slide.shapes.title
    if title is not None and title.text_frame.text.strip():
        yield f"## {' '.join(title.text_frame.text.split())}"
    for shape in _in_reading_order(slide.shapes):
        if title is None or shape.shape_id != title.shape_id:
            yield from _shape(shape)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = slide.notes_slide.notes_text_frame.text.strip()
        if notes:
            yield f"Notes: {notes}"


def _in_reading_order(shapes: Iterable[Any]) -> list[Any]:
    """From top to bottom, then left to right; a placeholder without a place of its own comes where it stands."""
    return sorted(shapes, key=lambda shape: ((shape.top or 0) // _ROW_EMU, shape.left or 0))


def _shape(shape: Any) -> Iterator[str]:
    from pptx.enum.shapes import MSO_SHAPE_TYPE

    if shape.shape_type == MSO_SHAPE_TYPE.GROUP:
        for inner in _in_reading_order(shape.shapes):
            yield from _shape(inner)
    elif shape.has_text_frame:
        filled = [(p.level, " ".join(p.text.split())) for p in shape.text_frame.paragraphs if p.text.strip()]
        if len(filled) == 1:
            yield filled[0][1]
        elif filled:
            yield "\n".join(f"{'  ' * level}- {text}" for level, text in filled)
    elif shape.has_table:
        yield markup.table([[cell.text for cell in row.cells] for row in shape.table.rows])
    elif shape.has_chart:
        yield from charts.tables(shape.chart)
    else:
        yield from charts.diagram(shape)
