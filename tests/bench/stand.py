"""What is measured on: one PostgreSQL, one Temporal, and processes of ours.

Everything listens on loopback and ends with the stand.
"""

import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql

from models.migrations.run import upgrade
from models.tenants import MIGRAHOSTING
from tests.bench.cost import Cost, processes_below
from tests.bench.names import BARE
from tests.conftest import free_port
from workers.dev import postgres, temporal
from workers.dev.folder import DataFolder
from workers.dev.layout import APP_ROLE, DATABASE, OWNER_ROLE
from workers.dev.readiness import ReadyNotice, answers
from workers.dev.schema import make_roles
from workers.dev.supervisor import Part, Supervisor

PASSWORD = secrets.token_hex(16)
SECRET_KEY = secrets.token_hex(32)
ORDER_SECRET = secrets.token_hex(16)
DOMAIN = "sites.example.net"

# The calls are counted all the same; only nobody is turned away.
_UNLIMITED = {
    f"MPANEL_CALL_LIMIT{kind}": "1000000000"
    for kind in ("", "_LOGIN", "_POLL", "_WEBHOOK")
}


class _Silent:
    def ready(self, name: str, seconds: float) -> None: ...

    def died(self, name: str, how: str) -> None:
        sys.stderr.write(f"{name} {how}\n")

    def keeps_dying(self, name: str, log: str) -> None:
        sys.stderr.write(f"{name} keeps dying:\n{log}\n")


@dataclass
class Stand:
    """Servers that run, and the means to run more beside them."""

    folder: DataFolder
    supervisor: Supervisor
    postgres: int
    temporal: str
    metrics: str
    notices: list[ReadyNotice] = field(default_factory=list)

    def url(self, role: str, database: str) -> str:
        """Where `role` reaches `database`."""
        at = f"127.0.0.1:{self.postgres}"
        return f"postgresql://{role}:{PASSWORD}@{at}/{database}"

    def database(self, name: str) -> str:
        """A migrated database with nothing in it but the tenant; the app's URL."""
        with psycopg.connect(self._admin("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {} owner {}").format(
                    *map(sql.Identifier, (name, DATABASE, OWNER_ROLE))
                )
            )
        with psycopg.connect(self._admin(name)) as connection:
            connection.execute(
                "insert into tenants (id, created_at, name)"
                " values (%s, now(), 'MigraHosting')",
                [MIGRAHOSTING],
            )
        return self.url(APP_ROLE, name)

    def _admin(self, database: str) -> str:
        return self.url(postgres.SUPERUSER, database)

    def as_admin(self, database: str) -> psycopg.Connection[Any]:
        """For seeding past row-level security and foreign keys."""
        return psycopg.connect(self._admin(database), autocommit=True)

    async def worker(
        self, name: str, module: str, database: str, **told: str
    ) -> "Running":
        """A process that says when it is ready."""
        notice = ReadyNotice()
        self.notices.append(notice)
        part = Part(
            name=name,
            command=[sys.executable, "-m", module],
            environment=self._environment(database) | notice.environment | told,
            ready=notice.arrived,
        )
        return await self._run(part)

    async def web(self, name: str, module: str, database: str) -> "Running":
        """A web process on a free port."""
        port = free_port()
        part = Part(
            name=name,
            command=[sys.executable, "-m", module, "--port", str(port)],
            environment=self._environment(database),
            ready=lambda: answers(f"http://127.0.0.1:{port}/api/health"),
        )
        return await self._run(part, port)

    async def _run(self, part: Part, port: int = 0) -> "Running":
        await self.supervisor.start(part)
        return Running(part.name, self.supervisor.processes[part.name], port)

    async def stop(self, *running: "Running") -> None:
        """Ends these before the others."""
        for one in running:
            await self.supervisor.stop(one.name)

    def cost(self, *names: str) -> Cost:
        """CPU seconds so far, by part; PostgreSQL with all its backends."""
        return {
            name: sum(processes_below(self.supervisor.processes[name]))
            for name in names
        }

    async def heartbeats(self) -> int:
        """How many Temporal has taken in so far."""
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(self.metrics)).text
        counted = [
            line.rpartition(" ")[2]
            for line in text.splitlines()
            if line.startswith("service_requests{")
            and '"RecordActivityTaskHeartbeat"' in line
            and 'service_name="frontend"' in line
        ]
        return sum(map(int, counted))

    def _environment(self, database: str) -> Mapping[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "MPANEL_DATABASE_URL": database,
            "MPANEL_SECRET_KEY": SECRET_KEY,
            "MPANEL_ENCRYPTION_KEYS": f"v1:{'A' * 43}=",
            "MPANEL_ORDER_WEBHOOK_SECRET": ORDER_SECRET,
            "MPANEL_STRIPE_WEBHOOK_SECRET": "whsec_bench",
            "MPANEL_PLATFORM_DOMAIN": DOMAIN,
            "MPANEL_PUBLIC_URL": "http://127.0.0.1",
            "MPANEL_SECOND_FACTOR": "off",
            **_UNLIMITED,
            "TEMPORAL_ADDRESS": self.temporal,
            "TEMPORAL_CONFIG_FILE": os.devnull,
        }


@dataclass(frozen=True)
class Running:
    """A process of the stand; `port` is 0 if it listens nowhere."""

    name: str
    pid: int
    port: int


@asynccontextmanager
async def stand(path: Path) -> AsyncIterator[Stand]:
    """PostgreSQL and Temporal, as `mpanel dev` has them (without fsync)."""
    folder = DataFolder(path)
    folder.hold()
    environment = {**os.environ, "MPANEL_DEV_FSYNC": "off"}
    supervisor = Supervisor(folder.logs, _Silent(), lambda: None)
    cluster = await postgres.find(folder)
    port, grpc, http, ui, metrics = (free_port() for _ in range(5))
    told = f"http://127.0.0.1:{metrics}/metrics"
    made = Stand(folder, supervisor, port, f"127.0.0.1:{grpc}", told)
    try:
        await cluster.create(supervisor, password=PASSWORD, environment=environment)
        await supervisor.start(cluster.server(port=port, environment=environment))
        make_roles(
            made.url(postgres.SUPERUSER, "postgres"),
            made.url(OWNER_ROLE, DATABASE),
            made.url(APP_ROLE, DATABASE),
        )
        upgrade(made.url(OWNER_ROLE, DATABASE), app_role=APP_ROLE)
        command = temporal.command(
            folder.path / "temporal.sqlite", port=grpc, http_port=http, ui_port=ui
        )
        await supervisor.start(
            Part(
                name="temporal",
                command=[
                    *command,
                    *("--namespace", BARE),
                    *("--metrics-port", str(metrics)),
                ],
                environment=environment,
                ready=lambda: answers(temporal.ready_url(http)),
            )
        )
        yield made
    finally:
        for name in reversed(list(supervisor.processes)):
            await supervisor.stop(name)
        for notice in made.notices:
            notice.close()
        folder.release()
