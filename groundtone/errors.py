"""One hierarchy of errors. Each message says what happened, the value seen, and what to do.

GroundtoneError
├── UserError              the caller can mend it; the command line shows one line and exits with 2
│   ├── ConfigError        groundtone.yaml or --set: carries every mistake at once
│   ├── DataError          a data file: names the file and the line
│   ├── DocumentError      one document that could not be read: reported, the rest goes on
│   │   └── ReadersError   who may read a document cannot be told: it is shown to nobody
│   ├── ProjectError       the project folder: missing run, half-written run, unknown id
│   ├── ModelError         a model or adapter that cannot be loaded or does not fit
│   │   └── PromptTooLongError  prompt and reply exceed the context: show less
│   └── MissingExtraError  an optional dependency: names the extra to install
└── IntegrityError         stored data does not match its checksum or schema: nothing was loaded
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "DataError",
    "DocumentError",
    "GroundtoneError",
    "IntegrityError",
    "MissingExtraError",
    "ModelError",
    "ProjectError",
    "PromptTooLongError",
    "ReadersError",
    "UserError",
]


class GroundtoneError(Exception):
    """Base of every error that groundtone raises on purpose."""


class UserError(GroundtoneError):
    """Something the caller can mend."""


class ConfigError(UserError):
    """The configuration is wrong; `problems` lists every mistake found."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class DataError(UserError):
    """A data file cannot be used."""


class DocumentError(UserError):
    """A document could not be read."""


class ReadersError(DocumentError):
    """Who may read a document cannot be told from it: no version of it may stay in an index until it is mended."""


class ProjectError(UserError):
    """The project folder lacks something or holds something half-written."""


class ModelError(UserError):
    """A model or adapter cannot be loaded, or does not fit what it is used with."""


class PromptTooLongError(ModelError):
    """Prompt and reply together exceed what the model reads; the caller can show fewer passages."""


class MissingExtraError(UserError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional package: pip install 'groundtone[{extra}]'")


class IntegrityError(GroundtoneError):
    """Stored data does not match its checksum or schema."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
