"""A service that a customer has: what recurs, and what it delivered."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field

from models.base import TenantRow, moment, moved, word
from models.states import SERVICE_MOVES, ServiceStatus


class Subscription(TenantRow, table=True):
    __tablename__ = "subscriptions"

    customer_id: UUID = Field(foreign_key="customers.id", index=True)
    product_id: UUID = Field(foreign_key="products.id")
    product_type: str = Field(index=True)
    billing_cycle: str
    status: ServiceStatus = word(default=ServiceStatus.PENDING, index=True)
    starts_at: datetime | None = moment(default=None)
    renews_at: datetime | None = moment(default=None)

    def _move(self, to: ServiceStatus) -> None:
        now = ServiceStatus(self.status)
        self.status = moved("The subscription", now, to, SERVICE_MOVES)

    def activate(self, now: datetime, renews_at: datetime) -> None:
        """Live: the first period begins now."""
        self._move(ServiceStatus.ACTIVE)
        self.starts_at = self.starts_at or now
        self.renews_at = self.renews_at or renews_at

    def fail(self) -> None:
        self._move(ServiceStatus.FAILED)

    def terminate(self) -> None:
        self._move(ServiceStatus.TERMINATED)
