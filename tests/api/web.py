"""Web processes within the tests' own: built once, started as often as tests want."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from fastapi import FastAPI

from api.app import create_app
from api.settings import ApiSettings

_IDLE: Final[list[tuple[ApiSettings, Any, FastAPI]]] = []


@contextmanager
def lent(settings: ApiSettings) -> Iterator[FastAPI]:
    """An application with these settings that nobody runs.

    FastAPI reads the routes anew in each that is made, and that takes longer than most
    tests. All that a running one keeps begins and ends with its lifespan.
    """
    for one in _IDLE:
        if one[:2] == (settings, settings.temporal):
            _IDLE.remove(one)
            break
    else:
        one = (settings, settings.temporal, create_app(settings))
    yield one[2]
    _IDLE.append(one)


@asynccontextmanager
async def running(settings: ApiSettings) -> AsyncIterator[FastAPI]:
    """A web process that has started."""
    with lent(settings) as app:
        async with app.router.lifespan_context(app):
            yield app
