"""Errors in Stripe's words."""

from typing import Any, Self

from simulators.faults import Refused

_TYPES = {402: "card_error", 409: "idempotency_error", 429: "invalid_request_error"}


class StripeError(Refused):
    """`executed` errors are results: kept under the idempotency key with their changes.

    The others tell that nothing began: all is undone, and the key stays free.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        type: str = "invalid_request_error",
        executed: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(status, code, message)
        self.type, self.executed, self.more = type, executed, more

    @classmethod
    def invalid(cls, message: str, param: str, code: str = "") -> Self:
        """400: the request itself is wrong."""
        return cls(400, message, code=code, param=param)

    @classmethod
    def missing(cls, kind: str, id: str, param: str) -> Self:
        """404 for the id in the path, 400 for one among the parameters."""
        status = 404 if param == "id" else 400
        message = f"No such {kind}: '{id}'"
        return cls(status, message, code="resource_missing", param=param)

    @classmethod
    def state(cls, message: str, code: str, **more: Any) -> Self:
        """400: understood, and not possible as things are."""
        return cls(400, message, code=code, executed=True, **more)


def body_of(refused: Refused) -> dict[str, Any]:
    """The JSON body; a scripted refusal gets the type that fits its status."""
    type, more = _TYPES.get(refused.status, "invalid_request_error"), {}
    if refused.status >= 500:
        type = "api_error"
    code = refused.code or ("rate_limit" if refused.status == 429 else "")
    if isinstance(refused, StripeError):
        type, more = refused.type, refused.more
    error = {"type": type, "message": refused.message, **more}
    return {"error": {**error, "code": code} if code else error}
