"""What a simulator keeps: objects, ledger, faults, settings; one SQLite file.

Simulators are killed like everything else. Every write is a transaction in WAL mode, so
that what was answered is still there after kill -9. A write takes well under a
millisecond, which is why it is not sent to a thread.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simulators.faults import Script

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL,
    body TEXT NOT NULL, UNIQUE (kind, id));
CREATE TABLE IF NOT EXISTS effects (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, call INTEGER,
    effect TEXT NOT NULL, key TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, op TEXT NOT NULL,
    account TEXT NOT NULL, status TEXT, fault TEXT);
CREATE TABLE IF NOT EXISTS faults (
    position INTEGER PRIMARY KEY, script TEXT NOT NULL,
    seen INTEGER NOT NULL DEFAULT 0, fired INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Store:
    """Objects are JSON documents by (kind, id), listed in the order they were made."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        # Set, and another one, when the scripts are others.
        self.rescripted = asyncio.Event()

    @contextmanager
    def change(self) -> Iterator[None]:
        """One transaction; an exception undoes it. Do not await inside."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # -- objects

    def put(self, kind: str, id: str, body: dict[str, Any]) -> None:
        """Adds the object, or replaces it in its place."""
        self._db.execute(
            "INSERT INTO objects (kind, id, body) VALUES (?, ?, ?)"
            " ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
            (kind, id, json.dumps(body)),
        )

    def find(self, kind: str, id: str) -> dict[str, Any] | None:
        """The object, or None."""
        row = self._db.execute(
            "SELECT body FROM objects WHERE kind = ? AND id = ?", (kind, id)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def each(self, kind: str) -> list[dict[str, Any]]:
        """Every object of the kind, oldest first."""
        rows = self._db.execute(
            "SELECT body FROM objects WHERE kind = ? ORDER BY seq", (kind,)
        )
        return [json.loads(body) for (body,) in rows]

    def kinds(self) -> list[str]:
        """The kinds there are; those that begin with `_` are nobody's business."""
        kinds = self._db.execute("SELECT DISTINCT kind FROM objects")
        return [kind for (kind,) in kinds if not kind.startswith("_")]

    def remove(self, kind: str, id: str) -> bool:
        """Whether it was there."""
        gone = self._db.execute(
            "DELETE FROM objects WHERE kind = ? AND id = ?", (kind, id)
        )
        return gone.rowcount > 0

    # -- ledger

    def add_effect(
        self, effect: str, key: str, detail: dict[str, Any], call: int | None
    ) -> None:
        """Appends to the ledger; inside `change` it is true together with the state."""
        self._db.execute(
            "INSERT INTO effects (at, call, effect, key, detail) VALUES (?,?,?,?,?)",
            (time.time(), call, effect, key, json.dumps(detail)),
        )

    def effects(self, since: int = 0) -> list[dict[str, Any]]:
        """What changed after the call `since`, oldest first."""
        rows = self._select(
            "SELECT id, at, call, effect, key, detail FROM effects WHERE ? = 0"
            " OR call > ? OR (call IS NULL AND at >"
            " (SELECT at FROM calls WHERE calls.id = ?)) ORDER BY id",
            (since, since, since),
        )
        return [{**row, "detail": json.loads(row["detail"])} for row in rows]

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """The calls after `since`, in order."""
        return self._select("SELECT * FROM calls WHERE id > ? ORDER BY id", (since,))

    def begin_call(self, op: str, account: str) -> tuple[int, Script | None]:
        """Notes the call, counts it in every script it matches; the first one fires."""
        with self.change():
            due = None
            for position, script, seen, fired in self.faults():
                if not script.matches(op):
                    continue
                fires = due is None and script.fires(seen + 1, fired)
                due = script if fires else due
                self._db.execute(
                    "UPDATE faults SET seen = ?, fired = ? WHERE position = ?",
                    (seen + 1, fired + fires, position),
                )
            call = self._db.execute(
                "INSERT INTO calls (at, op, account, fault) VALUES (?, ?, ?, ?)",
                (time.time(), op, account, due.kind if due else None),
            )
        return call.lastrowid or 0, due

    def end_call(self, call: int, status: str) -> None:
        """Notes what was answered."""
        self._db.execute("UPDATE calls SET status = ? WHERE id = ?", (status, call))

    # -- faults and settings

    def faults(self) -> list[tuple[int, Script, int, int]]:
        """(position, script, matching calls seen, times fired) in script order."""
        rows = self._db.execute("SELECT * FROM faults ORDER BY position").fetchall()
        return [(p, Script(**json.loads(s)), seen, fired) for p, s, seen, fired in rows]

    def set_faults(self, scripts: Sequence[Script]) -> None:
        """Replaces every script; counting starts anew."""
        with self.change():
            self._db.execute("DELETE FROM faults")
            self._db.executemany(
                "INSERT INTO faults (position, script) VALUES (?, ?)",
                [(i, json.dumps(vars(script))) for i, script in enumerate(scripts)],
            )
        self._let_go()

    def setting(self, name: str, default: Any = None) -> Any:
        """A value kept over restarts."""
        row = self._db.execute(
            "SELECT value FROM settings WHERE name = ?", (name,)
        ).fetchone()
        return default if row is None else json.loads(row[0])

    def set_setting(self, name: str, value: Any) -> None:
        """Any JSON value."""
        self._db.execute(
            "INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(value))
        )

    def clear(self) -> None:
        """State, ledger, faults and settings: all gone, and numbering starts at 1."""
        with self.change():
            for table in ("objects", "effects", "calls", "faults", "settings"):
                self._db.execute(f"DELETE FROM {table}")
            self._db.execute("DELETE FROM sqlite_sequence")
        self._let_go()

    def close(self) -> None:
        """Ends the connection; the file stays."""
        self._db.close()

    def _let_go(self) -> None:
        """Whoever is held goes on."""
        self.rescripted.set()
        self.rescripted = asyncio.Event()

    def _select(self, sql: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
        cursor = self._db.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]
