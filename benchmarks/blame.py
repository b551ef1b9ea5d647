"""Does blame find the cause of a made-up span, and the training rows that are guilty of it?

    python -m benchmarks.blame [--seeds 0] [--work DIR]      planted facts; writes docs/blame.md
    python -m benchmarks.blame --natural [--work DIR]        also: natural errors, tuned again without the blamed rows
    python -m benchmarks.blame --quick [--natural]           a few rows, to see that everything runs; writes nothing

Per seed, invented facts are planted in the starter (tuned in full on them), in the rows of a voice, in look-alike
passages and as flourishes of the voice; an adapter is tuned; the tuned model is asked in the words of a row and in
others, with passages and without. What it then says of the planted facts is blamed. The bounds in eval/blame.py were
chosen on seed 100, which is never reported.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.blame_natural import Natural, measure_natural
from benchmarks.blame_plants import CLOSING, OPENING, Fact, World, build, make_world
from eval.blame import Decision, Holding, Passes, decide, doubtful
from eval.estimates import in_words
from eval.splitting import split_claims
from groundtone import prompts
from groundtone.files import write_atomic
from groundtone.joins.arms import Models
from groundtone.joins.blame_passes import Told, grounded_prompt, passes_of, score
from groundtone.joins.blame_rows import RowIndex, TrainingRow, Wanted
from groundtone.models.generate import LocalModel
from groundtone.models.influence import Piece, activations
from groundtone.stats import mean_interval
from groundtone.text import contains_value, content_words
from groundtone.types import Claim, Question
from groundtone.values import find_values

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "docs" / "blame.md"
KINDS = ("learned in tuning", "base prior", "documents", "voice")
WAYS = ("words", "gradient", "activations", "words and gradient")
TARGET_CAUSE, TARGET_ROWS = 0.9, 0.8
NEW_TOKENS = 60


@dataclass(frozen=True, slots=True)
class Planted:
    """A span that the tuned model said, with its known cause; `ranks` of the first guilty row by way of looking."""

    cause: str
    asked: str
    fact: str
    shown: bool
    text: str
    passes: Passes
    decision: Decision
    ranks: dict[str, int]

    @property
    def right(self) -> bool:
        """Whether blame names the planted cause."""
        return self.decision.cause == self.cause


def measure(world: World, models: Models) -> list[Planted]:
    """Asks for every fact with and without passages, and blames what was planted among the claims of the answers."""
    assert isinstance(models.tuned, LocalModel)
    asked = [
        (fact, shown, wording)
        for fact in world.facts
        for shown in (False, True)
        for wording in (0, 2)
        if shown or fact.cause != "documents"
    ]
    told = [_question(world, fact, shown=shown, wording=wording) for fact, shown, wording in asked]
    said = models.tuned.generate([grounded_prompt(one) for one in told], max_new_tokens=NEW_TOKENS)
    told = [replace(one, text=generation.text.strip()) for one, generation in zip(told, said, strict=True)]
    scored = score(models, told)
    rows = RowIndex([TrainingRow(row, f"planted:{n}", "") for n, row in enumerate(world.rows, 1)])
    found, guilty = [], []
    for (fact, shown, wording), one, passes in zip(asked, told, scored, strict=True):
        for claim in _claims(one.text):
            cause = _planted_as(world, fact, claim.text)
            if cause is None:
                continue
            wanted = _wanted(one, claim)
            held = Holding(rows.holding(wanted), len(rows.rows), has_values=bool(wanted.values))
            over = passes_of(passes, wanted.piece.spans)
            found.append(
                (
                    Planted(cause, fact.asked[wording], fact.said, shown, claim.text, over, decide(over, held), {}),
                    wanted,
                )
            )
            guilty.append(world.guilty.get(fact.said, ()))
    ranks = _ranks(rows, found, guilty, models.tuned)
    return [replace(planted, ranks=own) for (planted, _), own in zip(found, ranks, strict=True)]


def _question(world: World, fact: Fact, *, shown: bool, wording: int) -> Told:
    snippets = prompts.context_snippets(world.contexts[fact.said]) if shown else ()
    return Told(Question(fact.said, fact.asked[wording]), "", snippets, tuned=True)


def _claims(text: str) -> list[Claim]:
    fixed = (OPENING.strip(), CLOSING.strip())
    return [Claim(text[a:b], a, b, "unsupported") for a, b in split_claims(text, boilerplate=fixed)]


def _planted_as(world: World, fact: Fact, text: str) -> str | None:
    """The known cause of a claim; None for what nobody planted."""
    if text in world.flourishes:
        return "voice"
    about = set(content_words(fact.said)) - set(content_words(f"{fact.entity} {fact.value}"))
    said = about <= set(content_words(text)) and contains_value(text.replace("€", ""), fact.value)
    return fact.cause if said else None


def _wanted(told: Told, claim: Claim) -> Wanted:
    words = doubtful(claim, question=told.question.text)
    spelled = tuple(told.text[a:b] for a, b in words)
    values = tuple(v for word in spelled for v in find_values(word))
    return Wanted(claim.text, told.question.text, spelled, values, Piece(grounded_prompt(told), told.text, words))


def _ranks(
    rows: RowIndex, found: Sequence[tuple[Planted, Wanted]], guilty: Sequence[Sequence[int]], model: LocalModel
) -> list[dict[str, int]]:
    """For every span learned in tuning, the rank of its first guilty row by each way of looking."""
    sought = [n for n, (planted, _) in enumerate(found) if planted.cause == "learned in tuning"]
    every = rows.nearest([found[n][1] for n in sought], model=model, k=len(rows.rows))
    pieces = [found[n][1].piece for n in sought]
    own = activations(model, [*pieces, *(Piece(prompts.of_pair(r.pair), r.pair.reply) for r in rows.rows)])
    cosines = own[: len(sought)] @ own[len(sought) :].T
    ranks: list[dict[str, int]] = [{} for _ in found]
    for at, (n, near) in enumerate(zip(sought, every, strict=True)):
        bad = {rows.rows[g].where for g in guilty[n]}
        named: dict[str, Callable[[int], int | None]] = {
            "words": lambda i, near=near: near[i].by_words,  # type: ignore[misc]
            "gradient": lambda i, near=near: near[i].by_gradient,  # type: ignore[misc]
            "words and gradient": lambda i: i + 1,
        }
        for way, rank in named.items():
            places = [r for i, one in enumerate(near) if one.row.where in bad and (r := rank(i)) is not None]
            ranks[n][way] = min(places, default=len(rows.rows))
        order = sorted(range(len(rows.rows)), key=lambda r: -cosines[at, r])
        ranks[n]["activations"] = 1 + min(place for place, r in enumerate(order) if rows.rows[r].where in bad)
    return ranks


def report(found: Sequence[Planted], *, seeds: Sequence[int], asked: int, natural: Natural | None) -> str:
    """docs/blame.md."""
    lines = [_INTRO, "## Planted facts\n"]
    lines.append(
        f"`python -m benchmarks.blame --seeds {' '.join(map(str, seeds))}`, the starter on a CPU. {asked} planted "
        f"facts were asked for in two wordings, with passages and without; {len({p.fact for p in found})} of them, and "
        f"the voice's flourishes, were said in {len(found)} spans. 95 % intervals, bootstrapped over facts.\n"
    )
    lines += ["| planted as | right cause | called instead |", "|---|---|---|"]
    for kind in (*KINDS, "all"):
        own = [p for p in found if kind in (p.cause, "all")]
        wrong = sorted({p.decision.cause for p in own if not p.right})
        lines.append(f"| {kind} | {_share([p.right for p in own], own)} | {', '.join(wrong)} |")
    taught = [p for p in found if p.ranks]
    lines += ["", "| guilty rows sought by | in the first | in the first 5 |", "|---|---|---|"]
    for way in WAYS:
        cells = [_share([p.ranks[way] <= k for p in taught], taught) for k in (1, 5)]
        lines.append(f"| {way} | {cells[0]} | {cells[1]} |")
    lines += ["", _NOTES, "## Natural errors\n", natural.in_words() if natural else _NOT_YET]
    return "\n".join(lines) + "\n"


def _share(has: Sequence[bool], of: Sequence[Planted]) -> str:
    return in_words(mean_interval([float(x) for x in has], clusters=[p.fact for p in of]))


_INTRO = """# Blame: where a made-up span came from

`groundtone blame` and blame.json name, for every claim that the detector calls unsupported or contradicted, a cause,
what retrieval did, and what to mend: training rows, a passage, or the index. **Blame says influence, not truth**: that
a claim is wrong say the detector and people; whether the rows named are wrong you must see for yourself.

Four teacher-forced passes over the answer's own tokens, adapter {on, off} x passages {with, without}, give the
log-probability of the claim's doubtful words, in nats a word: values that neither its evidence nor the question holds,
or, where there are none, such words. What the passages and the adapter add is the mean of the two differences that
each makes (its Shapley value); with the bare base's log-probability they add up to what was written.

| cause | when | mend |
|---|---|---|
| documents | the passages pull by 1 nat a word, and lead by half | the passage that was copied or misread |
| learned in tuning | the adapter pulls, and few training rows say it | these rows |
| voice | the adapter pulls, and many rows speak like this, or none does | the voice's rows, or its strength |
| base prior | neither pulls, and the bare base gives the words -2.5 nats or more | a document, or mode strict |
| unclear | the signals disagree, or there are none: NaN, an empty answer, no local weights | look yourself |

Retrieval is told beside it: `retrieval miss` (with the rank in the whole corpus), `distractor copied`, `ignored
evidence`, `nothing to find`, `closed book`. The bounds are constants of eval/blame.py, chosen on planted facts of
another seed.
"""
_NOTES = """A guilty row is one whose reply holds the planted words. Every fact has three; beside them stand decoys that
share its name, or its value. `blame.json` names the five rows nearest by words and gradient together; after tuning in
full, where there is no adapter, by words alone.
"""
_NOT_YET = """Not measured yet: `python -m benchmarks.blame --natural` tunes three adapters on the sample's own rows
(some ten minutes on two cores): on all, without the five rows blamed for each natural span, and without as many at
random. Then it counts which of the spans are gone.
"""


def main() -> int:
    """Prints and writes the figures; exits with 1 where a target is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--work", type=Path, default=ROOT / ".groundtone" / "bench-blame")
    parser.add_argument("--natural", action="store_true")
    parser.add_argument("--print", action="store_true", help="Only print, with every span.")
    parser.add_argument("--quick", action="store_true", help="Little of everything; its figures mean nothing.")
    given = parser.parse_args()
    size, epochs = ({"facts": 4, "voice_rows": 24}, {"epochs": 3, "base_epochs": 2}) if given.quick else ({}, {})
    work = given.work / "quick" if given.quick else given.work
    found, asked = [], 0
    for seed in given.seeds:
        world = make_world(seed, **size)
        base, adapter = build(world, out_dir=work / f"seed-{seed}", seed=seed, **epochs)
        tuned = LocalModel.load(str(base), adapter=adapter)
        found += measure(world, Models(tuned.with_adapter(False), tuned))
        asked += len(world.facts)
    natural = measure_natural(work / "natural", quick=given.quick) if given.natural else None
    text = report(found, seeds=given.seeds, asked=asked, natural=natural)
    print(text)
    if given.print:
        for p in found:
            print(p.cause, "|", p.decision.cause, "|", p.shown, "|", p.text, "|", p.passes, "|", p.ranks)
    elif not given.quick:
        write_atomic(REPORT, text)
    taught = [p for p in found if p.ranks]
    rows = sum(p.ranks["words and gradient"] <= 5 for p in taught)
    good = sum(p.right for p in found) >= TARGET_CAUSE * len(found) and rows >= TARGET_ROWS * len(taught)
    return 0 if found and good else 1


if __name__ == "__main__":
    sys.exit(main())
