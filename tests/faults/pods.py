"""The CloudPods of one stack: what is asked of them, what the cluster then holds, and
what our rows say of it."""

import re
import ssl
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from psycopg.rows import dict_row

from tests.dev.program import PATIENT, ROOT, until
from tests.faults.ledgers import Ledgers, Tally
from tests.faults.shop import Shop
from tests.faults.stand import Stand

MINI, NANO = "cloudpod_mini", "cloudpod_nano"  # a virtual machine, a container
PRICES = {MINI: 999, NANO: 499}
KINDS = {MINI: "qemu", NANO: "lxc"}
LEDGERS = ("proxmox", "powerdns")
CHANGES = ("POST", "PUT", "DELETE", "task")
_MORE = ("pool", "add", "more", "203.0.113.0/24", "--gateway", "203.0.113.1")
_VMID = re.compile(r"(?<!\d)1\d{4}(?!\d)")
_SIZE = re.compile(r"size=(\d+)G")

_STANDING = (
    "select p.id::text, p.vmid, p.kind, s.name as node, p.seen, p.drift, p.moving_to,"
    " p.cores, p.memory, p.disk, p.ipv4, p.ipv6 from cloudpods p left join servers s"
    " on s.id = p.server_id where p.status in ('active', 'suspended')"
    " order by p.created_at"
)
_LEASED = (
    "select (select array_agg(owner_id::text order by owner_id::text) from addresses"
    " where status = 'leased') as addresses,"
    " (select array_agg(owner_id::text order by owner_id::text) from vmids"
    " where status = 'leased') as vmids,"
    " (select count(*) from effects where state = 'intended') as intended,"
    " (select count(*) from cloudpod_saves where status = 'running') as unsaved,"
    " (select count(*) from jobs where status not in"
    " ('succeeded', 'failed', 'cancelled') and kind like 'cloudpod%') as open"
)


class Yard:
    """Asks as customer and operator do; looks as one who has every key."""

    def __init__(self, shop: Shop, stand: Stand) -> None:
        self.shop, self.stand = shop, stand
        given = stand.layout.worker()
        key = (
            f"{given['MPANEL_PROXMOX_TOKEN_ID']}={given['MPANEL_PROXMOX_TOKEN_SECRET']}"
        )
        self._cluster = httpx.Client(
            base_url=f"{given['MPANEL_PROXMOX_URL']}/api2/json",
            headers={"Authorization": f"PVEAPIToken={key}"},
            verify=ssl.create_default_context(cafile=given["MPANEL_PROXMOX_CA_FILE"]),
            trust_env=False,
        )

    def close(self) -> None:
        """Ends the connections."""
        self._cluster.close()

    # --- what is asked ----------------------------------------------------------------

    def ordered(self, item: str, *, within: float = PATIENT) -> str:
        """A paid order of one CloudPod; its id."""
        items = ({"code": item, "type": "cloudpod"},)
        return self.shop.order(self.shop.pay(PRICES[item], items), within=within)

    def delivered(self, order_id: str, *, within: float = PATIENT) -> dict[str, Any]:
        """The row of the order's CloudPod, which is live."""
        order = self.shop.completed(order_id, within=within)
        assert {job["state"] for job in order["jobs"]} == {"succeeded"}
        found = self.shop.read(f"/api/cloudpods?customerId={order['customerId']}")
        [pod] = found["items"]
        return self.row(pod["id"])

    def buy(self, item: str, *, within: float = PATIENT) -> dict[str, Any]:
        """Ordered and delivered."""
        return self.delivered(self.ordered(item, within=within), within=within)

    def act(self, method: str, path: str, **body: Any) -> Any:
        """Asks until it is answered, under one key."""
        headers, deadline = (
            {"Idempotency-Key": str(uuid4())},
            time.monotonic() + PATIENT,
        )
        while True:
            with suppress(httpx.TransportError):
                answer = self.shop.ask(method, path, json=body, headers=headers)
                assert answer.status_code < 400 or answer.status_code >= 500, (
                    answer.text
                )
                if answer.is_success:
                    return answer.json()
            assert time.monotonic() < deadline, f"{method} {path} was not accepted"
            time.sleep(0.1)

    def asked(self, method: str, path: str, **body: Any) -> str:
        """The job that does it."""
        answer = self.act(method, path, **body)
        return str(answer.get("jobId") or answer["job"]["id"])

    def done(
        self, method: str, path: str, *, within: float = PATIENT, **body: Any
    ) -> None:
        """Asked, and its job has succeeded."""
        self.succeeded(self.asked(method, path, **body), within=within)

    def succeeded(self, job_id: str, *, within: float = PATIENT) -> None:
        """Fails at once when a person has to decide."""
        deadline = time.monotonic() + within
        while (job := self.shop.read(f"/api/jobs/{job_id}"))["state"] != "succeeded":
            told = f"{job['type']} is {job['state']}: {job['step']} {job['message']}"
            assert job["state"] in ("pending", "running"), told
            assert time.monotonic() < deadline, told
            time.sleep(0.1)

    def remove(self, pod: dict[str, Any]) -> None:
        """Until nothing of it is left but its last backup."""
        self.done("DELETE", f"/api/cloudpods/{pod['id']}")

    def node(self, name: str) -> dict[str, Any]:
        """A node of the cluster, as operators see it."""
        found = self.shop.read("/api/servers?pageSize=100")["items"]
        [node] = [one for one in found if one["name"] == name]
        return dict(node)

    def drained(self, name: str) -> str:
        """The job that empties it."""
        return self.asked("POST", f"/api/servers/{self.node(name)['id']}/drain")

    def drain(self, name: str) -> None:
        """Until it is empty."""
        self.succeeded(self.drained(name))

    def undrain(self, name: str) -> None:
        """It takes CloudPods again."""
        self.act("POST", f"/api/servers/{self.node(name)['id']}/undrain")

    def more_addresses(self) -> None:
        """Those of removed CloudPods rest for a day."""
        subprocess.run(
            [sys.executable, "-m", "workers.cli", *_MORE],
            cwd=ROOT,
            env=self.stand.layout.worker(),
            check=True,
            capture_output=True,
        )

    # --- behind our back --------------------------------------------------------------

    def stop_behind(self, pod: dict[str, Any]) -> None:
        """Somebody cuts its power."""
        self._task("POST", f"{self._path(pod)}/status/stop", pod)

    def destroy_behind(self, pod: dict[str, Any]) -> None:
        """Somebody destroys it."""
        self.stop_behind(pod)
        self._task("DELETE", self._path(pod), pod)

    def adrift(self, pod: dict[str, Any]) -> None:
        """Our watch has seen it."""
        until(lambda: self.row(pod["id"])["drift"] is not None, within=PATIENT)

    def _task(self, method: str, path: str, pod: dict[str, Any]) -> None:
        answer = self._cluster.request(method, path)
        answer.raise_for_status()
        status = f"/nodes/{pod['node']}/tasks/{answer.json()['data']}/status"
        until(lambda: self._get(status)["status"] == "stopped", within=PATIENT)

    @staticmethod
    def _path(pod: dict[str, Any]) -> str:
        return f"/nodes/{pod['node']}/{pod['kind']}/{pod['vmid']}"

    def _get(self, path: str) -> Any:
        answer = self._cluster.get(path)
        answer.raise_for_status()
        return answer.json()["data"]

    # --- the simulator ----------------------------------------------------------------

    def control(self, method: str, path: str, **kwargs: Any) -> Any:
        """As `Shop.simulator`, of one that may be dead just now."""
        deadline = time.monotonic() + PATIENT
        while True:
            try:
                return self.shop.simulator("proxmox", method, path, **kwargs)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def weather(self, *scripts: dict[str, Any], **delays: float) -> None:
        """The fault scripts, and seconds by operation."""
        self.control("PUT", "settings", json={"delays": delays})
        self.control("PUT", "faults", json=list(scripts))

    def fired(self) -> bool:
        """Whether the first script has."""
        return bool(self.control("GET", "faults")[0]["fired"])

    # --- what is there ----------------------------------------------------------------

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Of our database, past the API."""
        url = self.stand.dev["database_url"]
        with psycopg.connect(url, row_factory=dict_row) as connection:
            connection.execute("select set_config('mpanel.scope', 'platform', true)")
            return connection.execute(query).fetchall()

    def standing(self) -> list[dict[str, Any]]:
        """The rows of CloudPods in use, oldest first."""
        return self.rows(_STANDING)

    def row(self, pod_id: str) -> dict[str, Any]:
        """One of them."""
        [found] = [one for one in self.standing() if one["id"] == pod_id]
        return found

    def differences(self) -> list[str]:
        """What of rows and cluster is not as it should be when nothing is under way."""
        pods, [leased] = self.standing(), self.rows(_LEASED)
        ids = sorted(pod["id"] for pod in pods) or None
        ledger = self.control("GET", "ledger")["objects"].get("guest", [])
        there = {
            g["vmid"]: (g["node"], g["status"]) for g in ledger if not g["template"]
        }
        wanted = {pod["vmid"]: (pod["node"], "running") for pod in pods}
        found = [f"{there} is there instead of {wanted}"] if there != wanted else []
        found += [
            f"{name}: {leased[name]} instead of {right}"
            for name, right in {
                "addresses": ids,
                "vmids": ids,
                "intended": 0,
                "unsaved": 0,
                "open": 0,
            }.items()
            if leased[name] != right
        ]
        for pod in pods if there == wanted else ():
            found += self._differs(pod)
        return found

    def _differs(self, pod: dict[str, Any]) -> list[str]:
        """The guest against its row."""
        config = self._get(f"{self._path(pod)}/config")
        disk = _SIZE.search(config["scsi0" if pod["kind"] == "qemu" else "rootfs"])
        rules = self._get(f"{self._path(pod)}/firewall/rules")
        senders = self._get(f"{self._path(pod)}/firewall/ipset/ipfilter-net0")
        seen = {
            "mark": config["description"].strip(),
            "cores": int(config["cores"]),
            "memory": int(config["memory"]),
            "disk": int(disk[1]) if disk else 0,
            "lock": config.get("lock"),
            "seen": pod["seen"],
            "drift": pod["drift"],
            "moving_to": pod["moving_to"],
            "rules": [rule["action"] for rule in rules],
            "senders": {one["cidr"] for one in senders},
        }
        right = {
            **seen,
            "mark": f"mpanel:{pod['id']}",
            **{name: pod[name] for name in ("cores", "memory", "disk")},
            "lock": None,
            "seen": "running",
            "drift": None,
            "moving_to": None,
            "rules": ["mpanel-pod"],
            "senders": {pod["ipv4"], pod["ipv6"]},
        }
        return [
            f"{n}: {seen[n]} is not {right[n]}" for n in seen if seen[n] != right[n]
        ]


def tally(since: Ledgers, roles: dict[str, str]) -> Tally:
    """How often each effect happened, and to whom. `roles`: by VMID."""
    counted: Tally = Counter()
    for one in since.effects("proxmox"):
        vmid = _VMID.search(one["key"])
        who = roles.get(vmid[0], vmid[0]) if vmid else one["key"]
        keys = ",".join(one["detail"].get("keys", ()))
        counted[who, f"{one['effect']} {keys}".strip()] += 1
    names = [one["effect"] for one in since.effects("powerdns")]
    # A zone is made once for each network, by whoever is the first to get of it.
    counted.update(("powerdns", one) for one in names if one != "zone.created")
    return counted
