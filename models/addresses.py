"""What may be given to one guest at a time: IP addresses and VMIDs.

Both are rows before they are anything at a provider, and a unique constraint is the
last word: fifty provisions at once get fifty different ones. What comes back rests for
a while, since caches, firewalls and half-finished tasks still know its last owner.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field

from models.base import Row, moment, word
from models.states import AddressStatus

QUARANTINE = timedelta(hours=24)


class AddressPool(Row, table=True):
    """A network of the platform's. `family` is 4 or 6, `gateway` an address in it."""

    __tablename__ = "address_pools"

    name: str = Field(unique=True)
    family: int
    network: str
    gateway: str
    bridge: str = "vmbr0"


class _Lease(Row):
    """`owner_id` (a CloudPod) is set while leased; `rests_until` while resting."""

    status: AddressStatus = word(default=AddressStatus.FREE)
    owner_id: UUID | None = None
    rests_until: datetime | None = moment(default=None)


class Address(_Lease, table=True):
    """One address; an owner has at most one of each family."""

    __tablename__ = "addresses"
    __table_args__ = (
        Index("address_of_owner", "owner_id", "family", unique=True),
        Index(
            "addresses_to_give", "pool_id", postgresql_where=text("status <> 'leased'")
        ),
    )

    pool_id: UUID = Field(foreign_key="address_pools.id")
    family: int
    ip: str = Field(unique=True)


class Vmid(_Lease, table=True):
    """A number of the cluster's; Proxmox' own `nextid` reserves nothing."""

    __tablename__ = "vmids"
    __table_args__ = (
        Index("vmids_to_give", "vmid", postgresql_where=text("status <> 'leased'")),
    )

    vmid: int = Field(unique=True)
    owner_id: UUID | None = Field(default=None, unique=True)
