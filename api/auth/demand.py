"""Of whom a second factor is demanded, and how long a login may last."""

from collections.abc import Collection
from datetime import timedelta
from enum import StrEnum
from typing import Final

from models.users import Role

# An abort or a refund wants a code as new as this.
FRESH: Final = timedelta(minutes=10)

_DECIDE: Final = frozenset({Role.OPERATOR, Role.ADMIN, Role.SUPER_ADMIN})
_A_WORKING_DAY: Final = timedelta(hours=12)
_LONGEST: Final = timedelta(days=14)


class Demand(StrEnum):
    OFF = "off"
    OPERATORS = "operators"  # and everybody above

    def of(self, roles: Collection[str]) -> bool:
        """Whether somebody with these roles needs one."""
        return self is Demand.OPERATORS and not _DECIDE.isdisjoint(roles)


def login_lasts(roles: Collection[str]) -> timedelta:
    """After it somebody with these roles logs in anew, however busy they are."""
    return _LONGEST if _DECIDE.isdisjoint(roles) else _A_WORKING_DAY
