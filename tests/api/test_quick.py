"""Quick routes solve no dependency: what all others are given, they must ask for."""

import re

import httpx
import pytest
from fastapi.routing import APIRoute

from api.app import ROUTERS
from api.quick import Quick

QUICK = [
    (method, route)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, Quick)
    for method in route.methods or ()
]


@pytest.mark.parametrize(("method", "route"), QUICK)
async def test_each_is_counted_and_serves_nobody_unknown(
    api: httpx.AsyncClient, method: str, route: APIRoute
) -> None:
    path = "/api" + re.sub(r"{\w+}", "0" * 32, route.path)
    left = []
    for _ in range(2):
        answer = await api.request(method, path)
        assert answer.status_code == 401
        left.append(int(answer.headers["x-ratelimit-remaining"]))
    assert left[0] - left[1] == 1


def test_there_are_some() -> None:
    assert QUICK
