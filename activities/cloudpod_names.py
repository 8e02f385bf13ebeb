"""The names of a CloudPod: one that leads to it, and one that leads back (PTR)."""

import ipaddress
from collections.abc import Iterator
from typing import Final

from temporalio import activity

from activities.calls import StepCall
from activities.name_records import NameRecord, NameRecords
from activities.store import Store
from models.cloudpods import CloudPod
from models.queries import cloudpods

# By these its records are known; PTR6 leads back from its IPv6 address.
_RECORDS: Final = ("A", "AAAA", "PTR", "PTR6")


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
        for which in _RECORDS:
            await self._records.remove(call, f"{call.subject_id}:{which}")

    def _wanted(self, pod: CloudPod) -> Iterator[NameRecord]:
        for address, (there, back) in (
            (pod.ipv4, ("A", "PTR")),
            (pod.ipv6, ("AAAA", "PTR6")),
        ):
            if address is None:
                continue
            name, zone = reverse(address)
            yield NameRecord(
                self._platform, pod.hostname, there, address, f"{pod.id}:{there}"
            )
            yield NameRecord(zone, name, "PTR", f"{pod.hostname}.", f"{pod.id}:{back}")

    async def _pod(self, call: StepCall) -> CloudPod:
        async with self._store.step(call) as (session, _):
            pod = await cloudpods.get(session, call.subject_id)
            await session.commit()
            return pod


def reverse(ip: str) -> tuple[str, str]:
    """(name, zone) of an address' PTR, in the zone of its /24 or its /64."""
    address = ipaddress.ip_address(ip)
    labels = address.reverse_pointer.split(".")
    own = 1 if address.version == 4 else 16
    return address.reverse_pointer, ".".join(labels[own:])
