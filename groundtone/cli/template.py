"""The groundtone.yaml that `groundtone init` writes: two lines to change on top, every other setting as a comment.

The comments come from the settings' own descriptions, so the file cannot fall behind the code. Taking the first "# "
of any line away makes that setting count; lines that start with "##" are prose.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from groundtone.settings import SAMPLE_ROOT, SECTIONS, is_sample

_HEAD = """\
## Two lines to change: documents.folder and model.id. Everything that is commented out is at its default:
## take the "# " in front of a line away to change it, or use `--set section.key=value` for a single command.
"""
_WIDTH_CHARS = 112


def render(*, folder: str, model: str, root: Path) -> str:
    """The text of a new groundtone.yaml for a project in `root`.

    Where the sample company is on this machine, but not in this project, settings that name its files are written
    with their full path, so that every command works at once; a wheel has no sample company.
    """
    parts = [_HEAD]
    for name, section in SECTIONS.items():
        chosen = {"documents": {"folder": folder}, "model": {"id": model}}.get(name, {})
        why = ""
        if not chosen and not is_sample(root) and is_sample(SAMPLE_ROOT):
            chosen = _sample_paths(section)
            why = "## Paths into the sample company: name your own files instead.\n" if chosen else ""
        body = "\n".join(_lines(section, chosen=chosen, depth=1))
        parts.append(f"{why}{'' if chosen else '# '}{name}:\n{body}\n")
    return "\n".join(parts)


def _lines(section: type[BaseModel], *, chosen: Mapping[str, str], depth: int) -> Iterator[str]:
    """One block per setting: its description, then "key: value", commented out unless the value was chosen."""
    indent = "  " * depth
    for name, info in section.model_fields.items():
        for line in textwrap.wrap(info.description or "", _WIDTH_CHARS - len(indent)):
            yield f"# {indent}# {line}"
        inner = inner_model(info)
        if inner is not None:
            yield f"# {indent}{name}:"
            yield from _lines(inner, chosen={}, depth=depth + 1)
        elif name in chosen:
            yield f"{indent}{name}: {as_yaml(chosen[name])}"
        else:
            yield f"# {indent}{name}: {as_yaml(default_of(info))}"


def _sample_paths(section: type[BaseModel]) -> dict[str, str]:
    return {
        name: str(SAMPLE_ROOT / info.default)
        for name, info in section.model_fields.items()
        if isinstance(info.default, str) and info.default.startswith("data/")
    }


def inner_model(info: FieldInfo) -> type[BaseModel] | None:
    """The model of a nested section, also of one that may be switched off with null; None for a plain setting."""
    if get_origin(info.annotation) in (list, tuple, dict):  # several of a kind are one setting
        return None
    for annotation in (info.annotation, *get_args(info.annotation)):
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
    return None


def default_of(info: FieldInfo) -> Any:
    """A field's default as it was declared."""
    return info.get_default(call_default_factory=True, validated_data={})


def as_yaml(value: Any) -> str:
    """A value on one line: JSON, which is YAML, and words without quotes where YAML reads them back as themselves."""
    plain = (
        isinstance(value, str)
        and (value[:1].isalpha() or value[:1] == "/")
        and all(c.isalnum() or c in "/._-" for c in value)
    )
    if plain and value.lower() not in ("true", "false", "yes", "no", "on", "off", "null", "y", "n"):
        return str(value)
    return json.dumps(list(value) if isinstance(value, tuple | set | frozenset) else value, ensure_ascii=False)
