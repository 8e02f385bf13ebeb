"""The HTTP API below `/api/v1/servers/localhost`, as far as it is used."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.core import Call, Refused, Simulator
from simulators.http import Answer, endpoint
from simulators.powerdns.zones import Zones

_BASE = "/api/v1/servers/localhost"


def zone_routes(sim: Simulator, zones: Zones, api_key: str) -> list[Route]:
    """Each behind the API key."""

    async def list_zones(request: Request, _: Call) -> Response:
        wanted = request.query_params.get("zone")
        found = [z for z in zones.each() if wanted in {None, z["name"]}]
        return JSONResponse([_shown(zone) for zone in found])

    async def create(request: Request, call: Call) -> Response:
        zone = zones.create(call, await _body(request))
        return JSONResponse(_with_rrsets(zones, zone), status_code=201)

    async def show(request: Request, _: Call) -> Response:
        zone = zones.find(request.path_params["id"])
        if zone is None:
            raise Refused(404)
        return JSONResponse(_with_rrsets(zones, zone))

    async def patch(request: Request, call: Call) -> Response:
        body = await _body(request)
        zones.patch(call, request.path_params["id"], body["rrsets"])
        return Response(status_code=204)

    async def update(request: Request, call: Call) -> Response:
        zones.update(call, request.path_params["id"], await _body(request))
        return Response(status_code=204)

    async def delete(request: Request, call: Call) -> Response:
        zones.delete(call, request.path_params["id"])
        return Response(status_code=204)

    def keyed(answer: Answer) -> Answer:
        async def checked(request: Request, call: Call) -> Response:
            if request.headers.get("X-API-Key") != api_key:
                raise Refused(401)
            return await answer(request, call)

        return checked

    answers = {
        "GET /zones": list_zones,
        "POST /zones": create,
        "GET /zones/{id}": show,
        "PATCH /zones/{id}": patch,
        "PUT /zones/{id}": update,
        "DELETE /zones/{id}": delete,
    }
    return [
        endpoint(
            sim,
            op.replace(" ", f" {_BASE}"),
            keyed(answer),
            account=lambda request: request.headers.get("X-API-Key", "")[-4:],
        )
        for op, answer in answers.items()
    ]


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        raise Refused(400, message="Your JSON document is not valid") from None
    if not isinstance(body, dict):
        raise Refused(400, message="Your JSON document is not an object")
    return body


def _shown(zone: dict[str, Any]) -> dict[str, Any]:
    return {**zone, "id": zone["name"], "url": f"{_BASE}/zones/{zone['name']}"}


def _with_rrsets(zones: Zones, zone: dict[str, Any]) -> dict[str, Any]:
    rrsets = [
        {k: v for k, v in rrset.items() if k != "zone"} for rrset in zones.rrsets(zone)
    ]
    return {**_shown(zone), "rrsets": rrsets}
