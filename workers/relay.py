"""Sends what the outbox holds: claim, send, settle.

Nothing of the database is held while a network is waited for. At least once: a try
that nobody settled is due again when its lease is over, with the same message id, so a
receiver can tell.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

import structlog
from jinja2 import TemplateError

from activities.errors import ProviderError, ProviderRejected, redacted
from activities.providers.smtp import RecipientRefused
from models.base import utc_now
from models.database import Database
from models.outbox import OutboxMessage
from models.queries import bounces, outbox
from models.queries.alerts import Finding, raise_alert
from models.states import OutboxStatus
from models.tenants import MIGRAHOSTING
from workers.webhooks import EndpointGone, EndpointRefused

_log = structlog.get_logger(__name__)
# Seconds before the next try; after the last one the message is given up.
SCHEDULE: Final = (5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
# All tries under way on one channel, and how long one may take.
SLOTS: Final = 16
TRY_SECONDS: Final = 45.0
LEASE: Final = timedelta(seconds=60)
_LONGEST_REST = 86_400.0
_SETTLING = 2
_LOOK_AGAIN = 1.0
GIVEN_UP: Final = "message_given_up"


class Sender(Protocol):
    """One channel: mail, or the operators' webhook."""

    async def open(self) -> bool:
        """Whether anything is to be sent at all."""

    async def send(self, message: OutboxMessage) -> str | None:
        """Returns what is worth a note. What it raises decides about another try."""

    async def failed_for_good(self, message: OutboxMessage, error: Exception) -> bool:
        """Told before a message is given up. True: it is kept for better times."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True)
class _Plan:
    """What a failed try leads to."""

    status: OutboxStatus
    wait: float = 0.0
    all_rest: bool = False


class Relay:
    """`senders` by channel. One instance per process; any number of processes."""

    def __init__(self, db: Database, senders: Mapping[str, Sender]) -> None:
        self._db, self._senders = db, senders
        # The steps of orders need connections more than we do.
        self._few = asyncio.Semaphore(_SETTLING)
        self._trying: dict[str, dict[asyncio.Task[None], str]] = {
            channel: {} for channel in senders
        }

    async def round(self, channel: str) -> None:
        """Sends what is due. A receiver that is slow is not waited for, unless more
        is due to it than it may have at a time: then until somebody is done."""
        trying, sender = self._trying[channel], self._senders[channel]
        while await sender.open():
            if len(trying) >= SLOTS:
                await asyncio.wait(trying, return_when=asyncio.FIRST_COMPLETED)
                continue
            most = max(Counter(trying.values()).values(), default=0)
            claimed = await self._claim(channel)
            for message in claimed:
                task = asyncio.create_task(self._try(sender, message))
                trying[task] = message.recipient
                task.add_done_callback(lambda done: trying.pop(done, None))
            if claimed:
                continue
            # As it was when nothing was found: who is done since leaves room for more.
            if most < outbox.PER_RECIPIENT:
                return
            if trying:
                await asyncio.wait(
                    trying, timeout=_LOOK_AGAIN, return_when=asyncio.FIRST_COMPLETED
                )

    async def _claim(self, channel: str) -> list[OutboxMessage]:
        trying = self._trying[channel]
        busy = Counter(trying.values())
        room = {to: outbox.PER_RECIPIENT - count for to, count in busy.items()}
        async with self._db.platform() as session:
            claimed = await outbox.claim(
                session, channel, room=room, most=SLOTS - len(trying), lease=LEASE
            )
            await session.commit()
        return claimed

    async def _try(self, sender: Sender, message: OutboxMessage) -> None:
        try:
            async with asyncio.timeout(TRY_SECONDS):
                note = await sender.send(message)
        except Exception as error:  # noqa: BLE001 - kept in the row, tried again
            settling = self._settle_failed(sender, message, error)
        else:
            settling = self._settle_sent(message, note)
        try:
            await settling
        except Exception as lost:  # noqa: BLE001 - due again after its lease
            told = type(lost).__name__
            _log.warning("try_unsettled", id=str(message.id), error=told)

    async def _settle_sent(self, message: OutboxMessage, note: str | None) -> None:
        async with self._few, self._db.platform() as session:
            await outbox.settle(
                session,
                message,
                OutboxStatus.SENT,
                sent_at=utc_now(),
                last_error=note,
            )
            await session.commit()

    async def _settle_failed(
        self, sender: Sender, message: OutboxMessage, error: Exception
    ) -> None:
        told = redacted(str(error) or type(error).__name__)
        plan = _plan(message, error)
        hopeless = plan.status is OutboxStatus.FAILED
        values: dict[str, Any] = {"last_error": told}
        if hopeless and await sender.failed_for_good(message, error):
            # In those it has as many tries as any other.
            plan, values["attempts"] = _Plan(OutboxStatus.QUEUED, wait=SCHEDULE[2]), 0
        next_at = utc_now() + timedelta(seconds=plan.wait)
        async with self._few, self._db.platform() as session:
            if isinstance(error, RecipientRefused):
                await bounces.bounced(session, message.id, code=error.code, words=told)
            elif await outbox.settle(
                session, message, plan.status, next_at=next_at, **values
            ):
                if plan.status is OutboxStatus.FAILED:
                    await raise_alert(session, GIVEN_UP, _given_up(message, told))
                if plan.all_rest:
                    await outbox.rest(
                        session, message.channel, message.recipient, until=next_at
                    )
            await session.commit()

    async def aclose(self) -> None:
        """Lets what is under way end for a moment, and closes the senders."""
        under_way = [task for trying in self._trying.values() for task in trying]
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=5)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for sender in self._senders.values():
            await sender.aclose()


def _plan(message: OutboxMessage, error: Exception) -> _Plan:
    over = message.attempts > len(SCHEDULE)
    hopeless = isinstance(
        error, ProviderRejected | EndpointGone | KeyError | TemplateError
    )
    if over or hopeless:
        return _Plan(OutboxStatus.FAILED)
    wait = SCHEDULE[message.attempts - 1] * random.uniform(0.8, 1.2)  # noqa: S311
    if isinstance(error, ProviderError) and message.attempts <= 3:
        wait = min(wait, 5.0)
    asked = error.retry_after if isinstance(error, EndpointRefused) else None
    if asked is not None:
        rest = max(wait, min(asked, _LONGEST_REST))
        return _Plan(OutboxStatus.QUEUED, rest, all_rest=True)
    return _Plan(OutboxStatus.QUEUED, wait)


def _given_up(message: OutboxMessage, why: str) -> Finding:
    """To an operator: one alert per channel, or each would give birth to another."""
    own = message.recipient == outbox.OPERATOR
    return Finding(
        tenant_id=MIGRAHOSTING if own else message.tenant_id,
        subject_id=outbox.OPERATOR_CHANNELS[message.channel] if own else message.id,
        message=f"{message.channel} {message.template} was given up after"
        f" {message.attempts} tries: {why}",
        facts={"messageId": str(message.id)},
    )
