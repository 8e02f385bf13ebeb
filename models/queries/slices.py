"""Lists, a page at a time, and rows by their id."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import func, literal
from sqlmodel import col, select
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
    """A part of a list; `total` counts all of it, or as far as anybody counted."""

    items: Sequence[Item]
    total: int


# How far beyond a page its rows are counted: a list of a million costs what one of
# a thousand does, and there is always a next page to go to.
COUNTED_AHEAD = 1000


async def page(
    session: Session, query: SelectOfScalar[Item], window: Window
) -> Slice[Item]:
    """The window's rows of an ordered query."""
    query = in_sight(session, query)
    total = await counted(session, query, window)
    part = query.offset(window.offset).limit(window.limit)
    return Slice((await session.exec(part)).all(), total)


async def counted(session: Session, query: SelectOfScalar[Any], window: Window) -> int:
    """How many rows the query has, at most so many beyond the window."""
    seen = query.with_only_columns(literal(1), maintain_column_froms=True)
    bound = window.offset + window.limit + COUNTED_AHEAD
    part = seen.order_by(None).limit(bound).subquery()
    return (await session.exec(select(func.count()).select_from(part))).one()


def in_sight(session: Session, query: SelectOfScalar[Item]) -> SelectOfScalar[Item]:
    """The same rows, found by an index.

    Row-level security hides the other tenants' rows, but only after each was looked
    at: no index serves its "this tenant, or the platform".
    """
    table, tenant = query.column_descriptions[0]["entity"], session.info.get("tenant")
    if not tenant or not issubclass(table, TenantRow):
        return query
    return query.where(col(table.tenant_id) == UUID(tenant))


async def by_id(
    session: Session, table: type[Table], row_id: UUID, *, lock: bool = False
) -> Table:
    """The row. Raises `NotFound` if it is unknown or another tenant's."""
    row = await session.get(table, row_id, with_for_update=lock or None)
    if row is None:
        raise NotFound(f"there is no {table.__name__.lower()} {row_id}")
    return row
