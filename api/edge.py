"""Around every request: its id, a limit to its body, and a net below it all."""

from traceback import extract_tb
from typing import Final
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from api.errors import answer, unexpected
from api.surfaces import Failure

_log = structlog.get_logger(__name__)

BODY_LIMIT: Final = 256 * 1024
TOO_LARGE: Final = Failure(
    413, "PAYLOAD_TOO_LARGE", "the body is larger than 256 KiB", {"limit": BODY_LIMIT}
)


class Edge:
    """Gives the request its id, and answers what nobody else has caught."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid4().hex
        begun = False

        async def named(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            with bound_contextvars(request_id=request_id):
                await self._app(scope, receive, named)
        except Exception as error:
            # Neither arguments nor the message: they may hold what was sent.
            _log.error(
                "unexpected_error",
                request_id=request_id,
                method=scope["method"],
                route=getattr(scope.get("route"), "path", ""),
                error=type(error).__name__,
                where=_where(error),
            )
            if begun:
                raise
            response = answer(unexpected(request_id), scope["path"])
            await response(scope, receive, named)


class BodyLimit:
    """413 for a body over the limit, announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdigit() and int(announced) > BODY_LIMIT:
            await answer(TOO_LARGE, scope["path"])(scope, receive, send)
            return
        await self._app(scope, _counted(receive), send)


def _counted(receive: Receive) -> Receive:
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > BODY_LIMIT:
            raise HTTPException(TOO_LARGE.status, TOO_LARGE.message)
        return message

    return counted


def _where(error: BaseException) -> list[str]:
    """`file:line function` of our own frames and the last one, innermost last."""
    frames = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in extract_tb(error.__traceback__)
    ]
    own = [one for one in frames[:-1] if "site-packages" not in one]
    return own + frames[-1:]
