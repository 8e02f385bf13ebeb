"""What is reached by SSH: each hosting server, and the backup store."""

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from activities.errors import ProviderError
from activities.gate import OpenGate
from activities.providers.backup_store import BackupStore
from activities.providers.cloudpanel import CloudPanel
from activities.providers.ssh import Disk
from workers.doctor import advice
from workers.doctor.database import UNREADABLE, connected, unread
from workers.doctor.lines import Line, Unreachable, failure, ok, warning
from workers.doctor.settings import DoctorSettings

_PATIENCE = 6.0
_NEEDED = {"site:add:php", "site:add:static", "site:delete"}
_GIB = 1 << 30
_LEAST, _LITTLE = 0.02, 0.1
_SERVERS = (
    "select s.*, (select count(*) from websites w where w.server_id = s.id"
    " and w.status not in ('terminated', 'failed')) as sites"
    " from servers s where s.role = 'hosting' order by s.name"
)


async def hosting(settings: DoctorSettings) -> AsyncIterator[Line]:
    """All at once; one that hangs holds up no other."""
    async with connected(settings) as connection:
        try:
            servers = await (await connection.execute(_SERVERS)).fetchall()
        except UNREADABLE:
            yield unread("servers")
            return
    if not servers:
        yield failure(
            "servers",
            "there is none: no website has a place",
            "`mpanel server add <name> --host <address> --public-ip <ip> ...`.",
        )
    looks = [asyncio.create_task(_server(settings, one)) for one in servers]
    for look in asyncio.as_completed(looks):
        for line in await look:
            yield line


async def _server(settings: DoctorSettings, row: Mapping[str, Any]) -> list[Line]:
    name = row["name"]
    facts = {
        "host": row["ssh_host"],
        "port": row["ssh_port"],
        "user": row["ssh_user"],
        "where": f"servers.host_key of {name}",
    }
    try:
        panel = CloudPanel(
            row["ssh_host"],
            row["ssh_port"],
            username=row["ssh_user"],
            client_key=settings.hosting_ssh_key_file,
            known_host_key=row["host_key"],
            gate=OpenGate(),
            timeout=_PATIENCE,
        )
    except (OSError, ValueError) as error:
        return [_unreadable(name, error, facts["where"])]
    async with aclosing(panel):
        try:
            commands, disk = await panel.commands(), await panel.disk()
        except ProviderError as error:
            return [advice.ssh(name, error, facts)]
    lines = [ok(name, "host key and login as expected")]
    if lacking := _NEEDED - commands:
        lines.append(
            failure(
                f"{name} clpctl",
                f"does not know {', '.join(sorted(lacking))}",
                "Update CloudPanel there: `clp-update`.",
            )
        )
    else:
        lines.append(ok(f"{name} clpctl", "runs"))
    lines.append(_room(name, row["sites"], row["capacity"]))
    return [*lines, _disk(f"{name} disk", disk, name)]


def _unreadable(name: str, error: Exception, where: str) -> Line:
    if isinstance(error, OSError):
        return failure(
            name,
            "our private key cannot be read",
            "See MPANEL_HOSTING_SSH_KEY_FILE above.",
        )
    return failure(
        name,
        "a key is no key in OpenSSH's form",
        f"Correct {where}, or MPANEL_HOSTING_SSH_KEY_FILE.",
    )


def _room(name: str, sites: int, capacity: int) -> Line:
    told = f"{sites} of {capacity} places taken"
    if sites < capacity:
        return ok(f"{name} room", told)
    return warning(
        f"{name} room", told, "Add a server, or raise its `capacity` if it bears it."
    )


def _disk(name: str, disk: Disk, where: str) -> Line:
    told = f"{disk.free / _GIB:.1f} of {disk.total / _GIB:.0f} GiB free"
    if disk.free < _GIB or disk.free < _LEAST * disk.total:
        return failure(
            name, told, f"Make room on {where} now: writes are failing soon."
        )
    if disk.free < _LITTLE * disk.total:
        return warning(name, told, f"Make room on {where}.")
    return ok(name, told)


async def backups(settings: DoctorSettings) -> AsyncIterator[Line]:
    """Logs in; writes, reads and removes a small file."""
    at = urlsplit(settings.backup_store_url)
    user = unquote(at.username or "root")
    facts = {
        "host": at.hostname,
        "port": at.port or 22,
        "user": user,
        "where": "MPANEL_BACKUP_STORE_HOST_KEY",
    }
    try:
        store = BackupStore(
            at.hostname or "",
            at.port or 22,
            username=user,
            client_key=settings.hosting_ssh_key_file,
            known_host_key=settings.backup_store_host_key,
            root=at.path or "/",
            gate=OpenGate(),
            timeout=_PATIENCE,
        )
    except (OSError, ValueError) as error:
        line = _unreadable("reached", error, "MPANEL_BACKUP_STORE_HOST_KEY")
        raise Unreachable(line.name, line.said, line.advice) from None
    probe = f"doctor-{uuid4().hex}"
    async with aclosing(store):
        try:
            await store.put(probe, io.BytesIO(probe.encode()))
            await store.delete(probe)
            disk = await store.disk()
        except ProviderError as error:
            yield advice.ssh("reached", error, facts)
            return
    yield ok("reached", "host key and login as expected")
    yield ok("writable", "a probe was written, read back and removed")
    yield _disk("disk", disk, "the backup store")
