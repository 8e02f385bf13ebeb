"""What every table has. Rows change state only through their own methods."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import DateTime, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from models.errors import WrongState

State = TypeVar("State", bound=StrEnum)


def utc_now() -> datetime:
    """The time of this machine, aware."""
    return datetime.now(UTC)


def moment(**kwargs: Any) -> Any:
    """A column for a point in time, stored with its zone."""
    return Field(sa_type=DateTime(timezone=True), **kwargs)


def document(**kwargs: Any) -> Any:
    """A JSONB column of plain values."""
    return Field(sa_type=JSONB, **kwargs)


def word(**kwargs: Any) -> Any:
    """A column for a StrEnum: text, so that a new word needs no migration."""
    return Field(sa_type=String, **kwargs)


def moved(
    what: str, now: State, to: State, moves: Mapping[State, frozenset[State]]
) -> State:
    """`to`, if it may follow `now`; the same state again is no error (steps repeat).

    Raises `WrongState` otherwise.
    """
    if to != now and to not in moves[now]:
        raise WrongState(f"{what} is {now} and cannot become {to}", status=str(now))
    return to


class Row(SQLModel):
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    created_at: datetime = moment(default_factory=utc_now)


class TenantRow(Row):
    """Visible to its tenant alone: row-level security is forced on its table."""

    tenant_id: UUID = Field(foreign_key="tenants.id", index=True)
