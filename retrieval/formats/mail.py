"""Mail (eml) through the standard library -> Markdown: subject, people, date, body; attachments are handed on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.utils import parsedate_to_datetime

from groundtone.errors import DocumentError
from retrieval import markup
from retrieval.formats.encodings import decode, one_line_end
from retrieval.formats.extract import Attachment, Extract, dated
from retrieval.wraps import unwrap

_PEOPLE = ("From", "To", "Cc", "Bcc")
_HEADERS = ("from", "to", "subject", "date", "received", "message-id", "mime-version", "content-type")
_ENCRYPTED = ("application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted")
_BODY = ("text/plain", "text/html")
_REPEATED = 0.8  # share of the words that two versions of one text have in common
_RICHER = 2.0  # an HTML body with this many times the words of the plain one is read instead


def read_eml(data: bytes) -> Extract:
    """The mail as a document. Raises DocumentError for one that is encrypted, or no mail."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in data[:200]:  # saved as UTF-16: no mail program does
        data = decode(data).text.encode()
    message = message_from_bytes(data.lstrip(), policy=policy.default)
    if not any(name in message for name in _HEADERS):
        raise DocumentError("it has none of a mail's headers (From, To, Subject ...); check that it is an .eml file")
    parts = list(_leaves(message))
    if any(part.get_content_type() in _ENCRYPTED for part in parts):
        raise DocumentError("the mail is encrypted; save it decrypted from the mail program")
    attachments, left_out = [], []
    for part in parts:
        kind, name = part.get_content_type(), _file_name(part)
        if _is_attached(part):
            attachments.append(Attachment(name or _unnamed(part), _payload(part)))
        elif kind not in _BODY and part.get_content_maintype() != "image":  # a picture without a name decorates it
            left_out.append(f"a part of type {kind}")
    sent = _date(header(message, "Date"))
    return compose(
        header(message, "Subject"),
        [(name, header(message, name)) for name in _PEOPLE],
        sent,
        "\n\n".join(_each_once(list(_said(message)))),
        attachments=attachments,
        left_out=left_out,
    )


def compose(
    subject: str,
    people: Sequence[tuple[str, str]],
    sent: datetime | None,
    text: str,
    *,
    attachments: Sequence[Attachment],
    left_out: Sequence[str],
) -> Extract:
    """A mail as Markdown: its subject as the heading, who wrote to whom and when as a list, then the body."""
    facts = [f"- {name}: {value}" for name, value in people if value]
    if sent:
        facts.append(f"- Date: {sent.isoformat(' ', 'minutes')}")
    if attachments:
        facts.append(f"- Attachments: {', '.join(one.name for one in attachments)}")
    heading = f"# {subject}" if subject else ""
    blocks = [heading, "\n".join(facts), text.strip()]
    meta: dict[str, object] = {**dated(sent), **({"left_out": list(left_out)} if left_out else {})}
    sender = next((value for name, value in people if name == "From"), "")
    if sender:
        meta["from"] = sender
    return Extract("\n\n".join(b for b in blocks if b), subject, meta=meta, attachments=tuple(attachments))


def body(plain: Sequence[str], pages: Sequence[str]) -> str:
    """The plain text of a mail, or its HTML where that says far more."""
    text = "\n\n".join(unwrap(one_line_end(p)).strip() for p in plain)
    rich = "\n\n".join(markup.read_html(page)[0].strip() for page in pages) if pages else ""
    return rich if len(rich.split()) > _RICHER * len(text.split()) else text


def _said(message: Message) -> Iterator[str]:
    """The texts of a mail one after another, one of those that are alternatives to one another."""
    if message.get_content_type() == "multipart/alternative":
        shown = [part for part in _leaves(message) if not _is_attached(part)]
        plain, pages = ([_text(part) for part in shown if part.get_content_type() == kind] for kind in _BODY)
        yield body(plain, pages)
    elif message.get_content_maintype() == "multipart" and message.is_multipart():
        for part in message.get_payload():
            yield from _said(part)  # type: ignore[arg-type]
    elif message.get_content_type() in _BODY and not _is_attached(message):
        text = [_text(message)]
        yield body(text, []) if message.get_content_type() == _BODY[0] else body([], text)


def _each_once(texts: Sequence[str]) -> list[str]:
    """Texts without those that another, hardly longer one repeats: some programs do not mark alternatives as such."""
    words = [frozenset(re.findall(r"\w+", text.lower())) for text in texts]
    kept: list[int] = []
    for at in sorted(range(len(texts)), key=lambda at: -len(words[at])):
        own = words[at]
        repeated = (len(own & words[o]) > _REPEATED * len(own) > _REPEATED**2 * len(words[o]) for o in kept)
        if texts[at].strip() and not any(repeated):
            kept.append(at)
    return [texts[at] for at in sorted(kept)]


def _is_attached(part: Message) -> bool:
    kind = part.get_content_type()
    return bool(_file_name(part)) or part.get_content_disposition() == "attachment" or kind == "message/rfc822"


def header(message: Message, name: str) -> str:
    """A header in one line, decoded; "" where it is missing or beyond repair."""
    try:
        value = str(message.get(name) or "")
    except (ValueError, IndexError, AttributeError, TypeError, LookupError):  # the parser, on malformed headers
        value = next((v for key, v in message.raw_items() if key.lower() == name.lower()), "")
    return " ".join(value.encode("utf-8", "replace").decode().split())


def _date(value: str) -> datetime | None:
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            return parse(value)
        except (ValueError, TypeError):
            continue
    return None


def _leaves(message: Message) -> Iterator[EmailMessage]:
    """The parts that hold something; a mail inside a mail is one of them."""
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        for part in message.get_payload():
            yield from _leaves(part)  # type: ignore[arg-type]
    else:
        yield message  # type: ignore[misc]


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename() or ""
    except (ValueError, IndexError, AttributeError, TypeError, LookupError):
        name = ""
    return re.sub(r"[\x00-\x1f/\\]+", "_", name).strip()


def _unnamed(part: Message) -> str:
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload(0) if part.is_multipart() else part
        return f"{re.sub(r'[/]+', '_', header(inner, 'Subject')) or 'mail'}.eml"  # type: ignore[arg-type]
    return f"unnamed.{part.get_content_subtype()}"


def _payload(part: Message) -> bytes:
    if part.get_content_type() == "message/rfc822" and part.is_multipart():
        return part.get_payload(0).as_bytes(policy=policy.compat32)  # type: ignore[union-attr]
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def _text(part: Message) -> str:
    """A text part in the encoding that it declares, else the likeliest."""
    found = _payload(part)
    charset = part.get_content_charset()
    if charset:
        try:
            return found.decode(charset)
        except (LookupError, UnicodeDecodeError):
            return decode(found).text
    return decode(found).text
