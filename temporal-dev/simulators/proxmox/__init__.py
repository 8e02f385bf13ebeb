"""A Proxmox VE cluster: fakepve's API 9 over TLS, with our ledger and fault scripts.

fakepve answers calls that it does not model with a made-up value and changes nothing.
Here every such call fails with 501, so that no test passes on nothing; what we need
and it lacks (migration of a VM, resize, backup, restore, figures) is in `guests`.

An operation is `METHOD template`, e.g. `POST /nodes/{node}/qemu/{vmid}/clone`, and what
runs behind its UPID is an operation of its own, `task qmclone`: scripts and delays may
name either. A refused task ends with that message as its exit status.

`PUT /_simulator/nodes {"pve2": false}` takes nodes down (595), `true` brings
them back.
"""

from pathlib import Path
from typing import Any

from fakepve.certs import make_cert
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.core import Simulator
from simulators.proxmox.cluster import Cluster
from simulators.proxmox.memory import Memory

NAME = "proxmox"


class Proxmox(Simulator):
    """Ledger: `guest.created`, `guest.removed`, `guest.started`, `guest.stopped`,
    `guest.moved`, `guest.changed`, `snapshot.made`, `snapshot.removed`, `backup.made`,
    `backup.removed`; the key is the VMID (and the snapshot's or volume's name)."""

    def __init__(self, settings: dict[str, Any], data_dir: Path) -> None:
        super().__init__(NAME, data_dir, port=settings["port"])
        self._tls = self._certificate(data_dir / "simulators" / NAME)
        self.cluster = Cluster(self, settings)
        self.memory = Memory(self.store, self.cluster)
        self.app.routes.append(
            Route("/_simulator/nodes", self._nodes, methods=["GET", "PUT"])
        )

    @property
    def api_url(self) -> str:
        """Where the Proxmox API answers."""
        return str(self.cluster.url)

    @property
    def ca_file(self) -> Path:
        """What a client trusts."""
        return Path(self._tls[0])

    async def start(self) -> None:
        self.memory.recall()
        await self.cluster.start(*self._tls)
        await super().start()

    async def stop(self) -> None:
        await self.cluster.stop()
        await super().stop()

    def reset(self) -> None:
        super().reset()
        self.cluster.furnish()
        self.memory.recall()

    def short(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        config = body.get("config", {})
        named = {key: config.get(key) for key in ("name", "hostname", "tags")}
        return super().short(kind, body) | {k: v for k, v in named.items() if v}

    async def _nodes(self, request: Request) -> Response:
        if request.method == "PUT":
            for name, online in (await request.json()).items():
                self.cluster.set_node_offline(name, offline=not online)
            self.memory.note_nodes()
        nodes = self.cluster.nodes.items()
        return JSONResponse({name: state["online"] for name, state in nodes})

    @staticmethod
    def _certificate(folder: Path) -> tuple[str, str]:
        """Made once: clients keep trusting it over restarts."""
        made = folder / "proxmox.crt", folder / "proxmox.key"
        if not all(path.exists() for path in made):
            folder.mkdir(parents=True, exist_ok=True)
            make_cert(str(folder), NAME)
        return str(made[0]), str(made[1])


def build(settings: dict[str, Any], data_dir: Path) -> Proxmox:
    """Settings: port, api_port, token_id, token_secret, and nodes (names, default
    pve1 to pve3)."""
    return Proxmox(settings, data_dir)
