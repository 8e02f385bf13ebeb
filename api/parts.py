"""What one web process is made of, found by any request."""

import time
from dataclasses import dataclass, field

from fastapi import Request
from temporalio.client import Client

from api.auth.origin import Origin
from api.auth.tokens import Signer
from api.feed import Feed
from api.refusals import Refusals
from api.settings import ApiSettings
from models.database import Database
from models.direct import Direct
from models.vault import Vault


@dataclass(frozen=True)
class Parts:
    """Lives as long as the app. What `durable` is told survives the server."""

    settings: ApiSettings
    db: Database
    direct: Direct
    durable: Direct
    vault: Vault
    temporal: Client
    signer: Signer
    refusals: Refusals
    feed: Feed
    began: float = field(default_factory=time.monotonic)

    @property
    def uptime(self) -> int:
        """Whole seconds since the start."""
        return int(time.monotonic() - self.began)


def parts_of(request: Request) -> Parts:
    """Those of the running app."""
    found: Parts = request.app.state.parts
    return found


def address_of(request: Request) -> str:
    """That of the socket, or what a trusted proxy tells."""
    return request.client.host if request.client else ""


def origin_of(request: Request) -> Origin:
    """From where the call comes."""
    return Origin.of(address_of(request), request.headers.get("user-agent", ""))
