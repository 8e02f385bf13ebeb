"""What is asked when a request comes in: one statement, whoever calls.

It counts the call, tells whose login or key it belongs to and what they may do at this
moment, and now and then notes that the login was seen, or the key used. Nothing is
remembered, so a revoked one is refused by the very next request of any process.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from models.calls import WINDOW_SECONDS
from models.direct import Direct

# The row of the count is locked while it changes, so of many calls at once, in
# whatever process, each is a number of its own.
_COUNTED: Final[LiteralString] = """
with login as materialized (
    select s.id as session_id, u.id, u.tenant_id, u.email, u.roles,
        s.second_factor_at
    from sessions s join users u on u.id = s.user_id
    where s.id = %(session)s and s.user_id = %(user)s
        and s.expires_at > now() and u.disabled_at is null
), seen as (
    update sessions set last_seen_at = now(), address = %(address)s
    where id = (select session_id from login)
        and last_seen_at < now() - interval '5 minutes'
), key as materialized (
    select id, tenant_id, name, public_id, scopes, last_used_at from api_keys
    where key_hash = %(key_hash)s and revoked_at is null
        and (expires_at is null or expires_at > now())
), used as (
    update api_keys set last_used_at = now() where id = (select id from key
        where last_used_at is null or last_used_at < now() - interval '1 minute')
), counted as (
    insert into call_counts as c (key, ends_at, hits) values (
        %(kind)s || coalesce((select ':user:' || id from login),
            (select ':key:' || id from key), ':address:' || %(network)s),
        now() + %(window)s * interval '1 second', 1)
    on conflict (key) do update set
        hits = case when c.ends_at <= now() then 1 else c.hits + 1 end,
        ends_at = case when c.ends_at <= now() then excluded.ends_at
            else c.ends_at end
    returning hits, ends_at
)
select hits, extract(epoch from ends_at)::float8,
    extract(epoch from ends_at - now())::float8,
    login.*, key.id, key.tenant_id, key.name, key.public_id, key.scopes
"""
_COUNTED_FROM: Final[LiteralString] = """
from counted left join login on true left join key on true
"""


def asking_too(columns: LiteralString, join: LiteralString = "") -> LiteralString:
    """The statement of `enter` with more columns, of rows `join`ed to it.

    What a quick route asks then needs no round trip of its own; `login` and `key` are
    there to name the caller's tenant.
    """
    return f"{_COUNTED}, {columns}{_COUNTED_FROM}{join}"


_ENTER: Final[LiteralString] = _COUNTED + _COUNTED_FROM


class Call(NamedTuple):
    """One that comes in. `network` is whom it counts for if it belongs to no login."""

    kind: str
    address: str
    network: str
    user_id: UUID | None = None
    session_id: UUID | None = None
    key_hash: str | None = None


class Too(NamedTuple):
    """What is asked beside: a statement of `asking_too`, and the values it wants."""

    statement: LiteralString
    values: Mapping[str, Any]


class LoginUser(NamedTuple):
    """Whose login it is, as of this moment."""

    session_id: UUID
    id: UUID
    tenant_id: UUID
    email: str
    roles: list[str]
    second_factor_at: datetime | None


class KeyHolder(NamedTuple):
    """The program that a good key was given to."""

    id: UUID
    tenant_id: UUID
    name: str
    public_id: str
    scopes: list[str]


class Entered(NamedTuple):
    """`hits`: this call is number so many of the minute that ends at `ends_at` (epoch
    seconds), in `seconds`. `user`, `key`: None if what was sent is over, or nothing.
    `too`: the columns that were asked beside it."""

    hits: int
    ends_at: float
    seconds: float
    user: LoginUser | None
    key: KeyHolder | None
    too: tuple[Any, ...] = ()


async def enter(direct: Direct, call: Call, too: Too | None = None) -> Entered:
    """Counts the call. `psycopg.OperationalError` if the database is away."""
    values: dict[str, Any] = {
        "kind": call.kind,
        "session": call.session_id,
        "user": call.user_id,
        "address": call.address,
        "network": call.network,
        "key_hash": call.key_hash,
        "window": WINDOW_SECONDS,
    }
    if too is None:
        row = await direct.row(_ENTER, values)
    else:
        row = await direct.row(too.statement, {**values, **too.values})
    assert row is not None  # noqa: S101 - an insert that returns has a row
    hits, ends_at, seconds = row[:3]
    user = LoginUser(*row[3:9]) if row[3] else None
    key = KeyHolder(*row[9:14]) if row[9] else None
    return Entered(hits, ends_at, seconds, user, key, row[14:])
