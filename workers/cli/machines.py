"""`mpanel setup`, `server add`, `node add`, `remove`, `pool`: what things are placed
on."""

from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.database import in_database

if TYPE_CHECKING:
    from models.database import Session
    from models.servers import Server

servers = typer.Typer(no_args_is_help=True, help="Machines that carry what is sold.")
pools = typer.Typer(no_args_is_help=True, help="Addresses and VMIDs for CloudPods.")
MOST = 2_000_000_000
Name = Annotated[str, typer.Argument(help="Its name, as people call it.")]


def setup() -> None:
    """Put our tenant and the catalogue into the tables, as far as they are missing.

    After the first migration, and again after a release that sells something new. What
    is there stays as it is. Reads MPANEL_DATABASE_URL.
    """
    from models.seed import seed_platform

    added = in_database(seed_platform)
    typer.echo(f"{added} rows were missing." if added else "Nothing was missing.")


@servers.command("add")
def add_server(
    name: Name,
    host: Annotated[str, typer.Option(help="Where its SSH server answers.")],
    host_key: Annotated[str, typer.Option(help="Its SSH host key: `ssh-ed25519 A..`")],
    public_ip: Annotated[str, typer.Option(help="The address of its websites.")],
    capacity: Annotated[
        int, typer.Option(min=1, max=MOST, help="So many websites fit.")
    ],
    port: Annotated[int, typer.Option(min=1, max=65535)] = 22,
    user: Annotated[str, typer.Option(help="May run clpctl.")] = "root",
) -> None:
    """Add a hosting server: from now on websites are placed on it.

    Our key (MPANEL_HOSTING_SSH_KEY_FILE) must be let in there; `mpanel doctor` tells.

    **Example**

        mpanel server add web1 --host web1.internal --public-ip 203.0.113.5
            --capacity 200 --host-key "ssh-ed25519 AAAA..."
    """
    from models.servers import Server

    _add(
        Server(
            name=name,
            ssh_host=host,
            ssh_port=port,
            ssh_user=user,
            host_key=host_key,
            public_ip=public_ip,
            http_address=f"{public_ip}:80",
            capacity=capacity,
        )
    )


def add_node(
    name: Annotated[str, typer.Argument(help="Its name in the Proxmox cluster.")],
    memory: Annotated[
        int, typer.Option(min=1, max=MOST, help="MiB that CloudPods may have.")
    ],
    cores: Annotated[
        int, typer.Option(min=1, max=MOST, help="Cores that CloudPods may have.")
    ],
) -> None:
    """Add a node of the Proxmox cluster: from now on CloudPods are placed on it.

    A worker that serves `proxmox` serves its queue, too, within seconds. Reads
    MPANEL_DATABASE_URL.

    **Example**

        mpanel node add pve1 --memory 61440 --cores 16
    """
    from models.servers import PROXMOX, Server

    _add(Server(name=name, role=PROXMOX, memory=memory, cores=cores))


def remove(
    name: Annotated[str, typer.Argument(help="Its name, as `node list` shows it.")],
) -> None:
    """Forget a machine that is gone for good: a node, or a hosting server.

    It must be drained, carry nothing and be no job's work; what is in the way is named.
    Nothing is done at the machine itself. Reads MPANEL_DATABASE_URL.

    **Example**

        mpanel node remove pve2
    """
    from models.queries import servers

    in_database(lambda session: servers.remove(session, name))
    typer.echo(f"{name} is forgotten; its name may be added again.")


@pools.command("add")
def add_pool(
    name: Name,
    network: Annotated[
        str, typer.Argument(help="As 198.51.100.0/24 or 2001:db8::/64.")
    ],
    gateway: Annotated[str, typer.Option(help="Its router; given to nobody.")],
    count: Annotated[
        int | None, typer.Option(min=1, max=65_536, help="Only the first of them.")
    ] = None,
) -> None:
    """Give CloudPods the addresses of a network.

    All but the gateway's are leased, one to each; one that comes back rests first.
    With an IPv6 pool beside the IPv4 one, each CloudPod from then on has one of both.
    Said again with a larger count, the pool grows.

    **Examples**

        mpanel pool add pods 198.51.100.0/24 --gateway 198.51.100.1
        mpanel pool add pods6 2001:db8::/64 --gateway fe80::1 --count 4096
    """
    from models.queries import addresses

    async def add(session: "Session") -> None:
        await addresses.add_pool(
            session, name=name, network=network, gateway=gateway, count=count
        )

    in_database(add)
    typer.echo(f"CloudPods may have the addresses of {network}.")


@pools.command("vmids")
def add_vmids(
    first: Annotated[int, typer.Argument(min=100, max=999_999_999)],
    last: Annotated[int, typer.Argument(min=100, max=999_999_999)],
) -> None:
    """Give CloudPods a range of VMIDs.

    Nobody else may use them in the cluster.

    **Example**

        mpanel pool vmids 10000 10999
    """
    from models.queries import addresses

    in_database(lambda session: addresses.add_vmids(session, first, last))
    typer.echo(f"CloudPods may have the VMIDs {first} to {last}.")


@pools.command("list")
def list_pools() -> None:
    """Every pool, and the VMIDs: how many are free, leased, or rest before reuse.

    When none is free, what is built next waits for a person: add some, then retry.

    **Example**

        mpanel pool list
    """
    from rich.table import Table

    from models.queries import addresses
    from workers.cli.terminal import printer

    table = Table(box=None, pad_edge=False)
    for heading in ("POOL", "NETWORK", "GATEWAY"):
        table.add_column(heading)
    for heading in ("FREE", "LEASED", "RESTING"):
        table.add_column(heading, justify="right")
    for one in in_database(addresses.stock):
        counted = map(str, (one.free, one.leased, one.resting))
        table.add_row(one.name, one.network, one.gateway, *counted)
    printer().print(table)


def _add(server: "Server") -> None:
    from models.seed import add_server

    in_database(lambda session: add_server(session, server))
    typer.echo(f"{server.name} carries what is placed on it from now on.")
