"""The ledger of outside resources: intended before the call, present after it,
removed once read back as absent."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from activities.calls import StepCall
from models.base import utc_now
from models.database import Database
from models.effects import Effect
from models.errors import Conflict
from models.states import EffectState
from models.vault import Vault

# After an effect became unsure, the provider is asked again this much later.
CHECKS = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1))


class EffectLedger:
    """Every method commits a transaction of its own, and may run twice."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db, self._vault = db, vault

    async def intend(
        self,
        call: StepCall,
        *,
        owner_id: UUID,
        provider: str,
        kind: str,
        reference: str,
        account: str = "",
        secret: bytes | None = None,
        facts: dict[str, Any] | None = None,
    ) -> Effect:
        """The row, committed before the provider is called.

        An earlier row with this reference is taken up again, with its first secret.
        Raises `Conflict` if it belongs to another owner.
        """
        new_id = uuid4()
        sealed = (
            self._vault.seal(secret, bound_to=_bound(call.tenant_id, new_id))
            if secret is not None
            else None
        )
        async with self._db.tenant(call.tenant_id) as session:
            await session.exec(
                insert(Effect)
                .values(
                    id=new_id,
                    tenant_id=call.tenant_id,
                    created_at=utc_now(),
                    updated_at=utc_now(),
                    job_id=call.job_id,
                    owner_id=owner_id,
                    provider=provider,
                    kind=kind,
                    reference=reference,
                    account=account,
                    state=EffectState.INTENDED,
                    sealed=sealed,
                    facts=facts or {},
                    check_at=utc_now() + CHECKS[0],
                    checks=0,
                )
                .on_conflict_do_nothing()
            )
            effect = (
                await session.exec(
                    select(Effect)
                    .where(
                        Effect.provider == provider,
                        Effect.kind == kind,
                        Effect.reference == reference,
                    )
                    .with_for_update()
                )
            ).one_or_none()
            if effect is None or effect.owner_id != owner_id:
                raise Conflict(
                    f"{provider} {kind} {reference} belongs to another owner"
                )
            if effect.state != EffectState.PRESENT:
                effect.state = EffectState.INTENDED
                effect.check_at, effect.checks = utc_now() + CHECKS[0], 0
            effect.job_id = call.job_id
            if facts:
                effect.facts = effect.facts | facts
            effect.updated_at = utc_now()
            await session.commit()
            return effect

    def secret(self, effect: Effect) -> bytes:
        """The secret stored before the first call."""
        if effect.sealed is None:
            raise ValueError("this effect has no secret")
        return self._vault.open(
            effect.sealed, bound_to=_bound(effect.tenant_id, effect.id)
        )

    async def present(
        self, effect: Effect, *, remote_id: str | None = None, **facts: Any
    ) -> None:
        """It was read back at the provider."""
        await self._settle(effect, EffectState.PRESENT, remote_id, facts)

    async def note(self, effect: Effect, **facts: Any) -> None:
        """Something to remember before it is known how the call ended: a task's id.

        Not in a heartbeat, which is throttled and dies with its worker.
        """
        async with self._db.tenant(effect.tenant_id) as session:
            row = (
                await session.exec(
                    select(Effect).where(col(Effect.id) == effect.id).with_for_update()
                )
            ).one()
            row.facts = row.facts | facts
            row.updated_at = utc_now()
            await session.commit()
        effect.facts = effect.facts | facts

    async def removed(self, effect: Effect) -> None:
        """It was read back as absent. A create on its way may still land: checked."""
        await self._settle(effect, EffectState.REMOVED, None, {})

    async def find(
        self, call: StepCall, *, provider: str, kind: str, reference: str
    ) -> Effect | None:
        """The row of this reference, if we ever intended it."""
        async with self._db.tenant(call.tenant_id) as session:
            return (
                await session.exec(
                    select(Effect).where(
                        Effect.provider == provider,
                        Effect.kind == kind,
                        Effect.reference == reference,
                    )
                )
            ).one_or_none()

    async def _settle(
        self,
        effect: Effect,
        state: EffectState,
        remote_id: str | None,
        facts: dict[str, Any],
    ) -> None:
        async with self._db.tenant(effect.tenant_id) as session:
            row = (
                await session.exec(
                    select(Effect).where(col(Effect.id) == effect.id).with_for_update()
                )
            ).one()
            row.state = state
            row.remote_id = remote_id or row.remote_id
            row.facts = row.facts | facts
            row.updated_at = utc_now()
            row.checks = 0
            row.check_at = (
                utc_now() + CHECKS[0] if state == EffectState.REMOVED else None
            )
            await session.commit()


def _bound(tenant_id: UUID, effect_id: UUID) -> str:
    return f"effects:{tenant_id}:{effect_id}"
