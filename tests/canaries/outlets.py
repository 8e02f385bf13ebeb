"""Everything that comes out of mPanel, as text."""

import base64
import json
import re
from typing import Any

import psycopg
from psycopg import sql
from temporalio.client import Client

_DATA = re.compile(r'"data": ?"([A-Za-z0-9+/=]+)"')


async def histories(client: Client) -> dict[str, str]:
    """Every run's whole history by the run's id, payloads decoded."""
    told = {}
    async for run in client.list_workflows():
        handle = client.get_workflow_handle(run.id, run_id=run.run_id)
        raw = (await handle.fetch_history()).to_json()
        decoded = [base64.b64decode(one).decode() for one in _DATA.findall(raw)]
        told[f"history of {run.id}"] = "\n".join([raw, *decoded])
    return told


def dump(url: str) -> dict[str, str]:
    """Every row of every table by the table's name. `url`: of a superuser."""
    told = {}
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "select relname from pg_class where relkind = 'r'"
            " and relnamespace = 'public'::regnamespace"
        ).fetchall()
        for (table,) in tables:
            query = sql.SQL("copy {} to stdout").format(sql.Identifier(table))
            with connection.cursor().copy(query) as rows:
                told[f"table {table}"] = b"".join(map(bytes, rows)).decode()
    return told


def mails(kept: list[dict[str, Any]]) -> dict[str, str]:
    """What people are sent, with its headers."""
    return {
        f"mail {at}": f"{json.dumps(one)}\n{one.get('raw', '')}"
        for at, one in enumerate(kept)
    }
