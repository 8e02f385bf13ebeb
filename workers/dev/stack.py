"""The stack: what starts after what, and what stops before what.

postgres -> schema --+
temporal ------------+-> worker, api
simulators ----------+
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from workers.dev import postgres, temporal
from workers.dev.errors import StackError
from workers.dev.folder import DataFolder
from workers.dev.keys import Keys
from workers.dev.layout import APART, SIMULATORS, Layout
from workers.dev.ports import Ports
from workers.dev.readiness import ReadyNotice, answers
from workers.dev.supervisor import Part, Report, Supervisor

DEV_FILE = "dev.json"
_STOP_ORDER = (
    "api",
    "worker",
    "simulators",
    *(f"simulator-{name}" for name in APART),
    "temporal",
    "postgres",
)
_PYTHON = (sys.executable, "-m")


class Screen(Report, Protocol):
    """What the person at the terminal is told."""

    def up(self, dev: Mapping[str, Any], data_dir: Path) -> None:
        """Everything is ready; `dev` is the content of dev.json."""

    def stopping(self) -> None:
        """A stop was asked for."""


@dataclass(frozen=True)
class Commands:
    """Our own programs. Tests put stand-ins here."""

    schema: Sequence[str] = (*_PYTHON, "workers.dev.schema")
    simulators: Sequence[str] = (*_PYTHON, "simulators", "--config")
    worker: Sequence[str] = (*_PYTHON, "workers.cli", "worker")
    api: Sequence[str] = (*_PYTHON, "api")


class Stack:
    """One data folder's stack, in the foreground."""

    def __init__(
        self,
        data_dir: Path,
        screen: Screen,
        *,
        ports: Mapping[str, int | None],
        commands: Commands | None = None,
        namespaces: bool = True,
    ) -> None:
        self._folder = DataFolder(data_dir)
        self._screen = screen
        self._wanted = ports
        self._commands = commands or Commands()
        self._namespaces = namespaces
        self._ports = Ports(self._folder)
        self._notice = ReadyNotice()
        self._supervisor = Supervisor(self._folder.logs, screen, self._changed)
        self._layout: Layout | None = None
        self._up = False

    async def run(self) -> None:
        """Until SIGINT or SIGTERM. Raises `StackError` if it cannot start.

        A second signal kills what is still stopping.
        """
        self._folder.hold()
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(sign, self._ask, asked)
        life = asyncio.create_task(self._live())
        stop = asyncio.create_task(asked.wait())
        try:
            await asyncio.wait({life, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.done():
                life.result()
        finally:
            stop.cancel()
            life.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await life
            await self._stop()

    def _ask(self, asked: asyncio.Event) -> None:
        if asked.is_set():
            self._supervisor.kill()
        else:
            asked.set()
            self._screen.stopping()

    async def _live(self) -> None:
        self._folder.remove(DEV_FILE)
        ports = self._ports.claim(self._wanted)
        self._layout = layout = Layout(self._folder, ports, Keys.of(self._folder))
        start = self._supervisor.start
        # Bound here and listening from now on: while the API is away, callers wait.
        with socket.create_server(("127.0.0.1", ports["api"]), backlog=1024) as door:
            await _together(
                self._start_database(layout),
                start(self._temporal(layout)),
                *(start(part) for part in self._simulators(layout)),
            )
            await _together(start(self._worker(layout)), start(self._api(layout, door)))
            self._up = True
            self._changed()
            self._screen.up(
                layout.dev_file(self._supervisor.processes), self._folder.path
            )
            await self._supervisor.watch()

    async def _stop(self) -> None:
        for name in _STOP_ORDER:
            await self._supervisor.stop(name)
        self._folder.remove(DEV_FILE)
        self._notice.close()
        self._ports.release()
        self._folder.release()

    def _changed(self) -> None:
        """Tells everybody the pids of now: a fault may kill the next moment."""
        if self._up and self._layout is not None:
            dev = self._layout.dev_file(self._supervisor.processes)
            # It is of this life alone, and a restart must not wait for the disk.
            self._folder.write(DEV_FILE, dev, durable=False)

    async def _start_database(self, layout: Layout) -> None:
        cluster = await postgres.find(self._folder, namespaces=self._namespaces)
        environment = layout.ambient()
        await cluster.create(
            self._supervisor,
            password=layout.keys.postgres_password,
            environment=environment,
        )
        port = layout.ports["postgres"]
        await self._supervisor.start(cluster.server(port=port, environment=environment))
        await self._supervisor.run(
            Part("schema", self._commands.schema, layout.schema())
        )

    def _temporal(self, layout: Layout) -> Part:
        http_port = layout.ports["temporal_http"]
        return Part(
            name="temporal",
            command=temporal.command(
                self._folder.path / "temporal.sqlite",
                port=layout.ports["temporal"],
                http_port=http_port,
                ui_port=layout.ports["temporal_ui"],
            ),
            environment=layout.ambient(),
            ready=lambda: answers(temporal.ready_url(http_port)),
        )

    def _simulators(self, layout: Layout) -> list[Part]:
        """One process for most of them, and one for each that stands apart."""
        config, urls = str(layout.simulators()), layout.simulator_urls

        def part(process: str, names: Sequence[str]) -> Part:
            async def ready() -> bool:
                ledgers = [answers(f"{urls[n]}/_simulator/settings") for n in names]
                return all(await asyncio.gather(*ledgers))

            return Part(
                name=process,
                command=[*self._commands.simulators, config, *names],
                environment=layout.ambient(),
                ready=ready,
            )

        apart = [part(f"simulator-{name}", [name]) for name in APART]
        return [part("simulators", SIMULATORS), *apart]

    def _worker(self, layout: Layout) -> Part:
        return Part(
            name="worker",
            command=self._commands.worker,
            environment={**layout.worker(), **self._notice.environment},
            ready=self._notice.arrived,
            clean=self._notice.forget,
            patience=15,
        )

    def _api(self, layout: Layout, door: socket.socket) -> Part:
        handed_over = {"MPANEL_LISTEN_FD": str(door.fileno())}
        return Part(
            name="api",
            command=self._commands.api,
            environment={**layout.api(), **handed_over},
            ready=lambda: answers(f"{layout.api_url}/api/health"),
            descriptors=[door.fileno()],
        )


async def _together(*work: Coroutine[Any, Any, None]) -> None:
    """All of it, at once. The first `StackError` ends the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for piece in work:
                group.create_task(piece)
    except ExceptionGroup as failures:
        refused = failures.subgroup(StackError)
        raise (refused or failures).exceptions[0] from None
