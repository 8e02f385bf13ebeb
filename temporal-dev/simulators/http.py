"""HTTP for simulators: provider routes that obey faults, and the server they run on."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulators.faults import Garbled, Refused, Withheld

if TYPE_CHECKING:
    from simulators.core import Call, Simulator

Answer = Callable[[Request, "Call"], Awaitable[Response]]


def refusal_as_json(refused: Refused) -> Response:
    """The plainest wording of an error; most providers have their own."""
    return JSONResponse(
        {"error": {"code": refused.code, "message": refused.message}},
        status_code=refused.status,
    )


def endpoint(
    sim: "Simulator",
    op: str,
    answer: Answer,
    *,
    account: Callable[[Request], str] = lambda _: "",
) -> Route:
    """A provider operation such as `GET /v1/things/{id}`, which is also its name.

    `answer` runs inside the call: it makes its changes in `call.change()` and raises
    `Refused` for the provider's own errors. `account` names the caller in the ledger.
    """
    method, path = op.split(" ", 1)

    async def respond(request: Request) -> Response:
        return await answered(sim, op, account(request), partial(answer, request))

    return Route(path, respond, methods=[method])


async def answered(
    sim: "Simulator",
    op: str,
    account: str,
    work: Callable[["Call"], Awaitable[Response]],
) -> Response:
    """The answer that `work` gives inside the call, or what a fault makes of it."""
    try:
        async with sim.call(op, account) as call:
            response = await work(call)
            call.answer(response.status_code)
    except Refused as refused:
        response = sim.refusal(refused)
        if refused.retry_after is not None:
            response.headers["Retry-After"] = f"{refused.retry_after:g}"
    except Garbled:
        response = Response(b"<html>\xff\xfe", media_type="text/html")
    except Withheld as withheld:
        response = Silence(withheld.seconds)
    return response


class Silence(Response):
    """Sends nothing; cuts the line when `seconds` are over or the caller gives up."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await _hung_up(receive)
        scope["extensions"]["simulators"]["drop"]()
        await _hung_up(receive)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Droppable(HttpToolsProtocol):
    """Lets a response cut the connection, for which ASGI has no words."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"simulators": {"drop": self.transport.abort}}


class _Quiet(uvicorn.Server):
    """Leaves the signals to whoever runs several servers in one loop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """uvicorn on 127.0.0.1 in the running loop; port 0 picks a free one."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self.port = port
        self._server = _Quiet(
            uvicorn.Config(
                app,
                http=_Droppable,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                # Clients let an idle line go after 5 s: at 5 s here, too, a call would
                # now and then meet a line that is just being closed.
                timeout_keep_alive=75,
                timeout_graceful_shutdown=1,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises OSError when the port is taken."""
        # With the protocol named: else asyncio leaves Nagle on and answers take 40 ms.
        tcp = socket.IPPROTO_TCP
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, tcp)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        await self._server.listening.wait()

    async def stop(self) -> None:
        """Cuts every line, also those on which somebody still waits."""
        if self._serving is None:
            return
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._server.should_exit = True
        await self._serving
