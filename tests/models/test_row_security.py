"""A row is its tenant's alone, whatever a query forgets."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlmodel import col, delete, select, text, update

from models.customers import Customer
from models.database import Database, Session
from models.tenants import MIGRAHOSTING, Tenant

OTHER = UUID("00000000-0000-4000-8000-000000000002")


async def emails(session: Session) -> set[str]:
    return set((await session.exec(select(Customer.email))).all())


@pytest.fixture
async def two_tenants(db: Database) -> Database:
    async with db.platform() as session:
        session.add(Tenant(id=OTHER, name="Other"))
        await session.flush()
        session.add(Customer(tenant_id=MIGRAHOSTING, email="ours@example.com"))
        session.add(Customer(tenant_id=OTHER, email="theirs@example.com"))
        await session.commit()
    return db


@pytest.fixture
async def narrow(two_tenants: Database, app_url: str) -> AsyncIterator[Database]:
    """The same rows through a pool of a single connection."""
    database = Database(app_url, pool_size=1, max_overflow=0)
    yield database
    await database.close()


async def test_a_tenant_reads_its_own_rows_alone(two_tenants: Database) -> None:
    async with two_tenants.tenant(OTHER) as session:
        assert await emails(session) == {"theirs@example.com"}
        assert [one.id for one in (await session.exec(select(Tenant))).all()] == [OTHER]


async def test_a_tenant_changes_and_removes_its_own_rows_alone(
    two_tenants: Database,
) -> None:
    async with two_tenants.tenant(OTHER) as session:
        await session.exec(update(Customer).values(name="mine now"))
        await session.exec(
            delete(Customer).where(col(Customer.email) == "ours@example.com")
        )
        await session.commit()

    async with two_tenants.platform() as session:
        names = dict((await session.exec(select(Customer.email, Customer.name))).all())
    assert names == {"ours@example.com": "", "theirs@example.com": "mine now"}


async def test_a_tenant_can_neither_add_nor_give_away_rows_of_another(
    two_tenants: Database,
) -> None:
    async with two_tenants.tenant(OTHER) as session:
        session.add(Customer(tenant_id=MIGRAHOSTING, email="forged@example.com"))
        with pytest.raises(ProgrammingError, match="row-level security"):
            await session.flush()

    async with two_tenants.tenant(OTHER) as session:
        with pytest.raises(ProgrammingError, match="row-level security"):
            await session.exec(update(Customer).values(tenant_id=MIGRAHOSTING))


async def test_a_session_without_a_tenant_sees_nothing(two_tenants: Database) -> None:
    async with two_tenants.nobody() as session:
        assert await emails(session) == set()
        assert (await session.exec(select(Tenant))).all() == []


async def test_the_scope_ends_with_its_transaction(narrow: Database) -> None:
    async with narrow.platform() as session:
        assert len(await emails(session)) == 2
    async with narrow.tenant(MIGRAHOSTING) as session:
        assert await emails(session) == {"ours@example.com"}
        await session.commit()
        assert await emails(session) == {"ours@example.com"}
    async with narrow.nobody() as session:
        assert await emails(session) == set()


async def test_a_connection_comes_back_to_the_pool_without_a_scope(
    narrow: Database,
) -> None:
    """Whoever takes it next without naming a tenant has none."""
    async with narrow.platform() as session:
        assert len(await emails(session)) == 2
        await session.commit()

    async with narrow.engine.connect() as connection:
        found = await connection.execute(select(Customer.email))
        assert found.all() == []


async def test_an_error_in_between_leaks_no_scope(narrow: Database) -> None:
    for scope in (narrow.platform(), narrow.tenant(MIGRAHOSTING)):
        async with scope as session:
            with pytest.raises(DBAPIError):
                await (await session.connection()).execute(text("select 1/0"))

    async with narrow.nobody() as session:
        assert await emails(session) == set()
    async with narrow.tenant(OTHER) as session:
        assert await emails(session) == {"theirs@example.com"}


async def test_the_application_can_change_neither_tables_nor_policies(
    two_tenants: Database,
) -> None:
    for act in (
        "alter table customers disable row level security",
        "drop policy scope on customers",
        "truncate customers",
    ):
        async with two_tenants.platform() as session:
            with pytest.raises(ProgrammingError):
                await (await session.connection()).execute(text(act))


async def test_every_table_is_closed_to_a_stranger(two_tenants: Database) -> None:
    """Also a table that somebody adds tomorrow."""
    async with two_tenants.platform() as session:
        open_ones = await (await session.connection()).scalars(
            text(
                "select relname from pg_class where relkind = 'r'"
                " and relnamespace = 'public'::regnamespace"
                " and relname <> 'alembic_version'"
                " and not (relrowsecurity and relforcerowsecurity)"
            )
        )
    assert open_ones.all() == []


async def test_an_unknown_tenant_sees_nothing(two_tenants: Database) -> None:
    async with two_tenants.tenant(uuid4()) as session:
        assert await emails(session) == set()
