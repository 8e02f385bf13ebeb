"""The servers of Debian, started for tests on loopback and from temporary folders.

Missing ones are a reason to skip; in CI (`CI=true`) they are a failure, since there
`make real-servers` has run.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def program(name: str) -> str:
    """Its path; without it the test ends here."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        missing(f"{name} is not installed: make real-servers")
    return str(found)


def missing(reason: str) -> None:
    """Skip, or fail where nothing may be skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@asynccontextmanager
async def running(command: list[str], *, port: int, log: Path) -> AsyncIterator[None]:
    """The process, from when it listens on `port` until it was told to end."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        async with asyncio.timeout(60):
            while not await _listens(port):
                if process.returncode is not None:
                    pytest.fail(f"{command[0]} ended: {_tail(log)}")
                await asyncio.sleep(0.02)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def _tail(log: Path) -> str:
    return log.read_text()[-2000:]


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
