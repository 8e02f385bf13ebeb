"""The names of a CloudPod: one that leads to it, and one that leads back (PTR)."""

import ipaddress
from typing import Final

from temporalio import activity

from activities.calls import StepCall
from activities.dns import PROVIDER, NameServer
from activities.effects import EffectLedger
from activities.errors import ProviderDown, ProviderRejected
from activities.store import Store
from models.cloudpods import CloudPod
from models.queries import cloudpods
from models.states import EffectState

KIND: Final = "record"


class CloudPodNames:
    """`subject_id` of every call is the CloudPod."""

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
    async def create_pod_names(self, call: StepCall) -> None:
        """Host name to address, and back; repeated, they are the same records."""
        pod = await self._pod(call)
        for zone, name, type_, content in self._records(pod):
            reference = f"{pod.id}:{type_}"
            async with self._store.step(call, platform=True) as (session, _):
                effect = await self._effects.intend(
                    session,
                    call,
                    owner_id=pod.id,
                    provider=PROVIDER,
                    kind=KIND,
                    reference=reference,
                    facts={"zone": zone, "name": name, "type": type_},
                )
                await session.commit()
            await self._put(zone, name, type_, content, reference)
            await self._effects.present(effect, remote_id=name)

    @activity.defn
    async def delete_pod_names(self, call: StepCall) -> None:
        """Takes our records away and reads back that they are gone."""
        for type_ in ("A", "AAAA", "PTR"):
            effect = await self._effects.find(
                call,
                provider=PROVIDER,
                kind=KIND,
                reference=f"{call.subject_id}:{type_}",
            )
            if effect is None or effect.state == EffectState.REMOVED:
                continue
            zone, name = str(effect.facts["zone"]), str(effect.facts["name"])
            await self._names.delete_record(
                zone, name, type_, reference=effect.reference
            )
            left = await self._names.record(zone, name, type_)
            if left is not None and left.reference == effect.reference:
                raise ProviderDown(PROVIDER, f"the record of {name} is still there")
            await self._effects.removed(effect)

    def _records(self, pod: CloudPod) -> list[tuple[str, str, str, str]]:
        found = []
        if pod.ipv4:
            back, zone = reverse(pod.ipv4)
            found += [
                (self._platform, pod.hostname, "A", pod.ipv4),
                (zone, back, "PTR", f"{pod.hostname}."),
            ]
        if pod.ipv6:
            found.append((self._platform, pod.hostname, "AAAA", pod.ipv6))
        return found

    async def _put(
        self, zone: str, name: str, type_: str, content: str, reference: str
    ) -> None:
        record = (zone, name, type_, (content,))
        try:
            await self._names.put_record(*record, reference=reference)
        except ProviderRejected as refused:
            if refused.code != "no_zone":
                raise
            await self._names.create_zone(zone, nameservers=[f"ns1.{self._platform}"])
            await self._names.put_record(*record, reference=reference)

    async def _pod(self, call: StepCall) -> CloudPod:
        async with self._store.step(call) as (session, _):
            pod = await cloudpods.get(session, call.subject_id)
            await session.commit()
            return pod


def reverse(ip: str) -> tuple[str, str]:
    """(name, zone) of an IPv4 address' PTR: `5.2.0.192.in-addr.arpa` in its /24."""
    name = ipaddress.ip_address(ip).reverse_pointer
    return name, name.partition(".")[2]
