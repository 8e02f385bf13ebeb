"""What is sold. `delivers` says what an item of it turns into."""

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from models.base import TenantRow, document
from models.money import Cents


class Product(TenantRow, table=True):
    """`billing_cycles`: [{"cycle": "monthly", "price": 4999, "currency": "USD"}].

    `delivers`: {"kind": "website", "site": "php", "php": "8.4"} or
    {"kind": "backups", "days": 30, "needs": "website"} or {"kind": "cloudpod", "guest":
    "qemu", "image": "debian-13"}, whose sizes are the attributes cpu, ramMb and diskGb;
    empty: cannot be ordered yet.
    """

    __tablename__ = "products"
    __table_args__ = (
        UniqueConstraint("tenant_id", "code"),
        UniqueConstraint("tenant_id", "sku"),
    )

    code: str
    sku: str
    name: str
    type: str = Field(index=True)
    billing_cycles: list[dict[str, Any]] = document(default_factory=list)
    attributes: dict[str, Any] = document(default_factory=dict)
    delivers: dict[str, Any] = document(default_factory=dict)
    status: str = "active"

    def price(self, cycle: str) -> tuple[Cents, str] | None:
        """(cents, currency) of one period under this cycle; None if not offered."""
        return _price(self.billing_cycles, cycle)


class Offer(NamedTuple):
    """As much of a product as an order needs: a fraction of the cost of the row."""

    id: UUID
    code: str
    sku: str
    type: str
    billing_cycles: list[dict[str, Any]]
    attributes: dict[str, Any]
    delivers: dict[str, Any]
    status: str

    def price(self, cycle: str) -> tuple[Cents, str] | None:
        """As `Product.price`."""
        return _price(self.billing_cycles, cycle)


def _price(
    billing_cycles: list[dict[str, Any]], cycle: str
) -> tuple[Cents, str] | None:
    for offer in billing_cycles:
        if offer["cycle"] == cycle:
            return int(offer["price"]), str(offer["currency"])
    return None
