"""What is attached to a mail becomes part of its text, and limits who may read it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Protocol

from groundtone.errors import DocumentError, ReadersError
from retrieval.formats.encodings import one_line_end
from retrieval.formats.extract import Attachment, Extract
from retrieval.front_matter import groups_of, read_front_matter

_MAX_ATTACHMENTS, _MAX_DEPTH = 50, 3  # of one mail; of mails inside mails


class Read(Protocol):
    """What reads an attachment by its suffix; `depth` counts the mails around it."""

    def __call__(self, data: bytes, suffix: str, depth: int) -> Extract: ...


def with_attachments(found: Extract, depth: int, *, kinds: Collection[str], read: Read) -> Extract:
    """A mail with the text of what is attached to it, each below a heading; what could not be read is named.

    Whoever may not read an attachment may not read the mail, which holds its text. Raises ReadersError where that
    leaves nobody, or where an attachment does not tell its readers.
    """
    if not found.attachments:
        return found
    texts, left_out = [found.text], list(found.meta.get("left_out", ()))
    groups = _readers(found)
    for number, attachment in enumerate(found.attachments, 1):
        suffix = PurePosixPath(attachment.name).suffix.lower()
        if number > _MAX_ATTACHMENTS or depth >= _MAX_DEPTH:
            left_out.append(f"attachment {attachment.name}: beyond the limit of {_MAX_ATTACHMENTS}, {_MAX_DEPTH} deep")
            continue
        if attachment.message is None and (suffix not in kinds or not attachment.data):
            what = f"files of kind {suffix!r} are not read" if attachment.data else "it has 0 bytes"
            left_out.append(f"attachment {attachment.name}: {what}")
            continue
        try:
            inner = _inner(attachment, suffix, depth + 1, kinds=kinds, read=read)
            groups = _joint(groups, _readers(inner))
        except ReadersError as error:
            raise ReadersError(f"attachment {attachment.name}: {error}") from error
        except DocumentError as error:
            left_out.append(f"attachment {attachment.name}: {error}")
            continue
        below = re.sub(r"^(#{1,4})(?= )", r"##\1", one_line_end(inner.text).strip(), flags=re.MULTILINE)
        texts.append(f"## Attachment {attachment.name}\n\n{below}")
        left_out += [f"attachment {attachment.name}: {what}" for what in inner.meta.get("left_out", ())]
    meta = {**found.meta, **({"left_out": left_out} if left_out else {}), **({"groups": groups} if groups else {})}
    return replace(found, text="\n\n".join(texts), meta=meta, attachments=())


def _inner(attachment: Attachment, suffix: str, depth: int, *, kinds: Collection[str], read: Read) -> Extract:
    if attachment.message is None:
        return read(attachment.data, suffix, depth)
    return with_attachments(attachment.message, depth, kinds=kinds, read=read)


def _readers(found: Extract) -> list[str]:
    """The groups that may read a file; empty: everybody. Raises ReadersError where that cannot be told."""
    named: list[str] | None = found.meta.get("groups") or groups_of(read_front_matter(one_line_end(found.text)))
    return named or []


def _joint(groups: list[str], others: list[str]) -> list[str]:
    """The groups that may read both of two files. Raises ReadersError where there is none."""
    both = sorted({*groups} & {*others}) if groups and others else groups or others
    if (groups or others) and not both:
        raise ReadersError(
            f"it is for {', '.join(others)}, what else the mail holds for {', '.join(groups)}; keep them in mails of "
            "their own: until then it is shown to nobody"
        )
    return both
