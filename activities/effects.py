"""The ledger of outside resources: intended before the call, present after it,
removed once read back as absent."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from activities.calls import StepCall
from models.base import utc_now
from models.database import Database, Session
from models.effects import Effect
from models.errors import Conflict
from models.queries import effects
from models.states import EffectState
from models.vault import Vault

# After an effect became unsure, the provider is asked again this much later.
CHECKS = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1))


class EffectLedger:
    """Every method may run twice; all but `intend` commit by themselves."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db, self._vault = db, vault

    async def intend(
        self,
        session: Session,
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
        """The row; the caller commits it before the provider is called.

        An earlier row with this reference is taken up again, with its first secret.
        Raises `Conflict` if it belongs to another owner.
        """
        new = Effect(
            tenant_id=call.tenant_id,
            job_id=call.job_id,
            owner_id=owner_id,
            provider=provider,
            kind=kind,
            reference=reference,
            account=account,
            facts=facts or {},
        )
        if secret is not None:
            new.sealed = self._vault.seal(
                secret, bound_to=_bound(call.tenant_id, new.id)
            )
        effect = await effects.intend(session, new, check_at=utc_now() + CHECKS[0])
        if effect is None:
            raise Conflict(f"{provider} {kind} {reference} belongs to another owner")
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
        """It was read back at the provider. One that was undone meanwhile stays
        `removed`, to be looked for again."""
        await self._settle(effect, EffectState.PRESENT, remote_id, facts)

    async def note(self, effect: Effect, **facts: Any) -> None:
        """Something to remember before it is known how the call ended: a task's id.

        Not in a heartbeat, which is throttled and dies with its worker.
        """
        async with self._db.tenant(effect.tenant_id) as session:
            await effects.note(session, effect, facts)
            await session.commit()
        effect.facts = effect.facts | facts

    async def removed(self, effect: Effect, **facts: Any) -> None:
        """It was read back as absent. A create on its way may still land: checked."""
        await self._settle(effect, EffectState.REMOVED, None, facts)

    async def find(
        self, call: StepCall, *, provider: str, kind: str, reference: str
    ) -> Effect | None:
        """The row of this reference, if we ever intended it."""
        async with self._db.tenant(call.tenant_id) as session:
            return await effects.find(
                session, provider=provider, kind=kind, reference=reference
            )

    async def _settle(
        self,
        effect: Effect,
        state: EffectState,
        remote_id: str | None,
        facts: dict[str, Any],
    ) -> None:
        again = utc_now() + CHECKS[0] if state is EffectState.REMOVED else None
        async with self._db.tenant(effect.tenant_id) as session:
            await effects.settle(
                session,
                effect,
                state,
                remote_id=remote_id,
                facts=facts,
                check_at=again,
            )
            await session.commit()


def _bound(tenant_id: UUID, effect_id: UUID) -> str:
    return f"effects:{tenant_id}:{effect_id}"
