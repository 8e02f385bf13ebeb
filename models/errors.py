"""What a use case may answer instead of a result. Nothing here knows HTTP.

DomainError
|-- NotFound       unknown, or not yours: the two look alike
|-- Invalid        a value is wrong; `field` names it, the message says what is allowed
|   `-- KeyReused      the Idempotency-Key came before with another request
|-- Denied         known caller, not allowed
|   |-- KeyInBrowser     an API key that everybody can read who looks at the page
|   |-- SessionLimited   until a second factor is set up or proven
|   `-- StepUpRequired   not proven lately enough for this act
|-- Unauthenticated  nobody we know, or a signature that does not fit
|   |-- SecondFactorMissing  the password is right; a code is wanted, too
|   `-- WrongCode        of an authenticator, or a recovery code that is used up
|-- Unavailable    what it needs does not answer; `retry_after` says when to come back
|-- TooMany        come back in `retry_after` seconds
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


class KeyInBrowser(Denied):
    code = "KEY_IN_BROWSER"


class SessionLimited(Denied):
    code = "SECOND_FACTOR_REQUIRED"


class StepUpRequired(Denied):
    code = "STEP_UP_REQUIRED"


class Unauthenticated(DomainError):
    code = "UNAUTHORIZED"


class SecondFactorMissing(Unauthenticated):
    code = "SECOND_FACTOR_REQUIRED"


class WrongCode(Unauthenticated):
    code = "WRONG_CODE"


class TooMany(DomainError):
    code = "RATE_LIMITED"

    def __init__(self, message: str, *, retry_after: int, **details: Any) -> None:
        super().__init__(message, retry_after=retry_after, **details)


class Unavailable(DomainError):
    code = "UNAVAILABLE"

    def __init__(self, message: str, *, retry_after: int = 5) -> None:
        super().__init__(message, retry_after=retry_after)


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
