"""General rows against forgetting, made by the starter's own generators: what the sample company's tuning mixes in.

    python -m data.starter.replay data/replay/general.jsonl --rows 1200

Kinds are balanced, since a voice unlearns the rarest ones first. Nothing that an evaluation asks is among them: prompts of
data/general and data/questions are left out, word for word. The public reading data is not used.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).resolve().parents[1]
SHARES = {
    "grounded": 0.30,
    "conversation": 0.20,
    "arithmetic": 0.16,
    "instruction": 0.14,
    "refuse": 0.08,
    "table": 0.06,
    "two facts": 0.04,
    "unknown": 0.02,
}
LEVEL = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=77)
    args = parser.parse_args()
    os.environ["GROUNDTONE_SHARED"] = str(DATA / "no public data")
    from groundtone.files import write_atomic

    made = list(replay_rows(args.rows, seed=args.seed))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(args.out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made))
    print(f"{len(made)} rows in {args.out}: {dict(Counter(row['tags'][0] for row in made))}")


def replay_rows(count: int, *, seed: int) -> Iterator[dict[str, object]]:
    """About `count` rows in the fields of a voice pair, `SHARES` of each kind, none twice."""
    from data.starter import generate
    from groundtone.prompts import render_snippets
    from groundtone.text import normalise

    asked = _asked()
    left = {kind: round(share * count) for kind, share in SHARES.items()}
    seen: set[str] = set()
    for row in generate.rows(seed, LEVEL):
        if not any(left.values()):
            return
        prompt = row.prompt
        history = [[str(m["role"]), str(m["content"]).removeprefix("Question: ")] for m in prompt.messages[1:-1]]
        key = json.dumps([normalise(prompt.question), [s.text for s in prompt.snippets], history])
        if not left.get(row.kind) or key in seen or normalise(prompt.question) in asked:
            continue
        seen.add(key)
        left[row.kind] -= 1
        yield {
            "prompt": prompt.question,
            "reply": row.reply,
            "source": f"generated/{row.kind}/{len(seen)}",
            "context": [render_snippets([s]).removeprefix(f"[{s.number}] ") for s in prompt.snippets],
            "tags": [row.kind],
            **({"history": history} if history else {}),
        }


def _asked() -> set[str]:
    """Every prompt of an evaluation of the sample company, normalised."""
    from eval.suite import read_general, read_questions
    from groundtone.text import normalise

    general = (item.question.text for item in read_general(DATA / "general"))
    return {normalise(text) for text in (*general, *(q.text for q in read_questions(DATA / "questions")))}


if __name__ == "__main__":
    main()
