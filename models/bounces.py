"""Delivery status notifications (RFC 3464): which of our mails came back, and why.

Mail goes out with a return path of its own, `bounces+<message id>@`, so that a bounce
names its mail whatever the other server put into it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from uuid import UUID

from models.redaction import EMAIL

_VERP = re.compile(r"\bbounces\+([0-9a-f]{32})@", re.IGNORECASE)
_OURS = re.compile(r"<([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})@", re.IGNORECASE)
_STATUS = re.compile(r"\b([45]\.\d{1,3}\.\d{1,3})\b")
_TO = ("X-Original-To", "Delivered-To", "Envelope-To", "To")


@dataclass(frozen=True)
class Bounce:
    """`code` is the enhanced status, as `5.1.1`; `words` are the other server's."""

    message_id: UUID
    code: str
    words: str


def bounce_of(raw: bytes) -> Bounce | None:
    """What a mail to the return path tells. None: it tells of no final failure, or of
    no mail of ours; a delay, a vacation notice, spam."""
    try:
        return _read(message_from_bytes(raw))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # anybody may write to that address, and write anything


def _read(mail: Message) -> Bounce | None:
    message_id = _message_id(mail)
    if message_id is None:
        return None
    for report in _recipients(mail):
        if _said(report, "Action").lower() != "failed":
            continue
        found = _STATUS.search(_said(report, "Status"))
        return Bounce(
            message_id,
            code=found[1] if found else "5.0.0",
            words=_said(report, "Diagnostic-Code")[:300] or "no reason was given",
        )
    return None


def _message_id(mail: Message) -> UUID | None:
    """From the return path, else from the headers that came back."""
    for name in _TO:
        for value in mail.get_all(name, []):
            if found := _VERP.search(str(value)):
                return UUID(found[1])
    for part in mail.walk():
        if part.get_content_type() == "message/rfc822":
            returned = str(part.get_payload(0)["Message-ID"])  # type: ignore[index]
        elif part.get_content_type() == "text/rfc822-headers":
            returned = str(part.get_payload())
        else:
            continue
        if found := _OURS.search(returned):
            return UUID(found[1])
    return None


def _recipients(mail: Message) -> Iterator[Message]:
    """The report about each recipient; the first block is about the mail itself."""
    for part in mail.walk():
        if part.get_content_type() == "message/delivery-status":
            blocks = part.get_payload()
            yield from (one for one in blocks if isinstance(one, Message))


def _said(report: Message, name: str) -> str:
    """One line of printable text without e-mail addresses."""
    text = EMAIL.sub("<e-mail>", " ".join(str(report.get(name, "")).split()))
    return "".join(letter for letter in text if letter.isprintable())
