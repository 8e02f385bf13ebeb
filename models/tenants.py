"""Companies that use the platform. Orders by webhook belong to MigraHosting."""

from uuid import UUID

from sqlmodel import Field

from models.base import Row

MIGRAHOSTING = UUID("00000000-0000-4000-8000-000000000001")


class Tenant(Row, table=True):
    __tablename__ = "tenants"

    name: str = Field(unique=True)
