"""`mpanel key`: a key for a program, without anybody who is logged in."""

from models.api_keys import Scope as StoredScope
from models.api_keys import key_hash
from models.database import Database
from models.queries import api_keys
from tests.api.audited import told
from tests.cli.mpanel import mpanel
from workers.cli.keys import Scope


async def test_a_key_is_made_listed_and_revoked(db: Database, app_url: str) -> None:
    words = ("--name", "shop", "--scope", "orders:write", "--scope", "read")
    made = mpanel(app_url, "key", "create", *words, "--days", "90")
    assert (made.returncode, made.stderr) == (0, "")
    key, line = made.stdout.splitlines()
    key_id, _, may = line.partition(" ")
    assert may == "of MigraHosting may orders:write, read."
    async with db.platform() as session:
        [row] = await api_keys.good(session)
    assert row.key_hash == key_hash(key)

    listed = mpanel(app_url, "key", "list").stdout
    assert key_id in listed
    assert key not in listed

    assert mpanel(app_url, "key", "revoke", key_id).returncode == 0
    async with db.platform() as session:
        assert await api_keys.good(session) == []
    assert mpanel(app_url, "key", "list").stdout == ""
    events = await told(db)
    assert [one.action for one in events] == ["key.created", "key.revoked"]
    assert {one.actor_kind for one in events} == {"system"}


async def test_what_cannot_be_is_told(db: Database, app_url: str) -> None:
    words = ("--name", "x", "--scope", "read", "--tenant", "Nobody")
    refused = mpanel(app_url, "key", "create", *words)
    assert (refused.returncode, refused.stderr) == (1, "there is no tenant Nobody\n")

    unknown = mpanel(app_url, "key", "revoke", "00000000-0000-4000-8000-000000000009")
    assert unknown.returncode == 1


def test_the_scopes_are_those_of_the_keys() -> None:
    assert [one.value for one in Scope] == [one.value for one in StoredScope]
