"""What carries our mark at a provider and stands in no row is listed, not touched."""

from uuid import uuid4

import pytest
from sqlmodel import select

from activities.errors import ProviderDown
from models.alerts import Alert
from models.database import Database
from models.effects import Effect
from models.outbox import OutboxMessage
from models.servers import Server
from models.states import AlertStatus, EffectState
from models.tenants import MIGRAHOSTING
from workers.orphans import Listed, Listings, Orphans


class Providers:
    """One hosting server and one name server, as they list themselves."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self.away: set[str] = set()
        self.unread: tuple[str, ...] = ()
        self.names: dict[str, str] = {}
        self.marked: dict[str, str] = {}

    async def site_users(self, server: Server) -> list[str]:
        self.see(server.name)
        return self.users

    async def records(self) -> dict[str, str]:
        self.see("names")
        return self.names

    async def guests(self) -> Listed:
        self.see("cluster")
        return Listed(self.marked, self.unread)

    def see(self, who: str) -> None:
        if who in self.away:
            raise ProviderDown(who, "it does not answer", code="network")


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


@pytest.mark.parametrize("who", ["web1", "names", "cluster"])
async def test_who_cannot_be_asked_is_named_and_hides_nobody_else(
    db: Database, there: Providers, orphans: Orphans, who: str
) -> None:
    there.users = ["mp0123456789ab"]
    there.names = {str(uuid4()): "b.example"}
    there.marked = {str(uuid4()): "the guest 10001 (lost) on pve2"}
    ends = {"web1": "web1", "names": "b.example", "cluster": "pve2"}
    there.away = {who}

    assert not await orphans.look()

    assert len(await told(db)) == 2
    (unasked,) = (await orphans.report()).unasked
    assert "does not answer" in unasked.why
    there.away = set()
    assert await orphans.look()
    assert len(await told(db)) == 3

    there.away, there.users, there.names, there.marked = {who}, [], {}, {}
    assert not await orphans.look()

    (kept,) = await told(db)
    assert f"{ends[who]} carries our mark" in kept
    there.away = set()
    assert await orphans.look()
    assert await told(db) == []


async def test_a_guest_that_cannot_be_read_ends_no_alert_about_guests(
    db: Database, there: Providers, orphans: Orphans
) -> None:
    there.marked = {str(uuid4()): "the guest 10001 (lost) on pve2"}
    await orphans.look()
    there.marked, there.unread = {}, ("10001 (lost) on pve2 is on a node that is away",)

    assert not await orphans.look()

    assert len(await told(db)) == 1
    (unasked,) = (await orphans.report()).unasked
    assert (unasked.who, unasked.why) == ("the cluster", there.unread[0])
