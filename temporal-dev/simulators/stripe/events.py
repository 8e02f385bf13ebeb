"""Events: what happened to the account, to be read by those who missed the webhook."""

from simulators.stripe.account import Account, Json
from simulators.stripe.params import Params, array, boolean, text


def retrieve_event(account: Account, params: Params, id: str) -> Json:
    """GET /v1/events/{id}"""
    params.take()
    return account.get("event", id)


def list_events(account: Account, params: Params, _: str) -> Json:
    """GET /v1/events: by type, by time, or those whose webhook was not taken."""
    types = array(text)("types", params.given.pop("types", []))
    success = params.given.pop("delivery_success", None)
    delivered = None if success is None else boolean("delivery_success", success)
    failed = {pending["id"] for pending in account.store.each("_delivery")}

    def keep(event: Json) -> bool:
        if types and event["type"] not in types:
            return False
        return delivered is None or (event["id"] not in failed) is delivered

    return account.page("event", params, "/v1/events", {"type": "type"}, keep=keep)


OPERATIONS = {
    "GET /v1/events": list_events,
    "GET /v1/events/{id}": retrieve_event,
}
