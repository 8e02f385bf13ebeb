"""How each surface words a failure, chosen by the longest matching path prefix.

So an unknown path, a wrong method or an oversized body is worded rightly, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic.alias_generators import to_camel


@dataclass(frozen=True)
class Failure:
    """What went wrong, before a surface words it. Keys of `details` are snake_case."""

    status: int
    code: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


Renderer = Callable[[Failure], dict[str, Any]]


def mpanel_error(failure: Failure) -> dict[str, Any]:
    """`{"error": {"code", "message", "details"}}`, camelCase."""
    return {
        "error": {
            "code": failure.code,
            "message": failure.message,
            "details": camelized(failure.details),
        }
    }


def camelized(value: Any) -> Any:
    """The same plain value with camelCase keys."""
    if isinstance(value, Mapping):
        return {to_camel(key): camelized(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [camelized(each) for each in value]
    return value


RENDERERS: Mapping[str, Renderer] = {"/api": mpanel_error, "/": mpanel_error}
_LONGEST_FIRST = sorted(RENDERERS, key=len, reverse=True)


def worded(failure: Failure, path: str) -> dict[str, Any]:
    """The body of the answer to a failed call of `path`."""
    prefix = next(
        one
        for one in _LONGEST_FIRST
        if one == "/" or path == one or path.startswith(f"{one}/")
    )
    return RENDERERS[prefix](failure)
