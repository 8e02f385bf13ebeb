"""Doors before PostgreSQL and Temporal that let work be done and swallow the reply.

    doors = Doors(data_dir)          # for the stack of this data folder
    doors.postgres.cut(3)            # the third commit from now is made, and its
    ...                              # reply is lost with the connection
    assert doors.postgres.done       # it happened

They run in a thread of their own. While the server behind is away, a connection is
accepted and closed.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

_COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
_HEADERS, _END_STREAM = 0x1, 0x1
_FRAME_HEAD = 9


class Watch(Protocol):
    """Reads what one server connection answers."""

    def replies(self, data: bytes) -> int:
        """How many replies became complete with these bytes."""


class Commits:
    """PostgreSQL: each commit that was made."""

    def __init__(self) -> None:
        self._rest = b""

    def replies(self, data: bytes) -> int:
        """See base class."""
        seen = self._rest + data
        self._rest = seen[-(len(_COMMITTED) - 1) :]
        return seen.count(_COMMITTED)


class Unary:
    """Temporal over HTTP/2: each call whose reply begins.

    The server writes headers, message and trailers only when the work is done, so a
    reply is known by the first HEADERS frame of its stream.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._answering: set[int] = set()

    def replies(self, data: bytes) -> int:
        """See base class."""
        data = self._rest + data
        begun = 0
        while len(data) >= _FRAME_HEAD:
            length = int.from_bytes(data[:3], "big")
            if len(data) < _FRAME_HEAD + length:
                break
            kind, flags = data[3], data[4]
            stream = int.from_bytes(data[5:9], "big") & 0x7FFFFFFF
            if kind == _HEADERS and stream not in self._answering:
                begun += 1
                self._answering.add(stream)
            if flags & _END_STREAM and kind <= _HEADERS:
                self._answering.discard(stream)
            data = data[_FRAME_HEAD + length :]
        self._rest = data
        return begun


class Door:
    """One listening port before one server. `seen` counts replies for ever."""

    def __init__(self, target: Callable[[], int], watch: Callable[[], Watch]) -> None:
        self._target, self._watch = target, watch
        self._at: int | None = None
        self.seen, self.port = 0, 0
        self._server: asyncio.Server | None = None

    def cut(self, nth: int) -> None:
        """The nth reply from now is lost, and its connection with it."""
        self._at = self.seen + nth

    @property
    def done(self) -> bool:
        """Whether the last cut has happened."""
        return self._at is None

    def spare(self) -> None:
        """Cut no more."""
        self._at = None

    async def open(self) -> None:
        """Listens on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Listens no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            behind = await asyncio.open_connection("127.0.0.1", self._target())
        except OSError:
            writer.transport.abort()
            return
        watch = self._watch()

        def lost(data: bytes) -> bool:
            self.seen += watch.replies(data)
            if self._at is None or self.seen < self._at:
                return False
            self._at = None
            return True

        ways = {
            asyncio.create_task(_pour(reader, behind[1], lambda _: False)),
            asyncio.create_task(_pour(behind[0], writer, lost)),
        }
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, behind[1]):
            end.transport.abort()


async def _pour(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    lost: Callable[[bytes], bool],
) -> None:
    """Until either end closes, or what was read is to be lost."""
    try:
        while (data := await source.read(65536)) and not lost(data):
            sink.write(data)
            await sink.drain()
    except OSError:
        return


class Doors:
    """Both doors of one data folder's stack."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._ports = data_dir / "ports.json"
        self.postgres = Door(lambda: self._behind("postgres"), Commits)
        self.temporal = Door(lambda: self._behind("temporal"), Unary)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        for door in (self.postgres, self.temporal):
            asyncio.run_coroutine_threadsafe(door.open(), self._loop).result(60)

    def _behind(self, part: str) -> int:
        return int(json.loads(self._ports.read_text())[part])

    def close(self) -> None:
        """Ends every connection."""
        for door in (self.postgres, self.temporal):
            asyncio.run_coroutine_threadsafe(door.close(), self._loop).result(60)
        asyncio.run_coroutine_threadsafe(_end_all(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()


async def _end_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
