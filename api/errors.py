"""Every failure of every surface becomes one answer, here and nowhere else."""

from collections.abc import Sequence
from typing import Any, Final

import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from api.surfaces import Failure, worded
from models.errors import (
    Conflict,
    Denied,
    DomainError,
    Invalid,
    NoCapacity,
    NotFound,
    TooMany,
    Unauthenticated,
    Unavailable,
)

_log = structlog.get_logger(__name__)

STATUSES: Final[dict[type[DomainError], int]] = {
    NotFound: 404,
    Invalid: 422,
    Denied: 403,
    Unauthenticated: 401,
    Conflict: 409,
    NoCapacity: 409,
    TooMany: 429,
    Unavailable: 503,
}
_CODES: Final = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMITED",
}
_BEARER: Final = {"WWW-Authenticate": "Bearer"}


_AWAY: Final = (
    OperationalError,
    InterfaceError,
    PoolExhausted,
    psycopg.OperationalError,
)


def install(app: FastAPI) -> None:
    """What routes and services raise is answered in the words of the surface."""
    refused = (DomainError, RequestValidationError, HTTPException, DataError)
    for kind in (*refused, ClientDisconnect, *_AWAY):
        app.add_exception_handler(kind, _failed)


def answer(failure: Failure, path: str) -> Response:
    """The failure as the surface of `path` words it."""
    return worded(failure, path)


def unexpected(request_id: str) -> Failure:
    """The caller learns where to look it up, and nothing else."""
    return Failure(
        500,
        "INTERNAL_ERROR",
        "something went wrong on our side",
        {"request_id": request_id},
    )


async def _failed(request: Request, error: Exception) -> Response:
    return answer(_failure(error), request.url.path)


def _failure(error: Exception) -> Failure:
    match error:
        case DomainError():
            return _fact(error)
        case RequestValidationError():
            return _refused(error.errors())
        case HTTPException():
            code = _CODES.get(error.status_code, "ERROR")
            message = str(error.detail).rstrip(".")
            return Failure(error.status_code, code, message, {}, error.headers or {})
        case DataError():
            message = "a value holds what cannot be stored, like a NUL character"
            return Failure(422, "VALIDATION_ERROR", message)
        case ClientDisconnect():  # nobody hears it, but the log and the metrics do
            return Failure(400, "VALIDATION_ERROR", "the body broke off")
        case _:
            _log.warning("database_away", error=type(error).__name__)
            message = "the database is away for the moment; try again"
            return Failure(503, "UNAVAILABLE", message, {}, {"Retry-After": "1"})


def _fact(error: DomainError) -> Failure:
    known = (STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    status = next(known, 500)
    headers = _BEARER if isinstance(error, Unauthenticated) else {}
    if "retry_after" in error.details:
        headers = {**headers, "Retry-After": str(error.details["retry_after"])}
    return Failure(status, error.code, error.message, error.details, headers)


def _refused(found: Sequence[Any]) -> Failure:
    """What was wrong with the request; nothing that was sent is repeated."""
    first = found[0]
    if first["type"] == "json_invalid":
        return Failure(400, "VALIDATION_ERROR", "the body is not valid JSON")
    if first["loc"][:1] == ("path",):
        # An id that cannot exist looks like one that does not.
        return Failure(404, "NOT_FOUND", "there is nothing with this id")
    fields = [{"field": _field(one["loc"]), "message": one["msg"]} for one in found]
    message = f"{fields[0]['field']}: {fields[0]['message']}"
    details = {"field": fields[0]["field"], "fields": fields}
    return Failure(422, "VALIDATION_ERROR", message, details)


def _field(loc: Sequence[str | int]) -> str:
    """('body', 'items', 0, 'code') -> 'items[0].code'."""
    name = ""
    for part in loc[1:]:
        name += f"[{part}]" if isinstance(part, int) else f".{part}"
    return name.lstrip(".") or str(loc[0])
