"""Anchors: where the chains of the audit log ended, signed, kept out of the database.

Whoever rewrites a whole chain, or cuts it together with its head, cannot rewrite that.
"""

import asyncio
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from models.base import utc_now
from models.database import Database
from models.vault import Vault

_PURPOSE: Final = "audit anchor"
_HEADS: Final = text("select tenant_id, seq, hash from audit_heads order by tenant_id")


@dataclass(frozen=True)
class Anchor:
    """Where each tenant's chain ended at `at`."""

    at: datetime
    heads: Mapping[UUID, tuple[int, str]]


async def sign(db: Database, vault: Vault) -> str:
    """One line: where every chain ends now, signed with a key of the vault's."""
    async with db.platform() as session:
        heads = (await (await session.connection()).execute(_HEADS)).all()
    said = {
        "at": utc_now().isoformat(),
        "heads": {str(one.tenant_id): [one.seq, one.hash] for one in heads},
        "key": vault.newest,
    }
    return json.dumps({**said, "mac": _mac(vault, said)})


def append(file: Path, line: str) -> None:
    """One line more. Whoever died in the middle of the last one spoils only that."""
    torn = file.is_file() and file.read_bytes()[-1:] not in (b"", b"\n")
    # In one piece: other workers append to it, too.
    with file.open("ab", buffering=0) as kept:
        kept.write(b"%s%s\n" % (b"\n" if torn else b"", line.encode()))


def read(lines: Iterable[str], vault: Vault) -> tuple[list[Anchor], list[int]]:
    """What `sign` wrote, and the numbers of the lines that it did not."""
    found, refused = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            said = json.loads(line)
            mac = said.pop("mac")
            ours = hmac.compare_digest(_mac(vault, said), mac)
            heads = {
                UUID(key): (seq, hash_) for key, (seq, hash_) in said["heads"].items()
            }
            at = datetime.fromisoformat(said["at"])
        except (ValueError, KeyError, TypeError, AttributeError):
            ours = False
        if ours:
            found.append(Anchor(at, heads))
        else:
            refused.append(number)
    return found, refused


class DailyAnchor:
    """Appends the heads to a file on another machine, or on one that only appends."""

    def __init__(self, db: Database, vault: Vault, file: Path | None) -> None:
        self._db, self._vault, self._file = db, vault, file

    async def round(self) -> None:
        """One line more. Without a file there is nothing to do."""
        if self._file is None:
            return
        line = await sign(self._db, self._vault)
        # The other machine may be away: nobody else waits for it.
        await asyncio.to_thread(append, self._file, line)


def _mac(vault: Vault, said: Mapping[str, Any]) -> str:
    key = vault.derived(said["key"], _PURPOSE)
    return hmac.digest(key, json.dumps(said, sort_keys=True).encode(), "sha256").hex()
