"""Rows that teach a token classifier to mark the words which nothing carries.

    python -m data.detector.span_rows PUBLIC_DATA --out data/detector/.groundtone/rows
    groundtone tune --project data/detector

One row per claim, after the sentences nearest to it: what `eval.detectors.span` shows it later. Rows come from the same
answers as the lexical model's; train.jsonl holds the fitted sources, heldout.jsonl the others. The same seed gives the
same files. Of the fitted claims, those with marked words are kept and as many others as make up `--claims`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from data.detector.answers import LabelledAnswer, held_out, passages_of
from data.detector.rows import label_of
from data.detector.train import answers
from eval.detectors.lexical import LexicalDetector
from eval.detectors.span import evidence_for
from eval.evidence import Evidence
from eval.splitting import split_claims
from groundtone.files import write_atomic

LABEL = "unsupported"
LEFT_OUT = ("begin", "halueval")  # their labels are of whole answers: nobody marked words
CLAIMS = 9000  # one pass over so many takes about half an hour on one core
LOOK = 400  # claims kept apart that the run itself looks at; benchmarks.detector measures all of them


def token_rows(row: LabelledAnswer) -> Iterator[dict[str, Any]]:
    """Every claim whose label is known, with its marked characters."""
    evidence, spans = Evidence(passages_of(row)), split_claims(row.answer)
    for start, end in spans if evidence.sentences else ():
        if label_of(row, (start, end), len(spans)) is None:
            continue
        claim = row.answer[start:end]
        marks: list[dict[str, Any]] = []
        for bad in sorted(row.spans, key=lambda b: (b.start, b.end)):
            low = max(bad.start, start, marks[-1]["end"] + start if marks else start)
            high = min(bad.end, end)
            if low < high:
                marks.append({"start": low - start, "end": high - start, "label": LABEL})
        context = evidence_for(claim, evidence)
        yield {"text": claim, "context": context, "spans": marks, "source": row.source}


def distinct(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per claim and evidence, in order; none where equal ones are marked differently."""
    by_text: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        by_text.setdefault((row["text"], row["context"]), []).append(row)
    return [equal[0] for equal in by_text.values() if all(row["spans"] == equal[0]["spans"] for row in equal)]


def capped(rows: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Every row with marked words and the first of the others, at most so many in all, in their order."""
    order = sorted(range(len(rows)), key=lambda n: (not rows[n]["spans"], n))[:most]
    return [rows[n] for n in sorted(order)]


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of public data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--claims", type=int, default=CLAIMS, help="claims to train on at most")
    options = parser.parse_args()
    sets = answers(options.data, LexicalDetector.shipped().rarity)
    rows = distinct(
        row for name, given in sets.items() if name not in LEFT_OUT for one in given for row in token_rows(one)
    )
    random.Random(0).shuffle(rows)
    fitted = [row for row in rows if not held_out(row["source"])]
    kept_apart = [row for row in rows if held_out(row["source"])]
    for name, part in (("train", capped(fitted, options.claims)), ("heldout", kept_apart[:LOOK])):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in part)
        write_atomic(options.out / f"{name}.jsonl", lines)
        print(f"{name}: {len(part):,} claims, {sum(bool(row['spans']) for row in part):,} with marked words")


if __name__ == "__main__":
    main()
