"""The mail channel of the relay: letters to customers and operators."""

import asyncio
from typing import Final, Protocol

from models.database import Database
from models.outbox import OutboxMessage
from models.queries import letters
from models.queries.outbox import OPERATOR
from workers.letters import letter

# The steps of orders need connections more than we do.
_READING: Final = 2


class PostOffice(Protocol):
    async def send(
        self,
        *,
        to: str,
        subject: str,
        text: str,
        html: str | None = None,
        message_id: str,
        return_path: str | None = None,
    ) -> None: ...


class Mails:
    """`bounce_domain`: where `bounces+<message id>@` is read, if anywhere."""

    def __init__(
        self,
        db: Database,
        mailer: PostOffice,
        *,
        operator: str,
        public_url: str,
        domain: str,
        bounce_domain: str | None,
    ) -> None:
        self._db, self._mailer, self._operator = db, mailer, operator
        self._public_url, self._domain = public_url.rstrip("/"), domain
        self._bounce_domain = bounce_domain
        self._few = asyncio.Semaphore(_READING)

    async def open(self) -> bool:
        """Always."""
        return True

    async def send(self, message: OutboxMessage) -> str | None:
        """One letter, under the same Message-ID at every try.

        Raises `ProviderError`, and what `workers.letters.letter` raises.
        """
        async with self._few, self._db.looking() as session:
            facts = await letters.facts_of(
                session, message, public_url=self._public_url
            )
        made = letter(message.template, facts)
        await self._mailer.send(
            to=self._operator if message.recipient == OPERATOR else message.recipient,
            subject=made.subject,
            text=made.text,
            html=made.html,
            message_id=f"<{message.id}@{self._domain}>",
            return_path=f"bounces+{message.id.hex}@{self._bounce_domain}"
            if self._bounce_domain
            else None,
        )
        return None

    async def failed_for_good(self, message: OutboxMessage, error: Exception) -> bool:  # noqa: ARG002
        """False: what cannot be mailed is given up."""
        return False

    async def aclose(self) -> None:
        """The mailer keeps nothing open."""
