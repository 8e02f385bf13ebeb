"""A worker process, before it has found Temporal and the database."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.world import VAULT_KEY
from workers.dev.temporal import program

# Addresses that nobody asks.
SETTINGS = {
    "MPANEL_DATABASE_URL": "postgresql://127.0.0.1:9/mpanel",
    "MPANEL_ENCRYPTION_KEYS": VAULT_KEY,
    "MPANEL_PLATFORM_DOMAIN": "sites.example.net",
    "MPANEL_PUBLIC_URL": "http://127.0.0.1:9",
    "MPANEL_STRIPE_API_KEY": "sk_test_nobody",
    "MPANEL_POWERDNS_URL": "http://127.0.0.1:9",
    "MPANEL_POWERDNS_API_KEY": "nobody",
    "MPANEL_POWERDNS_DNS_ADDRESS": "127.0.0.1:9",
    "MPANEL_HOSTING_SSH_KEY_FILE": os.devnull,
    "MPANEL_BACKUP_STORE_URL": "sftp://127.0.0.1:9/",
    "MPANEL_BACKUP_STORE_HOST_KEY": "ssh-ed25519 nobody",
    "MPANEL_SMTP_URL": "smtp://127.0.0.1:9",
    "MPANEL_MAIL_FROM": "panel@example.net",
    "MPANEL_OPERATOR_EMAIL": "operator@example.net",
}


@pytest.fixture
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=program(),
        dev_server_log_level="error",
        dev_server_startup_timeout=timedelta(seconds=60),
    ) as environment:
        yield environment


@pytest.mark.parametrize("hangs", [False, True], ids=["away", "hung"])
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_waits_for_temporal_ends_when_it_is_told(
    sign: signal.Signals, hangs: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as temporal:
        temporal.settimeout(60)
        with started(TEMPORAL_ADDRESS=address(temporal)) as worker:
            asked, _ = temporal.accept()
            if not hangs:
                asked.close()
            ends_well(worker, sign)
        asked.close()


async def test_a_worker_that_waits_for_its_database_asks_again_until_it_is_to_end(
    temporal: WorkflowEnvironment,
) -> None:
    target = temporal.client.service_client.config.target_host
    with socket.create_server(("127.0.0.1", 0)) as database:
        database.settimeout(60)
        url = f"postgresql://{address(database)}/mpanel"
        with started(TEMPORAL_ADDRESS=target, MPANEL_DATABASE_URL=url) as worker:
            for _ in range(3):
                asked, _ = database.accept()
                asked.close()
            ends_well(worker, signal.SIGTERM)


Started = subprocess.Popen[str]


def address(server: socket.socket) -> str:
    host, port = server.getsockname()
    return f"{host}:{port}"


@contextmanager
def started(**settings: str) -> Iterator[Started]:
    """`mpanel worker`."""
    own = {"PATH": os.environ["PATH"], "TEMPORAL_CONFIG_FILE": os.devnull}
    worker = subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "worker"],
        env={**own, **SETTINGS, **settings},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield worker
    finally:
        worker.kill()
        worker.communicate()


def ends_well(worker: Started, sign: signal.Signals) -> None:
    worker.send_signal(sign)
    _, said = worker.communicate(timeout=60)
    # The client's own threads may complain that the interpreter has ended.
    assert worker.returncode == 0, said
    assert "Traceback" not in said
