"""What is asked when a request comes in: one statement, whoever calls.

It counts the call, tells whose login it belongs to and what its user may do at this
moment, and now and then notes that the login was seen.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID

from models.calls import WINDOW_SECONDS
from models.direct import Direct

# The row of the count is locked while it changes, so of many calls at once, in
# whatever process, each is a number of its own.
_ENTER: Final[LiteralString] = """
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
), counted as (
    insert into call_counts as c (key, ends_at, hits) values (
        %(kind)s || coalesce((select ':user:' || id from login),
            ':address:' || %(network)s),
        now() + %(window)s * interval '1 second', 1)
    on conflict (key) do update set
        hits = case when c.ends_at <= now() then 1 else c.hits + 1 end,
        ends_at = case when c.ends_at <= now() then excluded.ends_at
            else c.ends_at end
    returning hits, ends_at
)
select hits, extract(epoch from ends_at)::float8,
    extract(epoch from ends_at - now())::float8,
    session_id, id, tenant_id, email, roles, second_factor_at
from counted left join login on true
"""


@dataclass(frozen=True)
class Call:
    """One that comes in. `network` is whom it counts for if it belongs to no login."""

    kind: str
    address: str
    network: str
    user_id: UUID | None = None
    session_id: UUID | None = None


@dataclass(frozen=True)
class LoginUser:
    """Whose login it is, as of this moment."""

    session_id: UUID
    id: UUID
    tenant_id: UUID
    email: str
    roles: list[str]
    second_factor_at: datetime | None


@dataclass(frozen=True)
class Entered:
    """`hits`: this call is number so many of the minute that ends at `ends_at` (epoch
    seconds), in `seconds`. `user`: None if the login is over, or none was named."""

    hits: int
    ends_at: float
    seconds: float
    user: LoginUser | None


async def enter(direct: Direct, call: Call) -> Entered:
    """Counts the call. `psycopg.OperationalError` if the database is away."""
    values: dict[str, Any] = {
        "kind": call.kind,
        "session": call.session_id,
        "user": call.user_id,
        "address": call.address,
        "network": call.network,
        "window": WINDOW_SECONDS,
    }
    row = await direct.row(_ENTER, values)
    assert row is not None  # noqa: S101 - an insert that returns has a row
    hits, ends_at, seconds, *login = row
    user = LoginUser(*login) if login[0] else None
    return Entered(hits, ends_at, seconds, user)
