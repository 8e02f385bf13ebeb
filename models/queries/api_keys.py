"""Everything that is asked of API keys."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlmodel import col, or_, select

from models.api_keys import ApiKey, Scope, may_make, mint
from models.audit import Action
from models.base import utc_now
from models.database import Session
from models.queries import audit, decisions
from models.queries.audit import By
from models.queries.slices import Slice, Window, by_id, page
from models.users import User


async def find(session: Session, window: Window) -> Slice[ApiKey]:
    """Newest first, revoked ones too."""
    query = select(ApiKey).order_by(col(ApiKey.created_at).desc(), col(ApiKey.id))
    return await page(session, query, window)


async def good(session: Session, key_id: UUID | None = None) -> Sequence[ApiKey]:
    """Those that open something (or this one, if it does), newest first."""
    query = select(ApiKey).where(
        col(ApiKey.revoked_at).is_(None),
        or_(col(ApiKey.expires_at).is_(None), col(ApiKey.expires_at) > utc_now()),
    )
    if key_id is not None:
        query = query.where(ApiKey.id == key_id)
    ordered = query.order_by(col(ApiKey.created_at).desc(), col(ApiKey.id))
    return (await session.exec(ordered)).all()


async def create(
    session: Session,
    by: By,
    *,
    tenant_id: UUID,
    name: str,
    scopes: list[Scope],
    expires_at: datetime | None,
) -> tuple[ApiKey, str]:
    """The row and the key itself, which nobody can read again."""
    row = ApiKey(
        tenant_id=tenant_id,
        key_hash="",
        public_id="",
        last4="",
        name=name,
        scopes=sorted({str(scope) for scope in scopes}),
        created_by=by.id,
        expires_at=expires_at,
    )
    key = mint(row)
    session.add(row)
    expires = expires_at.isoformat() if expires_at else None
    await _record(session, by, row, Action.KEY_CREATED, expiresAt=expires)
    return row, key


async def revoke(session: Session, by: By, key_id: UUID) -> ApiKey:
    """Ends the key, for good. Safe to repeat. Raises `NotFound`."""
    row = await by_id(session, ApiKey, key_id, lock=True)
    if row.revoked_at is None:
        row.revoked_at = utc_now()
        await decisions.forget_codes(session, row.id)
        await _record(session, by, row, Action.KEY_REVOKED)
    return row


async def revoke_beyond(session: Session, by: By, maker: User) -> None:
    """Ends the keys of somebody who could not make them any more, and the codes with
    which they could decide: neither outlives the trust in whoever holds it. Safe to
    repeat."""
    await session.flush()  # first the user's row, on which the maker of a key waits
    await decisions.forget_codes(session, maker.id)
    disabled = maker.disabled_at is not None
    query = (
        select(ApiKey)
        .where(ApiKey.created_by == maker.id, col(ApiKey.revoked_at).is_(None))
        .order_by(col(ApiKey.id))
        .with_for_update()
    )
    why = f"its maker {maker.email} " + (
        "was disabled" if disabled else "lost the role that it took"
    )
    for row in (await session.exec(query)).all():
        if disabled or not may_make(maker.roles, row.scopes):
            row.revoked_at = utc_now()
            await decisions.forget_codes(session, row.id)
            await _record(session, by, row, Action.KEY_REVOKED, why)


async def _record(
    session: Session,
    by: By,
    row: ApiKey,
    action: Action,
    reason: str = "",
    **details: str | None,
) -> None:
    await audit.record(
        session,
        tenant_id=row.tenant_id,
        by=by,
        action=action,
        entity="api_key",
        entity_id=row.id,
        reason=reason,
        details={
            "name": row.name,
            "key": row.shown_as,
            "scopes": row.scopes,
            **details,
        },
    )
