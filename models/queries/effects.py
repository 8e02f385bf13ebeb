"""The ledger of outside resources: each move of a row in one statement."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import select

from models.base import utc_now
from models.database import Session
from models.effects import Effect
from models.states import EffectState

# An earlier row of the same owner is taken up again, with its first secret.
_INTEND = text(
    "insert into effects (id, created_at, tenant_id, job_id, owner_id, provider, kind,"
    " reference, account, state, sealed, facts, updated_at, check_at, checks)"
    " values (:id, :now, :tenant_id, :job_id, :owner_id, :provider, :kind, :reference,"
    " :account, 'intended', :sealed, cast(:facts as jsonb), :now, :check_at, 0)"
    " on conflict (provider, kind, reference) do update set job_id = excluded.job_id,"
    " facts = effects.facts || excluded.facts, updated_at = excluded.updated_at,"
    " state = case effects.state when 'present' then 'present' else 'intended' end,"
    " checks = case effects.state when 'present' then effects.checks else 0 end,"
    " check_at = case effects.state when 'present' then effects.check_at"
    " else excluded.check_at end"
    " where effects.owner_id = excluded.owner_id returning *"
)
_SETTLE = text(
    "update effects set state = :state, remote_id = coalesce(:remote_id, remote_id),"
    " facts = facts || cast(:facts as jsonb), updated_at = :now, checks = 0,"
    " check_at = :check_at where id = :id"
    # A create that ends after its undo: `removed` is what has it looked for again.
    " and not (state = 'removed' and cast(:state as text) = 'present')"
)
_NOTE = text(
    "update effects set facts = facts || cast(:facts as jsonb), updated_at = :now"
    " where id = :id"
)


async def intend(session: Session, new: Effect, *, check_at: datetime) -> Effect | None:
    """The row as it stands now; None if another owner has this reference."""
    connection = await session.connection()
    found = await connection.execute(
        _INTEND,
        {
            "id": new.id,
            "now": utc_now(),
            "tenant_id": new.tenant_id,
            "job_id": new.job_id,
            "owner_id": new.owner_id,
            "provider": new.provider,
            "kind": new.kind,
            "reference": new.reference,
            "account": new.account,
            "sealed": new.sealed,
            "facts": json.dumps(new.facts),
            "check_at": check_at,
        },
    )
    row = found.mappings().one_or_none()
    return Effect(**row) if row else None


async def settle(
    session: Session,
    effect: Effect,
    state: EffectState,
    *,
    remote_id: str | None = None,
    facts: Mapping[str, Any],
    check_at: datetime | None,
) -> None:
    """What was read back at the provider."""
    connection = await session.connection()
    await connection.execute(
        _SETTLE,
        {
            "id": effect.id,
            "state": str(state),
            "remote_id": remote_id,
            "facts": json.dumps(facts),
            "now": utc_now(),
            "check_at": check_at,
        },
    )


async def note(session: Session, effect: Effect, facts: Mapping[str, Any]) -> None:
    """More facts beside those that are known."""
    connection = await session.connection()
    await connection.execute(
        _NOTE, {"id": effect.id, "facts": json.dumps(facts), "now": utc_now()}
    )


async def find(
    session: Session, *, provider: str, kind: str, reference: str
) -> Effect | None:
    """The row of this reference, if we ever intended it."""
    return (
        await session.exec(
            select(Effect).where(
                Effect.provider == provider,
                Effect.kind == kind,
                Effect.reference == reference,
            )
        )
    ).one_or_none()
