"""The name of a website: a zone, and the record that leads to its server."""

from temporalio import activity

from activities.calls import StepCall
from activities.name_records import NameRecord, NameRecords
from activities.store import Store, placed


class DnsActivities:
    """`subject_id` of every call is the website."""

    def __init__(
        self, store: Store, records: NameRecords, *, platform_domain: str
    ) -> None:
        self._store, self._records = store, records
        self._platform = platform_domain

    @activity.defn
    async def create_record(self, call: StepCall) -> None:
        """The A record of the website; repeated, it is the same record."""
        async with self._store.step(call, platform=True) as (session, _):
            website, server = await placed(session, call.subject_id)
            record = NameRecord(
                self._zone_of(website.domain),
                website.domain,
                "A",
                server.public_ip,
                str(website.id),
            )
            effect = await self._records.intend(
                session, call, record, owner_id=website.id
            )
            await session.commit()
        await self._records.put(effect, record)

    @activity.defn
    async def delete_record(self, call: StepCall) -> None:
        """Takes our record away and reads back that it is gone."""
        await self._records.remove(call, str(call.subject_id))

    def _zone_of(self, domain: str) -> str:
        below = domain.endswith(f".{self._platform}")
        return self._platform if below else domain
