"""What is left of a CloudPod in the end: the providers' ledgers beside our rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import RenderableType
from rich.table import Table

from workers.demo.outside import Cluster, Names, PodRow, Rows, Size
from workers.demo.pod_steps import resting
from workers.demo.shop import Shop

_GONE: Final = {"NXDOMAIN", "nothing"}
_EFFECTS: Final = (
    "select kind, state, count(*) as number from effects where owner_id = %s"
    " group by kind, state"
)
_SAVES: Final = (
    "select count(*) as number from cloudpod_saves"
    " where cloudpod_id = %s and status = 'stored'"
)


@dataclass(frozen=True)
class Fact:
    """One thing as the providers have it, and as we have it. `true`: as promised."""

    what: str
    there: str
    here: str
    true: bool


@dataclass(frozen=True)
class Told:
    """What was seen on the way. `since`: the cluster's last call before it began."""

    order: dict[str, Any]
    pod: PodRow
    wanted: Size
    before: Size
    after: Size
    since: int


def facts(
    told: Told, shop: Shop, rows: Rows, cluster: Cluster, names: Names
) -> list[Fact]:
    """Each is proven by what a provider did, and by what we have written down."""
    pod, vmid = told.pod, int(told.pod.vmid or 0)
    done, row = cluster.done(vmid, told.since), rows.pod(told.pod.id)
    effects = {
        (one["kind"], one["state"]): int(one["number"])
        for one in rows.ask(_EFFECTS, pod.id)
    }
    kept = len(cluster.backups(str(pod.node), vmid))
    [saves] = rows.ask(_SAVES, pod.id)
    made, gone = done["guest.created"], done["guest.removed"]
    without, listed = cluster.without(vmid), cluster.listed(vmid)
    records = len(pod.addresses) * 2
    left = set(names.of(pod.hostname, pod.addresses))
    rests = resting(rows, pod)
    return [
        _paid(told, shop),
        Fact(
            "clones, guests made",
            f"{done['clones']}, {made}",
            f"1 VMID: {vmid}",
            (done["clones"], made) == (1, 1),
        ),
        Fact(
            "size as bought",
            f"{told.before}",
            f"{pod.size}",
            told.before == pod.size,
        ),
        Fact(
            "size as asked later",
            f"{told.after}",
            f"{row.size}",
            told.after == row.size == told.wanted,
        ),
        Fact(
            "backups kept",
            f"{kept}",
            f"{saves['number']} stored",
            kept == saves["number"] == done["backup.made"] == 2,
        ),
        Fact(
            "guests destroyed",
            f"{gone}",
            f"{row.status}, {row.seen}",
            (gone, row.status, row.seen) == (1, "terminated", "absent"),
        ),
        Fact(
            "seen by the cluster",
            f"{'listed' if listed else 'unlisted'}, not on {', '.join(without)}",
            f"{effects.get(('guest', 'removed'), 0)} effect, removed",
            not listed
            and without == cluster.nodes()
            and effects.get(("guest", "removed")) == 1,
        ),
        Fact(
            "names there and back",
            ", ".join(sorted(left)),
            f"{effects.get(('record', 'removed'), 0)} effects, removed",
            left <= _GONE and effects.get(("record", "removed")) == records,
        ),
        *(Fact(what, "", f"rests till {till:%a %H:%M}", True) for what, till in rests),
        Fact(
            "still its own",
            "nothing",
            f"{len(pod.addresses) + 1 - len(rests) or 'nothing'}",
            len(rests) == len(pod.addresses) + 1,
        ),
    ]


def table(found: Sequence[Fact]) -> RenderableType:
    """Each with its verdict; within eighty columns."""
    shown = Table("", "the providers", "our rows", "", box=None, padding=(0, 1))
    for one in found:
        sign = "[green]✓[/]" if one.true else "[red]✗[/]"
        shown.add_row(one.what, one.there or "[dim]–[/]", one.here or "[dim]–[/]", sign)
    return shown


def _paid(told: Told, shop: Shop) -> Fact:
    charged = shop.charged(told.order["payer"])
    order = shop.api("GET", f"/api/orders/{told.order['orderId']}", "read the order")
    claimed = order["paidBy"] or {"amount": 0}
    return Fact(
        "paid",
        f"{charged / 100:.2f} USD at Stripe",
        f"{claimed['amount']:.2f} USD, claimed once",
        charged == round(claimed["amount"] * 100) == round(order["total"] * 100),
    )
