"""How each surface words a failure, chosen by the longest matching path prefix.

So an unknown path, a wrong method or an oversized body is worded rightly, too.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic.alias_generators import to_camel
from starlette.responses import JSONResponse, Response

from api.console.pages import failure_page
from api.failure import Failure

__all__ = ["Failure", "camelized", "worded"]

Renderer = Callable[[Failure], Response]


def mpanel_error(failure: Failure) -> Response:
    """`{"error": {"code", "message", "details"}}`, camelCase."""
    return JSONResponse(
        {
            "error": {
                "code": failure.code,
                "message": failure.message,
                "details": camelized(failure.details),
            }
        },
        status_code=failure.status,
        headers=dict(failure.headers),
    )


def camelized(value: Any) -> Any:
    """The same plain value with camelCase keys."""
    if isinstance(value, Mapping):
        return {to_camel(key): camelized(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [camelized(each) for each in value]
    return value


RENDERERS: Mapping[str, Renderer] = {
    "/api": mpanel_error,
    "/console": failure_page,
    "/": mpanel_error,
}
_LONGEST_FIRST = sorted(RENDERERS, key=len, reverse=True)


def worded(failure: Failure, path: str) -> Response:
    """The answer to a failed call of `path`."""
    prefix = next(
        one
        for one in _LONGEST_FIRST
        if one == "/" or path == one or path.startswith(f"{one}/")
    )
    return RENDERERS[prefix](failure)
