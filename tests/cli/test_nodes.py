"""`mpanel node`, as an operator types it, against the API behind a port."""

import json

import pytest

from models.database import Database
from models.queries import servers
from models.servers import HOSTING, PROXMOX, Server
from tests.api import rows
from tests.cli.test_inbox import Terminal, app, mpanel, no_temporal, settings, site

__all__ = ["app", "mpanel", "no_temporal", "settings", "site"]

NAME = "web1.fra2.hosting.migrahosting.example"


@pytest.fixture
async def node(db: Database) -> Server:
    made = Server(name="pve1", role=PROXMOX, memory=61_440, memory_used=2048, cores=16)
    await rows.add(db, made)
    return made


async def draining(db: Database) -> bool:
    async with db.platform() as session:
        (only,) = await servers.of_role(session, PROXMOX)
        return only.draining


async def test_a_node_is_drained_and_undrained_by_its_name(
    mpanel: Terminal, db: Database, node: Server
) -> None:
    told = await mpanel("node", "drain", "pve1")

    assert told.code == 0, told.err
    assert "mpanel inbox watch" in told.out
    assert await draining(db)
    listed = await mpanel("node", "list", "--json")
    (shown,) = json.loads(listed.out)
    assert (shown["name"], shown["status"]) == ("pve1", "draining")
    again = await mpanel("node", "drain", "pve1")
    assert again.code == 1
    assert "open for this one already" in again.err

    told = await mpanel("node", "undrain", "pve1")

    assert told.code == 0, told.err
    assert not await draining(db)
    assert "pve1" in (await mpanel("node", "list")).out


async def test_an_unknown_node_is_answered_with_those_there_are(
    mpanel: Terminal, node: Server
) -> None:
    told = await mpanel("node", "drain", "pve9")

    assert told.code == 1
    assert told.err == "There is no machine pve9. There are: pve1.\n"


async def test_a_hosting_server_is_listed_with_its_disk_and_drained_without_a_job(
    mpanel: Terminal, db: Database
) -> None:
    web = Server(name=NAME, role=HOSTING, capacity=50, disk=102_400, disk_used=2048)
    await rows.add(db, web)

    told = await mpanel("node", "drain", NAME)

    assert told.out == f"{NAME} takes no new websites; its 0 stay there.\n"
    [line] = [
        " ".join(one.split())
        for one in (await mpanel("node", "list")).out.splitlines()
        if one.startswith(NAME)
    ]
    whole = f"{NAME} draining 0 websites 2048 of 102400 MiB of disk 50 websites"
    assert line == whole, "in a pipe, too"
