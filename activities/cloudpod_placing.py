"""What moves and repairs of a guest share: where it is, and what is under way."""

from typing import Any

from activities.calls import StepCall
from activities.errors import GiveUp, ProviderConflict, ProviderDown
from activities.guests import PROVIDER, let_end, mark_of
from activities.on_cluster import OnCluster
from models.cloudpods import CloudPod
from models.effects import Effect
from models.servers import Server
from models.states import Reason

MOVING = ("qmigrate", "vzmigrate", "hamigrate")
RESTORING = ("qmrestore", "vzrestore")


class Placing(OnCluster):
    """For what changes the place of a guest, or makes it again."""

    async def _effect(self, call: StepCall) -> Effect:
        effect = await self._effects.find(
            call, provider=PROVIDER, kind="guest", reference=str(call.subject_id)
        )
        if effect is None:
            raise GiveUp(Reason.INVALID, "nothing was ever made for this CloudPod")
        return effect

    async def _wait_for(
        self, effect: Effect, fact: str, place: Any, kinds: tuple[str, ...]
    ) -> bool:
        """As `let_end`, with the task that is noted in this fact."""
        return await let_end(self._cluster, place, kinds, effect.facts.get(fact))

    async def _is_on(self, pod: CloudPod, node: Server) -> bool:
        """Whether its guest, whole, is on this node."""
        place = self._place(pod, node)
        config = await self._cluster.config(place)
        if config is None:
            return False
        if config.get("lock"):
            raise ProviderDown(
                PROVIDER, f"{place.vmid} is locked: {config['lock']}", code="lock"
            )
        if mark_of(config) != pod.reference:
            raise ProviderConflict(
                PROVIDER,
                f"VMID {place.vmid} on {node.name} is a guest that is not ours",
                code="vmid_taken",
            )
        return True

    async def _recall(self, call: StepCall, fact: str) -> Any:
        async with self._store.step(call) as (session, job):
            known = job.input.get(fact)
            await session.commit()
        return known

    async def _remember(self, call: StepCall, **facts: Any) -> None:
        async with self._store.step(call) as (session, job):
            job.input = {**job.input, **facts}
            await session.commit()
