"""Proxmox: the token and its rights, each node that CloudPods may be placed on, and
what they are made from."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from activities.errors import ProviderError
from activities.gate import OpenGate
from activities.providers.proxmox import Node, Proxmox
from models.servers import PROXMOX
from workers.doctor import advice
from workers.doctor.database import UNREADABLE, connected, unread
from workers.doctor.lines import Line, failure, ok, skipped, warning
from workers.doctor.settings import DoctorSettings

_PATIENCE = 6.0
_FULL = 0.95
NODES = "select name, status from servers where role = %s order by name"
_IMAGES = (
    "select distinct delivers->>'image' as image from products"
    " where delivers->>'kind' = 'cloudpod' and status = 'active' order by 1"
)
# What our calls ask for; of those in one line, either will do (Proxmox VE 9 or 8).
_RIGHTS: Final = (
    ("Datastore.Allocate", "Datastore.AllocateSpace"),
    ("Datastore.Audit",),
    ("SDN.Use",),
    ("Sys.Audit",),
    ("Sys.Modify",),
    ("VM.Allocate",),
    ("VM.Audit",),
    ("VM.Backup",),
    ("VM.Clone",),
    ("VM.Config.CPU",),
    ("VM.Config.Cloudinit",),
    ("VM.Config.Disk",),
    ("VM.Config.Memory",),
    ("VM.Config.Network",),
    ("VM.Config.Options",),
    ("VM.Console",),
    ("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted", "VM.Monitor"),
    ("VM.Migrate",),
    ("VM.PowerMgmt",),
    ("VM.Snapshot",),
    ("VM.Snapshot.Rollback", "VM.Snapshot"),
)


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
        async for line in _looked_at(settings, cluster):
            yield line
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


async def _looked_at(settings: DoctorSettings, cluster: Proxmox) -> AsyncIterator[Line]:
    found = {node.name: node for node in await cluster.nodes()}
    yield ok("reached", "our token is accepted")
    yield _rights(await cluster.rights())
    yield await _firewall(cluster)
    async with connected(settings) as connection:
        try:
            rows = await (await connection.execute(NODES, [PROXMOX])).fetchall()
            sold = await (await connection.execute(_IMAGES)).fetchall()
        except UNREADABLE:
            yield unread("nodes")
            return
    for row in rows:
        yield _node(row["name"], found.get(row["name"]))
    if not rows:
        yield warning(
            "nodes",
            "no row names one: no CloudPod has a place",
            "`mpanel node add <name> --memory <MiB> --cores <n>` for each node.",
        )
    ours = [row["name"] for row in rows if row["name"] in found]
    async for line in _images(cluster, sold, [n for n in ours if found[n].online]):
        yield line


def _rights(held: set[str]) -> Line:
    """Somewhere at least: on which paths is for whoever runs the cluster."""
    lacking = [either[0] for either in _RIGHTS if not held.intersection(either)]
    if lacking:
        return failure(
            "rights",
            f"our token lacks {', '.join(lacking)}",
            f'`pveum role modify <its role> --append --privs "{" ".join(lacking)}"`;'
            " a token with privilege separation wants the role for itself, too.",
        )
    return ok("rights", "all that our calls ask for")


async def _firewall(cluster: Proxmox) -> Line:
    try:
        on = await cluster.guards()
    except ProviderError as error:
        return failure("firewall", str(error), "See the token's rights above.")
    if on:
        return ok("firewall", "on, so that each CloudPod's own has effect")
    return failure(
        "firewall",
        "the cluster's is off: every port of every CloudPod is open, and one may take"
        " another's address",
        "Datacenter > Firewall > Options, or `pvesh set /cluster/firewall/options"
        " --enable 1`; let yourself in first, with rules for SSH and port 8006.",
    )


async def _images(
    cluster: Proxmox, sold: Sequence[dict[str, str]], nodes: Sequence[str]
) -> AsyncIterator[Line]:
    """What the catalogue's CloudPods are made from."""
    for image in (row["image"] for row in sold):
        try:
            where = await _lacking(cluster, image, nodes)
        except ProviderError as error:
            yield failure(image, str(error), "See the token's rights above.")
            continue
        if where:
            yield failure(
                image,
                f"CloudPods that are sold are made from it, and {', '.join(where)} has"
                " no such template",
                "`pveam download` it there, or make a VM of this name, with cloud-init"
                " and guest agent, a template.",
            )
        else:
            yield ok(image, "is there to be cloned")


async def _lacking(cluster: Proxmox, image: str, nodes: Sequence[str]) -> list[str]:
    """Where it is not. A VM is cloned from any node, an archive from the node's own."""
    storage, archive, _ = image.partition(":")
    if archive:
        return [
            node for node in nodes if image not in await cluster.archives(node, storage)
        ]
    found = any(one.template and one.name == image for one in await cluster.guests())
    return [] if found else ["the cluster"]


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
