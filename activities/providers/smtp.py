"""Mail by SMTP."""

from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib

from activities.errors import ProviderDown, ProviderRejected
from activities.gate import Gate

PROVIDER = "mail"


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
    ) -> None:
        """Hand one message to the relay. `message_id` is `<local@domain>`.

        Raises `ProviderDown` on 4xx and network errors, `ProviderRejected` on 5xx and
        on an address that cannot be mailed.
        """
        message = self._message(to, subject, text, html, message_id)
        await self._gate.enter()
        try:
            await aiosmtplib.send(
                message,
                hostname=self._host,
                port=self._port,
                username=self._username,
                password=self._password,
                start_tls=self._starttls,
                timeout=self._timeout,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refusal(
                error.recipients[0].code, error.recipients[0].message
            ) from None
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
            raise ProviderRejected(
                PROVIDER, "the address or subject cannot be mailed", code="bad_address"
            ) from None
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        if html is not None:
            message.add_alternative(html, subtype="html")
        return message


def _refusal(code: int, text: str) -> ProviderDown | ProviderRejected:
    if 500 <= code < 600:
        return ProviderRejected(PROVIDER, f"{code} {text}", code=f"smtp_{code}")
    word = f"smtp_{code}" if 400 <= code < 500 else "garbage"
    return ProviderDown(PROVIDER, f"{code} {text}", code=word)
