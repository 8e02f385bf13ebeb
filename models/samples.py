"""What a CloudPod used, minute by minute, as its node says."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from models.base import moment


class CloudPodSample(SQLModel, table=True):
    """`cpu` of 1 is all its cores; `memory` and `disk` in bytes, `net_in` and
    `net_out` in bytes a second. One for each CloudPod and minute."""

    __tablename__ = "cloudpod_samples"

    cloudpod_id: UUID = Field(foreign_key="cloudpods.id", primary_key=True)
    at: datetime = moment(primary_key=True, index=True)
    tenant_id: UUID = Field(foreign_key="tenants.id")
    cpu: float
    memory: int = Field(sa_type=BigInteger)
    disk: int = Field(sa_type=BigInteger)
    net_in: float
    net_out: float
