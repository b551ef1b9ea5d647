"""What an assistant does beyond one answer: doubts its own words, drafts, names disagreements, keeps callers apart."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from eval.claims import check_claims
from groundtone.assistant import Assistant, Mode, Voice
from groundtone.disagreements import disagreements
from groundtone.drafting import LONGEST_CHARS, asks, draft
from groundtone.errors import UserError
from groundtone.events import Cited, Done, Judged, Token
from groundtone.models.extractive import ExtractiveModel
from groundtone.models.scripted import ScriptedModel
from groundtone.settings import AssistantConfig
from groundtone.types import Answer, Citation, Claim, Document, Hit, Passage, Prompt, Turn

TEXTS = {
    "gannet.md": "The Gannet bike weighs 21 kg.",
    "plover.md": "The Plover bike costs €90.",
    "old.md": "The Gannet bike weighs 24 kg.",
    "board.md": "The Gannet bike margin is 40 percent.",
}
DATES = {"gannet.md": "2026-02-01", "old.md": "2024-01-01"}
GOOD, BAD = "The Gannet bike weighs 21 kg [1].", "It was built by 900 monks in Peru [1]."


class Shelf:
    """Hits by shared words; board.md is for the board alone."""

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        wanted = set(query.lower().strip("?.").split())
        open_to = [s for s in TEXTS if s != "board.md" or "board" in groups]
        scored = sorted(((len(wanted & set(TEXTS[s].lower().split())), s) for s in open_to), key=lambda x: -x[0])
        found = [(n / 10, s, TEXTS[s]) for n, s in scored if n]
        return [Hit(Passage(s, s, s, t, 0, len(t)), n, best=((0, len(t)),)) for n, s, t in found][:k]

    def document(self, doc_id: str) -> Document:
        return Document.of(doc_id, TEXTS[doc_id], **({"effective": DATES[doc_id]} if doc_id in DATES else {}))


def check(text: str, hits: Sequence[Hit]) -> tuple[Claim, ...]:
    return check_claims(text, [h.passage for h in hits], boilerplate=("Ahoy!", "Bye."))


def make(model: Any, **given: Any) -> Assistant:
    generator = ScriptedModel(model) if not isinstance(model, ExtractiveModel) else model
    return Assistant("test", generator=generator, retriever=Shelf(), check=check, **given)


def spans_hold(answer: Answer) -> bool:
    markers = all(answer.text[c.start : c.end].startswith("[") for c in answer.citations)
    return markers and all(answer.text[c.start : c.end] == c.text for c in answer.claims)


def test_doubts_are_flagged_and_nothing_is_changed() -> None:
    answer = make(f"{GOOD} {BAD}").ask("What does the Gannet bike weigh?")
    assert answer.text == f"{GOOD} {BAD}"
    assert [c.verdict for c in answer.claims] == ["supported", "unsupported"]


def test_doubts_are_removed_with_their_markers_and_the_voice_stays() -> None:
    voice = Voice(opening="Ahoy!", closing="Bye.")
    answer = make(f"Ahoy! {GOOD} {BAD} Bye.", on_doubt="remove", voice=voice).ask("What does the Gannet bike weigh?")
    assert answer.text == f"Ahoy! {GOOD} Bye."
    assert len(answer.citations) == 1
    assert spans_hold(answer)
    assert answer.provenance["removed"] == "1"


def test_a_reply_of_nothing_but_doubts_becomes_a_refusal_in_the_voice() -> None:
    voice = Voice(opening="Ahoy!", closing="Bye.", refusal="Ahoy! That is not in our handbook. Bye.")
    answer = make(f"Ahoy! {BAD} Bye.", on_doubt="remove", voice=voice).ask("What does the Gannet bike weigh?")
    assert (answer.text, answer.refused, answer.refused_by) == (voice.refusal, True, "check")
    assert (answer.citations, answer.claims) == ((), ())


def test_a_second_try_is_told_why_and_taken_only_where_it_is_better() -> None:
    prompts: list[Prompt] = []

    def mending(prompt: Prompt) -> str:
        prompts.append(prompt)
        return GOOD if len(prompt.messages) > 2 else f"{GOOD} {BAD}"

    answer = make(mending, on_doubt="regenerate").ask("What does the Gannet bike weigh?")
    assert (answer.text, answer.provenance["second_try"]) == (GOOD, "taken")
    assert "900 monks" in prompts[1].messages[-1]["content"]
    assert spans_hold(answer)
    stubborn = make(f"{GOOD} {BAD}", on_doubt="regenerate").ask("What does the Gannet bike weigh?")
    assert (stubborn.text, stubborn.provenance["second_try"]) == (f"{GOOD} {BAD}", "no better")


@pytest.mark.parametrize("how", ["flag", "regenerate", "remove"])
def test_events_join_to_the_answer_whatever_is_done_about_doubts(how: str) -> None:
    *events, last = make(f"{GOOD} {BAD}", on_doubt=how).events("What does the Gannet bike weigh?")
    assert isinstance(last, Done)
    assert "".join(e.text for e in events if isinstance(e, Token)) == last.answer.text
    assert tuple(e.claim for e in events if isinstance(e, Judged)) == last.answer.claims
    assert [e.citation.start for e in events if isinstance(e, Cited)] == [c.start for c in last.answer.citations]
    assert ("monks" in last.answer.text) == (how != "remove")


def test_an_empty_question_is_refused_before_anything_is_streamed() -> None:
    with pytest.raises(UserError, match="empty"):
        next(make(GOOD).stream(" "))


def test_off_without_quotation_marks_is_off() -> None:
    assert AssistantConfig.model_validate({"self_check": False}).self_check == "off"
    assert not AssistantConfig(self_check="off").check


def test_documents_that_disagree_are_named_with_their_dates() -> None:
    (found,) = make(GOOD).ask("What does the Gannet bike weigh?").disagreements
    assert (found.source, found.date) == ("gannet.md", "2026-02-01")
    assert (found.other_source, found.other_date) == ("old.md", "2024-01-01")
    assert "21" in found.why
    assert "24" in found.why
    assert make("The Plover bike costs €90 [1].").ask("What costs the Plover?").disagreements == ()


def test_two_things_with_a_value_each_do_not_disagree() -> None:
    def said(text: str, source: str, heading: str) -> Hit:
        return Hit(Passage(source, source, source, text, 0, len(text), heading=heading), 1.0)

    hits = [
        said("The Gannet 2 weighs 52 kg with its battery.", "gannet-2.md", "Gannet 2"),
        said("The Gannet 2S weighs 58 kg with its battery.", "gannet-2s.md", "Gannet 2S"),
        said("On Saturdays the store closes at 16:00.", "quay.md", "Quay Lane"),
        said("On Saturdays the Millgate store closes at 14:00.", "millgate.md", "Millgate"),
        said("On Saturdays the store closes at 13:00.", "quay-old.md", "Quay Lane"),
    ]
    cited = [Citation(0, 3, hit.passage.doc_id, hit.passage.id, 0, len(hit.passage.text)) for hit in hits]
    found = disagreements([cited[0], cited[2]], hits, dates=lambda hit: "")
    assert [(one.source, one.other_source) for one in found] == [("quay.md", "quay-old.md")]


def test_a_message_is_taken_apart_into_what_it_asks() -> None:
    message = (
        "Dear team,\n\nMy Gannet came bent. How do I report it? Please send me the price of the Plover.\n\nBest, Ann"
    )
    assert asks(message) == ["My Gannet came bent. How do I report it?", "Please send me the price of the Plover."]
    assert asks("An invitation for the open day") == ["An invitation for the open day"]


def test_a_draft_answers_every_part_numbers_its_sources_through_and_names_what_is_unknown() -> None:
    said = {
        "What does the Gannet bike weigh?": GOOD,
        "What does the Plover bike cost?": "The Plover bike costs €90 [1].",
    }
    voice = Voice(opening="Ahoy!", closing="Bye.")
    answer = draft(make(said, voice=voice), f"Hello! {' '.join(said)} Who is the mayor?")
    assert answer.text.startswith("Ahoy! The Gannet bike weighs 21 kg [1]. The Plover bike costs €90 [2].")
    assert answer.text.endswith("“Who is the mayor?” I do not know. The passages do not say. Bye.")
    assert [c.passage_id for c in answer.citations] == ["gannet.md", "plover.md"]
    assert {c.verdict for c in answer.claims} == {"supported"}
    assert spans_hold(answer)
    assert not answer.refused


def test_a_draft_of_unknown_things_alone_is_a_refusal() -> None:
    answer = draft(make({}), "Who is the mayor? Where is the moon?")
    assert answer.refused
    assert answer.citations == ()


@pytest.mark.parametrize("between", ["? What", ", and what"])
@pytest.mark.parametrize("mode", ["grounded", "strict"])
def test_a_whole_draft_is_one_prompt_over_what_was_found_for_every_part(mode: Mode, between: str) -> None:
    prompts: list[Prompt] = []
    model = ScriptedModel(lambda prompt: prompts.append(prompt) or GOOD)  # type: ignore[func-returns-value]
    message = f"What does the Gannet bike weigh{between} does the Plover bike cost?"
    answer = draft(Assistant("w", generator=model, retriever=Shelf(), k=2, mode=mode), message, how="whole")
    assert len(prompts) == 1
    assert {"gannet.md", "plover.md"} <= {s.hit.passage.id for s in prompts[0].snippets}
    assert message in prompts[0].messages[-1]["content"]
    assert answer.question.text == message


@pytest.mark.parametrize(("message", "why"), [(" ", "empty"), ("x" * (LONGEST_CHARS + 1), "characters")])
def test_a_message_that_cannot_be_drafted_for_is_refused(message: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        draft(make(GOOD), message)


def test_groups_limit_what_is_found_shown_and_drafted() -> None:
    assistant = make(ExtractiveModel(), k=4, context="passages")
    asked = "What is the Gannet bike margin?"
    assert "40 percent" in assistant.ask(asked, groups=["board"]).text
    for answer in (assistant.ask(asked), draft(assistant, f"{asked} And the weight of the Gannet bike?")):
        assert "board.md" not in {hit.passage.source for hit in answer.hits}
        assert "40" not in answer.text


def test_nothing_of_one_conversation_reaches_another() -> None:
    def parrot(prompt: Prompt) -> str:
        return " ".join(message["content"] for message in prompt.messages if message["role"] != "system")

    assistant = make(parrot, max_new_tokens=500)

    def one(n: int) -> str:
        secret = f"secret{n:03d}"
        history = (Turn("user", f"My word is {secret}"), Turn("assistant", "Noted."))
        *_, last = assistant.stream("What does the Gannet bike weigh?", history, groups=["board"] if n % 2 else [])
        assert isinstance(last, Answer)
        assert ("board.md" in {hit.passage.source for hit in last.hits}) == bool(n % 2)
        return last.text

    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(one, range(40)))
    assert all(
        [f"secret{m:03d}" in text for m in range(40)] == [m == n for m in range(40)] for n, text in enumerate(texts)
    )
