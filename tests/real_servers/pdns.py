"""PowerDNS with its SQLite backend."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conftest import free_port
from tests.real_servers import missing, program, running

_SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
_CONFIG = """
launch=gsqlite3
gsqlite3-database={folder}/pdns.sqlite3
gsqlite3-pragma-synchronous=0
local-address=127.0.0.1
local-port={dns_port}
socket-dir={folder}
daemon=no
guardian=no
disable-syslog=yes
api=yes
api-key={api_key}
webserver=yes
webserver-address=127.0.0.1
webserver-port={port}
webserver-allow-from=127.0.0.1
security-poll-suffix=
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
"""


@asynccontextmanager
async def pdns_server(folder: Path, api_key: str) -> AsyncIterator[tuple[int, int]]:
    """Its API port and its DNS port. Caches are off: changes are seen at once."""
    port, dns_port = free_port(), free_port()
    _prepare(folder, port=port, dns_port=dns_port, api_key=api_key)
    command = [program("pdns_server"), f"--config-dir={folder}"]
    async with running(command, port=port, log=folder / "pdns.log"):
        yield port, dns_port


def _prepare(folder: Path, **values: object) -> None:
    if not _SCHEMA.exists():
        missing("pdns-backend-sqlite3 is not installed: make real-servers")
    with _SCHEMA.open() as schema:
        database = [program("sqlite3"), str(folder / "pdns.sqlite3")]
        subprocess.run(database, stdin=schema, check=True)
    (folder / "pdns.conf").write_text(_CONFIG.format(folder=folder, **values))
