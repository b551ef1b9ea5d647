"""groundtone.yaml plus dotted overrides, validated against a table of sections that is handed in.

Every mistake is reported at once, each with its key, where it stands and, for a misspelt key, the nearest right one.
Knows no feature: which section belongs to whom is said in settings.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from groundtone.errors import ConfigError
from groundtone.manifest import mask_secrets

KeyPath = tuple[str, ...]
Section = TypeVar("Section", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Config:
    """Validated sections; `given` is what the file and the overrides said, without defaults."""

    sections: Mapping[str, BaseModel]
    given: Mapping[str, Any]

    def section(self, name: str) -> BaseModel:
        """The validated section of that name; a name that is not in the table is a KeyError."""
        return self.sections[name]

    def typed(self, name: str, model: type[Section]) -> Section:
        """The section as its own type."""
        section = self.sections[name]
        assert isinstance(section, model), f"section {name} is a {type(section).__name__}"
        return section

    def resolved(self) -> dict[str, Any]:
        """Every section with its defaults filled in, as plain JSON data."""
        return {name: section.model_dump(mode="json") for name, section in self.sections.items()}


@dataclass(slots=True)
class _Source:
    """The tree as given, where each key stands ("groundtone.yaml:12" or "--set ..."), and what was wrong so far."""

    tree: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def place(self, path: KeyPath) -> str:
        """Where the key, or the nearest key above it, was given: " (groundtone.yaml:12)" or ""."""
        while path and path not in self.places:
            path = path[:-1]
        return f" ({self.places[path]})" if path else ""


def load_config(path: Path | None, *, sections: Mapping[str, type[BaseModel]], overrides: Sequence[str] = ()) -> Config:
    """Read `path` (None: defaults only), apply overrides such as "tuning.lora.rank=8", validate every section.

    Raises ConfigError with every mistake at once. Values of overrides are read as YAML.
    """
    source = _Source()
    if path is not None:
        _read_file(path, source)
    for override in overrides:
        _apply(override, source)
    validated = _validate(source, sections)
    if source.problems:
        raise ConfigError(source.problems)
    return Config(validated, source.tree)


def _read_file(path: Path, source: _Source) -> None:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError([f"{path} does not exist: run `groundtone init DOCS_FOLDER` to write one"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path} cannot be read as UTF-8 text: {error}"]) from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError([f"{path} is not valid YAML: {' '.join(str(error).split())}"]) from error
    if tree is None:
        return
    if not isinstance(tree, dict):
        raise ConfigError([f"{path} must hold sections such as `model:`, but it holds a {type(tree).__name__}"])
    source.tree = tree
    assert isinstance(node, yaml.MappingNode)
    _note_places(node, (), path.name, source)


def _note_places(node: yaml.MappingNode, above: KeyPath, name: str, source: _Source) -> None:
    """Remember the line of every key, and report keys given twice, of which YAML would silently keep the last."""
    for key, value in node.value:
        here = (*above, str(key.value))
        place = f"{name}:{key.start_mark.line + 1}"
        if here in source.places:
            source.problems.append(f"{'.'.join(here)} is given twice ({source.places[here]} and {place})")
        source.places[here] = place
        if isinstance(value, yaml.MappingNode):
            _note_places(value, here, name, source)


def _apply(override: str, source: _Source) -> None:
    dotted, equals, raw = override.partition("=")
    path = tuple(part.strip() for part in dotted.split("."))
    if not equals or len(path) < 2 or not all(path):
        source.problems.append(f"--set {override!r} must look like section.key=value")
        return
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        source.problems.append(f"--set {override!r}: the value is not valid YAML: {' '.join(str(error).split())}")
        return
    branch = source.tree
    for depth, part in enumerate(path[:-1], 1):
        child = branch.get(part)
        if child is None:
            child = branch[part] = {}
        if not isinstance(child, dict):
            source.problems.append(
                f"--set {override!r}: {'.'.join(path[:depth])} is a value ({child!r}), not a section"
            )
            return
        branch = child
    branch[path[-1]] = value
    for depth in range(1, len(path)):
        source.places.setdefault(path[:depth], f"--set {dotted}")
    source.places[path] = f"--set {dotted}"


def _validate(source: _Source, sections: Mapping[str, type[BaseModel]]) -> dict[str, BaseModel]:
    for name in source.tree:
        if name not in sections:
            source.problems.append(_unknown((str(name),), list(sections), "section", source))
    validated: dict[str, BaseModel] = {}
    for name, model in sections.items():
        values = source.tree.get(name)
        try:
            validated[name] = model.model_validate({} if values is None else values)
        except ValidationError as error:
            for detail in error.errors():
                source.problems.append(_explain(name, detail, sections, source))
    return validated


def _explain(name: str, detail: ErrorDetails, sections: Mapping[str, type[BaseModel]], source: _Source) -> str:
    path = (name, *(str(part) for part in detail["loc"]))
    if detail["type"] == "extra_forbidden":
        known = list(_fields_at(sections[name], path[1:-1]))
        elsewhere = sorted(_homes(path[-1], sections), key=lambda home: home[0] != name)
        if not get_close_matches(path[-1], known, n=1) and elsewhere:
            return f"unknown key {'.'.join(path)}{source.place(path)}; did you mean {'.'.join(elsewhere[0])}?"
        return _unknown(path, known, "key", source)
    dotted, place = ".".join(path), source.place(path)
    if detail["type"] == "missing":
        return f"{dotted}{place} is missing and has no default"
    reason = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    shown = mask_secrets({path[-1]: detail["input"]})[path[-1]]
    return f"{dotted}{place}: {reason[:1].lower()}{reason[1:]}, got {shown!r}"


def _unknown(path: KeyPath, known: list[str], what: str, source: _Source) -> str:
    near = get_close_matches(path[-1], known, n=1, cutoff=0.5)
    hint = f"did you mean {'.'.join((*path[:-1], near[0]))}?" if near else f"known here: {', '.join(known)}"
    return f"unknown {what} {'.'.join(path)}{source.place(path)}; {hint}"


def _fields_at(model: type[BaseModel], path: KeyPath) -> Iterator[str]:
    """Field names of the model that `path` leads to; unions and optional sections are searched through."""
    if not path:
        yield from model.model_fields
        return
    if path[0] in model.model_fields:
        for inner in _models_in(model.model_fields[path[0]].annotation):
            yield from _fields_at(inner, path[1:])


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _homes(key: str, sections: Mapping[str, type[BaseModel]]) -> Iterator[KeyPath]:
    """Full paths of every field of that name, for a right key in the wrong place ("tuning.rank")."""
    waiting: list[tuple[KeyPath, type[BaseModel]]] = [((name,), model) for name, model in sections.items()]
    while waiting:
        path, model = waiting.pop(0)
        for name, info in model.model_fields.items():
            if name == key:
                yield (*path, name)
            waiting += [((*path, name), inner) for inner in _models_in(info.annotation)]
