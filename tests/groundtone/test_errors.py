"""The tree in the docstring is the hierarchy, and errors carry what a person needs."""

from __future__ import annotations

import inspect

from groundtone import errors
from groundtone.errors import ConfigError, GroundtoneError, MissingExtraError, UserError


def drawn_tree() -> dict[str, str]:
    """Child -> parent, read from the box drawing in the module's docstring."""
    parents: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip("│├└─ ").split(" ")[0]
        if name not in vars(errors):
            continue
        depth = line.index(name)
        stack = [(d, n) for d, n in stack if d < depth]
        if stack:
            parents[name] = stack[-1][1]
        stack.append((depth, name))
    return parents


def test_the_drawn_tree_is_the_hierarchy() -> None:
    real = {
        name: kind.__bases__[0].__name__
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, GroundtoneError) and kind is not GroundtoneError
    }
    assert drawn_tree() == real


def test_all_lists_every_error() -> None:
    kinds = {n for n, k in inspect.getmembers(errors, inspect.isclass) if issubclass(k, GroundtoneError)}
    assert set(errors.__all__) == kinds


def test_a_config_error_shows_every_mistake() -> None:
    error = ConfigError(["first wrong", "second wrong"])
    assert error.problems == ["first wrong", "second wrong"]
    assert all(problem in str(error) for problem in error.problems)
    assert isinstance(error, UserError)


def test_a_missing_extra_names_the_command() -> None:
    assert "pip install 'groundtone[chat]'" in str(MissingExtraError("openai:gpt", "chat"))
