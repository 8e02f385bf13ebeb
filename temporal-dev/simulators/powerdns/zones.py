"""Zones and record sets, as the server keeps them. Names end with a dot."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from simulators.core import Call, Refused
from simulators.store import Store

_SOA = (
    "a.misconfigured.dns.server.invalid. hostmaster.{zone} {serial}"
    " 10800 3600 604800 3600"
)


class Zones:
    """Objects `zone` by name and `record` by "name type"."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, name: str) -> dict[str, Any] | None:
        """The zone without its records."""
        return self._store.find("zone", name.lower())

    def each(self) -> list[dict[str, Any]]:
        """Every zone without its records."""
        return self._store.each("zone")

    def holding(self, name: str) -> dict[str, Any] | None:
        """The innermost zone that `name` lies in."""
        rest = name.lower()
        while rest:
            if zone := self.find(rest):
                return zone
            rest = rest.partition(".")[2]
        return None

    def rrset(self, name: str, type: str) -> dict[str, Any] | None:
        """One record set."""
        return self._store.find("record", f"{name.lower()} {type}")

    def rrsets(self, zone: dict[str, Any]) -> list[dict[str, Any]]:
        """All record sets of the zone."""
        return [r for r in self._store.each("record") if r["zone"] == zone["name"]]

    def create(self, call: Call, body: dict[str, Any]) -> dict[str, Any]:
        """A new zone with SOA, NS and the record sets given."""
        name = _canonical(str(body.get("name", "")))
        nameservers = [_canonical(server) for server in body.get("nameservers", ())]
        zone = {
            "name": name,
            "kind": body.get("kind", "Native"),
            "account": body.get("account", ""),
            "serial": int(f"{datetime.now(UTC):%Y%m%d}01"),
        }
        with call.change():
            if self.find(name):
                raise Refused(409)
            self._store.put("zone", name, zone)
            self._put(zone, name, "SOA", 3600, [self._soa(zone)], [])
            if nameservers:
                self._put(zone, name, "NS", 3600, nameservers, [])
            for rrset in body.get("rrsets", ()):
                self._change(call, zone, {**rrset, "changetype": "REPLACE"})
            call.effect("zone.created", key=name)
        return zone

    def patch(self, call: Call, name: str, rrsets: list[dict[str, Any]]) -> None:
        """All of the changes or none."""
        with call.change():
            zone = self._known(name)
            changes = [self._change(call, zone, rrset) for rrset in rrsets]
            if any(changes):
                zone["serial"] += 1
                self._store.put("zone", zone["name"], zone)
                self._put(zone, zone["name"], "SOA", 3600, [self._soa(zone)], [])

    def update(self, call: Call, name: str, body: dict[str, Any]) -> None:
        """Kind and account of the zone."""
        with call.change():
            zone = self._known(name)
            changed = zone | {k: body[k] for k in ("kind", "account") if k in body}
            if changed != zone:
                self._store.put("zone", zone["name"], changed)
                call.effect("zone.changed", key=zone["name"])

    def delete(self, call: Call, name: str) -> None:
        """The zone with all in it."""
        with call.change():
            zone = self._known(name)
            for rrset in self.rrsets(zone):
                self._store.remove("record", f"{rrset['name']} {rrset['type']}")
            self._store.remove("zone", zone["name"])
            call.effect("zone.deleted", key=zone["name"])

    def _known(self, name: str) -> dict[str, Any]:
        if (zone := self.find(name)) is None:
            raise Refused(404)
        return zone

    def _change(self, call: Call, zone: dict[str, Any], wish: dict[str, Any]) -> bool:
        name, type = _canonical(str(wish["name"])), str(wish["type"])
        if name != zone["name"] and not name.endswith("." + zone["name"]):
            raise Refused(422, message=f"RRset {name} IN {type}: Name is out of zone")
        key, before = f"{name} {type}", self.rrset(name, type)
        if wish["changetype"] == "DELETE":
            if self._store.remove("record", key):
                call.effect("record.deleted", key=key)
            return before is not None
        contents = [record["content"] for record in wish["records"]]
        comments = wish.get("comments", (before or {}).get("comments", []))
        for content in contents:
            _check(name, type, content)
        self._check_beside(zone, name, type)
        after = self._put(zone, name, type, wish["ttl"], contents, comments)
        if after == before:
            return False
        call.effect("record.put", key=key, contents=contents)
        return True

    def _check_beside(self, zone: dict[str, Any], name: str, type: str) -> None:
        others = {r["type"] for r in self.rrsets(zone) if r["name"] == name} - {type}
        if others and (type == "CNAME" or "CNAME" in others):
            message = f"RRset {name} IN {type}: Conflicts with pre-existing RRset"
            raise Refused(422, message=message)

    def _put(
        self,
        zone: dict[str, Any],
        name: str,
        type: str,
        ttl: int,
        contents: list[str],
        comments: list[dict[str, Any]],
    ) -> dict[str, Any]:
        rrset = {
            "zone": zone["name"],
            "name": name,
            "type": type,
            "ttl": ttl,
            "records": [{"content": c, "disabled": False} for c in contents],
            "comments": comments,
        }
        self._store.put("record", f"{name} {type}", rrset)
        return rrset

    def _soa(self, zone: dict[str, Any]) -> str:
        return _SOA.format(zone=zone["name"], serial=zone["serial"])


def parents(name: str) -> Iterator[str]:
    """The name's parents: `b.example.` of `a.b.example.`, and so on."""
    while name := name.partition(".")[2]:
        yield name


def _canonical(name: str) -> str:
    if not name.endswith("."):
        raise Refused(422, message=f"DNS Name '{name}' is not canonical")
    return name.lower()


def _check(name: str, type: str, content: str) -> None:
    try:
        kind = dns.rdatatype.from_text(type)
        dns.rdata.from_text(dns.rdataclass.IN, kind, content, relativize=False)
    except (dns.exception.DNSException, ValueError) as error:
        message = f"Record {name}/{type} '{content}': Parsing record content: {error}"
        raise Refused(422, message=message) from None
