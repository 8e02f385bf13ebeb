"""Temporal: reached, the namespace as we want it, and somebody at each queue."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
    GetSystemInfoRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from models.base import utc_now
from models.servers import PROXMOX
from models.settings import SettingsRefused
from workers.doctor.cluster import NODES
from workers.doctor.database import connected
from workers.doctor.lines import (
    Line,
    Unreachable,
    clock,
    failure,
    ok,
    skipped,
    warning,
)
from workers.doctor.settings import DoctorSettings
from workflows.engine.search import KEYS
from workflows.queues import ALL, NODE, STORIES, node_queue
from workflows.queues import PROXMOX as CLUSTER

AREA = "Temporal"
_SHORTEST = timedelta(hours=24)
_RPC = timedelta(seconds=5)
# A poll lasts a minute; who was last seen before that is gone.
_SEEN = timedelta(minutes=2)
_QUEUE_TYPES = (
    TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
)


async def look(settings: DoctorSettings) -> AsyncIterator[Line]:
    """As the worker sees it."""
    client = await _connected(settings)
    at, namespace = client.service_client.config.target_host, client.namespace
    info = await client.workflow_service.get_system_info(
        GetSystemInfoRequest(), timeout=_RPC
    )
    yield ok("reached", f"{at}, server {info.server_version}")
    try:
        yield await _namespace(client)
    except RPCError as error:
        yield _refused(error, namespace)
        return
    yield await search_attributes(client)
    pollers: list[PollerInfo] = []
    queues = (*ALL, *await _node_queues(settings))
    for name, found in zip(queues, await _at_queues(client, queues), strict=True):
        yield _served(name, found)
        pollers += found
    yield _clock(pollers)


async def _connected(settings: DoctorSettings) -> Client:
    try:
        config = settings.temporal
    except SettingsRefused as refused:
        raise Unreachable(
            "reached", str(refused), "Set TEMPORAL_ADDRESS to host:port of Temporal."
        ) from None
    try:
        return await Client.connect(**config)
    except (RuntimeError, RPCError) as error:
        told = "no answer" if "onnect" in str(error) else str(error)[:120]
        raise Unreachable(
            "reached",
            f"{config['target_host']}: {told}",
            "Start Temporal, or correct TEMPORAL_ADDRESS (and TEMPORAL_API_KEY,"
            " TEMPORAL_TLS_*, if it wants them).",
        ) from None


def _refused(error: RPCError, namespace: str) -> Line:
    if error.status is RPCStatusCode.NOT_FOUND:
        return failure(
            "namespace",
            f"there is no namespace {namespace}",
            f"`temporal operator namespace create --namespace {namespace}"
            " --retention 30d`, or correct TEMPORAL_NAMESPACE.",
        )
    return failure(
        "namespace",
        f"{namespace}: {error.message[:120]}",
        "Give our key or certificate the right to this namespace.",
    )


async def _namespace(client: Client) -> Line:
    found = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=client.namespace), timeout=_RPC
    )
    retention = found.config.workflow_execution_retention_ttl.ToTimedelta()
    hours = retention.total_seconds() / 3600
    told = f"{client.namespace}, keeps ended runs for {hours:g} h"
    if retention < _SHORTEST:
        return warning(
            "namespace",
            told,
            f"`temporal operator namespace update --namespace {client.namespace}"
            " --retention 30d`: timelines are rebuilt from them.",
        )
    return ok("namespace", told)


async def search_attributes(client: Client) -> Line:
    """Whether ours are there. Not every server lets its clients ask (Temporal Cloud
    does not): jobs tell then, which cannot start without."""
    name, namespace = "search attributes", client.namespace
    kinds = {key.name: int(key.indexed_value_type) for key in KEYS}
    try:
        answer = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=namespace), timeout=_RPC
        )
    except RPCError as error:
        wanted = ", ".join(f"{key} ({_word(kind)})" for key, kind in kinds.items())
        return skipped(
            name,
            f"may not be listed by us: {error.message[:120]}",
            f"Look into the namespace's settings for {wanted}.",
        )
    there = dict(answer.custom_attributes)
    wrong = [key for key, kind in kinds.items() if there.get(key, kind) != kind]
    missing = [key for key in kinds if key not in there]
    command = "temporal operator search-attribute"
    create = " ".join(
        f"--name {key} --type {_word(kinds[key])}" for key in (*wrong, *missing)
    )
    if wrong:
        told = ", ".join(f"{key} is {_word(there[key])}" for key in wrong)
        remove = " ".join(f"--name {key}" for key in wrong)
        return failure(
            name,
            told,
            f"`{command} remove --namespace {namespace} {remove} --yes`, then"
            f" `{command} create --namespace {namespace} {create}`",
        )
    if missing:
        return failure(
            name,
            f"{', '.join(missing)} missing: no job can start",
            f"`{command} create --namespace {namespace} {create}`",
        )
    return ok(name, ", ".join(kinds))


def _word(kind: int) -> str:
    """As the command line of Temporal says it: KeywordList."""
    enum = IndexedValueType.Name(IndexedValueType.ValueType(kind))
    words = enum.removeprefix("INDEXED_VALUE_TYPE_").split("_")
    return "".join(word.capitalize() for word in words)


async def _node_queues(settings: DoctorSettings) -> list[str]:
    """One for each node that our rows name. None while they cannot be read: another
    area says so."""
    try:
        async with connected(settings) as connection:
            rows = await (await connection.execute(NODES, [PROXMOX])).fetchall()
    except (Unreachable, psycopg.Error):
        return []
    return [node_queue(row["name"]) for row in rows]


async def _at_queues(client: Client, queues: Sequence[str]) -> list[list[PollerInfo]]:
    """Who was seen lately at each queue."""
    return await asyncio.gather(*(_pollers(client, name) for name in queues))


async def _pollers(client: Client, queue: str) -> list[PollerInfo]:
    found: list[PollerInfo] = []
    for kind in _QUEUE_TYPES if queue == STORIES else _QUEUE_TYPES[1:]:
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=kind,
            ),
            timeout=_RPC,
        )
        seen = [one for one in answer.pollers if utc_now() - _when(one) < _SEEN]
        if not seen:
            return []
        found += seen
    return found


def _when(poller: PollerInfo) -> datetime:
    return poller.last_access_time.ToDatetime(UTC)


def _served(queue: str, pollers: list[PollerInfo]) -> Line:
    name = f"queue {queue}"
    if not pollers:
        # Who serves the cluster's queue serves each node's, soon after it was added.
        serves = CLUSTER if queue.startswith(NODE) else queue
        return failure(
            name,
            "no worker serves it: its steps wait",
            f"`mpanel worker {serves}`, or `mpanel worker` for all of them.",
        )
    processes = len({one.identity for one in pollers})
    return ok(name, f"served by {processes} process{'es' if processes > 1 else ''}")


def _clock(pollers: list[PollerInfo]) -> Line:
    """By when Temporal says that somebody came: up to a minute ago, never later."""
    if not pollers:
        return skipped("clock", "nobody polls, so nothing tells Temporal's time")
    newest = max(_when(one) for one in pollers)
    return clock("Temporal", newest, min(utc_now(), newest), utc_now())
