"""The orphan report: the ledger of effects against the providers' own listings.

Whatever carries our mark at a provider was intended in the ledger before it was made.
So what the ledger does not know was made by a database that is no more: the one from
before a restore. It may be a customer's live site, so it is told of and left alone.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID, uuid5

from sqlmodel import col, or_, select

from models.database import Database, Session
from models.effects import Effect
from models.queries import alerts
from models.queries.alerts import Finding
from models.servers import HOSTING, Server
from models.states import EffectState
from models.tenants import MIGRAHOSTING
from models.websites import is_ours

CAUSE = "orphan"


@dataclass(frozen=True)
class Listings:
    """What each provider says is there under our mark."""

    site_users: Callable[[Server], Awaitable[list[str]]]
    records: Callable[[], Awaitable[Mapping[str, str]]]
    guests: Callable[[], Awaitable[Mapping[str, str]]]


@dataclass(frozen=True)
class Orphan:
    """`mark` tells it at the provider, `what` tells people."""

    mark: str
    what: str


class Orphans:
    """`every`: seconds between two looks, and before the first."""

    def __init__(self, db: Database, listings: Listings, *, every: float) -> None:
        self._db, self._listings, self._every = db, listings, every
        self._due = time.monotonic() + every

    async def round(self) -> None:
        """Looks, if it is time."""
        if time.monotonic() >= self._due:
            await self.look()
            self._due = time.monotonic() + self._every

    async def look(self) -> None:
        """One open alert and one mail per orphan; gone ones are resolved."""
        found = [
            _finding(uuid5(MIGRAHOSTING, f"{CAUSE}:{orphan.mark}"), orphan.what)
            for orphan in await self.found()
        ]
        async with self._db.platform() as session:
            await alerts.settle(session, CAUSE, found)
            await session.commit()

    async def found(self) -> list[Orphan]:
        """What is there under our mark, and no effect explains. Raises a
        `ProviderError` if somebody cannot be asked."""
        there = await self._there()
        # Read after the listing: a row is committed before its effect can be listed.
        async with self._db.platform() as session:
            known = await _known(session)
        return [
            Orphan(mark, what)
            for mark, what in sorted(there.items())
            if mark not in known
        ]

    async def _there(self) -> dict[str, str]:
        """What is there, in words, by its mark."""
        async with self._db.platform() as session:
            servers = (
                await session.exec(select(Server).where(Server.role == HOSTING))
            ).all()
        there = {
            user: f"the site of {user} on {server.name}"
            for server in servers
            for user in await self._listings.site_users(server)
            if is_ours(user)
        }
        for reference, name in (await self._listings.records()).items():
            there[reference] = f"the DNS record {name}"
        there |= await self._listings.guests()
        return there


async def _known(session: Session) -> set[str]:
    """The marks of everything that may be there."""
    rows = await session.exec(
        select(Effect.kind, Effect.owner_id, Effect.reference).where(
            or_(
                Effect.state != EffectState.REMOVED,
                col(Effect.check_at).is_not(None),
            )
        )
    )
    return {
        f"mp{owner_id.hex[:12]}" if kind == "site" else reference
        for kind, owner_id, reference in rows.all()
    }


def _finding(subject_id: UUID, what: str) -> Finding:
    return Finding(
        tenant_id=MIGRAHOSTING,
        subject_id=subject_id,
        message=f"{what} carries our mark, and no effect of ours explains it",
        template="orphan.found",
        facts={"what": what},
    )
