"""Proxmox: the token, and each node that CloudPods may be placed on."""

from collections.abc import AsyncIterator

import psycopg

from activities.errors import ProviderError
from activities.gate import OpenGate
from activities.providers.proxmox import Node, Proxmox
from models.servers import PROXMOX
from workers.doctor import advice
from workers.doctor.database import connected
from workers.doctor.lines import Line, failure, ok, skipped, warning
from workers.doctor.settings import DoctorSettings

_PATIENCE = 6.0
_FULL = 0.95
NODES = "select name, status from servers where role = %s order by name"


async def look(settings: DoctorSettings) -> AsyncIterator[Line]:
    """Not configured is fine: then no CloudPod is sold."""
    if not settings.proxmox_url:
        yield skipped("reached", "MPANEL_PROXMOX_URL is not set: no CloudPod is built")
        return
    cluster = Proxmox(
        settings.proxmox_url,
        settings.proxmox_token_id,
        settings.proxmox_token_secret.get_secret_value(),
        ca_file=settings.proxmox_ca_file,
        gate=OpenGate(),
        timeout=_PATIENCE,
    )
    try:
        found = {node.name: node for node in await cluster.nodes()}
    except ProviderError as error:
        yield advice.http(
            "reached",
            error,
            refused="Correct MPANEL_PROXMOX_TOKEN_ID (user@realm!name) and"
            " MPANEL_PROXMOX_TOKEN_SECRET; `pveum user token list <user>` shows them.",
            address="MPANEL_PROXMOX_URL (and MPANEL_PROXMOX_CA_FILE)",
        )
        return
    except OSError as error:
        yield failure(
            "reached",
            f"MPANEL_PROXMOX_CA_FILE: {error.strerror or error}",
            "Put the cluster's /etc/pve/pve-root-ca.pem there.",
        )
        return
    finally:
        await cluster.aclose()
    yield ok("reached", "our token is accepted")
    async with connected(settings) as connection:
        try:
            rows = await (await connection.execute(NODES, [PROXMOX])).fetchall()
        except psycopg.errors.UndefinedTable:
            yield skipped("nodes", "the tables are not there", "See PostgreSQL above.")
            return
    for row in rows:
        yield _node(row["name"], found.get(row["name"]))
    if not rows:
        yield warning(
            "nodes",
            "no row names one: no CloudPod has a place",
            "`mpanel node add <name> --memory <MiB> --cores <n>` for each node.",
        )


def _node(name: str, node: Node | None) -> Line:
    if node is None:
        return failure(
            name,
            "the cluster does not know it, or our token may not see it",
            f"`pveum acl modify /nodes/{name} --roles PVEAuditor --tokens <token>`, or"
            " correct its name in `servers`.",
        )
    if not node.online:
        return failure(
            name,
            "is not online",
            f"Bring it back, or `mpanel node drain {name}`: nothing is placed there"
            " then.",
        )
    if node.memory and node.memory_used > _FULL * node.memory:
        return warning(
            name, "its memory is nearly used up", "Move CloudPods to another node."
        )
    return ok(name, f"online, {node.cores} cores, {node.memory >> 30} GiB")
