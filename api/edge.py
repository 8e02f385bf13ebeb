"""Around every request: its id, its line in the log, a limit to its body, and a net."""

import re
import time
from secrets import token_hex
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, unbind_contextvars

from api import limits, metrics
from api.errors import answer, unexpected
from api.surfaces import Failure
from models.logs import plain, where

_log = structlog.get_logger(__name__)
_requests = plain()

UNKNOWN: Final = "unknown"
_SANE: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")

BODY_LIMIT: Final = 256 * 1024
TOO_LARGE: Final = Failure(
    413, "PAYLOAD_TOO_LARGE", "the body is larger than 256 KiB", {"limit": BODY_LIMIT}
)


class Edge:
    """Gives the request its id, logs how it went, answers what nobody has caught."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        began, status, size = time.perf_counter(), 0, 0

        async def told(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    *limits.told(scope),
                ]
            else:
                size += len(message.get("body", b""))
            await send(message)

        bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, told)
        except Exception as error:
            _unexpected(scope, error, request_id)
            if status:
                raise
            response = answer(unexpected(request_id), scope["path"])
            await response(scope, receive, told)
        finally:
            method, route = scope["method"], route_of(scope)
            seconds = time.perf_counter() - began
            metrics.count(method, route, status, seconds)
            _requests.info(
                "request",
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 2),
                bytes=size,
            )
            unbind_contextvars("request_id", "tenant_id", "caller")


def route_of(scope: Scope) -> str:
    """The template, like /api/jobs/{id}; never what was put in its place."""
    context = scope.get("fastapi", {}).get("effective_route_context")
    found = context if context is not None else scope.get("route")
    return getattr(found, "path", None) or UNKNOWN


def _request_id(scope: Scope) -> str:
    """The caller's, if it is one that may stand in a log; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE.fullmatch(value):
            return str(value, "ascii")
    return token_hex(16)


def _unexpected(scope: Scope, error: Exception, request_id: str) -> None:
    """Neither arguments nor the message: they may hold what was sent."""
    _log.error(
        "unexpected_error",
        request_id=request_id,
        method=scope["method"],
        route=route_of(scope),
        error=type(error).__name__,
        where=where(error),
    )


class BodyLimit:
    """413 for a body over the limit, announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
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
