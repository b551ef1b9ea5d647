"""Natural Questions with their Wikipedia paragraphs (QED): what people typed into a search engine, as a DataSet."""

from __future__ import annotations

import json
import re
from pathlib import Path

from benchmarks.data_sets import SHARED, Asked, DataSet, GivenPassage, sample

__all__ = ["natural_questions"]


def natural_questions(shared: Path = SHARED, *, limit: int = 1000) -> DataSet:
    """At most `limit` questions of the dev set; a document is the page's title with its one or two paragraphs."""
    lines = (shared / "data/qa/qed_nq/qed-dev.jsonlines").read_text(encoding="utf-8").splitlines()
    made: dict[tuple[str, str], GivenPassage] = {}
    asked = []
    for row in sample([json.loads(line) for line in lines if line.strip()], limit):
        title, text = row["title_text"], row["paragraph_text"]
        source = re.sub(r"\W", "_", title)[:80] + ".md"
        passage = made.setdefault((source, text), GivenPassage(f"p{len(made) + 1:04d}", source, title, text))
        asked.append(Asked(str(row["example_id"]), row["question_text"], source, frozenset({passage.id})))
    by_source = sorted(made.values(), key=lambda p: p.source)
    return DataSet("qed_nq", tuple(by_source), tuple(asked))
