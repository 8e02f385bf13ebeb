"""What a fresh installation holds: tenant, catalogue, first admin, hosting server.

Safe to run at every start: it adds what is missing. Only a server's address follows
the machine, since a restarted development stack may have moved.
"""

import ipaddress
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from argon2 import PasswordHasher
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from models.addresses import AddressPool
from models.audit import Action
from models.base import utc_now
from models.database import Database, Session
from models.errors import Conflict, Invalid
from models.money import to_cents
from models.ordering import email_address
from models.passwords import check_new
from models.products import Product
from models.queries import audit, servers, tenants
from models.queries.addresses import add_pool, add_vmids
from models.servers import HOSTING, PROXMOX, Server
from models.ssh_keys import ssh_keys
from models.tenants import MIGRAHOSTING, Tenant
from models.users import Role, User

CURRENCY = "USD"
# RFC 9106's cost for a login: 19 MiB, two passes, one lane.
PASSWORDS = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

_CATALOGUE = Path(__file__).with_name("catalogue.toml")


@dataclass(frozen=True)
class DevSeed:
    """`database_url` is the application role's; the rest is what the stack made up."""

    database_url: str
    admin_email: str
    admin_password: str
    server_name: str
    server_host: str
    server_ssh_port: int
    server_host_key: str
    server_http_address: str
    server_public_ip: str
    server_capacity: int


async def seed_dev(seed: DevSeed) -> None:
    """Tenant, catalogue, a super admin and one hosting server."""
    db = Database(seed.database_url, pool_size=1)
    try:
        async with db.platform() as session:
            await seed_platform(session)
            admin = _user(
                seed.admin_email, seed.admin_password, Role.SUPER_ADMIN, MIGRAHOSTING
            )
            await _add_missing(session, User, [admin])
            await _put_server(session, seed)
            await seed_cluster(session)
            await session.commit()
    finally:
        await db.close()


async def seed_platform(session: Session) -> int:
    """Our tenant and its catalogue; how many rows were missing."""
    us = {"id": MIGRAHOSTING, "name": "MigraHosting"}
    added = await _add_missing(session, Tenant, [us])
    return added + await seed_catalogue(session, MIGRAHOSTING)


async def add_server(session: Session, server: Server) -> None:
    """A machine that may carry something from now on. Raises `Invalid`, `Conflict`.

    Its host key is read here, since one that nobody can read would be noticed by the
    first website alone.
    """
    if not server.name.strip():
        raise Invalid("name", "want a name")
    if server.role == HOSTING:
        _check_hosting(server)
    row = insert(Server).values(server.model_dump()).on_conflict_do_nothing()
    connection = await session.connection()
    added = await connection.execute(row.returning(col(Server.id)))
    if not added.all():
        raise Conflict(f"there is a server {server.name} already")
    await servers.record(session, server, Action.SERVER_ADDED)


def _check_hosting(server: Server) -> None:
    try:
        ipaddress.IPv4Address(server.public_ip)
    except ValueError:
        raise Invalid(
            "public_ip",
            f"want an IPv4 address for its websites, not {server.public_ip}",
        ) from None
    (server.host_key,) = ssh_keys([server.host_key], field="host_key")


async def seed_catalogue(session: Session, tenant_id: UUID) -> int:
    """The products of `catalogue.toml`; one that is there keeps what it has."""
    listed = tomllib.loads(_CATALOGUE.read_text())["product"]
    return await _add_missing(
        session, Product, [_product(entry, tenant_id) for entry in listed]
    )


async def seed_cluster(session: Session) -> None:
    """The three nodes of the simulated cluster, addresses for documentation (RFC 5737)
    and a range of VMIDs."""
    for name in ("pve1", "pve2", "pve3"):
        node = Server(name=name, role=PROXMOX, memory=60 * 1024, cores=16)
        row = insert(Server).values(node.model_dump())
        await session.exec(row.on_conflict_do_nothing())
    pools = await session.exec(select(AddressPool.id).limit(1))
    if pools.first() is None:
        await add_pool(
            session, name="pods", network="198.51.100.0/24", gateway="198.51.100.1"
        )
        await add_vmids(session, 10_000, 10_999)


async def create_user(
    url: str, *, email: str, role: str, tenant: str, password: str
) -> None:
    """Adds somebody who may log in, to the tenant of this name.

    Raises `Invalid` (role, address, password), `NotFound` (tenant), `Conflict`.
    """
    if role not in list(Role):
        raise Invalid("role", f"want one of {', '.join(Role)}")
    check_new(password, email=email.lower(), field="password")
    db = Database(url, pool_size=1)
    try:
        async with db.platform() as session:
            found = await tenants.by_name(session, tenant)
            user = {"id": uuid4(), **_user(email, password, Role(role), found.id)}
            if not await _add_missing(session, User, [user]):
                raise Conflict(f"there is a user {user['email']} already")
            await audit.record(
                session,
                tenant_id=found.id,
                by=audit.SYSTEM,
                action=Action.USER_CREATED,
                entity="user",
                entity_id=user["id"],
                details={"roles": user["roles"]},
            )
            await session.commit()
    finally:
        await db.close()


def _user(email: str, password: str, role: Role, tenant_id: UUID) -> dict[str, Any]:
    address = email_address(email, field="email")
    return {
        "tenant_id": tenant_id,
        "email": address,
        "name": address.partition("@")[0],
        "password_hash": PASSWORDS.hash(password),
        "roles": [str(role)],
    }


def _product(entry: dict[str, Any], tenant_id: UUID) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "code": entry["code"],
        "sku": entry["sku"],
        "name": entry["name"],
        "type": entry["type"],
        "billing_cycles": [
            {"cycle": cycle, "price": to_cents(price), "currency": CURRENCY}
            for cycle, price in entry["prices"].items()
        ],
        "attributes": entry.get("attributes", {}),
        "delivers": entry.get("delivers", {}),
        "status": "active",
    }


async def _put_server(session: Session, seed: DevSeed) -> None:
    address = {
        "ssh_host": seed.server_host,
        "ssh_port": seed.server_ssh_port,
        "host_key": seed.server_host_key,
        "http_address": seed.server_http_address,
        "public_ip": seed.server_public_ip,
    }
    server = {
        "id": uuid4(),
        "created_at": utc_now(),
        "name": seed.server_name,
        "role": "hosting",
        "ssh_user": "root",
        "capacity": seed.server_capacity,
        "status": "online",
        **address,
    }
    await session.exec(
        insert(Server)
        .values(server)
        .on_conflict_do_update(index_elements=["name"], set_=address)
    )


async def _add_missing(
    session: Session,
    table: type[Tenant] | type[Product] | type[User],
    rows: list[dict[str, Any]],
) -> int:
    """How many were added; one that breaks a unique key is there already."""
    made = [{"id": uuid4(), "created_at": utc_now(), **row} for row in rows]
    connection = await session.connection()
    added = await connection.execute(
        insert(table).values(made).on_conflict_do_nothing().returning(col(table.id))
    )
    return len(added.all())
