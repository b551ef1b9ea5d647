"""From a validated request to an answer on its way: who may ask, what is asked, and what is counted."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from groundtone.courtesy import plain_reply
from groundtone.drafting import LONGEST_CHARS
from groundtone.errors import UserError
from groundtone.server.arms import unknown_model
from groundtone.server.calls import Call
from groundtone.server.errors import ApiError, as_api_error
from groundtone.server.shapes import Asked, Message
from groundtone.server.state import Caller, State
from groundtone.server.work import Work
from groundtone.types import Answer, Turn


@dataclass(frozen=True, slots=True)
class Wanted:
    """One question with everything that the reply depends on."""

    model: str
    question: str
    history: tuple[Turn, ...]
    max_tokens: int
    stops: tuple[str, ...]
    whole: bool = True  # nobody reads it in pieces
    ignored: tuple[str, ...] = ()  # what the client sent and nothing looks at
    bound: str = ""  # the field that the client bounded the reply's length with


def wanted_of(
    asked: Asked, question: str, state: State, *, history: tuple[Turn, ...] = (), ignored: Sequence[str] = ()
) -> Wanted:
    """The question of a request, its reply's length within the server's bound. Raises 400 for an empty or long one."""
    if not question.strip():
        raise ApiError(400, "the question is empty: write what you want to know", param="messages")
    if len(question) > LONGEST_CHARS:
        message = f"the question has {len(question)} characters, {LONGEST_CHARS} are read: shorten it"
        raise ApiError(400, message, param="messages", code="question_too_long")
    given = state.settings
    bound, *beaten = [*asked.bounds, ""]
    length = min(asked.bounds.get(bound, given.model.max_new_tokens), given.server.max_tokens)
    fields = [*filter(None, beaten), *(name[:64] for name in list(asked.model_extra or {})[:32])]
    return Wanted(asked.model, question, history, length, asked.stops, not asked.stream, (*ignored, *fields), bound)


def conversation(messages: Sequence[Message]) -> tuple[str, tuple[Turn, ...], list[str]]:
    """The last user message, the turns before it, and what was left out; 400 where the user has not the last word.

    Messages of one side that follow each other are joined, as chat templates want user and assistant in alternation.
    System messages are left out: the voice is tuned, and the prompt is what it was tuned on.
    """
    spoken = [message for message in messages if message.role in ("user", "assistant")]
    ignored = sorted({f"{message.role} messages" for message in messages} - {"user messages", "assistant messages"})
    unread = sorted({kind for message in spoken for kind in message.unread})
    ignored += [f"{kind} parts" for kind in unread]
    if spoken and spoken[0].role == "assistant":
        ignored.append("assistant messages before the first question")
    while spoken and spoken[0].role == "assistant":
        spoken = spoken[1:]
    if not spoken or spoken[-1].role != "user":
        raise ApiError(400, "the last message must be the user's question", param="messages")
    turns: list[Turn] = []
    for message in spoken:
        role = "user" if message.role == "user" else "assistant"
        if turns and turns[-1].role == role:
            turns[-1] = Turn(role, f"{turns[-1].text}\n\n{message.said}")
        else:
            turns.append(Turn(role, message.said))  # type: ignore[arg-type]
    if unread and not turns[-1].text.strip():
        message_ = f"the question holds no text, only {', '.join(unread)}: text alone is read, so write the question"
        raise ApiError(400, message_, param="messages")
    return turns[-1].text, tuple(turns[:-1]), ignored


class Reply:
    """One reply in work: its parts as they come, then what it cost."""

    def __init__(self, state: State, caller: Caller, wanted: Wanted) -> None:
        """Raises 429 or 503 where the server takes nothing more on."""
        self.wanted = wanted
        self.created = int(time.time())
        self._state = state
        self._caller = caller
        self._call = Call(stops=wanted.stops, whole=wanted.whole)
        self._answer: Answer | None = None
        self._began = time.perf_counter()
        self._work: Work[str | Answer] = Work(
            state.desk, self._produce, cancel=self._call.cancel, timeout_s=state.settings.server.timeout_s
        )

    async def parts(self) -> AsyncIterator[str | Answer]:
        """Pieces of the reply, then the answer. Raises what went wrong."""
        metrics, end = self._state.metrics, "error"
        first = True
        try:
            async for part in self._work:
                if first:
                    metrics.first_s.observe(time.perf_counter() - self._began)
                    first = False
                if isinstance(part, Answer):
                    self._answer = part
                    end = "refused" if part.refused else self.finish
                    metrics.whole_s.observe(time.perf_counter() - self._began)
                yield part
        except GeneratorExit:
            end = "client left"
            raise
        finally:
            self.stop()
            call = self._call
            metrics.replied(
                self.wanted.model, prompt_tokens=call.prompt_tokens, reply_tokens=call.reply_tokens, end=end
            )

    async def answer(self) -> Answer:
        """The whole answer."""
        last: str | Answer = ""
        async for part in self.parts():
            last = part
        assert isinstance(last, Answer), "a stream ends with its answer"
        return last

    def stop(self) -> None:
        """Nobody wants the rest."""
        self._work.stop()

    @property
    def finish(self) -> str:
        """Why the reply ended: "stop" or "length"; text that no model wrote is whole."""
        return "stop" if self._replaced else self._call.finish

    @property
    def ignored(self) -> tuple[str, ...]:
        """What the client sent that had no effect on the answer; complete once the answer is there."""
        said = self._answer.text if self._answer else ""
        stop = ("stop",) if any(stop and stop in said for stop in self.wanted.stops) else ()
        bound = (self.wanted.bound,) if self.wanted.bound and self._replaced else ()
        return (*self.wanted.ignored, *stop, *bound)

    @property
    def _replaced(self) -> bool:
        """Whether the answer is none of the model's: a refusal of ours, a quotation, a fixed reply to a greeting."""
        answer = self._answer
        if answer is None:
            return False
        if not self._call.asked or answer.refused_by == "check" or "quoted_because" in answer.provenance:
            return True
        return "courtesy" in answer.provenance and plain_reply(self.wanted.question) in answer.text

    @property
    def usage(self) -> dict[str, Any] | None:
        """What was read and written, in tokens; None where a model does not count."""
        read, wrote = self._call.prompt_tokens, self._call.reply_tokens
        if read is None or wrote is None:
            return None
        return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}

    def _produce(self) -> Iterator[str | Answer]:
        """In a thread: the assistant's stream; an answer that failed is raised as what failed."""
        self._call.check()
        wanted, groups = self.wanted, self._caller.groups
        assistant = self._state.arms.assistant(wanted.model, self._call, max_new_tokens=wanted.max_tokens)
        if assistant.stand_in is None and assistant.withheld(groups):
            raise unknown_model(wanted.model)
        for part in assistant.stream(wanted.question, wanted.history, groups=groups):
            self._call.check()
            if isinstance(part, Answer) and part.error:
                raise self._call.error or UserError(part.error)
            yield part


def usage_of(replies: Sequence[Reply]) -> dict[str, Any] | None:
    """What several replies read and wrote together; None where one was not counted."""
    single = [reply.usage for reply in replies]
    known = [usage for usage in single if usage is not None]
    if len(known) < len(single):
        return None
    return {key: sum(usage[key] for usage in known) for key in known[0]}


def error_event(error: Exception) -> dict[str, Any]:
    """The data of a stream's last event where something went wrong in its midst."""
    return as_api_error(error).body
