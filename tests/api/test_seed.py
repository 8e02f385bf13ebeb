"""A seed adds what is missing, and a second start changes nothing but addresses."""

from dataclasses import replace
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text
from sqlmodel import select

from models.database import Database
from models.errors import Conflict, Invalid, NotFound
from models.products import Product
from models.seed import DevSeed, create_user, seed_dev
from models.servers import Server
from models.tenants import MIGRAHOSTING
from models.users import Role, User
from tests.api.audited import told

HOSTING = select(Server).where(Server.role == "hosting")


@pytest.fixture
def seed(app_url: str, db: Database) -> DevSeed:
    return DevSeed(
        database_url=app_url,
        admin_email="Admin@Example.com",
        admin_password="a password of the tests",
        server_name="srv1",
        server_host="127.0.0.1",
        server_ssh_port=2222,
        server_host_key="ssh-ed25519 AAAA",
        server_http_address="127.0.0.1:8080",
        server_public_ip="127.0.0.1",
        server_capacity=10,
    )


async def everything(db: Database) -> dict[str, list[Any]]:
    async with db.platform() as session:
        connection = await session.connection()
        return {
            table: [
                tuple(row)
                for row in await connection.execute(
                    text(f"select * from {table} order by id")
                )
            ]
            for table in ("tenants", "users", "products", "servers")
        }


async def test_a_second_start_changes_nothing(db: Database, seed: DevSeed) -> None:
    await seed_dev(seed)
    first = await everything(db)
    await seed_dev(seed)
    assert await everything(db) == first
    assert [len(rows) for rows in first.values()] == [1, 1, 9, 4]


async def test_what_an_operator_changed_stays_but_the_address_follows(
    db: Database, seed: DevSeed
) -> None:
    await seed_dev(seed)
    async with db.platform() as session:
        product = (
            await session.exec(select(Product).where(Product.code == "starter"))
        ).one()
        product.name = "Renamed"
        (await session.exec(HOSTING)).one().capacity = 99
        await session.commit()
    await seed_dev(replace(seed, server_ssh_port=2223, server_capacity=1))
    async with db.platform() as session:
        server = (await session.exec(HOSTING)).one()
        kept = await session.get_one(Product, product.id)
    assert kept.name == "Renamed"
    assert (server.ssh_port, server.capacity) == (2223, 99)


async def test_the_admin_is_of_the_platform_and_only_a_hash_is_kept(
    db: Database, seed: DevSeed
) -> None:
    await seed_dev(seed)
    async with db.platform() as session:
        admin = (await session.exec(select(User))).one()
    assert (admin.email, admin.roles) == ("admin@example.com", [Role.SUPER_ADMIN])
    assert admin.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PasswordHasher().verify(admin.password_hash, seed.admin_password)


async def test_the_catalogue_has_the_documents_codes_and_prices(
    db: Database, seed: DevSeed
) -> None:
    await seed_dev(seed)
    async with db.platform() as session:
        products = {one.code: one for one in await session.exec(select(Product))}
    prices = {
        ("starter", "monthly"): 1999,
        ("wp_growth", "monthly"): 4999,
        ("daily_backups_30d", "monthly"): 499,
        ("shared-starter", "monthly"): 795,
        ("shared-starter", "oneYear"): 12 * 199,
        ("shared-starter", "twoYears"): 24 * 169,
        ("shared-starter", "threeYears"): 36 * 149,
        ("shared-business", "oneYear"): 5988,
        ("cloudpod_mini", "yearly"): 9900,
        ("cloudpod_pro", "monthly"): 1999,
    }
    for (code, cycle), cents in prices.items():
        assert products[code].price(cycle) == (cents, "USD")
    delivered = {code for code, one in products.items() if one.delivers}
    assert delivered == {
        "starter",
        "wp_growth",
        "daily_backups_30d",
        "cloudpod_mini",
        "cloudpod_pro",
        "cloudpod_nano",
    }
    assert {one.tenant_id for one in products.values()} == {MIGRAHOSTING}


async def test_a_user_is_created_once(db: Database, app_url: str) -> None:
    named = {
        "role": "operator",
        "tenant": "MigraHosting",
        "password": "long enough now",
    }
    await create_user(app_url, email="Ops@example.com", **named)
    [event] = await told(db, "user.created")
    assert (event.actor_kind, event.details) == ("system", {"roles": ["operator"]})
    with pytest.raises(Conflict, match="already"):
        await create_user(app_url, email="ops@example.com", **named)
    for wrong, error in (
        ({"tenant": "Nobody"}, NotFound),
        ({"role": "king"}, Invalid),
        ({"email": "no address"}, Invalid),
    ):
        with pytest.raises(error):
            await create_user(app_url, **{"email": "b@example.com", **named, **wrong})
