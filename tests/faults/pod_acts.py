"""What is done to CloudPods while something dies, each so that it can be done again."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tests.faults.pods import KINDS, MINI, NANO, Yard

_REFUSED = {
    "kind": "fail",
    "op": "POST /nodes/{node}/lxc/{vmid}/migrate",
    "message": "migrating this disk is not supported",
    "times": 1000,
}


class Act(ABC):
    """`prepare`, `perform`, `tidy`: again and again; in between, and at the end, every
    CloudPod stands as its row says. `weather`: scripts that belong to it."""

    weather: Sequence[Mapping[str, Any]] = ()

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        self.roles: dict[str, str] = {}

    def prepare(self) -> None:  # noqa: B027 - most acts need nothing before
        """Undisturbed."""

    @abstractmethod
    def perform(self) -> None:
        """Returns when it has succeeded."""

    def tidy(self) -> None:  # noqa: B027 - nor after
        """Undisturbed."""

    def end(self) -> None:
        """Nothing is left of it."""
        for pod in self.yard.standing():
            self.yard.remove(pod)

    def bought(self, item: str) -> dict[str, Any]:
        """A CloudPod of this act."""
        return self.known(self.yard.buy(item, within=90))

    def known(self, pod: dict[str, Any]) -> dict[str, Any]:
        """What is found of it in the ledgers is this act's."""
        self.roles[str(pod["vmid"])] = pod["kind"]
        return pod


class Provision(Act):
    """From a paid order."""

    def __init__(self, yard: Yard, item: str) -> None:
        super().__init__(yard)
        self._item = item

    def perform(self) -> None:
        """See base class."""
        self._pod = self.bought(self._item)

    def tidy(self) -> None:
        """See base class."""
        self.yard.remove(self._pod)


class Terminate(Act):
    """Its last backup, its end, its names."""

    def __init__(self, yard: Yard, item: str) -> None:
        super().__init__(yard)
        self._item = item

    def prepare(self) -> None:
        """See base class."""
        self._pod = self.bought(self._item)

    def perform(self) -> None:
        """See base class."""
        self.yard.remove(self._pod)


class OfOne(Act):
    """On one CloudPod that stays."""

    def __init__(self, yard: Yard, item: str) -> None:
        super().__init__(yard)
        self._id = str(self.bought(item)["id"])

    @property
    def pod(self) -> dict[str, Any]:
        """As of now."""
        return self.yard.row(self._id)

    def ask(self, act: str, **body: Any) -> None:
        """Asked of it, and done."""
        self.yard.done("POST", f"/api/cloudpods/{self._id}/{act}", **body)


class Resize(OfOne):
    """More of a disk each time, memory and cores up and down."""

    def perform(self) -> None:
        """See base class."""
        pod = self.pod
        more = pod["cores"] == 1
        size = {"cpu": 2, "memoryMb": 2048} if more else {"cpu": 1, "memoryMb": 1024}
        self.ask("resize", diskGb=pod["disk"] + 1, **size)


class Snapshot(OfOne):
    """One more each time."""

    number = 0

    def perform(self) -> None:
        """See base class."""
        self.number += 1
        self.ask("snapshots", name=f"before-{self.number}")


class Repair(OfOne):
    """`harm` befalls it behind our back. `kept`: it has a backup."""

    def __init__(
        self, yard: Yard, item: str, *, kept: bool, harm: Callable[..., None]
    ) -> None:
        super().__init__(yard, item)
        self._harm = harm
        if kept:
            self.ask("backups")

    def prepare(self) -> None:
        """See base class."""
        pod = self.pod
        self._harm(self.yard, pod)
        self.yard.adrift(pod)

    def perform(self) -> None:
        """See base class."""
        self.ask("repair")


class Drain(Act):
    """To and fro between two nodes: a virtual machine migrates, a container, whose
    migration is refused, has to go by its backup."""

    weather = (_REFUSED,)

    def __init__(self, yard: Yard) -> None:
        super().__init__(yard)
        yard.drain("pve3")
        yard.drain("pve2")
        self._ids = [str(self.bought(item)["id"]) for item in (MINI, NANO)]
        yard.undrain("pve2")

    def perform(self) -> None:
        """See base class."""
        [self._node] = {self.yard.row(one)["node"] for one in self._ids}
        self.yard.drain(self._node)

    def tidy(self) -> None:
        """See base class."""
        self.yard.undrain(self._node)

    def end(self) -> None:
        """See base class."""
        super().end()
        for name in ("pve1", "pve2", "pve3"):
            self.yard.undrain(name)


def named(act: type[Act], item: str, **more: Any) -> tuple[str, Callable[[Yard], Act]]:
    """As it is told, and how it is made."""
    word = f"{act.__name__.lower()} {KINDS[item]}"
    return word, partial(act, item=item, **more)


ACTS: Mapping[str, Callable[[Yard], Act]] = {
    **dict(
        named(act, item)
        for act in (Provision, Resize, Snapshot, Terminate)
        for item in (MINI, NANO)
    ),
    "drain": Drain,
    "repair of one that stands still": partial(
        Repair, item=MINI, kept=False, harm=Yard.stop_behind
    ),
    "repair of one that is gone": partial(
        Repair, item=MINI, kept=False, harm=Yard.destroy_behind
    ),
    "repair of one that has a backup": partial(
        Repair, item=NANO, kept=True, harm=Yard.destroy_behind
    ),
}
