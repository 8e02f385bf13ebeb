"""`expand[]=latest_charge`: ids become the objects they name."""

from typing import Any

from simulators.stripe.account import Account, Json, kind_of, listed
from simulators.stripe.errors import StripeError


def expanded(account: Account, body: Json, paths: list[str]) -> Json:
    """The answer with what was asked for put in. Raises `StripeError`."""
    if len(paths) > 20 or any(path.count(".") > 3 for path in paths):
        raise StripeError.invalid("You cannot expand this much", "expand")
    for path in paths:
        body = _expand(account, body, path.split("."), path)
    return body


def _expand(account: Account, value: Any, path: list[str], whole: str) -> Any:
    if isinstance(value, list):
        return [_expand(account, item, path, whole) for item in value]
    if isinstance(value, str) and (kind := kind_of(value)):
        value = account.find(kind, value) or value
    if not path or value is None:
        return value
    name, rest = path[0], path[1:]
    if isinstance(value, dict) and (left_out := _left_out(account, value, name)):
        value = {**value, name: left_out}
    if not isinstance(value, dict) or name not in value:
        message = f"This property cannot be expanded ({whole})."
        raise StripeError.invalid(message, "expand")
    return {**value, name: _expand(account, value[name], rest, whole)}


def _left_out(account: Account, body: Json, name: str) -> Json | None:
    """A list that is only there when asked for."""
    match body.get("object"), name:
        case "charge", "refunds":
            of, url = "refund", f"/v1/charges/{body['id']}/refunds"
        case "invoice", "payments":
            of, url = "invoice_payment", "/v1/invoice_payments"
        case _:
            return None
    found = [b for b in account.store.each(of) if b[body["object"]] == body["id"]]
    return listed(found, url, {"limit": 100})
