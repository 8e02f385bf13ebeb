"""Guesses: how many failed, and from when on the next one is heard.

Counted in PostgreSQL, so the numbers hold over processes and restarts. Each try counts
as a failure before it is looked at, so a thousand at once are no way around it; what
succeeds is taken back.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlmodel import Field, SQLModel

from models.base import moment

# After the free failures 1, 2, 4 ... seconds, and never more than this.
LONGEST_WAIT: Final = timedelta(minutes=15)


class Attempts(SQLModel, table=True):
    """The key names what is guessed at, and by whom; addresses of mail are hashed."""

    __tablename__ = "attempts"

    key: str = Field(primary_key=True)
    failures: int
    failed_at: datetime = moment()
    blocked_until: datetime = moment()


@dataclass(frozen=True)
class Guard:
    """`free` failures make nobody wait. One is forgotten per `forgets`."""

    key: str
    free: int
    forgets: timedelta


def account(email: str, known_address: str | None) -> Guard:
    """Of one account. An address it has logged in from is counted by itself, so that
    nobody elsewhere can keep the user out."""
    digest = hashlib.sha256(email.strip().lower().encode()).hexdigest()
    at = f"@{known_address}" if known_address else ""
    return Guard(f"account:{digest}{at}", 5, timedelta(hours=1))


def address(network: str) -> Guard:
    """Of one address, whatever it tries; an office may stand behind it."""
    return Guard(f"address:{network}", 30, timedelta(minutes=1))


def code(user_id: UUID) -> Guard:
    """Of the codes and passwords that a session of this user is asked for."""
    return Guard(f"code:{user_id}", 5, timedelta(hours=1))
