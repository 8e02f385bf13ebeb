"""Lists, a page at a time, and rows by their id."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from sqlalchemy import func
from sqlmodel import select
from sqlmodel.sql.expression import SelectOfScalar

from models.base import TenantRow
from models.database import Session
from models.errors import NotFound

Item = TypeVar("Item")
Table = TypeVar("Table", bound=TenantRow)


@dataclass(frozen=True)
class Window:
    """Which part of a list."""

    offset: int = 0
    limit: int = 100


@dataclass(frozen=True)
class Slice(Generic[Item]):
    """A part of a list; `total` counts all of it."""

    items: Sequence[Item]
    total: int


async def page(
    session: Session, query: SelectOfScalar[Item], window: Window
) -> Slice[Item]:
    """The window's rows of an ordered query."""
    counted = select(func.count()).select_from(query.order_by(None).subquery())
    total = (await session.exec(counted)).one()
    part = query.offset(window.offset).limit(window.limit)
    return Slice((await session.exec(part)).all(), total)


async def by_id(
    session: Session, table: type[Table], row_id: UUID, *, lock: bool = False
) -> Table:
    """The row. Raises `NotFound` if it is unknown or another tenant's."""
    row = await session.get(table, row_id, with_for_update=lock or None)
    if row is None:
        raise NotFound(f"there is no {table.__name__.lower()} {row_id}")
    return row
