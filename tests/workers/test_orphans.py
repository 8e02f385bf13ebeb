"""What carries our mark at a provider and stands in no row is listed, not touched."""

from uuid import uuid4

import pytest
from sqlmodel import select

from models.alerts import Alert
from models.database import Database
from models.effects import Effect
from models.outbox import OutboxMessage
from models.servers import Server
from models.states import AlertStatus, EffectState
from models.tenants import MIGRAHOSTING
from workers.orphans import Listings, Orphans


class Providers:
    """One hosting server and one name server, as they list themselves."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self.names: dict[str, str] = {}
        self.marked: dict[str, str] = {}

    async def site_users(self, server: Server) -> list[str]:
        return self.users

    async def records(self) -> dict[str, str]:
        return self.names

    async def guests(self) -> dict[str, str]:
        return self.marked


@pytest.fixture
def there() -> Providers:
    return Providers()


@pytest.fixture
async def orphans(db: Database, there: Providers) -> Orphans:
    async with db.platform() as session:
        session.add(
            Server(
                name="web1",
                ssh_host="127.0.0.1",
                ssh_port=22,
                ssh_user="root",
                host_key="ssh-ed25519 AAAA",
                public_ip="127.0.0.1",
                http_address="127.0.0.1:80",
                capacity=10,
            )
        )
        await session.commit()
    listings = Listings(there.site_users, there.records, there.guests)
    return Orphans(db, listings, every=3600)


async def effect(
    db: Database, kind: str, state: EffectState = EffectState.PRESENT
) -> Effect:
    owner = uuid4()
    made = Effect(
        tenant_id=MIGRAHOSTING,
        job_id=uuid4(),
        owner_id=owner,
        provider="any",
        kind=kind,
        reference=str(owner),
        state=state,
    )
    async with db.platform() as session:
        session.add(made)
        await session.commit()
    return made


async def told(db: Database) -> list[str]:
    """The open alerts."""
    async with db.platform() as session:
        found = await session.exec(
            select(Alert.message).where(Alert.status == AlertStatus.OPEN)
        )
        return sorted(found.all())


async def test_what_is_ours_and_what_is_foreign_is_no_orphan(
    db: Database, there: Providers, orphans: Orphans
) -> None:
    site, record = await effect(db, "site"), await effect(db, "record")
    there.users = [f"mp{site.owner_id.hex[:12]}", "root", "john", "mpeg"]
    there.names = {record.reference: "a.example"}

    await orphans.look()

    assert await told(db) == []


async def test_an_orphan_is_told_of_once_until_it_is_gone(
    db: Database, there: Providers, orphans: Orphans
) -> None:
    there.users = ["mp0123456789ab"]
    there.names = {str(uuid4()): "b.example"}

    await orphans.look()
    await orphans.look()

    record, site = await told(db)
    assert "b.example" in record
    assert "mp0123456789ab on web1" in site
    async with db.platform() as session:
        sent = (await session.exec(select(OutboxMessage))).all()
    mails = [one.template for one in sent if one.channel == "mail"]
    assert mails == ["orphan.found"] * 2

    there.users, there.names = [], {}
    await orphans.look()
    assert await told(db) == []


async def test_an_effect_long_removed_explains_nothing(
    db: Database, there: Providers, orphans: Orphans
) -> None:
    gone = await effect(db, "site", EffectState.REMOVED)
    there.users = [f"mp{gone.owner_id.hex[:12]}"]

    await orphans.look()

    assert len(await told(db)) == 1


async def test_a_guest_with_our_mark_and_no_effect_is_an_orphan(
    db: Database, there: Providers, orphans: Orphans
) -> None:
    ours = await effect(db, "guest")
    there.marked = {
        ours.reference: "the guest 10000 (shop) on pve1",
        str(uuid4()): "the guest 10001 (lost) on pve2",
    }

    await orphans.look()

    (one,) = await told(db)
    assert "10001 (lost) on pve2" in one
