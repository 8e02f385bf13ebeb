"""The orphan report: the ledger of effects against the providers' own listings.

Whatever carries our mark at a provider was intended in the ledger before it was made.
So what the ledger does not know was made by a database that is no more: the one from
before a restore. It may be a customer's live site, so it is told of and left alone.

Whoever cannot be asked is named, and hides nobody else; what was told of it stands.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid5

import structlog
from sqlmodel import col, or_, select

from activities.errors import ProviderError
from models.database import Database, Session
from models.effects import Effect
from models.queries import alerts
from models.queries.alerts import Finding
from models.servers import HOSTING, Server
from models.states import EffectState
from models.tenants import MIGRAHOSTING
from models.websites import is_ours

CAUSE = "orphan"
_SAID: Final = " carries our mark, and no effect of ours explains it"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Listed:
    """What is there, in words, by its mark; and what of it could not be read, and
    why."""

    there: Mapping[str, str]
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listings:
    """What each provider says is there under our mark."""

    site_users: Callable[[Server], Awaitable[list[str]]]
    records: Callable[[], Awaitable[Mapping[str, str]]]
    guests: Callable[[], Awaitable[Listed]]


@dataclass(frozen=True)
class Orphan:
    """`mark` tells it at the provider, `what` tells people."""

    mark: str
    what: str


@dataclass(frozen=True)
class Unasked:
    """`who` could not be asked, or not for everything, and `why`. `owns` finds what
    is told of it."""

    who: str
    why: str
    owns: re.Pattern[str]


@dataclass(frozen=True)
class Report:
    """Whole if nobody is `unasked`."""

    orphans: list[Orphan]
    unasked: list[Unasked]


@dataclass(frozen=True)
class _Source:
    who: str
    owns: re.Pattern[str]
    ask: Callable[[], Awaitable[Listed]]


class Orphans:
    """`every`: seconds between two looks, and before the first."""

    def __init__(self, db: Database, listings: Listings, *, every: float) -> None:
        self._db, self._listings, self._every = db, listings, every
        self._due = time.monotonic() + every

    async def round(self) -> None:
        """Looks, if it is time; sooner again if somebody could not be asked."""
        if time.monotonic() >= self._due and await self.look():
            self._due = time.monotonic() + self._every

    async def look(self) -> bool:
        """One open alert and one mail per orphan; gone ones are resolved. Whether
        everybody could be asked."""
        report = await self.report()
        found = [
            _finding(uuid5(MIGRAHOSTING, f"{CAUSE}:{orphan.mark}"), orphan.what)
            for orphan in report.orphans
        ]

        def unsure(message: str) -> bool:
            return any(one.owns.fullmatch(message) for one in report.unasked)

        async with self._db.platform() as session:
            await alerts.settle(session, CAUSE, found, unsure=unsure)
            await session.commit()
        for one in report.unasked:
            _log.warning("orphans_unasked", who=one.who, error=one.why)
        return not report.unasked

    async def report(self) -> Report:
        """What is there under our mark and no effect explains, of all who could be
        asked."""
        there: dict[str, str] = {}
        unasked = []
        for source in await self._sources():
            try:
                listed = await source.ask()
            except ProviderError as error:
                unasked.append(Unasked(source.who, str(error), source.owns))
                continue
            there |= listed.there
            if listed.unread:
                why = "; ".join(listed.unread)
                unasked.append(Unasked(source.who, why, source.owns))
        # Read after the listing: a row is committed before its effect can be listed.
        async with self._db.platform() as session:
            known = await _known(session)
        orphans = [
            Orphan(mark, what)
            for mark, what in sorted(there.items())
            if mark not in known
        ]
        return Report(orphans, unasked)

    async def _sources(self) -> list[_Source]:
        async with self._db.platform() as session:
            servers = (
                await session.exec(select(Server).where(Server.role == HOSTING))
            ).all()
        return [
            *map(self._sites, servers),
            _Source("the name server", _told("the DNS record "), self._records),
            _Source("the cluster", _told("the guest "), self._listings.guests),
        ]

    def _sites(self, server: Server) -> _Source:
        async def ask() -> Listed:
            users = await self._listings.site_users(server)
            return Listed(
                {
                    user: f"the site of {user} on {server.name}"
                    for user in users
                    if is_ours(user)
                }
            )

        return _Source(server.name, _told("the site of ", f" on {server.name}"), ask)

    async def _records(self) -> Listed:
        names = await self._listings.records()
        return Listed({mark: f"the DNS record {name}" for mark, name in names.items()})


def _told(first: str, last: str = "") -> re.Pattern[str]:
    """Messages about what is so called."""
    return re.compile(f"{re.escape(first)}.*{re.escape(last)}{re.escape(_SAID)}")


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
        message=f"{what}{_SAID}",
        template="orphan.found",
        facts={"what": what},
    )
