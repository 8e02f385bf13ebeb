"""What a use case may answer instead of a result. Nothing here knows HTTP.

DomainError
|-- NotFound       unknown, or not yours: the two look alike
|-- Invalid        a value is wrong; `field` names it, the message says what is allowed
|-- Denied         known caller, not allowed
|-- Unauthenticated  nobody we know, or a signature that does not fit
`-- Conflict       true request, wrong moment
    |-- WrongState     the entity's state forbids it
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


class Denied(DomainError):
    code = "FORBIDDEN"


class Unauthenticated(DomainError):
    code = "UNAUTHORIZED"


class Conflict(DomainError):
    code = "CONFLICT"


class WrongState(Conflict):
    code = "WRONG_STATE"


class Busy(Conflict):
    code = "JOB_OPEN"


class NoCapacity(DomainError):
    code = "NO_CAPACITY"
