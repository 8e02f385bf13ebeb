"""The key of a call: claimed, looked up, and kept with the answer."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CursorResult, Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from models.base import utc_now
from models.database import Session

LASTS: Final = timedelta(hours=24)
# A caller's machine that vanished in the middle holds its key for so long.
LEASE: Final = "15s"

_CLAIM = text(
    "select pg_try_advisory_xact_lock(:lock),"
    " set_config('idle_in_transaction_session_timeout', :lease, true)"
)
_FIND = text(
    "select id, request_hash, status, content_type, sealed from kept_answers"
    " where tenant_id = :tenant and caller = :caller and key = :key"
)
_KEEP = text(
    "insert into kept_answers (id, created_at, tenant_id, caller, key, request_hash,"
    " status, content_type, sealed) values (:id, :now, :tenant, :caller, :key,"
    " :request_hash, :status, :content_type, :sealed)"
)
_SWEEP = text(
    "delete from kept_answers where id in (select id from kept_answers"
    " where created_at < :before order by created_at limit :most)"
)


@dataclass(frozen=True)
class CallKey:
    """Whose key it is: two callers never meet, whatever they send."""

    tenant_id: UUID
    caller: str
    key: str

    @property
    def lock(self) -> int:
        """The number under which PostgreSQL locks it."""
        named = f"{self.tenant_id} {self.caller} {self.key}"
        digest = hashlib.sha256(named.encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)

    @property
    def values(self) -> dict[str, Any]:
        """As the columns are called."""
        return {"tenant": self.tenant_id, "caller": self.caller, "key": self.key}


async def claim(connection: AsyncConnection, key: CallKey) -> bool:
    """Whether the key is ours until this transaction ends, however it ends."""
    values = {"lock": key.lock, "lease": LEASE}
    return bool((await connection.execute(_CLAIM, values)).scalar_one())


async def find(connection: AsyncConnection, key: CallKey) -> Row[Any] | None:
    """What the first call was answered. To be asked after the claim."""
    return (await connection.execute(_FIND, key.values)).first()


async def keep(
    connection: AsyncConnection, key: CallKey, answer: Mapping[str, Any]
) -> None:
    """Keeps `id`, `request_hash`, `status`, `content_type` and `sealed`."""
    await connection.execute(_KEEP, {**key.values, **answer, "now": utc_now()})


async def sweep(session: Session, *, most: int = 1000) -> int:
    """Forgets answers that are older than a day; how many they were."""
    values = {"before": utc_now() - LASTS, "most": most}
    swept = await (await session.connection()).execute(_SWEEP, values)
    assert isinstance(swept, CursorResult)  # noqa: S101 - for the type alone
    return swept.rowcount
