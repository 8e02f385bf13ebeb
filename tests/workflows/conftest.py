"""One Temporal and one set of simulators for all workflow tests."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from models.database import Database
from tests.workflows.pods import pod_world
from tests.world import Providers, World, providers, world
from workers.dev.temporal import dynamic_flags, program
from workflows.engine import search


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    """A real server, in memory."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=program(),
        dev_server_log_level="error",
        dev_server_startup_timeout=timedelta(seconds=60),
        search_attributes=list(search.KEYS),
        dev_server_extra_args=dynamic_flags(),
    ) as environment:
        yield environment


@pytest.fixture(scope="session")
async def simulators(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Providers]:
    async with providers(tmp_path_factory.mktemp("providers")) as made:
        yield made


@pytest.fixture
async def here(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> AsyncIterator[World]:
    """A world whose steps give up after a second of trouble."""
    target = temporal.client.service_client.config.target_host
    async with world(
        simulators, db, target, patience_seconds=1.0, undo_patience_seconds=0.5
    ) as made:
        yield made


@pytest.fixture
async def patient(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> AsyncIterator[World]:
    """A world with the patience of every day, but quicker tries."""
    target = temporal.client.service_client.config.target_host
    async with world(
        simulators, db, target, longest_wait_seconds=1.0, payments_seconds=3600
    ) as made:
        yield made


@pytest.fixture
async def pods(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> AsyncIterator[World]:
    """A world with a Proxmox cluster."""
    async with pod_world(simulators, db, temporal) as made:
        yield made
