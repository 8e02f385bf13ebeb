"""Who buys. One record per e-mail address (lower case) within a tenant."""

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from models.base import TenantRow, document


class Customer(TenantRow, table=True):
    __tablename__ = "customers"
    __table_args__ = (
        UniqueConstraint("tenant_id", "email"),
        Index(
            "customers_unreachable", "id", postgresql_where=text("mail_undeliverable")
        ),
    )

    email: str = Field(index=True)
    name: str = ""
    phone: str = ""
    address: dict[str, str] = document(default_factory=dict)
    status: str = "active"
    stripe_customer_id: str | None = Field(default=None, index=True)
    # A mail to this address came back for good, and no later one has stayed there.
    mail_undeliverable: bool = False
