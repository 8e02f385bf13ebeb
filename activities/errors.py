"""What can go wrong at a provider. Whether trying again helps is told by the class.

    ProviderError
    |-- ProviderDown        network, time-out, 5xx, lock: unknown outcome, try again
    |-- ProviderThrottled   429: the account is not called before `retry_after` is over
    |-- ProviderBlocked     we did not call: an earlier 429 still holds
    `-- ProviderRejected    understood and refused; the same call gets the same answer
        `-- ProviderConflict   the name is taken by something that is not ours

Messages are redacted before they leave this module: they end in workflow histories,
rows and mails.
"""

from typing import ClassVar

from models.redaction import redacted as redacted  # noqa: PLC0414 - told here, too
from models.states import ErrorClass, Reason


class ProviderError(Exception):
    """`code` is a stable word (`SITE_EXISTS`, `card_declined`), `message` is theirs."""

    error_class: ClassVar[ErrorClass]

    def __init__(self, provider: str, message: str, *, code: str = "") -> None:
        self.provider, self.message, self.code = provider, redacted(message), code
        super().__init__(f"{provider}: {self.message}")


class ProviderDown(ProviderError):
    """Nobody knows whether it happened: look it up, then adopt or do it again."""

    error_class = ErrorClass.DOWN


class ProviderThrottled(ProviderError):
    """Told to wait. `retry_after` is in seconds."""

    error_class = ErrorClass.THROTTLED

    def __init__(self, provider: str, message: str, *, retry_after: float) -> None:
        super().__init__(provider, message, code="throttled")
        self.retry_after = retry_after


class ProviderBlocked(ProviderThrottled):
    """No call was made: the account may not be called for `retry_after` seconds."""


class ProviderRejected(ProviderError):
    """A permanent refusal: a person or a correction is needed."""

    error_class = ErrorClass.REJECTED


class ProviderConflict(ProviderRejected):
    """It exists and belongs to somebody else; we neither adopt nor touch it."""

    error_class = ErrorClass.CONFLICT


class NotYet(Exception):
    """Nothing is wrong: ask again in `delay` seconds. Uses up no patience."""

    def __init__(self, message: str, *, delay: float) -> None:
        super().__init__(message)
        self.delay = delay


class GiveUp(Exception):
    """No provider's fault, and trying again does not help: a person must decide.

    With `Reason.ENDED` there is nothing left to decide, and the run ends. `code` tells
    causes of one reason apart.
    """

    def __init__(self, reason: Reason, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.reason, self.message, self.code = reason, redacted(message), code
