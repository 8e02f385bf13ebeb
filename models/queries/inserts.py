"""Many rows of several tables in one statement: for the paths that must be quick."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import uuid4

from models.base import Row, utc_now
from models.database import Session, tell_driver

# A row as plain values, by column.
Values = dict[str, Any]


def new_row(table: type[Row], **values: Any) -> Values:
    """A new row of the table; what is not told has the model's default.

    A fraction of what an instance of the model costs.
    """
    plain, made = _defaults(table)
    return {
        **plain,
        **{name: make() for name, make in made.items()},
        "id": uuid4(),
        "created_at": utc_now(),
        **values,
    }


async def write(
    session: Session, rows: Mapping[type[Row], Sequence[Values]], *, wake: str
) -> None:
    """Inserts all of them at once: a foreign key may point at any of them.

    `wake`: the worker's loop that is told of it when they are committed.
    """
    written = {
        str(table.__tablename__): found for table, found in rows.items() if found
    }
    await tell_driver(
        session,
        _statement(tuple(table for table, found in rows.items() if found)),
        {"rows": json.dumps(written, default=str), "wake": wake},
    )


@cache
def _statement(tables: tuple[type[Row], ...]) -> str:
    inserts = []
    for table in tables:
        name, columns = table.__tablename__, ", ".join(table.model_fields)
        inserts.append(
            f"{name}_ as (insert into {name} ({columns}) select {columns} from"  # noqa: S608
            f" jsonb_populate_recordset(null::{name}, %(rows)s::jsonb -> '{name}'))"
        )
    return f"with {', '.join(inserts)} select pg_notify('mpanel', %(wake)s)"


@cache
def _defaults(table: type[Row]) -> tuple[Values, Mapping[str, Any]]:
    given = {"id", "created_at"}
    fields = {
        name: field
        for name, field in table.model_fields.items()
        if name not in given and not field.is_required()
    }
    return (
        {
            name: field.default
            for name, field in fields.items()
            if field.default_factory is None
        },
        {
            name: field.default_factory
            for name, field in fields.items()
            if field.default_factory is not None
        },
    )
