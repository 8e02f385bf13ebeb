"""What a use case may answer instead of a result. Nothing here knows HTTP.

DomainError
|-- NotFound       unknown, or not yours: the two look alike
|-- Invalid        a value is wrong; `field` names it, the message says what is allowed
|   `-- KeyReused      the Idempotency-Key came before with another request
|-- Denied         known caller, not allowed
|-- Unauthenticated  nobody we know, or a signature that does not fit
`-- Conflict       true request, wrong moment
    |-- WrongState     the entity's state forbids it
    |-- KeyInUse       the first call with this Idempotency-Key is still running
    `-- Busy           another job of the subject is open; `job_id`, `status` tell
"""

from typing import Any, ClassVar


class DomainError(Exception):
    """`message` is for people; `details` are plain values, snake_case keys."""

    code: ClassVar[str] = "ERROR"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message, self.details = message, details


class NotFound(DomainError):
    code = "NOT_FOUND"


class Invalid(DomainError):
    code = "VALIDATION_ERROR"

    def __init__(self, field: str, message: str, **details: Any) -> None:
        super().__init__(message, field=field, **details)


class KeyReused(Invalid):
    code = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        super().__init__(
            "Idempotency-Key",
            "this key came before with another request; use a new one",
        )


class Denied(DomainError):
    code = "FORBIDDEN"


class Unauthenticated(DomainError):
    code = "UNAUTHORIZED"


class Conflict(DomainError):
    code = "CONFLICT"


class WrongState(Conflict):
    code = "WRONG_STATE"


class KeyInUse(Conflict):
    code = "IDEMPOTENCY_KEY_IN_USE"

    def __init__(self) -> None:
        super().__init__(
            "the first call with this Idempotency-Key is still running",
            retry_after=1,
        )


class Busy(Conflict):
    code = "JOB_OPEN"


class NoCapacity(DomainError):
    code = "NO_CAPACITY"
