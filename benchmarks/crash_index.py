"""Kill an index in the middle of its work, again and again, and look whether it is whole each time.

    python -m benchmarks.crash_index            200 kills, about two minutes

A child process writes round after round of a changing folder (files come, go and change) and indexes each; between,
it goes back by one generation. It is killed (SIGKILL) at a random moment: while reading, encoding, staging,
publishing, going back, or in SQLite's own files. Then the index must open, hold exactly one round, each document whole,
with the words and checksums that belong to it, and find what is in it. An index that is new must hold nothing or all.
The encoder is a hash of words, so that most of the time goes into what is tested.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from groundtone.errors import GroundtoneError
from groundtone.stats import wilson_interval
from retrieval.index import Index
from retrieval.store import Store
from retrieval.update import update_store
from tests.retrieval.hashing_encoder import HashingEncoder

_FILES = 12
_FRESH = 0.3  # share of the kills that hit the build of a new index
_DELAY_ROUNDS = 4.0  # a kill comes within the time of so many rounds, measured on this machine under its present load
_MEASURE_EVERY = 20


@dataclass(slots=True)
class Outcome:
    """`bad`: what was wrong, per kill; `seen`: in which state the others were found."""

    kills: int = 0
    bad: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)


def expected(round_number: int) -> dict[str, str]:
    """The folder of a round: each text names its round, and which files there are depends on it."""
    present = [n for n in range(_FILES) if (n + round_number) % 4]
    return {f"{n}.md": _page(n, round_number) for n in present}


def _page(number: int, round_number: int) -> str:
    part = number // 3  # three files share a text below their title
    body = "\n\n".join(f"## Part {p}\n\nRound {round_number} of part {p}. Words of page{part}." for p in range(4))
    return f"# Page {number}\n\n{body}\n"


def child(index: Path, folder: Path, *, begin: int, rounds: int = 1_000_000) -> None:
    """Round after round; the process is killed from outside."""
    encoder = HashingEncoder()
    with closing(Store(index, encoder=encoder.name, dim=encoder.dim)) as store:
        for round_number in range(begin, begin + rounds):
            pages = expected(round_number)
            for path in folder.glob("*.md"):
                if path.name not in pages:
                    path.unlink()
            for name, text in pages.items():
                (folder / name).write_text(text)
            update_store(store, encoder, folder)
            if round_number % 5 == 4:
                store.roll_back()


def round_s() -> float:
    """Seconds that a round takes now."""
    with tempfile.TemporaryDirectory(prefix="crash-index-") as temporary:
        begun = time.monotonic()
        child(Path(temporary, "i.sqlite"), Path(temporary), begin=0, rounds=3)
        return (time.monotonic() - begun) / 3


def kill_once(index: Path, folder: Path, *, begin: int, delay_s: float) -> None:
    """Fork a child, give it `delay_s` seconds, kill it."""
    pid = os.fork()
    if pid == 0:
        try:
            child(index, folder, begin=begin)
        finally:
            os._exit(1)  # only reached when something was wrong: the parent then sees code 1, not the signal
    time.sleep(delay_s)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "the child ended by itself"


def look(index: Path) -> tuple[str, int]:
    """What state the index is in, and its round (-1: none). Raises GroundtoneError or AssertionError if not whole."""
    if not index.is_file():
        return "no index yet", -1
    encoder = HashingEncoder()
    with closing(Store(index, encoder=encoder.name, dim=encoder.dim)) as store:
        documents, passages = store.snapshot()  # compares every checksum
        staged = len(store.versions(staged=True))
    texts = {doc.source: doc.text for doc in documents}
    if not texts:
        return f"empty{', some staged' if staged else ''}", -1
    rounds = {int(text.split("Round ")[1].split(" ")[0]) for text in texts.values()}
    assert len(rounds) == 1, f"rounds {sorted(rounds)} are mixed"
    (round_number,) = rounds
    assert texts == expected(round_number), f"round {round_number} is not whole: {sorted(texts)}"
    assert len(passages) == 4 * len(texts), f"{len(passages)} passages of {len(texts)} documents"
    with Index.open(index, encoder=encoder) as opened:
        hits = opened.search(f"round {round_number} of part 2", k=5)
        assert len(hits) == 5, f"{len(hits)} of 5 hits"
        for hit in hits:
            assert texts[hit.passage.source][hit.passage.start : hit.passage.end] == hit.passage.text
    return f"whole{', some staged' if staged else ''}", round_number


def crash(kills: int, *, seed: int, tell: Callable[[int], None] = lambda done: None) -> Outcome:
    """Kill that often; what was found each time."""
    rng = random.Random(seed)
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="crash-index-") as temporary:
        index, folder = Path(temporary, "i.sqlite"), Path(temporary, "documents")
        folder.mkdir()
        round_number, longest_s = -1, 0.0
        for done in range(kills):
            if done % _MEASURE_EVERY == 0:
                longest_s = _DELAY_ROUNDS * round_s()
            if rng.random() < _FRESH:
                for path in index.parent.glob("i.sqlite*"):
                    path.unlink()
                round_number = -1
            kill_once(index, folder, begin=round_number + 1, delay_s=rng.uniform(0, longest_s))
            outcome.kills += 1
            try:
                before, (state, round_number) = round_number, look(index)
                assert round_number >= before - 1, f"round {round_number} after {before}: something was lost"
                outcome.seen[state] += 1
            except (AssertionError, GroundtoneError) as error:
                outcome.bad.append(f"kill {done}: {type(error).__name__}: {error}")
                shutil.rmtree(folder)
                folder.mkdir()
                for path in index.parent.glob("i.sqlite*"):
                    path.unlink()
                round_number = -1
            tell(done + 1)
    return outcome


def main() -> None:
    """Print the states that were found and how many were corrupt or half-visible."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    begun = time.monotonic()
    outcome = crash(
        given.kills,
        seed=given.seed,
        tell=lambda done: print(f"\r{done}/{given.kills}", end="", flush=True, file=sys.stderr),
    )
    print(f"\n{outcome.kills} kills in {time.monotonic() - begun:.0f} s, seed {given.seed}; found afterwards:")
    for state, count in outcome.seen.most_common():
        print(f"  {count:4} {state}")
    for line in outcome.bad:
        print(f"  BAD {line}")
    rate = wilson_interval(len(outcome.bad), outcome.kills)
    assert rate.high is not None
    print(f"{len(outcome.bad)} corrupt or half-visible of {outcome.kills} (95 %: at most {rate.high:.1%})")
    raise SystemExit(bool(outcome.bad))


if __name__ == "__main__":
    main()
