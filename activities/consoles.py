"""A ticket for a CloudPod's screen. It leaves sealed: histories hold no secret."""

import json
from typing import Any, Protocol

from temporalio import activity

from activities.calls import ConsoleCall
from activities.guests import Cluster, whereabouts
from activities.store import Store
from models.queries import cloudpods
from models.servers import Server
from models.vault import Vault


class Screens(Cluster, Protocol):
    """See `activities.providers.proxmox`."""

    async def console(self, place: Any) -> tuple[str, int]: ...


class ConsoleActivities:
    """For one who waits; nothing is kept."""

    def __init__(self, store: Store, screens: Screens, vault: Vault) -> None:
        self._store, self._screens, self._vault = store, screens, vault

    @activity.defn
    async def open_console(self, call: ConsoleCall) -> str:
        """Node, path, port and ticket, sealed for whoever asked. Of no guest but the
        CloudPod's own, wherever it is."""
        async with self._store.platform() as session:
            pod = await cloudpods.get(session, call.cloudpod_id)
            node = await session.get_one(Server, pod.server_id)
        place, _ = await whereabouts(
            self._screens,
            self._screens.place(node.name, pod.kind, pod.vmid or 0),
            pod.reference,
        )
        ticket, port = await self._screens.console(place)
        told = {
            "node": place.node,
            "path": f"/api2/json/{place.path}/vncwebsocket",
            "port": port,
            "ticket": ticket,
        }
        return self._vault.seal(json.dumps(told).encode(), bound_to=call.bound)
