"""What tests ask of every simulator, under `/_simulator/`.

GET  ledger[?since=<call id>]    effects, calls, live objects
GET|PUT|DELETE faults            the fault scripts, with their counters
GET|PUT settings                 {"delays": {operation glob: seconds}}
POST reset                       forget everything
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from simulators.faults import BadScript, Script

if TYPE_CHECKING:
    from simulators.core import Simulator


def control_routes(sim: "Simulator") -> Sequence[BaseRoute]:
    """The routes above, for one simulator."""

    async def ledger(request: Request) -> Response:
        since = int(request.query_params.get("since", "0"))
        store = sim.store
        return JSONResponse(
            {
                "effects": store.effects(since),
                "calls": store.calls(since),
                "objects": {
                    kind: [sim.short(kind, body) for body in store.each(kind)]
                    for kind in store.kinds()
                },
            }
        )

    async def faults(request: Request) -> Response:
        if request.method == "PUT":
            try:
                scripts = [Script.parse(raw) for raw in await request.json()]
            except (BadScript, TypeError, AttributeError) as bad:
                return JSONResponse({"error": str(bad)}, status_code=422)
            sim.store.set_faults(scripts)
        if request.method == "DELETE":
            sim.store.set_faults([])
        return JSONResponse(
            [
                {**_given(script), "seen": seen, "fired": fired}
                for _, script, seen, fired in sim.store.faults()
            ]
        )

    async def settings(request: Request) -> Response:
        if request.method == "PUT":
            delays = (await request.json()).get("delays", {})
            if not all(isinstance(s, int | float) and s >= 0 for s in delays.values()):
                error = {"error": "delays are seconds by operation"}
                return JSONResponse(error, status_code=422)
            sim.store.set_setting("delays", delays)
        return JSONResponse({"delays": sim.store.setting("delays", {})})

    async def reset(_: Request) -> Response:
        sim.reset()
        return JSONResponse({})

    return [
        Route("/_simulator/ledger", ledger, methods=["GET"]),
        Route("/_simulator/faults", faults, methods=["GET", "PUT", "DELETE"]),
        Route("/_simulator/settings", settings, methods=["GET", "PUT"]),
        Route("/_simulator/reset", reset, methods=["POST"]),
    ]


def _given(script: Script) -> dict[str, Any]:
    return {k: v for k, v in vars(script).items() if v not in (None, "")}
