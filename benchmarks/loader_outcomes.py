"""What the loaders make of every file in a folder of broken, foreign and odd files; writes docs/formats.md.

    python -m benchmarks.loader_outcomes FOLDER [--check]

FOLDER holds the test files of markitdown (MIT) and unstructured (Apache-2.0). Each file has one outcome: read,
reported with a reason, or skipped because its kind is not read. --check compares with the page and exits with 1 where
an outcome differs.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from groundtone.errors import DocumentError
from groundtone.files import write_atomic
from retrieval.formats.packed import MAX_INFLATED_MB, MAX_MEMBERS
from retrieval.loaders import MAX_FILE_MB, FailedFile, failed, walk
from retrieval.markup import table
from retrieval.reading import MAX_MEMORY_MB, MAX_SECONDS, Reader

PAGE = Path(__file__).resolve().parent.parent / "docs" / "formats.md"
FORMATS = [
    ["Format", "What is kept", "What goes", "Library (licence)"],
    ["md, markdown", "everything; tables get their outer pipes; front matter gives title, date, groups",
     "HTML comments", "own"],
    ["txt", "paragraphs: line wraps of a running sentence are joined", "", "own"],
    ["html, htm, xhtml", "headings, lists, tables (spans filled in), code, links, title, date",
     "navigation, footers, cookie banners, forms (one around the whole page only loses its fields), scripts, hidden "
     "parts, images", "beautifulsoup4, markdownify (MIT)"],
    ["pdf", "pages, headings by size and weight, paragraphs, lists, tables by rules or gaps, title, date",
     "running headers and footers (equal but for the page number), soft hyphens, images; a page without text is named",
     "pypdfium2 (BSD-3-Clause, Apache-2.0), pdfplumber (MIT) for ruled tables"],
    ["docx", "headings, lists, tables, footnotes, formulas as LaTeX, title, date", "headers, footers, images, comments",
     "mammoth (BSD-2-Clause), markitdown (MIT) for formulas"],
    ["odt", "headings, lists, tables, footnotes in brackets, title, date", "comments, deleted text, contents pages",
     "own, defusedxml (PSF)"],
    ["rtf", "paragraphs, tables, title", "headings (the format knows them by looks alone), images",
     "striprtf (BSD-3-Clause)"],
    ["pptx", "a page per slide: title, text, lists, tables, numbers of charts, SmartArt, notes", "images",
     "python-pptx (MIT)"],
    ["xlsx", "sheets by name, tables parted by blank rows, dates, per cent, currency", "formulas, charts, images",
     "openpyxl (MIT)"],
    ["csv, tsv", "the table; its separator is detected", "", "standard library"],
    ["json, jsonl, ndjson", "a section per record, a line per field, named by its path", "", "standard library"],
    ["eml", "subject, people, date, body, attachments of these kinds (three deep)",
     "pictures; other attachments are named", "standard library"],
    ["msg", "as eml, messages inside messages too", "as eml; a body stored as compressed rich text alone is named",
     "olefile (BSD)"],
    ["epub", "chapters in reading order, title, date", "links between chapters, images", "own, beautifulsoup4 (MIT)"],
]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One file and what became of it."""

    file: str
    outcome: str
    characters: str
    why: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true", help="compare with the page and write nothing")
    args = parser.parse_args()
    page = render(sorted(outcomes(args.folder), key=lambda row: row.file.casefold()))
    if args.check:
        same = PAGE.read_text(encoding="utf-8") == page
        print("as the page says" if same else f"{PAGE} is out of date: run without --check")
        return 0 if same else 1
    write_atomic(PAGE, page)
    print(page.split("## Outcomes")[1].split("\n\n")[1])
    return 0


def outcomes(folder: Path) -> Iterator[Row]:
    """Every file below the folder, read as `groundtone index` reads it."""
    with Reader() as read:
        for found in walk(folder):
            if isinstance(found, FailedFile):
                yield Row(found.source, "skipped", "", found.reason.split(";")[0])
                continue
            source = found.relative_to(folder).as_posix()
            try:
                document = read(found, folder)
            except DocumentError as error:
                yield Row(source, "reported", "", failed(found, folder, error).reason)
            else:
                left_out = "; ".join(document.meta.get("left_out", ()))
                yield Row(source, "read", f"{len(document.text):,}", f"left out: {left_out}" if left_out else "")


def render(rows: list[Row]) -> str:
    """docs/formats.md."""
    count = Counter(row.outcome for row in rows)
    cells = [["File", "Outcome", "Characters", "Reason"], *([r.file, r.outcome, r.characters, r.why] for r in rows)]
    return f"""# Formats

`groundtone index` reads the kinds of files below. Every file gives a document with words in it, or a reason why not;
none is left out in silence. Structure becomes Markdown, so that a heading stands above its passages and a table's
column names above its rows (they are embedded with the passage, never quoted). What a file holds that could not be
read is listed in the document's `left_out`.

{table(FORMATS)}
Encodings are detected (byte order marks, UTF-8, UTF-16 by its zero bytes, then
[charset-normalizer](https://github.com/jawah/charset_normalizer), MIT). A slip in a long UTF-8 text costs
its own bytes, which `left_out` counts.

## Who may read a document

Front matter limits a document to groups; without it the document is public:

    ---
    title: Pay bands
    groups: [hr, board]
    ---

It stands at the beginning, between two lines of three dashes, and is YAML; blank lines may come before it; md, txt,
html and csv may carry it. A document that names `group` or `groups` there in any other way (indented, without the
dashes, as `hr, board`, as TOML, in YAML with a mistake, never closed) is refused, reported, and taken out of the index
until it is mended: it is shown to nobody rather than to everybody. Text between two rules that is no YAML mapping is
text. A mail is for those whom all that is attached to it is for.

Folders of programs and of deleted or former files (`node_modules`, `$RECYCLE.BIN`, `#snapshot`, `lost+found` ...) are
not read, nor is what is hidden.

## Limits

Everything but small plain text is read in a process of its own, which is killed and started anew when a file reaches a
limit; the file is reported, the others are read.

| Limit | Default | Setting |
| --- | --- | --- |
| size of a file | {MAX_FILE_MB} MB | `retrieval.max_file_mb` |
| processor time per file | {MAX_SECONDS:g} s | `retrieval.max_seconds` |
| memory per file (not on Windows) | {MAX_MEMORY_MB} MB | `retrieval.max_memory_mb` |
| docx, pptx, xlsx, odt, epub: size when inflated | {MAX_INFLATED_MB} MB, {MAX_MEMBERS:,} parts | |

XML that declares entities, symbolic links that lead out of the folder, and whatever needs a password are refused.

## Outcomes

{len(rows)} files: {count["read"]} read, {count["reported"]} reported, {count["skipped"]} skipped; none crashed, hung or
gave an empty document. They are the test files of [markitdown](https://github.com/microsoft/markitdown) (MIT) and
[unstructured](https://github.com/Unstructured-IO/unstructured) (Apache-2.0), as written by
`python -m benchmarks.loader_outcomes FOLDER`.

{table(cells)}"""


if __name__ == "__main__":
    sys.exit(main())
