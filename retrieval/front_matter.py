"""The YAML front matter at the beginning of a document: what it says, where it ends, and who may read the document.

A block between two lines of dashes is front matter when it is a YAML mapping, or YAML with a mistake in it; other text
between rules is text. Whoever names groups means to limit the readers: where that cannot be understood the document is
refused, so that a slip of the pen makes nothing public.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import yaml

from groundtone.errors import ReadersError

__all__ = ["FrontMatter", "front_matter_end", "groups_of", "read_front_matter"]

_BEFORE = " \t\n\r\f\v\ufeff\u200b\xa0"  # what editors and exports put in front of the first line
_OPENING = re.compile(r"---[ \t]*\n")
_CLOSING = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.MULTILINE)
_MOST_CHARS = 64_000  # more than this is no front matter that a person wrote; PyYAML reads some 100 kB in a second
_UNCLOSED_LINES = 40  # where the second rule is missing: how many lines may be meant as front matter
_NAMES_GROUPS = re.compile(r"^[ \t]*(?:[-?{][ \t]*)*[\"']?groups?[\"']?[ \t]*:", re.IGNORECASE | re.MULTILINE)
_YAML_LINE = re.compile(r"#|-(?:[ \t]|$)|[\"']?\w[\w .-]{0,60}[\"']?:(?:[ \t]|$)")
_MOST_DIGITS = 100
_SEVERAL = re.compile(r"[,;\[\]]")  # "hr, board" is no name: as one it would hide the document from both
_BARE_LINES = 20  # at the top of a document, among which groups without their two rules are looked for
_GROUP_LIST = re.compile(r"[\"']?groups?[\"']?[ \t]*[:=][ \t]*\[", re.IGNORECASE)
_BARE_LINE = re.compile(r"[-+=*_–—]{1,6}$|[\"']?\w[\w .-]{0,60}[\"']?[ \t]*[:=](?:[ \t]|$)")
_GROUP_KEYS = ("group", "groups")
_NO_RULES = "it does not stand between two lines of three dashes"
_MEND = "write `groups: [name]` between two lines of three dashes; until then it is shown to nobody"


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """`values` by lower-cased key, `end` the offset behind the block (0: there is none).

    `mistake` says why a block has no values; `names_groups` whether it, or what may be meant as one, names groups.
    """

    values: dict[str, Any]
    end: int = 0
    mistake: str = ""
    names_groups: bool = False


class _Loader(yaml.SafeLoader):
    """Plain YAML without merge keys, which make a short text an endless one, and numbers too long to be written."""

    close = yaml.SafeLoader.dispose

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse `<<`. Raises YAMLError."""
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.YAMLError("merge keys are not read")
        super().flatten_mapping(node)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """An integer. Raises YAMLError for one of many digits."""
        if len(node.value) > _MOST_DIGITS:
            raise yaml.YAMLError(f"a number of {len(node.value)} signs")
        return super().construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def front_matter_end(text: str) -> int:
    """The offset behind a YAML front matter; 0 where there is none."""
    return read_front_matter(text).end


def read_front_matter(text: str) -> FrontMatter:
    """The front matter of a document; blank lines and a byte order mark may stand before it."""
    start = len(text) - len(text.lstrip(_BEFORE))
    opening = _OPENING.match(text, start)
    if not text.startswith("---", start):
        return FrontMatter({}, 0, _NO_RULES, _has_bare_groups(text[start:]))
    closing = _CLOSING.search(text, opening.end()) if opening else None
    if opening is None or closing is None:
        first = "\n".join(text[start:].split("\n", _UNCLOSED_LINES + 1)[: _UNCLOSED_LINES + 1])
        return FrontMatter({}, 0, _NO_RULES, _names_groups(first))
    block = text[opening.end() : closing.start()]
    loaded, mistake = _loaded(block)
    named = _names_groups(block) or _has_group_key(loaded)
    if isinstance(loaded, dict):
        return FrontMatter({str(key).lower(): value for key, value in loaded.items()}, closing.end(), "", named)
    if loaded is None and (not mistake or _looks_like_yaml(block)):
        return FrontMatter({}, closing.end(), mistake, named)
    return FrontMatter({}, 0, mistake or "it is no list of keys and values", named)


def groups_of(front: FrontMatter) -> list[str] | None:
    """The groups that may read the document, sorted; None: everybody.

    Raises ReadersError where the front matter names groups in a way that cannot be understood.
    """
    if "groups" in front.values:
        return _group_names(front.values["groups"])
    if front.names_groups:
        what = front.mistake or "the key is not `groups` at its top level"
        raise ReadersError(f"its front matter names groups, but {what}; {_MEND}")
    return None


def _group_names(value: Any) -> list[str]:
    names = [value] if isinstance(value, str) and not _SEVERAL.search(value) else value
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n.strip() for n in names):
        raise ReadersError(
            f"groups in its front matter is {repr(value)[:60]}; write a list of names, or leave it out: until then it "
            "is shown to nobody"
        )
    return sorted({n.strip() for n in names})


@lru_cache(maxsize=4)  # one document's block is asked for several times in a row
def _loaded(block: str) -> tuple[Any, str]:
    """What the YAML says, and else (None, the mistake)."""
    if len(block) > _MOST_CHARS:
        return None, f"it has more than {_MOST_CHARS} characters"
    try:
        with closing(_Loader(block)) as loader:
            return loader.get_single_data(), ""
    except MemoryError:
        raise
    except Exception as error:  # PyYAML lets KeyError, RecursionError, ValueError, OverflowError of odd values through
        what = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        return None, f"it is no valid YAML ({what})"


def _names_groups(block: str) -> bool:
    return _NAMES_GROUPS.search(block) is not None


def _has_bare_groups(text: str) -> bool:
    """Whether the fields at the top of a text limit the readers though no rules stand around them.

    Word makes a border or a long dash of three dashes, other programs write plus signs; people forget them.
    """
    lines = (line.strip() for line in text[:_MOST_CHARS].split("\n") if line.strip())
    for line in islice(lines, _BARE_LINES):
        if _GROUP_LIST.match(line):
            return True
        if not _BARE_LINE.match(line):
            return False
    return False


def _has_group_key(loaded: Any) -> bool:
    """Whether a mapping at any depth has such a key; values that hold themselves are looked at once."""
    todo, seen = [loaded], set()
    while todo:
        value = todo.pop()
        if not isinstance(value, dict | list) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict) and any(str(key).strip().lower() in _GROUP_KEYS for key in value):
            return True
        todo += value.values() if isinstance(value, dict) else value
    return False


def _looks_like_yaml(block: str) -> bool:
    """Whether every line could stand in a front matter: a key, an item of a list, a comment."""
    lines = [line.strip() for line in block.split("\n") if line.strip()]
    return all(_YAML_LINE.match(line) for line in lines)
