"""`python -m tests.bench.worker`: the real worker over providers in memory.

BENCH_DELAYS: seconds of creating a site, a DNS record, and sending a mail.
BENCH_PRICE: cents that every customer has paid. BENCH_CLUSTER: a file that tells in the
end what lives in the cluster.
"""

import os
from pathlib import Path

import uvloop
from pydantic import SecretStr

from tests.bench.cluster import Cluster
from tests.bench.memory import PRICE, clients
from workers.run import main
from workers.settings import WorkerSettings


def settings() -> WorkerSettings:
    """Addresses that nobody asks."""
    return WorkerSettings(
        database_url=SecretStr(os.environ["MPANEL_DATABASE_URL"]),
        encryption_keys=SecretStr(os.environ["MPANEL_ENCRYPTION_KEYS"]),
        platform_domain=os.environ["MPANEL_PLATFORM_DOMAIN"],
        public_url=os.environ["MPANEL_PUBLIC_URL"],
        stripe_api_key=SecretStr("sk_test_memory"),
        powerdns_url="http://127.0.0.1:9",
        powerdns_api_key=SecretStr("memory"),
        powerdns_dns_address="127.0.0.1:9",
        hosting_ssh_key_file=Path(os.devnull),
        backup_store_url="sftp://127.0.0.1/",
        backup_store_host_key="",
        smtp_url=SecretStr("smtp://127.0.0.1:9"),
        mail_from="panel@example.net",
        operator_email="operator@example.net",
    )


if __name__ == "__main__":
    site, dns, mail = map(float, os.environ["BENCH_DELAYS"].split(","))
    inside = clients(
        site=site,
        dns=dns,
        mail=mail,
        price=int(os.environ.get("BENCH_PRICE", PRICE)),
        cluster=Cluster(os.environ.get("BENCH_CLUSTER")),
    )
    uvloop.run(main(settings(), clients_of=lambda *_: inside))
