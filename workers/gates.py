"""The gates of this process: closed by a 429, for all that share the account.

The row is for everybody and for after a restart; what is asked before each call is
memory, kept fresh by a notification and a poll.
"""

import time
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import case, func, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from activities.errors import ProviderBlocked
from models.base import utc_now
from models.database import Database
from models.jobs import ProviderAccount

CHANNEL = "gates"


class AccountGates:
    """`of(account)` gives the gate that a client is built with."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._closed_until: dict[str, float] = {}

    def of(self, account: str) -> "AccountGate":
        """The gate of one provider account, e.g. `stripe:4242` or `hosting:srv1`."""
        return AccountGate(account, self)

    def rest(self, account: str) -> float:
        """Seconds for which the account must not be called; 0 if it may be."""
        return max(0.0, self._closed_until.get(account, 0.0) - time.time())

    async def close(self, account: str, retry_after: float) -> None:
        """Closes it here at once, then for everybody; never for a shorter time."""
        until = utc_now() + timedelta(seconds=retry_after)
        known = self._closed_until.get(account, 0.0)
        self._closed_until[account] = max(known, until.timestamp())
        async with self._db.platform() as session:
            statement = insert(ProviderAccount).values(
                id=uuid4(),
                created_at=utc_now(),
                account=account,
                blocked_until=until,
                blocked_since=utc_now(),
            )
            await session.exec(
                statement.on_conflict_do_update(
                    index_elements=["account"],
                    set_={
                        "blocked_until": func.greatest(
                            ProviderAccount.blocked_until,
                            statement.excluded.blocked_until,
                        ),
                        # A pause of a minute ends the trouble.
                        "blocked_since": case(
                            (
                                col(ProviderAccount.blocked_until)
                                < utc_now() - timedelta(minutes=1),
                                statement.excluded.blocked_since,
                            ),
                            else_=ProviderAccount.blocked_since,
                        ),
                    },
                )
            )
            await session.exec(
                text("select pg_notify('mpanel', :what)").bindparams(what=CHANNEL)  # type: ignore[call-overload]
            )
            await session.commit()

    async def refresh(self) -> None:
        """Reads what other processes were told."""
        async with self._db.looking() as session:
            rows = await session.exec(
                select(ProviderAccount.account, ProviderAccount.blocked_until).where(
                    ProviderAccount.blocked_until > utc_now()
                )
            )
            for account, until in rows.all():
                known = self._closed_until.get(account, 0.0)
                self._closed_until[account] = max(known, until.timestamp())


class AccountGate:
    """See `activities.gate.Gate`."""

    def __init__(self, account: str, gates: AccountGates) -> None:
        self._account, self._gates = account, gates

    async def enter(self) -> None:
        """Raises `ProviderBlocked` while the account must rest."""
        rest = self._gates.rest(self._account)
        if rest > 0:
            raise ProviderBlocked(
                self._account, "told to wait by an earlier answer", retry_after=rest
            )

    async def throttled(self, retry_after: float) -> None:
        """A 429 was answered."""
        await self._gates.close(self._account, retry_after)
