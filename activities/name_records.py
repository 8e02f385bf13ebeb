"""Records at the name server, each with its row in our ledger.

A record is put in two moves, since its row is committed with what the caller reads
for it and before the name server is called: `intend`, then `put`.
"""

from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from activities.calls import StepCall
from activities.effects import EffectLedger
from activities.errors import ProviderDown, ProviderRejected
from models.database import Session
from models.effects import Effect
from models.states import EffectState

PROVIDER = "powerdns"
KIND: Final = "record"


class Standing(Protocol):
    @property
    def reference(self) -> str | None: ...


class NameServer(Protocol):
    """The authoritative name server; a record set carries our reference."""

    async def create_zone(self, name: str, *, nameservers: list[str]) -> None: ...

    async def record(self, zone: str, name: str, type: str) -> Standing | None: ...

    async def put_record(
        self,
        zone: str,
        name: str,
        type: str,
        contents: tuple[str, ...],
        *,
        reference: str,
        ttl: int = 300,
    ) -> None:
        """Makes it be so. Raises `ProviderConflict` if a foreign one stands there, and
        `ProviderRejected` with the code `no_zone`.
        """

    async def delete_record(
        self, zone: str, name: str, type: str, *, reference: str
    ) -> None: ...


@dataclass(frozen=True)
class NameRecord:
    """One record as it is to stand; `reference` is one record's, and for ever."""

    zone: str
    name: str
    type: str
    content: str
    reference: str


class NameRecords:
    """Every method may run twice."""

    def __init__(
        self, effects: EffectLedger, names: NameServer, *, platform_domain: str
    ) -> None:
        self._effects, self._names = effects, names
        self._nameservers = [f"ns1.{platform_domain}"]

    async def intend(
        self, session: Session, call: StepCall, record: NameRecord, *, owner_id: UUID
    ) -> Effect:
        """Its row; the caller commits it before `put`."""
        return await self._effects.intend(
            session,
            call,
            owner_id=owner_id,
            provider=PROVIDER,
            kind=KIND,
            reference=record.reference,
            facts={"zone": record.zone, "name": record.name, "type": record.type},
        )

    async def put(self, effect: Effect, record: NameRecord) -> None:
        """Makes it stand, and its zone too where there is none."""
        wanted = (record.zone, record.name, record.type, (record.content,))
        try:
            await self._names.put_record(*wanted, reference=record.reference)
        except ProviderRejected as refused:
            if refused.code != "no_zone":
                raise
            await self._names.create_zone(record.zone, nameservers=self._nameservers)
            await self._names.put_record(*wanted, reference=record.reference)
        await self._effects.present(effect, remote_id=record.name)

    async def remove(self, call: StepCall, reference: str) -> None:
        """Takes the record away and reads back that it is gone."""
        effect = await self._effects.find(
            call, provider=PROVIDER, kind=KIND, reference=reference
        )
        if effect is None or effect.state == EffectState.REMOVED:
            return
        await self.delete(effect)
        if await self.stands(effect):
            raise ProviderDown(
                PROVIDER, f"the record of {effect.facts['name']} is still there"
            )
        await self._effects.removed(effect)

    async def stands(self, effect: Effect) -> bool:
        """Whether the name server has it, and it is ours."""
        found = await self._names.record(*_place(effect))
        return found is not None and found.reference == effect.reference

    async def delete(self, effect: Effect) -> None:
        """At the name server alone; a foreign one stays."""
        await self._names.delete_record(*_place(effect), reference=effect.reference)


def _place(effect: Effect) -> tuple[str, str, str]:
    facts = effect.facts
    return str(facts["zone"]), str(facts["name"]), str(facts["type"])
