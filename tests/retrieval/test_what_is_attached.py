"""Mails: what is attached limits who may read them, and no part of the body is lost."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest

from groundtone.errors import ReadersError
from groundtone.types import Document
from retrieval.formats.attached import with_attachments
from retrieval.formats.extract import Attachment, Extract
from retrieval.loaders import LOADERS, _extract, load

HR = "---\ngroups: [hr, board]\n---\n# Pay\n\nBand seven earns 91000 euros.\n"


def mail(root: Path, *attached: str) -> Document:
    message = EmailMessage()
    message["From"], message["Subject"] = "anna@example.com", "Pay"
    message.set_content("See what is attached.")
    for number, text in enumerate(attached):
        message.add_attachment(text.encode(), maintype="text", subtype="markdown", filename=f"{number}.md")
    (root / "pay.eml").write_bytes(message.as_bytes())
    return load(root / "pay.eml", root)


def test_who_may_not_read_an_attachment_may_not_read_the_mail(tmp_path: Path) -> None:
    assert "groups" not in mail(tmp_path, "# Menu\n\nSoup.\n").meta
    assert mail(tmp_path, "# Menu\n\nSoup.\n", HR).meta["groups"] == ["board", "hr"]
    assert mail(tmp_path, HR, HR.replace("hr, board", "sales, hr")).meta["groups"] == ["hr"]


@pytest.mark.parametrize(
    "other", [HR.replace("hr, board", "sales"), HR.replace("]", "")], ids=["for others", "cannot be told"]
)
def test_a_mail_that_nobody_may_read_whole_is_refused(tmp_path: Path, other: str) -> None:
    with pytest.raises(ReadersError, match=r"pay\.eml: attachment 1\.md: .*shown to nobody"):
        mail(tmp_path, HR, other)


def test_what_is_attached_to_a_mail_inside_a_mail_is_read(tmp_path: Path) -> None:
    inside = Extract("# Prices\n\nSee the list.", attachments=(Attachment("list.csv", b"way,price\ncourier,19\n"),))
    found = with_attachments(
        Extract("# Forward", attachments=(Attachment("Prices", message=inside),)), 0, kinds=LOADERS, read=_extract
    )
    assert "## Attachment Prices" in found.text
    assert "| courier | 19 |" in found.text
    assert "left_out" not in found.meta


def parts(root: Path, kind: str, *texts: tuple[str, str]) -> str:
    body = "".join(f"--X\nContent-Type: text/{sub}; charset=utf-8\n\n{text}\n" for sub, text in texts)
    head = f"From: a@b.c\nSubject: Prices\nMIME-Version: 1.0\nContent-Type: multipart/{kind}; boundary=X\n\n"
    (root / "m.eml").write_text(f"{head}{body}--X--\n")
    return load(root / "m.eml", root).text


def test_parts_of_a_mail_that_stand_beside_each_other_are_all_read(tmp_path: Path) -> None:
    footer = "staff mailing list; to leave it write to its owner, who takes you off within a day or two."
    text = parts(tmp_path, "mixed", ("html", "<p>The courier costs 19 euros.</p>"), ("plain", footer))
    assert "19 euros" in text
    assert "mailing list" in text
    text = parts(tmp_path, "mixed", ("plain", "Yes."), ("html", "<p>Yes or no: may the courier cost 19 euros?</p>"))
    assert "Yes.\n\nYes or no" in text


@pytest.mark.parametrize("kind", ["alternative", "mixed"], ids=["marked", "not marked as such"])
def test_two_versions_of_one_text_are_read_once(tmp_path: Path, kind: str) -> None:
    said = "The courier costs 19 euros from May, the parcel 5 euros as before."
    assert parts(tmp_path, kind, ("plain", said), ("html", f"<p>{said}</p>")).count("19 euros") == 1
