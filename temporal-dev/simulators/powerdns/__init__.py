"""PowerDNS Authoritative 4.7: its HTTP API, and the zones' answers by DNS (UDP).

Errors are worded as the real server does: JSON for 422, plain text for all else.
"""

from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from simulators.core import Refused, Simulator
from simulators.powerdns.answers import DnsServer
from simulators.powerdns.api import zone_routes
from simulators.powerdns.zones import Zones

NAME = "powerdns"
_TEXTS = {401: "Unauthorized", 404: "Not Found", 409: "Conflict"}


class PowerDns(Simulator):
    """Ledger: `zone.created`, `zone.deleted`, `record.put`, `record.deleted`."""

    def __init__(self, settings: dict[str, Any], data_dir: Path) -> None:
        super().__init__(NAME, data_dir, port=settings["port"])
        self.zones = Zones(self.store)
        self.dns = DnsServer(self.zones, settings["dns_port"])
        self.app.routes.extend(zone_routes(self, self.zones, settings["api_key"]))

    async def start(self) -> None:
        await super().start()
        await self.dns.start()

    async def stop(self) -> None:
        self.dns.stop()
        await super().stop()

    @staticmethod
    def refusal(refused: Refused) -> Response:
        if refused.status == 422:
            return JSONResponse({"error": refused.message}, status_code=422)
        text = _TEXTS.get(refused.status, refused.message)
        return PlainTextResponse(text, status_code=refused.status)

    def short(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        contents = [record["content"] for record in body.get("records", ())]
        return super().short(kind, body) | ({"contents": contents} if contents else {})


def build(settings: dict[str, Any], data_dir: Path) -> PowerDns:
    """Settings: port, dns_port, api_key."""
    return PowerDns(settings, data_dir)
