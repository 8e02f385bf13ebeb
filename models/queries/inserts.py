"""Many rows of several tables in one statement: for the paths that must be quick."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from pydantic_core import to_json

from models.base import Row, utc_now

# A row as plain values, by column.
Values = dict[str, Any]


def new_row(**values: Any) -> Values:
    """A new row; what is not told has the default of its table's model, by `inserting`.

    A fraction of what an instance of the model costs.
    """
    return {"id": uuid4(), **values}


def inserting(table: type[Row], *, when: str, alike: Mapping[str, str]) -> str:
    """Inserts the table's rows among `%(rows)s`, as part of a larger statement.

    `when`: what has one row if they are to be inserted, and none if not. `alike`:
    expressions over it for columns that are the same in each row. `%(now)s` is when.
    """
    name, columns = table.__tablename__, list(table.model_fields)
    plain, moments = _defaults(table)
    now = ", ".join(f"'{column}', %(now)s" for column in moments)
    values = ", ".join(alike.get(column, column) for column in columns)
    return (
        f"insert into {name} ({', '.join(columns)}) select {values} from {when},"  # noqa: S608
        f" jsonb_populate_recordset(jsonb_populate_record(null::{name}, '{plain}'"
        f" || jsonb_build_object({now})), %(rows)s::jsonb -> '{name}')"
    )


def as_rows(rows: Mapping[type[Row], Sequence[Values]]) -> str:
    """What `inserting` wants as `rows`."""
    told = {str(table.__tablename__): found for table, found in rows.items()}
    return to_json(told).decode()


def _defaults(table: type[Row]) -> tuple[str, list[str]]:
    """Those of the model as JSON, and the columns whose default is the moment."""
    optional = {
        name: field
        for name, field in table.model_fields.items()
        if name != "id" and not field.is_required()
    }
    moments = [
        name for name, field in optional.items() if field.default_factory is utc_now
    ]
    plain = {
        name: field.get_default(call_default_factory=True)
        for name, field in optional.items()
        if name not in moments
    }
    return json.dumps(plain), moments
