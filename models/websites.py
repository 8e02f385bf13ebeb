"""A website: where it lives and what state it is in."""

import re
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlmodel import Field

from models.base import TenantRow, moment, moved, word
from models.states import SERVICE_MOVES, ServiceStatus

_OURS: Final = re.compile(r"mp[0-9a-f]{12}")


class Website(TenantRow, table=True):
    """`site_user` is made of our id: it tells our sites from anybody else's."""

    __tablename__ = "websites"

    customer_id: UUID = Field(foreign_key="customers.id", index=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.id", index=True)
    domain: str = Field(index=True)
    site_kind: str = "php"
    php_version: str = "8.4"
    server_id: UUID | None = Field(default=None, foreign_key="servers.id", index=True)
    status: ServiceStatus = word(default=ServiceStatus.PENDING, index=True)
    live_at: datetime | None = moment(default=None)

    @property
    def site_user(self) -> str:
        return site_user(self.id)

    def _move(self, to: ServiceStatus) -> None:
        now = ServiceStatus(self.status)
        self.status = moved("The website", now, to, SERVICE_MOVES)

    def begin(self, server_id: UUID) -> None:
        """Has a place; nothing answers there yet."""
        self._move(ServiceStatus.PROVISIONING)
        self.server_id = server_id

    def activate(self, now: datetime) -> None:
        """Only after a probe from outside."""
        self._move(ServiceStatus.ACTIVE)
        self.live_at = self.live_at or now

    def suspend(self) -> None:
        self._move(ServiceStatus.SUSPENDED)

    def terminate(self) -> None:
        self._move(ServiceStatus.TERMINATING)

    def gone(self) -> None:
        self._move(ServiceStatus.TERMINATED)

    def fail(self) -> None:
        self._move(ServiceStatus.FAILED)


def site_user(website_id: UUID) -> str:
    """The system user of our website's site, on whichever server."""
    return f"mp{website_id.hex[:12]}"


def is_ours(user: str) -> bool:
    """Whether a system user is that of a website of ours, whichever."""
    return _OURS.fullmatch(user) is not None
