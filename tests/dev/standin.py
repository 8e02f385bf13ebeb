"""Stand-ins for our own programs: `standin.py simulators|worker|api|schema ...`."""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    body = str(os.getpid()).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    writer.write(head + body)
    writer.close()


async def _until_asked() -> None:
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    await asked.wait()


async def simulators(config: str, *names: str) -> None:
    settings = json.loads(Path(config).read_text())  # noqa: ASYNC240
    for name in names:
        await asyncio.start_server(_answer, "127.0.0.1", settings[name]["port"])
    await _until_asked()


async def worker() -> None:
    from workers.ready import announce

    announce()
    await _until_asked()


async def api() -> None:
    door = socket.socket(fileno=int(os.environ["MPANEL_LISTEN_FD"]))
    await asyncio.start_server(_answer, sock=door)
    await _until_asked()


async def schema() -> None:
    from psycopg import connect

    from workers.dev.layout import APP_ROLE
    from workers.dev.schema import make_roles

    owner = os.environ["MPANEL_OWNER_DATABASE_URL"]
    make_roles(
        os.environ["MPANEL_SUPERUSER_URL"], owner, os.environ["MPANEL_DATABASE_URL"]
    )
    with connect(owner) as connection:
        connection.execute("create table if not exists notes (text text)")
        connection.execute(f"grant select, insert on notes to {APP_ROLE}")


async def broken() -> None:
    sys.exit("the stand-in is broken on purpose")


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
