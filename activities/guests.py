"""One guest of the cluster: whose it is, where it is, and whether what was asked for it
has come to its end. Nothing here knows our rows but the effect that tells of it.
"""

import asyncio
import re
import time
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any, Final, Protocol

from temporalio import activity

from activities.errors import (
    NotYet,
    ProviderConflict,
    ProviderDown,
    ProviderError,
    ProviderRejected,
)
from models.cloudpods import reference
from models.effects import Effect
from models.states import (
    EffectState,
)

PROVIDER: Final = "proxmox"
# The listed status of a guest whose node is away.
UNKNOWN: Final = "unknown"
_DRIVE = re.compile(r"(scsi|virtio|sata|ide|mp)\d+|rootfs|efidisk0|tpmstate0")
_SIZE = re.compile(r"\bsize=(\d+)([KMGT]?)")
_IN_GIB: Final = {"": 2**-30, "K": 2**-20, "M": 2**-10, "G": 1, "T": 2**10}
_MAKING: Final = ("clone", "create")
UNMAKING: Final = ("qmdestroy", "vzdestroy")
# A task that failed, or that its node has forgotten.
_NO_OBSTACLE: Final = ("absent", "task_failed")
# A lock that others hold; or the task's end was never written down, since its node went
# away amid it: nobody knows how far it came.
_WORTH_ANOTHER: Final = (
    "timeout",
    "is locked",
    "interrupted",
    "unexpected status",
    "unable to read tail",
    "last line",
)
# How backups and migrations end, whatever the reason: that stands in their logs.
_VAGUE: Final = ("job errors", "migration aborted", "migration problems")
_POLLS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
# So many seconds more a worker waits for a task when it is told to end.
_LINGER: Final = 4.0


class Cluster(Protocol):
    """See `activities.providers.proxmox`; a changing call gives a task's id."""

    def place(self, node: str, kind: str, vmid: int) -> Any: ...
    async def guests(self) -> list[Any]: ...
    async def find(self, vmid: int) -> Any | None: ...
    async def config(self, place: Any) -> dict[str, Any] | None: ...
    async def status(self, place: Any) -> str: ...
    async def pending(self, place: Any) -> bool: ...
    async def task(self, upid: str) -> Any: ...
    async def log(self, upid: str) -> list[str]: ...
    async def clone(
        self, template: Any, vmid: int, *, name: str, description: str, node: str
    ) -> str: ...
    async def create_container(
        self, place: Any, template: str, **options: str | int
    ) -> str: ...
    async def destroy(self, place: Any) -> str: ...
    async def configure(self, place: Any, **options: str | int) -> None: ...
    async def grow(self, place: Any, disk: str, gib: int) -> str | None: ...
    async def start(self, place: Any) -> str: ...
    async def stop(self, place: Any) -> str: ...
    async def shut_down(self, place: Any, *, within: int) -> str: ...
    async def tasks(self, place: Any) -> list[Any]: ...
    async def move(self, place: Any, node: str, *, running: bool) -> str: ...
    async def snapshots(self, place: Any) -> dict[str, str]: ...
    async def snapshot(self, place: Any, name: str, *, description: str) -> str: ...
    async def roll_back(self, place: Any, name: str) -> str: ...
    async def delete_snapshot(self, place: Any, name: str) -> str: ...
    async def back_up(self, place: Any, storage: str, *, notes: str) -> str: ...
    async def room(self, node: str, storage: str) -> int | None: ...
    async def backups(self, node: str, storage: str, vmid: int) -> list[Any]: ...
    async def restore(self, place: Any, volid: str, *, over: bool) -> str: ...
    async def guard(self, place: Any, group: str, addresses: Sequence[str]) -> None: ...
    async def addresses(self, place: Any) -> list[str]: ...
    async def greets(self, address: str) -> bool: ...


async def whereabouts(
    cluster: Cluster, place: Any, mark: str
) -> tuple[Any, Mapping[str, Any]]:
    """Where the guest with this mark is, and its configuration: here, or where HA or
    somebody's hand has brought it. Another one with its VMID is a conflict."""
    config, away = None, None
    try:
        config = await cluster.config(place)
    except ProviderDown as down:
        away = down
    if config is None:
        found = await cluster.find(place.vmid)
        if found is None or found.place == place:
            raise away or absent(place)
        place = found.place
        config = await cluster.config(place)
    if config is None:
        raise ProviderDown(PROVIDER, f"{place.vmid} is on its way", code="lag")
    see_whole(config, place)
    return place, marked(config, place, mark)


async def find_ours(cluster: Cluster, effect: Effect) -> Any | None:
    """Where the guest of this effect is now; None if nothing with its mark is there.

    Never read from an error: a refusal is raised. Neither is one that was seen believed
    gone while something stands in its place: that is a conflict.
    """
    vmid = int(effect.facts["vmid"])
    found = await cluster.find(vmid)
    place = (
        found.place
        if found
        else cluster.place(effect.facts["node"], str(effect.facts["guest"]), vmid)
    )
    config = await cluster.config(place)
    if config is None:
        if found is not None:
            raise ProviderDown(PROVIDER, f"{vmid} is still listed", code="lag")
        return None
    see_whole(config, place)
    if effect.state == EffectState.PRESENT:
        marked(config, place, reference(effect.owner_id))
    return place if mark_of(config) == reference(effect.owner_id) else None


async def left_of(cluster: Cluster, effect: Effect) -> Any | None:
    """As `find_ours`, once whatever was destroying it has ended."""
    place = await find_ours(cluster, effect)
    if place is not None and await let_end(cluster, place, UNMAKING):
        place = await find_ours(cluster, effect)
    return place


async def destroy(cluster: Cluster, effect: Effect) -> None:
    """Stops the guest of this effect, destroys it, and believes it gone only when its
    configuration and the cluster's list both say so. Absent is success."""
    place = await left_of(cluster, effect)
    if place is None:
        return
    await become(cluster, place, "stopped", cluster.stop)
    await remove(cluster, place)
    if await find_ours(cluster, effect) is not None:
        raise ProviderDown(PROVIDER, f"{place.vmid} is still there", code="lag")


async def become(
    cluster: Cluster, place: Any, state: str, ask: Callable[[Any], Awaitable[str]]
) -> None:
    """`running` or `stopped`; asks only for what is not so."""

    async def so() -> bool:
        return await cluster.status(place) == state

    if not await so():
        await ended_or(cluster, ask(place), so)


async def remove(cluster: Cluster, place: Any) -> None:
    """Destroys what stands still there."""

    async def gone() -> bool:
        return await cluster.config(place) is None

    await ended_or(cluster, cluster.destroy(place), gone)


async def ended_or(
    cluster: Cluster, asked: Awaitable[str | None], so: Callable[[], Awaitable[bool]]
) -> None:
    """As `ended`; but a refusal is no failure if what was asked for is so: the task of
    an earlier try, whose answer was lost, came before."""
    try:
        await ended(cluster, await asked)
    except ProviderRejected as refused:
        if refused.code not in _NO_OBSTACLE or not await so():
            raise


async def let_end(
    cluster: Cluster, place: Any, kinds: Collection[str], noted: str | None = None
) -> bool:
    """Waits for what an earlier try has begun: the task that was noted, and those of
    these kinds about the guest that are under way, since an answer may be lost. Whether
    there was any; how it ended is no obstacle to another."""
    waited = [
        task.upid
        for task in await cluster.tasks(place)
        if task.kind in kinds and not task.ended
    ]
    if noted:
        waited.append(noted)
    for upid in dict.fromkeys(waited):
        await over(cluster, upid)
    return bool(waited)


async def over(cluster: Cluster, upid: str) -> None:
    """Waits for a task, however it ends; one that its node has forgotten is over."""
    try:
        await _end_of(cluster, upid, leaving=True)
    except ProviderRejected as refused:
        if refused.code != "absent":
            raise


async def ended(
    cluster: Cluster, upid: str | None, *, found_again: bool = False
) -> None:
    """Waits for a task. A failed one is told by its own words, or those of its log; a
    lost node is trouble, and the task is asked for again by the next try.

    `found_again`: the next try waits for this very task, so that a worker which is told
    to end need not.
    """
    if upid is None:
        return
    task = await _end_of(cluster, upid, leaving=found_again)
    if task.well:
        return
    said = task.exit_status or ""
    if said in _VAGUE:
        said = f"{said}: {await _why(cluster, upid)}"
    if any(word in said for word in _WORTH_ANOTHER):
        raise ProviderDown(PROVIDER, f"{upid}: {said}", code="lock")
    raise ProviderRejected(PROVIDER, f"{upid}: {said}", code="task_failed")


async def _why(cluster: Cluster, upid: str) -> str:
    try:
        log = await cluster.log(upid)
    except ProviderError as unread:
        return f"its log cannot be read: {unread.message}"
    return "; ".join(line for line in log if "ERROR: " in line or "can't" in line)


async def _end_of(cluster: Cluster, upid: str, *, leaving: bool) -> Any:
    """`leaving`: raises `NotYet` if the worker is told to end and the task is long."""
    tries, told_to_end = 0, None
    while not (task := await cluster.task(upid)).ended:
        if leaving and activity.in_activity() and activity.is_worker_shutdown():
            told_to_end = told_to_end or time.monotonic()
            if time.monotonic() - told_to_end > _LINGER:
                raise NotYet(f"{upid} goes on; the next worker waits", delay=0.1)
        await asyncio.sleep(_POLLS[min(tries, len(_POLLS) - 1)])
        tries += 1
    return task


def see_whole(config: Mapping[str, Any], place: Any) -> None:
    """While a guest is made, its configuration is a lock and may bear no mark yet."""
    if config.get("lock") in _MAKING:
        raise ProviderDown(PROVIDER, f"{place.vmid} is being made", code="lock")


def mark_of(config: Mapping[str, Any]) -> str | None:
    """Whose guest it says it is, by the first word of its notes, which people may add
    to; None if it is not one of ours."""
    said = str(config.get("description") or "").split(maxsplit=1)
    return said[0] if said and said[0].startswith("mpanel:") else None


def marked(config: dict[str, Any], place: Any, mark: str) -> dict[str, Any]:
    """The configuration, if it is of the guest with this mark; else a conflict."""
    if mark_of(config) == mark:
        return config
    raise ProviderConflict(
        PROVIDER,
        f"VMID {place.vmid} is taken by {config.get('name') or config.get('hostname')}"
        f" on {place.node}, which is not ours: its notes do not begin with {mark}",
        code="vmid_taken",
    )


def absent(place: Any) -> ProviderRejected:
    """What is raised where a guest should stand and none does."""
    return ProviderRejected(
        PROVIDER, f"{place.vmid} is not on {place.node}", code="absent"
    )


def disks(config: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """(storage, GiB) of each drive that its configuration names."""
    for key, drive in config.items():
        storage, colon, _ = str(drive).partition(":")
        if colon and _DRIVE.fullmatch(key) and "media=cdrom" not in str(drive):
            yield storage, gib(str(drive))


def gib(drive: str) -> float:
    """The size that a drive's line in a configuration tells."""
    found = _SIZE.search(drive)
    return int(found.group(1)) * _IN_GIB[found.group(2)] if found else 0.0
