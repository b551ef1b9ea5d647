"""What is reviewed next: doubtful before sure, odds before agreement, and never one page all the time."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from eval.selection import candidates, select_next
from groundtone.feedback import JudgedClaim
from groundtone.types import Answer, Claim, EvalRecord, HumanVerdict, Question, Verdict
from tests.eval.worlds import passage, question


def record(number: int, risk: float, *, source: str = "a.md", kind: str = "answerable") -> EvalRecord:
    shown = passage("The shop opens at nine.", source)
    verdict = "unsupported" if risk > 0.5 else "supported"
    claim = Claim("It opens at nine.", 0, 17, verdict, shown.id, "The shop", {"risk": risk})
    asked = Question(f"q{number}", "When?", kind=kind)
    return EvalRecord(f"q{number}", "tuned/rag", asked, Answer(f"a{number}", asked, claim.text, claims=(claim,)))


def verdict(key: str, person: str, value: HumanVerdict, **about: str) -> JudgedClaim:
    return JudgedClaim(Verdict(key, person, value), about)


def test_the_doubtful_come_first() -> None:
    some = candidates([record(n, risk) for n, risk in enumerate((0.01, 0.5, 0.97, 0.3))], [])
    assert [c.record.item_id for c in select_next(some, [], n=2)] == ["q1", "q3"]
    worth = [c.worth for c in select_next(some, [], n=4)]
    assert all(a >= b > 0 for a, b in pairwise(worth))


def test_odds_come_before_agreement_and_nobody_judges_twice() -> None:
    records = [record(n, 0.4) for n in range(3)]
    keys = [f"a{n}:0-17" for n in range(3)]
    judged = [verdict(keys[0], "Ann", "unsupported"), verdict(keys[1], "Ann", "supported")]
    judged += [verdict(keys[1], "Bo", "supported")]
    picked = select_next(candidates(records, judged, person="Cy"), judged, n=3)
    assert [c.key for c in picked] == [keys[0], keys[2], keys[1]]
    assert [c.key for c in candidates(records, judged, person="Ann")] == [keys[2]]


def test_a_queue_covers_the_documents_and_what_was_judged_counts() -> None:
    shown = [passage("The shop opens at nine.", f"{name}.md") for name in "abc"]
    records = []
    for n in range(30):
        own = shown[0] if n < 24 else shown[1] if n < 27 else shown[2]
        claim = Claim("It opens.", 0, 9, "supported", own.id, "", {"risk": 0.4 + n / 1000})
        asked = question(5 * (n % 24))
        records.append(EvalRecord(asked.id, f"arm{n}", asked, Answer(f"a{n}", asked, "It opens.", claims=(claim,))))
    some = candidates(records, [])
    documents = Counter(c.document for c in select_next(some, [], n=9))
    assert max(documents.values()) < 9
    first = select_next(some, [], n=1)[0]
    known = [verdict("x", "Ann", "supported", document=first.document, cause=first.cause) for _ in range(20)]
    assert select_next(some, known, n=1)[0].document != first.document


def test_the_same_input_gives_the_same_queue_and_a_random_one_nests() -> None:
    records = [record(n, (n * 37 % 100) / 100) for n in range(40)]
    some = candidates(records, [])
    assert select_next(some, [], n=10) == select_next(list(reversed(some)), [], n=10)
    short, long = (select_next(some, [], n=n, how="random") for n in (5, 10))
    assert long[:5] == short
    assert select_next(some, [], n=10, how="random", seed=1) != long


def test_general_items_and_unchecked_claims_are_nobody_s_work() -> None:
    asked = Question("q", "?")
    unchecked = EvalRecord("q", "x", asked, Answer("a", asked, "It.", claims=(Claim("It.", 0, 3),)))
    failed = EvalRecord("q", "x", asked, None, error="timed out")
    assert candidates([unchecked, failed, record(1, 0.5, kind="general")], []) == []
