"""How many answers a minute each detector splits into claims and judges, on the answers that an evaluation made."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.evaluation.answers import Row
from eval.claims import check_answers
from eval.detectors import load_detector

__all__ = ["Rate", "measure_detectors"]

LEAST_S = 2.0  # the answers are judged again until so much time has passed: shorter spells say little


@dataclass(frozen=True, slots=True)
class Rate:
    """Answers a minute, by the clock and of one core's time, per repeat, of one detector on one set of answers."""

    detector: str
    answers: str
    count: int
    words: int  # of the answers, in all
    claims: int
    per_minute: list[float]
    per_core_minute: list[float]


def measure_detectors(names: Sequence[str], sets: Mapping[str, Sequence[Row]], *, repeats: int) -> list[Rate]:
    """Every detector on every set of answers; loading it and one short round before are not counted."""
    found = []
    for name in names:
        detector = load_detector(name)
        for title, rows in sets.items():
            given = [(row.answer, row.passages()) for row in rows]
            claims = sum(map(len, check_answers(given[:4], detector=detector)))
            per_minute, per_core_minute = [], []
            for _ in range(repeats):
                began, cpu_began, done = time.perf_counter(), time.process_time(), 0
                while (spent_s := time.perf_counter() - began) < LEAST_S or not done:
                    claims = sum(map(len, check_answers(given, detector=detector)))
                    done += len(given)
                per_minute.append(60 * done / spent_s)
                per_core_minute.append(60 * done / (time.process_time() - cpu_began))
            words = sum(len(row.answer.split()) for row in rows)
            found.append(Rate(detector.name, title, len(rows), words, claims, per_minute, per_core_minute))
    return found
