"""Rules that a reply must keep: each is a row of data, and each fault has its place. The table below is all of them.

They stand under `validators` in style.yaml, or in `eval.validators` of groundtone.yaml; no rule needs code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from eval.splitting import blank_markers
from groundtone.errors import DataError
from groundtone.text import sentence_spans, word_spans

__all__ = ["VALIDATORS", "Fault", "Rule", "faults", "read_rules"]

_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?```\s*\Z", re.DOTALL)
_HEADING = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fault:
    """What breaks a rule in the reply's characters start:end; a thing that is missing stands where it should be."""

    start: int
    end: int
    why: str


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("", description="What the rule is called; by default, what it says.")
    applies: Literal["all", "answers", "refusals"] = Field("all", description="Which replies must keep it.")

    @property
    def title(self) -> str:
        """The name, or the kind with what was given."""
        given = self.model_dump(exclude_defaults=True, exclude={"name", "applies", "kind"}, by_alias=True)
        return self.name or f"{self.model_dump()['kind']}: " + ", ".join(f"{k} {_brief(v)}" for k, v in given.items())


class Regex(_Rule):
    """The pattern is found in the reply, or is not."""

    kind: Literal["regex"]
    pattern: str = Field(min_length=1)
    must: Literal["match", "not match"] = "match"

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is no regular expression ({error})") from error
        return value


class JsonSchema(_Rule):
    """The reply is one JSON document, alone or in a code fence, that the schema allows. Only local $refs resolve."""

    kind: Literal["json_schema"]
    given: dict[str, Any] = Field(alias="schema")

    @field_validator("given")
    @classmethod
    def _is_schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import validator_for

        try:
            validator_for(value).check_schema(value)
        except SchemaError as error:
            raise ValueError(f"it is no JSON schema ({error.message})") from error
        _check_refs(value)
        return value


class Headings(_Rule):
    """Markdown headings: the required ones are there in this order, and none lies deeper than `max_level`."""

    kind: Literal["headings"]
    required: tuple[str, ...] = ()
    max_level: int = Field(6, ge=0, le=6, description="0 forbids headings.")


class Length(_Rule):
    """How long a reply may be; citation markers do not count."""

    kind: Literal["length"]
    unit: Literal["words", "sentences", "characters"] = "words"
    min: int = Field(0, ge=0)
    max: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _is_range(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max is {self.max}, below min {self.min}")
        return self


class Banned(_Rule):
    """No phrase is said, in whole words and any case."""

    kind: Literal["banned"]
    phrases: tuple[str, ...] = Field(min_length=1)


class Required(_Rule):
    """Every phrase is said, in whole words and any case."""

    kind: Literal["required"]
    phrases: tuple[str, ...] = Field(min_length=1)


class Glossary(_Rule):
    """Preferred terms: {term to avoid: term to use}, so `customer: client` finds every "customer" and "customers"."""

    kind: Literal["glossary"]
    terms: dict[str, str] = Field(min_length=1)


class Opening(_Rule):
    """The reply begins with one of the phrases, to the letter."""

    kind: Literal["opening"]
    phrases: tuple[str, ...] = Field(min_length=1)


class Closing(_Rule):
    """The reply ends with one of the phrases, to the letter."""

    kind: Literal["closing"]
    phrases: tuple[str, ...] = Field(min_length=1)


Rule = Annotated[
    Regex | JsonSchema | Headings | Length | Banned | Required | Glossary | Opening | Closing,
    Field(discriminator="kind"),
]
_RULES: TypeAdapter[tuple[Rule, ...]] = TypeAdapter(tuple[Rule, ...])


def read_rules(data: Any, *, where: str) -> tuple[Rule, ...]:
    """The rules of a list of mappings. Raises DataError naming `where`, the rule's number from 1 and the field."""
    if not isinstance(data, list):
        raise DataError(f"{where}: validators is {data!r}; give a list of mappings, each with a kind")
    try:
        return _RULES.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        number, *fields = first["loc"]
        field = ".".join(str(part) for part in fields[1:])  # the first is the kind
        place = f"validator {int(number) + 1}" + (f", {field}" if field else "")
        raise DataError(f"{where}: {place}: {first['msg'].removeprefix('Value error, ')}") from error


def faults(rule: Rule, text: str, *, refused: bool = False) -> list[Fault] | None:
    """Everything in the reply that breaks the rule, in order of its place; None where the rule does not apply."""
    if rule.applies != "all" and (rule.applies == "refusals") != refused:
        return None
    return list(VALIDATORS[rule.kind](rule, text))


def _regex(rule: Regex, text: str) -> Iterator[Fault]:
    if rule.must == "match":
        if not re.search(rule.pattern, text):
            yield Fault(0, len(text), f"does not match {rule.pattern!r}")
        return
    for match in re.finditer(rule.pattern, text):
        yield Fault(*match.span(), f"matches {rule.pattern!r}: {match.group()!r}")


def _json_schema(rule: JsonSchema, text: str) -> Iterator[Fault]:
    fenced = _FENCE.match(text)
    start, end = fenced.span(1) if fenced else (0, len(text))
    try:
        found = json.loads(text[start:end])
    except ValueError as error:
        at = start + (error.pos if isinstance(error, json.JSONDecodeError) else 0)
        yield Fault(min(at, end), end, f"is not JSON ({error})")
        return
    for problem in sorted(
        _checker(json.dumps(rule.given, sort_keys=True)).iter_errors(found), key=lambda e: e.json_path
    ):
        yield Fault(
            *_place(text, problem.absolute_path, (start, end)), f"{problem.json_path}: {_brief(problem.message)}"
        )


@cache
def _checker(schema: str) -> Any:
    from jsonschema.validators import validator_for
    from referencing import Registry

    given = json.loads(schema)
    return validator_for(given)(given, registry=Registry())  # an empty registry fetches nothing


def _place(text: str, path: Sequence[str | int], whole: tuple[int, int]) -> tuple[int, int]:
    """Where the last key of the path stands, or the whole document."""
    at, found = whole[0], whole
    for key in path:
        match = re.compile(re.escape(json.dumps(key)) + r"\s*:").search(text, at, whole[1])
        if isinstance(key, str) and match:
            at, found = match.end(), match.span()
    return found


def _check_refs(schema: Mapping[str, Any]) -> None:
    """Raise ValueError for a $ref that leads out of the schema, or nowhere in it."""
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for ref in _refs(schema):
        try:
            resolver.lookup(ref)
        except Unresolvable as error:
            raise ValueError(f"its $ref {ref!r} leads nowhere in the schema; nothing is fetched") from error


def _refs(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    for inner in part if isinstance(part, list) else ():
        yield from _refs(inner)


def _headings(rule: Headings, text: str) -> Iterator[Fault]:
    found = list(_HEADING.finditer(text))
    at = 0
    for wanted in rule.required:
        places = [m for m in found if m.start() >= at and m[2].casefold() == wanted.casefold()]
        if places:
            at = places[0].end()
        elif any(m[2].casefold() == wanted.casefold() for m in found):
            yield Fault(at, at, f"has the heading {wanted!r} in another place")
        else:
            yield Fault(at, at, f"has no heading {wanted!r}")
    for match in found:
        if len(match[1]) > rule.max_level:
            yield Fault(*match.span(), f"has a heading of level {len(match[1])}, above {rule.max_level}")


def _length(rule: Length, text: str) -> Iterator[Fault]:
    spans = _UNITS[rule.unit](blank_markers(text))
    if len(spans) < rule.min:
        yield Fault(0, len(text), f"has {len(spans)} {rule.unit}, fewer than {rule.min}")
    if rule.max is not None and len(spans) > rule.max:
        yield Fault(spans[rule.max][0], len(text), f"has {len(spans)} {rule.unit}, more than {rule.max}")


_UNITS: Mapping[str, Callable[[str], Sequence[tuple[int, int]]]] = {
    "words": word_spans,
    "sentences": sentence_spans,
    "characters": lambda text: [match.span() for match in re.finditer(r"\S(?:\s(?=\S))?", text)],
}


def _banned(rule: Banned, text: str) -> Iterator[Fault]:
    for phrase in rule.phrases:
        if match := _phrase(phrase).search(text):
            yield Fault(*match.span(), f"says {phrase!r}")


def _required(rule: Required, text: str) -> Iterator[Fault]:
    for phrase in rule.phrases:
        if not _phrase(phrase).search(text):
            yield Fault(0, len(text), f"does not say {phrase!r}")


def _glossary(rule: Glossary, text: str) -> Iterator[Fault]:
    for avoided, preferred in rule.terms.items():
        for match in _phrase(avoided, plural=True).finditer(text):
            yield Fault(*match.span(), f"says {match.group()!r}; our word is {preferred!r}")


def _phrase(phrase: str, *, plural: bool = False) -> re.Pattern[str]:
    inner = r"\s+".join(re.escape(word) for word in phrase.split())
    return re.compile(rf"(?<!\w){inner}{'(?:s|es)?' if plural else ''}(?!\w)", re.IGNORECASE)


def _opening(rule: Opening, text: str) -> Iterator[Fault]:
    bare = text.lstrip()
    if not bare.startswith(rule.phrases):
        start = len(text) - len(bare)
        yield Fault(start, min(len(text), start + len(rule.phrases[0])), f"does not open with {rule.phrases[0]!r}")


def _closing(rule: Closing, text: str) -> Iterator[Fault]:
    bare = text.rstrip()
    if not bare.endswith(rule.phrases):
        yield Fault(max(0, len(bare) - len(rule.phrases[0])), len(bare), f"does not close with {rule.phrases[0]!r}")


def _brief(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


VALIDATORS: Mapping[str, Callable[[Any, str], Iterator[Fault]]] = {
    "regex": _regex,
    "json_schema": _json_schema,
    "headings": _headings,
    "length": _length,
    "banned": _banned,
    "required": _required,
    "glossary": _glossary,
    "opening": _opening,
    "closing": _closing,
}
