"""The name of a website: a zone, and the record that leads to its server."""

from typing import Protocol

from temporalio import activity

from activities.calls import StepCall
from activities.effects import EffectLedger
from activities.errors import ProviderDown, ProviderRejected
from activities.store import Store, placed
from models.states import EffectState

PROVIDER = "powerdns"


class Record(Protocol):
    @property
    def reference(self) -> str | None: ...


class NameServer(Protocol):
    """The authoritative name server; a record set carries our reference."""

    async def create_zone(self, name: str, *, nameservers: list[str]) -> None: ...

    async def record(self, zone: str, name: str, type: str) -> Record | None: ...

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


class DnsActivities:
    """`subject_id` of every call is the website."""

    def __init__(
        self,
        store: Store,
        effects: EffectLedger,
        names: NameServer,
        *,
        platform_domain: str,
    ) -> None:
        self._store, self._effects, self._names = store, effects, names
        self._platform = platform_domain

    @activity.defn
    async def create_record(self, call: StepCall) -> None:
        """The A record of the website; repeated, it is the same record."""
        async with self._store.step(call, platform=True) as (session, _):
            website, server = await placed(session, call.subject_id)
            zone, reference = self._zone_of(website.domain), str(website.id)
            effect = await self._effects.intend(
                session,
                call,
                owner_id=website.id,
                provider=PROVIDER,
                kind="record",
                reference=reference,
                facts={"zone": zone, "name": website.domain, "type": "A"},
            )
            await session.commit()
        record = (zone, website.domain, "A", (server.public_ip,))
        try:
            await self._names.put_record(*record, reference=reference)
        except ProviderRejected as refused:
            if refused.code != "no_zone":
                raise
            await self._names.create_zone(zone, nameservers=[f"ns1.{self._platform}"])
            await self._names.put_record(*record, reference=reference)
        await self._effects.present(effect, remote_id=website.domain)

    @activity.defn
    async def delete_record(self, call: StepCall) -> None:
        """Takes our record away and reads back that it is gone."""
        effect = await self._effects.find(
            call, provider=PROVIDER, kind="record", reference=str(call.subject_id)
        )
        if effect is None or effect.state == EffectState.REMOVED:
            return
        zone, name = str(effect.facts["zone"]), str(effect.facts["name"])
        await self._names.delete_record(zone, name, "A", reference=effect.reference)
        left = await self._names.record(zone, name, "A")
        if left is not None and left.reference == effect.reference:
            raise ProviderDown(PROVIDER, f"the record of {name} is still there")
        await self._effects.removed(effect)

    def _zone_of(self, domain: str) -> str:
        below = domain.endswith(f".{self._platform}")
        return self._platform if below else domain
