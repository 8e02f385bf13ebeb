"""Which calls honour an Idempotency-Key, and which do not, and why."""

from collections.abc import Iterator

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api import deps
from api.app import ROUTERS
from api.idempotency import Repeatable

# POST routes of /api that honour no key, and why.
WITHOUT = {
    "auth.log_in": "a repeat is a second login, which harms nobody",
    "auth.refresh": "its token works once by itself",
    "auth.log_out": "ends what has ended",
    "sessions.revoke_others": "ends what has ended",
    "sessions.change_password": "the old password works once",
    "second_factors.enrol": "a later secret replaces one that was not confirmed",
    "second_factors.confirm": "its code works once",
    "second_factors.step_up": "its code works once",
    "second_factors.renew_recovery_codes": "later codes replace earlier ones",
    "users.set_password": "its token works once",
    "orders.order_created": "has repeat keys of its own, for ever",
    "stripe.stripe_event": "kept once by the event's id",
    "cloudpod_metrics.open_console": "a ticket is for one look; a later one is another",
    "bounces.bounce": "a bounce that comes twice is the same bounce",
}


def test_every_call_that_creates_or_charges_has_keys() -> None:
    """A new one: `route_class=Repeatable` on its router, or a line in WITHOUT."""
    lacking = {
        name(route)
        for route in routes()
        if "POST" in route.methods
        and not (isinstance(route, Repeatable) and asks_for_rows(route.dependant))
    }
    assert lacking == set(WITHOUT)


def test_whether_somebody_may_is_asked_before_an_answer_is_shown() -> None:
    for route in routes():
        asked = [one.call for one in route.dependant.dependencies]
        if isinstance(route, Repeatable) and deps.rows_in_sight in asked:
            before = asked[: asked.index(deps.rows_in_sight)]
            assert any("_having" in str(one) for one in before), name(route)


def routes() -> Iterator[APIRoute]:
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            yield route


def name(route: APIRoute) -> str:
    return f"{route.endpoint.__module__.rpartition('.')[2]}.{route.name}"


def asks_for_rows(dependant: Dependant) -> bool:
    return dependant.call is deps.rows_in_sight or any(
        asks_for_rows(one) for one in dependant.dependencies
    )
