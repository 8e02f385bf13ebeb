"""What was done is written once, in an order that nobody can change unseen."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import ProgrammingError
from sqlmodel import col, select, text

from models.audit import GENESIS, AuditEvent, AuditHead
from models.database import Database, Session
from models.queries import audit
from models.queries.audit import By
from models.tenants import MIGRAHOSTING, Tenant
from tests.conftest import connected

OTHER = UUID("00000000-0000-4000-8000-000000000002")
OPERATOR = By("user", uuid4(), "ops@example.com")


async def tell(
    session: Session, tenant_id: UUID = MIGRAHOSTING, what: str = ""
) -> None:
    await audit.record(
        session,
        tenant_id=tenant_id,
        by=OPERATOR,
        action="decision.retry",
        entity="job",
        entity_id=what or uuid4(),
        reason="the disk has room again",
        details={"step": "create_site", "tries": 3},
    )


async def chain(db: Database, tenant_id: UUID = MIGRAHOSTING) -> list[AuditEvent]:
    async with db.platform() as session:
        found = await session.exec(
            select(AuditEvent)
            .where(AuditEvent.tenant_id == tenant_id)
            .order_by(col(AuditEvent.seq))
        )
        return list(found.all())


async def test_each_event_follows_the_one_before_it(db: Database) -> None:
    async with db.tenant(MIGRAHOSTING) as session:
        await tell(session)
        await tell(session)
        await session.commit()
        await tell(session)
        await session.commit()

    events = await chain(db)
    assert [one.seq for one in events] == [1, 2, 3]
    assert [one.prev_hash for one in events] == [
        GENESIS,
        events[0].hash,
        events[1].hash,
    ]
    assert len({one.hash for one in events}) == 3
    async with db.tenant(MIGRAHOSTING) as session:
        head = await session.get_one(AuditHead, MIGRAHOSTING)
    assert (head.seq, head.hash) == (3, events[2].hash)


async def test_an_event_stands_and_falls_with_its_transaction(db: Database) -> None:
    async with db.tenant(MIGRAHOSTING) as session:
        await tell(session, what="undone")
        await session.rollback()
        await tell(session, what="done")
        async with session.begin_nested() as savepoint:
            await tell(session, what="undone, too")
            await savepoint.rollback()
        await session.commit()

    assert [(one.seq, one.entity_id) for one in await chain(db)] == [(1, "done")]


@pytest.mark.parametrize(
    "act",
    [
        "update audit_events set reason = 'another'",
        "update audit_events set seq = seq + 1",
        "delete from audit_events",
        "truncate audit_events",
        "insert into audit_events (id, created_at, tenant_id, actor_kind, actor,"
        " action, entity, reason, details, seq, prev_hash, hash) select"
        " gen_random_uuid(), now(), tenant_id, 'user', 'x', 'x', 'x', '', '{}', 2,"
        " hash, hash from audit_events",
        "update audit_heads set seq = 0",
        "delete from audit_heads",
        "alter table audit_events disable trigger seal",
        "drop trigger seal on audit_events",
    ],
)
async def test_the_application_may_add_and_read_and_nothing_else(
    db: Database, act: str
) -> None:
    async with db.platform() as session:
        await tell(session)
        await session.commit()
        with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
            await (await session.connection()).execute(text(act))


async def test_each_tenant_has_a_chain_of_its_own_and_sees_no_other(
    db: Database,
) -> None:
    async with db.platform() as session:
        session.add(Tenant(id=OTHER, name="Other"))
        await session.flush()
        for tenant_id in (MIGRAHOSTING, OTHER, MIGRAHOSTING):
            await tell(session, tenant_id)
        await session.commit()

    assert [one.seq for one in await chain(db)] == [1, 2]
    assert [one.seq for one in await chain(db, OTHER)] == [1]
    async with db.tenant(OTHER) as session:
        seen = (await session.exec(select(AuditEvent))).all()
        assert {one.tenant_id for one in seen} == {OTHER}
        heads = (await session.exec(select(AuditHead))).all()
        assert [one.tenant_id for one in heads] == [OTHER]
        with pytest.raises(ProgrammingError, match="row-level security"):
            await tell(session, MIGRAHOSTING)


async def test_fifty_writers_at_once_break_no_chain(
    db: Database, owner_url: str, app_url: str
) -> None:
    """They speak of several tenants in one transaction, in any order."""
    tenants = [uuid4() for _ in range(4)]
    async with db.platform() as session:
        session.add_all(Tenant(id=one, name=str(one)) for one in tenants)
        await session.commit()
    crowd = Database(app_url, pool_size=50, max_overflow=0)
    await connected(crowd, 50)

    async def write(number: int) -> None:
        ours = tenants[number % 4 :] + tenants[: number % 4]
        for _ in range(4):
            async with crowd.platform() as session:
                for tenant_id in reversed(ours) if number % 2 else ours:
                    await tell(session, tenant_id)
                await session.commit()

    await asyncio.gather(*(write(number) for number in range(50)))
    await crowd.close()

    for tenant_id in tenants:
        events = await chain(db, tenant_id)
        assert [one.seq for one in events] == list(range(1, 201))
        previous = [GENESIS, *(one.hash for one in events)]
        assert [one.prev_hash for one in events] == previous[:-1]
        moments = [one.created_at for one in events]
        assert moments == sorted(moments)


async def test_an_event_waits_for_no_other_transaction_before_its_commit(
    db: Database,
) -> None:
    async with db.tenant(MIGRAHOSTING) as slow, db.tenant(MIGRAHOSTING) as quick:
        await tell(slow, what="told first")
        async with asyncio.timeout(60):
            await tell(quick, what="committed first")
            await quick.commit()
        await slow.commit()

    assert [one.entity_id for one in await chain(db)] == [
        "committed first",
        "told first",
    ]
