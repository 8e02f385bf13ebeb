"""What the doctor makes of a Temporal that lets us do less than we ask for."""

from collections.abc import Mapping
from datetime import timedelta

from google.protobuf.message import Message
from temporalio.client import Client
from temporalio.service import (
    ConnectConfig,
    RPCError,
    RPCStatusCode,
    ServiceClient,
    ServiceResponse,
)

from workers.doctor.lines import Outcome
from workers.doctor.temporal import search_attributes


class Refusing(ServiceClient):
    """As a server answers whose authorizer does not let us in."""

    @property
    def worker_service_client(self) -> "Refusing":  # type: ignore[override]
        raise NotImplementedError

    def update_rpc_metadata(self, metadata: Mapping[str, str | bytes]) -> None: ...

    def update_api_key(self, api_key: str | None) -> None: ...

    async def _rpc_call(
        self,
        rpc: str,
        req: Message,
        resp_type: type[ServiceResponse],
        *,
        service: str,
        retry: bool,
        metadata: Mapping[str, str | bytes],
        timeout: timedelta | None,
    ) -> ServiceResponse:
        raise RPCError("Request unauthorized.", RPCStatusCode.PERMISSION_DENIED, b"")


async def test_search_attributes_that_we_may_not_list_are_no_fault_of_the_doctors() -> (
    None
):
    client = Client(Refusing(ConnectConfig(target_host="cloud.test:7233")))

    line = await search_attributes(client)

    assert line.outcome == Outcome.SKIPPED
    assert line.said == "may not be listed by us: Request unauthorized."
    assert "JobKind (Keyword)" in line.advice
