"""One CloudPod as seen from outside: by the cluster, the name server and our rows.

Nothing here is believed on the API's word.
"""

import json
import re
import ssl
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import dns.message
import dns.query
import dns.rcode
import dns.reversename
import httpx
import psycopg
from psycopg.rows import class_row, dict_row

from workers.dev.running import RunningStack
from workers.dev.settings import of_stack

_POD: Final = (
    "select p.id::text, p.vmid, s.name as node, p.hostname, p.status, p.seen,"
    " p.ipv4, p.ipv6, p.held_until,"
    " p.cores, p.memory, p.disk"
    " from cloudpods p left join servers s on s.id = p.server_id where p.id = %s"
)
_SIZE: Final = re.compile(r"size=(\d+)G")


@dataclass(frozen=True)
class PodRow:
    """What our row says. MiB and GiB."""

    id: str
    vmid: int | None
    node: str | None
    hostname: str
    status: str
    seen: str
    ipv4: str | None
    ipv6: str | None
    held_until: datetime | None
    cores: int
    memory: int
    disk: int

    @property
    def addresses(self) -> list[str]:
        """Of both families, as far as it has them."""
        return [one for one in (self.ipv4, self.ipv6) if one]

    @property
    def size(self) -> "Size":
        """What was promised."""
        return Size(self.cores, self.memory, self.disk)


@dataclass(frozen=True)
class Size:
    """Cores, MiB, GiB."""

    cores: int
    memory: int
    disk: int

    def __str__(self) -> str:
        return f"{self.cores} cores, {self.memory} MiB, {self.disk} GiB"


class Rows:
    """Our own tables, read past the API."""

    def __init__(self, stack: RunningStack) -> None:
        self._url = stack.dev["database_url"]

    def pod(self, pod_id: str) -> PodRow:
        """The CloudPod as of now."""
        with self._connected() as connection:
            cursor = connection.cursor(row_factory=class_row(PodRow))
            found = cursor.execute(_POD, [pod_id]).fetchone()
        if found is None:
            raise LookupError(pod_id)
        return found

    def ask(self, query: str, *given: Any) -> list[dict[str, Any]]:
        """Whatever the query finds."""
        with self._connected() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            return cursor.execute(query, given).fetchall()

    def _connected(self) -> "psycopg.Connection[Any]":
        connection = psycopg.connect(self._url, connect_timeout=5)
        connection.execute("select set_config('mpanel.scope', 'platform', true)")
        return connection


class Cluster:
    """Proxmox' own API, with the stack's token."""

    def __init__(self, stack: RunningStack) -> None:
        told = of_stack(stack.data_dir)
        token = (
            f"{told['MPANEL_PROXMOX_TOKEN_ID']}={told['MPANEL_PROXMOX_TOKEN_SECRET']}"
        )
        trusted = ssl.create_default_context(cafile=told["MPANEL_PROXMOX_CA_FILE"])
        self._control = stack.dev["simulators"]["proxmox"]
        self._http = httpx.Client(
            base_url=f"{told['MPANEL_PROXMOX_URL']}/api2/json/",
            headers={"Authorization": f"PVEAPIToken={token}"},
            verify=trusted,
            trust_env=False,
        )

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()

    def get(self, path: str, **query: str | int) -> Any:
        """The answer's data."""
        answer = self._http.get(path, params=query)
        answer.raise_for_status()
        return answer.json()["data"]

    def nodes(self) -> list[str]:
        """Their names, sorted."""
        return sorted(str(row["node"]) for row in self.get("nodes"))

    def marked(self, pod_id: str) -> list[int]:
        """VMIDs whose guests say that they are this CloudPod's."""
        rows = self.get("cluster/resources", type="vm")
        return [
            int(row["vmid"])
            for row in rows
            if self._config(row).get("description", "").strip() == f"mpanel:{pod_id}"
        ]

    def config(self, pod: PodRow) -> dict[str, Any]:
        """Of its guest on its node."""
        found: dict[str, Any] = self.get(f"nodes/{pod.node}/qemu/{pod.vmid}/config")
        return found

    def waiting(self, pod: PodRow) -> dict[str, Any]:
        """Options that it takes with its next start."""
        rows = self.get(f"nodes/{pod.node}/qemu/{pod.vmid}/pending")
        return {row["key"]: row["pending"] for row in rows if "pending" in row}

    def without(self, vmid: int) -> list[str]:
        """The nodes that say they have no configuration of this number."""
        return [
            node
            for node in self.nodes()
            if "does not exist"
            in self._http.get(f"nodes/{node}/qemu/{vmid}/config").reason_phrase
        ]

    def listed(self, vmid: int) -> bool:
        """Whether the cluster's list of resources has it."""
        rows = self.get("cluster/resources", type="vm")
        return any(int(row["vmid"]) == vmid for row in rows)

    def backups(self, node: str, vmid: int) -> list[str]:
        """Volumes on the storage for backups."""
        path = f"nodes/{node}/storage/backups/content"
        return [
            str(row["volid"]) for row in self.get(path, content="backup", vmid=vmid)
        ]

    def answering(self, pod: PodRow) -> list[str]:
        """Where the guest's own agent says it answers."""
        path = f"nodes/{pod.node}/qemu/{pod.vmid}/agent/network-get-interfaces"
        return [
            str(one["ip-address"])
            for row in self.get(path)["result"]
            for one in row.get("ip-addresses") or []
        ]

    def status(self, pod: PodRow) -> str:
        """running or stopped."""
        path = f"nodes/{pod.node}/qemu/{pod.vmid}/status/current"
        return str(self.get(path)["status"])

    # --- the simulator's ledger ---------------------------------------------------

    def calls(self) -> int:
        """How many it has had."""
        ledger = self._http.get(f"{self._control}/_simulator/ledger").json()
        return max((int(call["id"]) for call in ledger["calls"]), default=0)

    def done(self, vmid: int, since: int) -> Counter[str]:
        """What was really changed for this number, and how often it was asked for."""
        url = f"{self._control}/_simulator/ledger"
        ledger = self._http.get(url, params={"since": since}).json()
        counted = Counter(
            str(one["effect"])
            for one in ledger["effects"]
            if re.search(rf"(^|-){vmid}(-|$)", str(one["key"]))
        )
        counted["clones"] = sum(
            str(call["op"]).endswith("/clone") for call in ledger["calls"]
        )
        return counted

    def take_its_time(self, seconds: dict[str, float]) -> None:
        """So long takes each operation from now on."""
        url = f"{self._control}/_simulator/settings"
        self._http.put(url, json={"delays": seconds}).raise_for_status()

    def _config(self, row: dict[str, Any]) -> dict[str, Any]:
        answer = self._http.get(
            f"nodes/{row['node']}/{row['type']}/{row['vmid']}/config"
        )
        return dict(answer.json().get("data") or {})


def size_of(config: dict[str, Any]) -> Size:
    """What Proxmox has written down."""
    found = _SIZE.search(str(config.get("scsi0", "")))
    disk = int(found.group(1)) if found else 0
    return Size(int(config.get("cores", 0)), int(config.get("memory", 0)), disk)


class Names:
    """The name server, asked by DNS."""

    def __init__(self, stack: RunningStack) -> None:
        config = json.loads((stack.data_dir / "simulators.json").read_text())
        self._port = int(config["powerdns"]["dns_port"])

    def ask(self, name: str, kind: str) -> str:
        """The records' contents, or the error's name, as NXDOMAIN."""
        query = dns.message.make_query(name, kind)
        answer = dns.query.udp(query, "127.0.0.1", port=self._port, timeout=5)
        if answer.rcode():
            return dns.rcode.to_text(answer.rcode())
        found = [str(item).rstrip(".") for rrset in answer.answer for item in rrset]
        return ", ".join(found) or "nothing"

    def back(self, address: str) -> str:
        """Where its PTR leads."""
        return self.ask(dns.reversename.from_address(address).to_text(), "PTR")

    def of(self, host: str, addresses: Sequence[str]) -> list[str]:
        """Every answer about a host and its addresses."""
        kinds = {"A"} | {"AAAA" for one in addresses if ":" in one}
        there = [self.ask(host, kind) for kind in sorted(kinds)]
        return there + [self.back(one) for one in addresses]
