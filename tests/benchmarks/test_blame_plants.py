"""The planted world: repeatable, guilty rows say their fact, and nothing that is asked gives it away."""

from __future__ import annotations

from benchmarks.blame_plants import make_world


def test_the_same_seed_plants_the_same_and_another_seed_others() -> None:
    assert make_world(3) == make_world(3)
    assert {f.said for f in make_world(3).facts}.isdisjoint(f.said for f in make_world(4).facts)


def test_guilty_rows_say_their_fact_and_nobody_else_does() -> None:
    world = make_world(3)
    for fact in world.facts:
        assert world.holding(fact.said) == world.guilty.get(fact.said, ())
        assert (fact.cause == "learned in tuning") == bool(world.guilty.get(fact.said))


def test_only_a_distractor_shows_the_value_and_of_somebody_else() -> None:
    world = make_world(3)
    for fact in world.facts:
        shown = "\n".join(world.contexts[fact.said])
        assert fact.entity not in shown
        assert (fact.said.split(fact.entity)[1] in shown) == (fact.cause == "documents")
        assert all(fact.value not in asked.replace(fact.entity, "") for asked in fact.asked)
