"""What exists while the calls are made, and by what names it would be recognised."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg import sql

from models.alerts import Alert
from models.api_keys import ApiKey, mint
from models.base import utc_now
from models.cloudpods import CloudPodSave
from models.database import Database
from models.payments import UnclaimedPayment
from models.queries.outbox import OPERATOR
from models.states import BackupStatus, SaveKind
from models.tenants import MIGRAHOSTING
from models.users import Role
from models.websites import Website
from tests.api import rows
from tests.api.conftest import add_user
from tests.contract.recipes import populate

Ids = dict[str, list[str]]

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAMES = ("email", "domain", "hostname", "recipient", "ipv4")


@dataclass(frozen=True)
class Things:
    """Ids by table, of MigraHosting and of the other tenant."""

    ours: Ids
    theirs: Ids

    @property
    def everybodys(self) -> Ids:
        """Of both tenants."""
        tables = self.ours.keys() | self.theirs.keys()
        return {
            one: self.ours.get(one, []) + self.theirs.get(one, [])
            for one in sorted(tables)
        }


async def stock(db: Database, owner_url: str) -> Things:
    """One of everything at MigraHosting, something of the other's."""
    world = await populate(db)
    job, website = UUID(world.paths["jobs"]), UUID(world.paths["websites"])
    async with db.platform() as session:
        backup = rows.backup(await session.get_one(Website, website))
    key = ApiKey(
        tenant_id=MIGRAHOSTING, key_hash="", public_id="", last4="", name="a program"
    )
    mint(key)
    await rows.add(
        db,
        Alert(tenant_id=MIGRAHOSTING, cause="conflict", subject_id=job, message="look"),
        backup,
        key,
        CloudPodSave(
            tenant_id=MIGRAHOSTING,
            cloudpod_id=UUID(world.paths["cloudpods"]),
            job_id=job,
            kind=SaveKind.SNAPSHOT,
            name="before-update",
            status=BackupStatus.STORED,
        ),
        UnclaimedPayment(
            stripe_payment_intent_id="pi_nobodys",
            stripe_customer_id="cus_nobodys",
            amount=4999,
            currency="usd",
            paid_at=utc_now(),
        ),
    )
    buyer, bought = rows.customer(rows.OTHER), rows.product(rows.OTHER)
    owned, spare = rows.subscription(buyer, bought), rows.subscription(buyer, bought)
    order, items = rows.order(buyer, bought)
    await rows.add(db, rows.other_tenant(), buyer, bought, owned, spare)
    await rows.add(db, rows.website(owned), order, *items, rows.job(rows.OTHER))
    await add_user(db, Role.VIEWER, tenant_id=rows.OTHER)
    return Things(ids(owner_url, MIGRAHOSTING), ids(owner_url, rows.OTHER))


def ids(owner_url: str, tenant: UUID) -> Ids:
    """Of every row of the tenant now, by table."""
    found: Ids = defaultdict(list)
    with psycopg.connect(owner_url) as connection:
        for table, columns in _tables(connection).items():
            if "id" in columns:
                found[table] = [one for (one,) in _of(connection, table, tenant, "id")]
    return found


def names(owner_url: str, tenant: UUID) -> set[str]:
    """Everything that only rows of this tenant hold: ids, addresses, domains."""
    found = set[str]()
    with psycopg.connect(owner_url) as connection:
        for table, columns in _tables(connection).items():
            for column in columns & {"id", *_NAMES}:
                found |= {one for (one,) in _of(connection, table, tenant, column)}
    return found - {"", None, OPERATOR} | {"pi_nobodys", "cus_nobodys"}


def foreign(text: str, hidden: Iterable[str]) -> set[str]:
    """Those of the hidden names that the text tells."""
    hidden = set(hidden)
    other = {one for one in hidden if not _UUID.fullmatch(one)}
    return hidden & set(_UUID.findall(text)) | {one for one in other if one in text}


def _tables(connection: psycopg.Connection) -> dict[str, set[str]]:
    connection.execute("select set_config('mpanel.scope', 'platform', true)")
    found = defaultdict[str, set[str]](set)
    for table, column in connection.execute(
        "select table_name, column_name from information_schema.columns"
        " where table_schema = 'public'"
    ):
        found[table].add(column)
    return {
        table: columns
        for table, columns in found.items()
        if "tenant_id" in columns or table == "unclaimed_payments"
    }


def _of(
    connection: psycopg.Connection, table: str, tenant: UUID, column: str
) -> list[tuple[str]]:
    query = sql.SQL("select {}::text from {}").format(
        sql.Identifier(column), sql.Identifier(table)
    )
    # Of no tenant by their column; the shop that is paid is MigraHosting's.
    if table == "unclaimed_payments":
        return connection.execute(query).fetchall() if tenant == MIGRAHOSTING else []
    query += sql.SQL(" where tenant_id = %s")
    return connection.execute(query, [tenant]).fetchall()
