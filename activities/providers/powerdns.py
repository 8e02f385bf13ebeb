"""PowerDNS Authoritative 4.7+ over its HTTP API.

Names are taken with or without the final dot. A record set is ours when its comment
carries the account `mpanel` and our reference; any other is never touched.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from activities.errors import ProviderConflict, ProviderRejected
from activities.gate import Gate
from activities.providers.http import HttpApi

PROVIDER = "powerdns"
ACCOUNT = "mpanel"


@dataclass(frozen=True)
class Zone:
    """`name` and `nameservers` without the final dot."""

    name: str
    serial: int
    nameservers: tuple[str, ...]


@dataclass(frozen=True)
class Keeping:
    """How a zone is kept: `Native`, `Slave`...; `account` may be empty."""

    kind: str
    account: str


@dataclass(frozen=True)
class Record:
    """A record set. `reference` is ours, None when somebody else made it."""

    contents: tuple[str, ...]
    reference: str | None


class PowerDns:
    """Zones and record sets of one server."""

    def __init__(
        self, url: str, api_key: str, *, gate: Gate, timeout: float = 10
    ) -> None:
        self._api = HttpApi(
            PROVIDER,
            url.rstrip("/") + "/api/v1/servers/localhost",
            gate=gate,
            timeout=timeout,
            headers={"X-API-Key": api_key},
        )

    async def zone(self, name: str) -> Zone | None:
        """The zone as it is served now, None where there is none."""
        found = await self._zone(name, name, "NS")
        if found is None:
            return None
        nameservers = _rrset(found, name, "NS")
        return Zone(
            name.rstrip("."),
            int(found["serial"]),
            tuple(sorted(c.rstrip(".") for c in _contents(nameservers))),
        )

    async def keeping(self, name: str) -> Keeping | None:
        """Whether the zone is ours to write; None where there is none."""
        found = await self._zone(name, name, "SOA")
        if found is None:
            return None
        return Keeping(str(found.get("kind", "")), str(found.get("account", "")))

    async def create_zone(self, name: str, *, nameservers: list[str]) -> None:
        """A zone that is there already is left as it is, and counts as made."""
        await self._api.request(
            "POST",
            "/zones",
            json={
                "name": _dotted(name),
                "kind": "Native",
                "account": ACCOUNT,
                "nameservers": [_dotted(server) for server in nameservers],
            },
            expected=(409,),
        )

    async def record(self, zone: str, name: str, type: str) -> Record | None:
        """The record set of that name and type."""
        rrset = await self._find(zone, name, type)
        if rrset is None:
            return None
        return Record(_contents(rrset), _reference(rrset))

    async def ours(self) -> dict[str, str]:
        """Every record set that carries our mark: its name by our reference."""
        zones = self._api.json_of(await self._api.request("GET", "/zones"))
        if not isinstance(zones, list):
            raise self._api.garbage("zones")
        found: dict[str, str] = {}
        for zone in zones:
            path = _path(str(zone["name"]))
            response = await self._api.request("GET", path, expected=(404,))
            if response.status_code == 404:
                continue  # deleted meanwhile
            for rrset in self._api.json_of(response)["rrsets"]:
                if (reference := _reference(rrset)) is not None:
                    found[reference] = str(rrset["name"]).rstrip(".")
        return found

    async def put_record(
        self,
        zone: str,
        name: str,
        type: str,
        contents: tuple[str, ...],
        *,
        reference: str,
        ttl: int = 300,
    ) -> None:
        """Make the record set be exactly `contents` (TXT with its quotes).

        One that is so already is left alone. Raises `ProviderConflict` if one stands
        there that is not of `reference`, `ProviderRejected` (`no_zone`) without a zone.
        """
        standing = await self._find(zone, name, type)
        if standing is not None:
            if (theirs := _reference(standing)) != reference:
                owner = "somebody else" if theirs is None else f"our own {theirs}"
                raise ProviderConflict(
                    PROVIDER,
                    f"{name} has the {type} record of {owner}",
                    code="record_exists" if theirs is None else "record_ours",
                )
            if (_contents(standing), standing.get("ttl")) == (contents, ttl):
                return
        records = [{"content": content, "disabled": False} for content in contents]
        comment = {"content": reference, "account": ACCOUNT}
        await self._patch(
            zone,
            {
                "name": _dotted(name),
                "type": type,
                "ttl": ttl,
                "changetype": "REPLACE",
                "records": records,
                "comments": [comment],
            },
        )

    async def delete_record(
        self, zone: str, name: str, type: str, *, reference: str
    ) -> None:
        """Absent afterwards, if it was of `reference`; a foreign one stays."""
        standing = await self._find(zone, name, type)
        if standing is None or _reference(standing) != reference:
            return
        await self._patch(
            zone, {"name": _dotted(name), "type": type, "changetype": "DELETE"}
        )

    async def delete_zone(self, name: str) -> None:
        """The zone with all in it; an absent one counts as deleted."""
        await self._api.request("DELETE", _path(name), expected=(404,))

    async def aclose(self) -> None:
        await self._api.aclose()

    async def _find(self, zone: str, name: str, type: str) -> dict[str, Any] | None:
        found = await self._zone(zone, name, type)
        return None if found is None else _rrset(found, name, type)

    async def _zone(self, zone: str, name: str, type: str) -> dict[str, Any] | None:
        # Servers from 4.8 on answer only what is asked for; older ones send all.
        wanted = f"?rrset_name={quote(_dotted(name), safe='')}&rrset_type={type}"
        response = await self._api.request("GET", _path(zone) + wanted, expected=(404,))
        if response.status_code == 404:
            return None
        found = self._api.json_of(response)
        if not isinstance(found, dict) or "rrsets" not in found:
            raise self._api.garbage("zone")
        return found

    async def _patch(self, zone: str, rrset: dict[str, Any]) -> None:
        response = await self._api.request(
            "PATCH", _path(zone), json={"rrsets": [rrset]}, expected=(404,)
        )
        if response.status_code == 404:
            raise ProviderRejected(PROVIDER, f"no zone {zone}", code="no_zone")


def _dotted(name: str) -> str:
    return name.rstrip(".").lower() + "."


def _path(zone: str) -> str:
    return "/zones/" + quote(_dotted(zone), safe="")


def _rrset(zone: dict[str, Any], name: str, type: str) -> dict[str, Any] | None:
    for rrset in zone["rrsets"]:
        if rrset["name"] == _dotted(name) and rrset["type"] == type:
            return dict(rrset)
    return None


def _contents(rrset: dict[str, Any] | None) -> tuple[str, ...]:
    records = rrset["records"] if rrset else ()
    return tuple(record["content"] for record in records)


def _reference(rrset: dict[str, Any]) -> str | None:
    for comment in rrset.get("comments", ()):
        if comment.get("account") == ACCOUNT:
            return str(comment["content"])
    return None
