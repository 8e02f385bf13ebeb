"""Ports, chosen once and kept: a second start has the same addresses.

Free ones are taken from below the range the kernel hands out to clients, so that
nobody's outgoing connection sits on one while its part is away.
"""

import random
import socket
import time
from collections.abc import Mapping

from workers.dev.errors import StackError
from workers.dev.folder import DataFolder

FILE = "ports.json"
WELL_KNOWN = {"api": 8000, "temporal": 7233, "temporal_ui": 8233}
OPTIONS = {"api": "--port", "temporal": "--temporal-port", "temporal_ui": "--ui-port"}
NAMES = (
    *WELL_KNOWN,
    "temporal_http",
    "postgres",
    "stripe",
    "powerdns",
    "powerdns_dns",
    "hosting",
    "hosting_ssh",
    "hosting_http",
    "backup_store",
    "backup_store_ssh",
    "mail",
    "mail_smtp",
    "api_metrics",
    "worker_metrics",
    "proxmox",
    "proxmox_api",
)
_FREE = range(20_000, 32_000)


class Ports:
    """The ports of one stack, reserved on this machine while the object lives."""

    def __init__(self, folder: DataFolder, *, grace: float = 5.0) -> None:
        # What a killed stack left behind may need `grace` seconds to end.
        self._folder, self._grace = folder, grace
        self._reservations: dict[int, socket.socket] = {}

    def claim(self, wanted: Mapping[str, int | None]) -> dict[str, int]:
        """A port for each of NAMES. `wanted`: a number, 0 for a free one, None for
        the well-known one or, if that is taken, a free one. What was chosen before
        wins over 0 and None. Raises `StackError` for a port that is taken.
        """
        kept = self._folder.read(FILE) or {}
        ports: dict[str, int] = {}
        for name in NAMES:
            asked = wanted.get(name) or kept.get(name)
            ports[name] = (
                self._exactly(name, asked)
                if asked
                else self._any(None if wanted.get(name) == 0 else WELL_KNOWN.get(name))
            )
        self._folder.write(FILE, ports)
        return ports

    def release(self) -> None:
        """Other stacks may have them."""
        for reservation in self._reservations.values():
            reservation.close()
        self._reservations.clear()

    def _exactly(self, name: str, port: int) -> int:
        deadline = time.monotonic() + self._grace
        while not self._reserve(port):
            if time.monotonic() > deadline:
                other = (
                    f"pass another {OPTIONS[name]} (0 picks a free one)"
                    if name in OPTIONS
                    else f"remove {self._folder.path / FILE} to choose new ones"
                )
                raise StackError(
                    f"port {port} ({name}) is in use by another program: end that"
                    f" program, or {other}."
                )
            time.sleep(0.05)
        return port

    def _any(self, preferred: int | None) -> int:
        if preferred and self._reserve(preferred):
            return preferred
        for port in random.sample(_FREE, 500):
            if self._reserve(port):
                return port
        raise StackError("no free port between 20000 and 32000: end some programs.")

    def _reserve(self, port: int) -> bool:
        """Whether it is ours now: no stack has it, and nobody listens there."""
        # An abstract name is taken by at most one process and ends with it.
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            reservation.bind(f"\0mpanel-port-{port}")
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.setsockopt(
                        socket.SOL_SOCKET,
                        socket.SO_REUSEADDR,
                        kind == socket.SOCK_STREAM,
                    )
                    probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            return False
        self._reservations[port] = reservation
        return True
