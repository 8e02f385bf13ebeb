"""Mail by SMTP."""

import re
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib

from activities.errors import ProviderDown, ProviderRejected, redacted
from activities.gate import Gate

PROVIDER = "mail"


class RecipientRefused(ProviderRejected):
    """Their server does not know this recipient, or the address is none."""


class Mailer:
    """One relay. Sends each message once; a repeat is the caller's decision."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        sender: str,
        username: str | None = None,
        password: str | None = None,
        starttls: bool = False,
        gate: Gate,
        timeout: float = 20,
    ) -> None:
        self._host, self._port, self._timeout = host, port, timeout
        self._sender, self._starttls, self._gate = sender, starttls, gate
        self._username, self._password = username, password

    async def send(
        self,
        *,
        to: str,
        subject: str,
        text: str,
        html: str | None = None,
        message_id: str,
        return_path: str | None = None,
    ) -> None:
        """Hand one message to the relay. `message_id` is `<local@domain>`.

        `return_path`: who is told that it bounced; else the sender. Raises
        `ProviderDown` on 4xx and network errors, `ProviderRejected` on 5xx,
        `RecipientRefused` on 5xx to the recipient and on what is no address.
        """
        message = self._message(to, subject, text, html, message_id)
        await self._gate.enter()
        try:
            await aiosmtplib.send(
                message,
                sender=return_path,
                hostname=self._host,
                port=self._port,
                username=self._username,
                password=self._password,
                start_tls=self._starttls,
                timeout=self._timeout,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            first = error.recipients[0]
            if 500 <= first.code < 600:
                raise RecipientRefused(
                    PROVIDER,
                    f"{first.code} {first.message}",
                    code=_status_of(first.code, first.message),
                ) from None
            raise _refusal(first.code, first.message) from None
        except aiosmtplib.SMTPResponseException as error:
            raise _refusal(error.code, error.message) from None
        except aiosmtplib.SMTPNotSupported as error:
            raise ProviderRejected(PROVIDER, str(error)) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise ProviderDown(PROVIDER, type(error).__name__, code="network") from None

    def _message(
        self, to: str, subject: str, text: str, html: str | None, message_id: str
    ) -> EmailMessage:
        message = EmailMessage()
        try:
            message["From"] = self._sender
            message["To"] = Address(addr_spec=to)
            message["Subject"] = subject
            message["Message-ID"] = message_id
        except (ValueError, IndexError, MessageError):
            raise RecipientRefused(
                PROVIDER, "the address or subject cannot be mailed", code="bad_address"
            ) from None
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        if html is not None:
            message.add_alternative(html, subtype="html")
        return message


class MailRefused(Exception):
    """`step` is where it ended: reached, TLS, login or sender."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step, self.message = step, redacted(message)


async def check_relay(
    host: str,
    port: int,
    *,
    sender: str,
    username: str | None,
    password: str | None,
    starttls: bool,
    timeout: float,
) -> None:
    """All but a mail: connects, logs in, names the sender, takes it back.

    Raises `MailRefused`.
    """
    relay = aiosmtplib.SMTP(hostname=host, port=port, start_tls=False, timeout=timeout)
    step = "reached"
    try:
        await relay.connect()
        if starttls:
            step = "TLS"
            await relay.starttls()
        if username is not None:
            step = "login"
            await relay.login(username, password or "")
        step = "sender"
        await relay.mail(sender)
        await relay.rset()
    except aiosmtplib.SMTPResponseException as error:
        raise MailRefused(step, f"{error.code} {error.message}") from None
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        raise MailRefused(step, str(error) or type(error).__name__) from None
    finally:
        relay.close()


def _refusal(code: int, text: str) -> ProviderDown | ProviderRejected:
    if 500 <= code < 600:
        return ProviderRejected(PROVIDER, f"{code} {text}", code=f"smtp_{code}")
    word = f"smtp_{code}" if 400 <= code < 500 else "garbage"
    return ProviderDown(PROVIDER, f"{code} {text}", code=word)


def _status_of(code: int, text: str) -> str:
    """`550 5.1.1`: the reply code, with the enhanced one (RFC 3463) if it is there."""
    enhanced = re.match(r"5\.\d{1,3}\.\d{1,3}\b", text.strip())
    return f"{code} {enhanced.group()}" if enhanced else str(code)
