"""`mpanel node`: the machines, and emptying one. A client of the API."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from workers.cli.client import Api

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The cluster's nodes and the hosting servers: what they carry, and emptying"
    " one. **mpanel login** first.",
)

AsJson = Annotated[
    bool, typer.Option("--json", help="The API's own answer, for programs.")
]
Name = Annotated[str, typer.Argument(help="Its name, as `list` shows it.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every machine: its state, what it carries, and how full it is: a node's memory, a
    hosting server's disk.

    **Example**

        mpanel node list
    """
    from workers.cli.client import connected

    nodes = _nodes(connected())
    if as_json:
        _plain(nodes)
        return
    from rich.table import Table

    from workers.cli.terminal import printer

    table = Table(box=None, pad_edge=False)
    for heading in ("NAME", "STATUS", "CARRIES", "USED", "MAY PROMISE"):
        table.add_column(heading)
    for node in nodes:
        table.add_row(node["name"], node["status"], *_told(node))
    printer().print(table)


@app.command()
def drain(name: Name, as_json: AsJson = False) -> None:
    """Place nothing there any more, and move a node's CloudPods to other nodes.

    The job ends when the node is empty: a running virtual machine moves live, a
    container with a restart. The websites of a hosting server stay.

    **Example**

        mpanel node drain pve2
    """
    from workers.cli.client import connected

    api = connected()
    made = api.post(f"/api/servers/{_id_of(api, name)}/drain", {})
    if as_json:
        _plain(made)
        return
    if made["jobId"] is None:
        stay = made["server"]["websites"]
        typer.echo(f"{name} takes no new websites; its {stay} stay there.")
        return
    typer.echo(
        f"{name} takes nothing new; {made['server']['cloudPods']} CloudPods are to"
        f" leave it.\nFollow it with: mpanel inbox watch {made['jobId']}"
    )


@app.command()
def undrain(name: Name, as_json: AsJson = False) -> None:
    """Let it take what is new again. A drain that is under way is aborted; the moves
    that it has asked for go on.

    **Example**

        mpanel node undrain pve2
    """
    from workers.cli.client import connected

    api = connected()
    made = api.post(f"/api/servers/{_id_of(api, name)}/undrain", {})
    if as_json:
        _plain(made)
        return
    typer.echo(f"{name} is {made['status']}, and takes what is new again.")


def _nodes(api: "Api") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = len(found) // 100 + 1
        answer = api.get("/api/servers", page=page, pageSize=100)
        found += answer["items"]
        if len(answer["items"]) < 100:
            return found


def _told(node: dict[str, Any]) -> tuple[str, str, str]:
    """(what it carries, what is used, what it may promise)"""
    if node["role"] == "proxmox":
        return (
            f"{node['cloudPods']} CloudPods",
            f"{node['memoryUsedMb']} MiB of memory",
            f"{node['memoryMb']} MiB of memory",
        )
    return (
        f"{node['websites']} websites",
        f"{node['diskUsedMb']} of {node['diskMb']} MiB of disk",
        f"{node['capacity']} websites",
    )


def _id_of(api: "Api", name: str) -> str:
    from workers.cli.client import CallFailed

    nodes = {one["name"]: str(one["id"]) for one in _nodes(api)}
    if name not in nodes:
        known = ", ".join(nodes) or "none"
        raise CallFailed(f"There is no machine {name}. There are: {known}.")
    return nodes[name]


def _plain(answer: Any) -> None:
    import json

    typer.echo(json.dumps(answer, indent=2))
