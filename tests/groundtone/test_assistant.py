"""The core idea end to end with a scripted voice: cite, check, refuse, shorten, and never leave a gap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from eval.claims import check_claims
from groundtone.assistant import Assistant, Mode, Voice
from groundtone.errors import ModelError, PromptTooLongError, UserError
from groundtone.models.extractive import ExtractiveModel
from groundtone.models.scripted import ScriptedModel
from groundtone.prompts import REFUSAL
from groundtone.types import Answer, Claim, Generation, Hit, Passage, Prompt, Question, Turn, VoicePair

SHELF = ("The Gannet weighs 21 kg.", "The Plover costs €90.", "The yard closes at 18:00.")


class Shelf:
    """Every text as a hit, those with a word of the query first."""

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        wanted = set(query.lower().split())
        scored = sorted(((len(wanted & set(t.lower().split())) / 4, t) for t in SHELF), reverse=True)
        return [Hit(Passage(f"p{t[4]}", "d", "d.md", t, 0, len(t)), s, best=((0, len(t)),)) for s, t in scored][:k]


class Narrow:
    """A model that reads prompts of at most `limit` characters."""

    name = "narrow"

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[Generation]:
        for prompt in prompts:
            if len(prompt.messages[-1]["content"]) > self.limit:
                raise PromptTooLongError("too long")
        return [Generation(f"{len(p.snippets)} passages [1].") for p in prompts]

    def stream(self, prompt: Prompt, *, max_new_tokens: int) -> Iterator[str]:
        yield self.generate([prompt], max_new_tokens=max_new_tokens)[0].text


class Broken(Narrow):
    name = "broken"

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[Generation]:
        raise ModelError("the server is gone: start it again")


def check(text: str, hits: Sequence[Hit]) -> tuple[Claim, ...]:
    return check_claims(text, [h.passage for h in hits])


def make(reply: str | ScriptedModel = "It weighs 21 kg [1].", **given: object) -> Assistant:
    generator = ScriptedModel(reply) if isinstance(reply, str) else reply
    return Assistant("test", generator=generator, retriever=Shelf(), check=check, **given)  # type: ignore[arg-type]


def test_an_answer_carries_hits_citations_claims_and_timing() -> None:
    answer = make("The Gannet weighs 21 kg [1].", k=2).ask("What does the Gannet weigh?")
    assert [c.passage_id for c in answer.citations] == ["pG"]
    assert [c.verdict for c in answer.claims] == ["supported"]
    assert set(answer.timing) == {"search", "generate", "check"}
    assert not answer.refused


def test_a_wrong_value_is_a_contradicted_claim_with_its_evidence() -> None:
    answer = make("The Gannet weighs 25 kg [1].").ask("What does the Gannet weigh?")
    (claim,) = answer.claims
    assert claim.verdict == "contradicted"
    assert claim.evidence == "The Gannet weighs 21 kg."
    assert "25" in claim.why


def test_a_refusal_cites_nothing_and_says_who_refused() -> None:
    by_model = make(REFUSAL).ask("Who is the mayor?")
    by_retrieval = make("Never asked.", min_score=0.9).ask("Who is the mayor?")
    assert (by_model.refused, by_model.refused_by, by_model.citations) == (True, "model", ())
    assert (by_retrieval.text, by_retrieval.refused_by) == (REFUSAL, "retrieval")


def test_the_hits_kept_can_be_more_than_the_passages_shown() -> None:
    shown = ScriptedModel(lambda prompt: f"{len(prompt.snippets)} shown [1].")
    answer = make(shown, k=1, search_k=3).ask("Gannet")
    assert answer.text == "1 shown [1]."
    assert len(answer.hits) == 3


def test_a_stream_joined_is_the_answer() -> None:
    assistant = make("The Gannet weighs 21 kg [1].")
    *pieces, last = assistant.stream("What does the Gannet weigh?")
    assert isinstance(last, Answer)
    assert "".join(str(p) for p in pieces) == last.text == assistant.ask("What does the Gannet weigh?").text


def test_passages_are_dropped_until_the_prompt_fits_for_each_question_alone() -> None:
    narrow = Narrow(100)
    assistant = Assistant("narrow", generator=narrow, retriever=Shelf(), k=3)
    short, long = Question("1", "Gannet"), Question("2", "What on earth does the good old Gannet weigh today?")
    answers = list(assistant.answer_many([short, long]))
    assert [a.text for a in answers] == ["2 passages [1].", "1 passages [1]."]
    *_, streamed = assistant.stream(long.text)
    assert isinstance(streamed, Answer)
    assert streamed.text == "1 passages [1]."


def test_a_prompt_that_never_fits_is_an_error_and_not_a_gap() -> None:
    assistant = Assistant("narrow", generator=Narrow(3), retriever=Shelf())
    (answer,) = assistant.answer_many([Question("1", "Gannet")])
    assert answer.error == "too long"
    with pytest.raises(UserError, match="too long"):
        assistant.ask("Gannet")


def test_a_failing_model_gives_each_question_its_error() -> None:
    assistant = Assistant("broken", generator=Broken(9), retriever=Shelf())
    answers = list(assistant.answer_many([Question(str(i), "Gannet") for i in range(3)]))
    assert [a.question.id for a in answers] == ["0", "1", "2"]
    assert {a.error for a in answers} == {"the server is gone: start it again"}


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_question_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(UserError, match="empty"):
        make().ask(text)


def test_batches_change_nothing() -> None:
    questions = [Question(str(i), text) for i, text in enumerate(["Gannet", "Plover", "yard", "mayor"])]
    one, three = (
        [
            a.text
            for a in Assistant("x", generator=ExtractiveModel(), retriever=Shelf(), batch_size=n).answer_many(questions)
        ]
        for n in (1, 3)
    )
    assert one == three


def test_closed_book_shows_no_passage_and_searches_nothing() -> None:
    seen: list[Prompt] = []
    model = ScriptedModel(lambda prompt: seen.append(prompt) or "From memory.")  # type: ignore[func-returns-value]
    answer = Assistant("closed", generator=model, mode="closed-book").ask("Gannet?")
    assert seen[0].snippets == ()
    assert "Gannet weighs" not in str(seen[0].messages)
    assert answer.hits == ()


def test_grounded_mode_without_a_retriever_is_refused_with_the_command_to_run() -> None:
    with pytest.raises(UserError, match="groundtone index"):
        Assistant("x", generator=ScriptedModel("y"))


def test_the_voice_is_told_by_guide_and_examples() -> None:
    seen: list[Prompt] = []
    model = ScriptedModel(lambda prompt: seen.append(prompt) or "Ahoy [1].")  # type: ignore[func-returns-value]
    voice = Voice("Say ahoy.", (VoicePair("Hi", "Ahoy!", "s"),))
    Assistant("told", generator=model, retriever=Shelf(), voice=voice).ask("Gannet?")
    system, example, reply, _ = seen[0].messages
    assert "Say ahoy." in system["content"]
    assert (example["content"], reply["content"]) == ("Question: Hi", "Ahoy!")


@pytest.mark.parametrize(
    "said",
    ["The Gannet weighs 21 kg [1].", "Ahoy! The Gannet weighs 21 kg [1].", "The Gannet weighs 21 kg [1]. Bye.",
     "Ahoy! The Gannet weighs 21 kg [1]. Bye.", "The Gannet weighs 99 kg [1]."],
)  # fmt: skip
def test_the_strict_mode_has_the_voice_s_phrases_around_every_reply(said: str) -> None:
    voice = Voice(opening="Ahoy!", closing="Bye.")
    answer = make(said, mode="strict", k=1, voice=voice).ask("What does the Gannet weigh?")
    assert answer.text == "Ahoy! The Gannet weighs 21 kg [1]. Bye."


class Forgetful(Narrow):
    """A model that reads conversations of at most `limit` messages, whatever stands in them."""

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[Generation]:
        for prompt in prompts:
            if len(prompt.messages) > self.limit:
                raise PromptTooLongError("too long")
        return [Generation(prompt.snippets[0].text.replace(".", " [1].")) for prompt in prompts]


@pytest.mark.parametrize("mode", ["grounded", "strict"])
def test_of_a_long_conversation_the_oldest_turns_go_before_any_passage(mode: Mode) -> None:
    turns = [Turn(role, f"{role} {n}") for n in range(20) for role in ("user", "assistant")]  # type: ignore[arg-type]
    assistant = Assistant("test", generator=Forgetful(6), retriever=Shelf(), k=2, mode=mode)
    answer = assistant.ask("What does the Gannet weigh?", history=turns)
    assert answer.text == "The Gannet weighs 21 kg [1]."
    *_, streamed = assistant.stream("What does the Gannet weigh?", history=turns)
    assert isinstance(streamed, Answer)
    assert streamed.text == answer.text


class Crammed(Narrow):
    """A model whose window has no room for a passage."""

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[Generation]:
        if any(prompt.snippets for prompt in prompts):
            raise PromptTooLongError("too long")
        return [Generation("It weighs a lot.") for _ in prompts]


def test_a_strict_reply_without_anything_to_quote_declines() -> None:
    """Never the house's phrases around nothing."""
    voice = Voice(opening="Ahoy!", closing="Bye.")
    answer = Assistant("test", generator=Crammed(1), retriever=Shelf(), k=1, mode="strict", voice=voice).ask("Gannet?")
    assert answer.refused
    assert answer.text == voice.declines("Gannet?")
