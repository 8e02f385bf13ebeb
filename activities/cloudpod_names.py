"""The names of a CloudPod: one that leads to it, and one that leads back (PTR)."""

import ipaddress
from collections.abc import Iterator

from temporalio import activity

from activities.calls import StepCall
from activities.name_records import NameRecord, NameRecords
from activities.store import Store
from models.cloudpods import CloudPod
from models.queries import cloudpods


class CloudPodNames:
    """`subject_id` of every call is the CloudPod."""

    def __init__(
        self, store: Store, records: NameRecords, *, platform_domain: str
    ) -> None:
        self._store, self._records = store, records
        self._platform = platform_domain

    @activity.defn
    async def create_pod_names(self, call: StepCall) -> None:
        """Host name to address, and back; repeated, they are the same records."""
        pod = await self._pod(call)
        for record in self._wanted(pod):
            async with self._store.step(call, platform=True) as (session, _):
                effect = await self._records.intend(
                    session, call, record, owner_id=pod.id
                )
                await session.commit()
            await self._records.put(effect, record)

    @activity.defn
    async def delete_pod_names(self, call: StepCall) -> None:
        """Takes our records away and reads back that they are gone."""
        for type_ in ("A", "AAAA", "PTR"):
            await self._records.remove(call, f"{call.subject_id}:{type_}")

    def _wanted(self, pod: CloudPod) -> Iterator[NameRecord]:
        def record(zone: str, name: str, type_: str, content: str) -> NameRecord:
            return NameRecord(zone, name, type_, content, f"{pod.id}:{type_}")

        if pod.ipv4:
            back, zone = reverse(pod.ipv4)
            yield record(self._platform, pod.hostname, "A", pod.ipv4)
            yield record(zone, back, "PTR", f"{pod.hostname}.")
        if pod.ipv6:
            yield record(self._platform, pod.hostname, "AAAA", pod.ipv6)

    async def _pod(self, call: StepCall) -> CloudPod:
        async with self._store.step(call) as (session, _):
            pod = await cloudpods.get(session, call.subject_id)
            await session.commit()
            return pod


def reverse(ip: str) -> tuple[str, str]:
    """(name, zone) of an IPv4 address' PTR: `5.2.0.192.in-addr.arpa` in its /24."""
    name = ipaddress.ip_address(ip).reverse_pointer
    return name, name.partition(".")[2]
