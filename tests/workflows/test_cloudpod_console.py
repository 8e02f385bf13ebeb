"""A look at a CloudPod's screen: the ticket comes from a worker, and sealed."""

import pytest

from api.services import cloudpod_consoles as service
from models.base import utc_now
from models.errors import Unavailable
from models.vault import Vault
from tests.api.audited import told
from tests.workflows.operator import OPERATOR
from tests.workflows.pods import MINI, NANO, a_pod
from tests.world import VAULT_KEY, World

VAULT = Vault.parse(VAULT_KEY)


@pytest.mark.parametrize("item", [MINI, NANO])
async def test_the_ticket_opens_the_screen_and_stands_in_no_history(
    pods: World, item: tuple[str, str]
) -> None:
    pod = await a_pod(pods, item)
    began = utc_now()

    async with pods.db.platform() as session:
        given = await service.open_one(session, pods.client, VAULT, OPERATOR, pod.id)

    assert given.ticket.startswith("PVEVNC:")
    assert given.path.endswith(f"/{pod.kind}/{pod.vmid}/vncwebsocket")
    [event] = await told(pods.db, "cloudpod.console_opened")
    assert (event.actor_id, event.entity_id) == (OPERATOR.id, str(pod.id))
    assert given.ticket not in event.model_dump_json()

    async def mine() -> list[str]:
        runs = pods.client.list_workflows(
            f"WorkflowType = 'ConsoleTicket' AND StartTime > '{began.isoformat()}'"
        )
        return [one.id async for one in runs]

    for run in await pods.until(mine, bool):
        assert run.startswith("console:")
        handle = pods.client.get_workflow_handle(run)
        assert given.ticket not in (await handle.fetch_history()).to_json()


async def test_a_node_that_does_not_answer_is_told_in_time(pods: World) -> None:
    pod = await a_pod(pods, MINI)
    op = "POST /nodes/{node}/qemu/{vmid}/vncproxy"
    await pods.fault("proxmox", {"kind": "fail", "op": op, "status": 595, "times": 1})

    async with pods.db.platform() as session:
        with pytest.raises(Unavailable):
            await service.open_one(session, pods.client, VAULT, OPERATOR, pod.id)
