"""A worker process, before it has found Temporal."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.world import VAULT_KEY

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


@pytest.mark.parametrize("hangs", [False, True], ids=["away", "hung"])
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_waits_for_temporal_ends_when_it_is_told(
    sign: signal.Signals, hangs: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as temporal:
        temporal.settimeout(60)
        host, port = temporal.getsockname()
        at = {"TEMPORAL_ADDRESS": f"{host}:{port}", "TEMPORAL_CONFIG_FILE": os.devnull}
        worker = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "worker"],
            env={"PATH": os.environ["PATH"], **SETTINGS, **at},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        try:
            asked, _ = temporal.accept()
            if not hangs:
                asked.close()
            worker.send_signal(sign)
            _, said = worker.communicate(timeout=20)
        finally:
            worker.kill()
            worker.wait()
        asked.close()

    # The client's own threads may complain that the interpreter has ended.
    assert worker.returncode == 0, said
    assert "Traceback" not in said
