"""Whoever changes the audit log behind our back is found out, row by row."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from models.audit import Action, link
from models.database import Database
from models.queries import audit as log
from models.queries.audit import By
from models.tenants import MIGRAHOSTING, Tenant
from models.vault import Vault
from tests.conftest import Cluster
from workers import anchors, audit
from workers.anchors import DailyAnchor
from workers.audit import Verdict
from workers.dev.postgres import SUPERUSER

OTHER = UUID("00000000-0000-4000-8000-000000000002")
OLGA = By("user", uuid4(), "olga@example.com")
# What must not confuse the hash: quotes, other scripts, numbers, nothing at all.
DETAILS: list[dict[str, Any]] = [
    {},
    {"step": 'a "quoted" \\ name', "naïve": "日本語 🎉", "n": 1.50, "big": 10**20},
    {"deep": {"list": [1, None, True, "x"]}, "b": 1, "a": 2, "ab": 3},
]


async def tell(db: Database, number: int, tenant_id: UUID = MIGRAHOSTING) -> None:
    async with db.platform() as session:
        await log.record(
            session,
            tenant_id=tenant_id,
            by=OLGA if number % 2 else log.SYSTEM,
            action="decision.retry",
            entity="job",
            entity_id=f"job {number}" if number % 3 else None,
            reason=f"because\nof {number}",
            details=DETAILS[number % 3],
        )
        await session.commit()


@pytest.fixture
async def written(db: Database) -> Database:
    """Nine rows of ours, three of another tenant."""
    async with db.platform() as session:
        session.add(Tenant(id=OTHER, name="Other"))
        await session.commit()
    for number in range(9):
        await tell(db, number)
    for number in range(3):
        await tell(db, number, OTHER)
    return db


@pytest.fixture
def superuser(
    written: Database, cluster: Cluster, database_name: str
) -> Iterator[psycopg.Connection]:
    """Nothing is forbidden to it."""
    url = cluster.url(SUPERUSER, database_name)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def said(verdict: Verdict) -> list[tuple[int, str]]:
    assert {one.tenant_id for one in verdict.faults} <= {MIGRAHOSTING}
    return [(one.seq, one.what) for one in verdict.faults]


OURS = f"tenant_id = '{MIGRAHOSTING}'"
TAIL = (f"delete from audit_events where {OURS} and seq > 6",)
CUT_HEAD = (
    f"update audit_heads set seq = 6, hash = (select hash from audit_events where"
    f" {OURS} and seq = 6) where {OURS}",
)
TAMPERINGS: dict[str, tuple[tuple[str, ...], list[tuple[int, str]]]] = {
    "a changed reason": (
        (f"update audit_events set reason = 'good' where {OURS} and seq = 4",),
        [(4, "was changed after it was written")],
    ),
    "a changed detail": (
        (f"update audit_events set details = '{{}}' where {OURS} and seq = 5",),
        [(5, "was changed after it was written")],
    ),
    "a changed moment": (
        (
            "update audit_events set created_at = created_at - interval '1 microsecond'"
            f" where {OURS} and seq = 9",
        ),
        [(9, "was changed after it was written")],
    ),
    "an actor taken away": (
        (f"update audit_events set actor_id = null where {OURS} and seq = 2",),
        [(2, "was changed after it was written")],
    ),
    "a removed row": (
        (f"delete from audit_events where {OURS} and seq = 4",),
        [(4, "removed")],
    ),
    "a removed first row": (
        (f"delete from audit_events where {OURS} and seq = 1",),
        [(1, "removed")],
    ),
    "a cut tail": (TAIL, [(7, "up to 9 removed")]),
    "all rows removed": (
        (f"delete from audit_events where {OURS}",),
        [(1, "up to 9 removed")],
    ),
    "the head removed": (
        (f"delete from audit_heads where {OURS}",),
        [(9, "the head of the chain is gone")],
    ),
    "two rows that changed places": (
        (
            f"update audit_events set seq = 100 where {OURS} and seq = 3",
            f"update audit_events set seq = 3 where {OURS} and seq = 5",
            f"update audit_events set seq = 5 where {OURS} and seq = 100",
        ),
        [
            (3, "was moved: it was written as row 5"),
            (5, "was moved: it was written as row 3"),
        ],
    ),
    "two rows that changed their words": (
        (
            "update audit_events a set id = gen_random_uuid(), actor_kind ="
            " b.actor_kind, actor_id = b.actor_id, actor = b.actor, reason = b.reason,"
            " entity_id = b.entity_id, details = b.details from audit_events b"
            f" where a.{OURS} and b.{OURS} and (a.seq, b.seq) in ((3, 4), (4, 3))",
        ),
        [
            (3, "was changed after it was written"),
            (4, "was changed after it was written"),
        ],
    ),
    "a row put in behind the trigger's back": (
        (
            "alter table audit_events disable trigger all",
            "insert into audit_events select gen_random_uuid(), created_at, tenant_id,"
            " actor_kind, actor_id, actor, action, entity, entity_id, reason, details,"
            f" request_id, null, null, null from audit_events where {OURS} and seq = 1",
            "alter table audit_events enable trigger all",
        ),
        [(9, "1 rows have no place in the chain")],
    ),
}


async def test_an_untouched_log_is_as_written(written: Database) -> None:
    verdict = await audit.verify(written)

    assert (verdict.rows, verdict.tenants, verdict.faults) == (12, 2, [])


@pytest.mark.parametrize("tampering", TAMPERINGS)
async def test_what_the_superuser_does_to_rows_is_named(
    db: Database, superuser: psycopg.Connection, tampering: str
) -> None:
    statements, faults = TAMPERINGS[tampering]
    for statement in statements:
        superuser.execute(statement)

    assert said(await audit.verify(db)) == faults


async def test_a_row_with_a_hash_made_to_fit_is_found_by_the_next_one(
    db: Database, superuser: psycopg.Connection
) -> None:
    superuser.execute(f"update audit_events set reason = 'x' where {OURS} and seq = 4")
    rehash(superuser, 4)
    assert said(await audit.verify(db)) == [
        (4, "was replaced: row 5 follows another one")
    ]

    superuser.execute(f"update audit_events set reason = 'x' where {OURS} and seq = 9")
    rehash(superuser, 9)
    [_, (seq, what)] = said(await audit.verify(db))
    assert seq == 9
    assert what.startswith("the head of the chain is another row")


async def test_a_log_that_was_changed_as_a_whole_is_told_in_no_time(
    db: Database, superuser: psycopg.Connection
) -> None:
    async with db.platform() as session:
        for _ in range(1000):
            await log.record(
                session,
                tenant_id=MIGRAHOSTING,
                by=OLGA,
                action=Action.DECISION_RETRY,
                entity="job",
            )
        await session.commit()

    async def cost() -> tuple[float, Verdict]:
        """Of several looks the one least disturbed by others."""
        spent = []
        for _ in range(3):
            began = time.process_time()
            verdict = await audit.verify(db)
            spent.append(time.process_time() - began)
        return min(spent), verdict

    untouched, verdict = await cost()
    assert said(verdict) == []

    superuser.execute(f"update audit_events set actor = 'x' where {OURS}")
    changed, verdict = await cost()

    assert [seq for seq, _ in said(verdict)] == list(range(1, 1010))
    assert changed < 20 * untouched


@pytest.mark.parametrize("seq", [1, 4, 9])
async def test_a_row_put_in_beside_another_is_found_though_its_hash_fits(
    db: Database, superuser: psycopg.Connection, seq: int
) -> None:
    superuser.execute("drop index audit_chain")
    superuser.execute("alter table audit_events disable trigger all")
    forged = uuid4()
    try:
        superuser.execute(
            "insert into audit_events select %s, created_at, tenant_id, actor_kind,"
            " actor_id, 'forged', action, entity, entity_id, reason, details,"
            f" request_id, seq, prev_hash, hash from audit_events where {OURS} and"
            " seq = %s",
            [forged, seq],
        )
        rehash(superuser, seq, row_id=forged)

        named = dict(said(await audit.verify(db)))
    finally:
        superuser.execute("delete from audit_events where id = %s", [forged])
        superuser.execute("alter table audit_events enable trigger all")
        superuser.execute(
            "create unique index audit_chain on audit_events (tenant_id, seq)"
        )
    assert list(named) == [seq]


@pytest.mark.parametrize("tampering", ["cut", "rewritten", "emptied"])
async def test_a_chain_that_fits_in_itself_does_not_fit_its_anchor(
    db: Database, superuser: psycopg.Connection, vault: Vault, tampering: str
) -> None:
    """The database alone cannot tell; what was kept outside can."""
    kept, _ = anchors.read([await anchors.sign(db, vault)], vault)
    if tampering == "cut":
        superuser.execute(TAIL[0])
        superuser.execute(CUT_HEAD[0])
    elif tampering == "emptied":
        superuser.execute(f"delete from audit_events where {OURS}")
        superuser.execute(f"delete from audit_heads where {OURS}")
    else:
        superuser.execute(f"update audit_events set actor = 'x' where {OURS}")
        for seq in range(1, 10):
            rehash(superuser, seq)
        superuser.execute(
            "update audit_heads h set hash = e.hash from audit_events e where"
            f" h.{OURS} and e.{OURS} and e.seq = h.seq"
        )
    assert said(await audit.verify(db)) == []

    [(seq, what)] = said(await audit.verify(db, kept))

    assert seq == 9
    at = f"{kept[0].at:%F %T}"
    assert what in (
        f"the chain was cut: the anchor of {at} saw it",
        f"the chain was written anew since the anchor of {at}",
        f"every row is gone; the anchor of {at} saw 9",
    )


async def test_an_anchor_stays_true_while_the_log_grows(
    written: Database, vault: Vault
) -> None:
    lines = []
    for number in range(3):
        lines.append(await anchors.sign(written, vault))
        await tell(written, number)

    kept, refused = anchors.read([*lines, ""], vault)

    assert (len(kept), refused) == (3, [])
    assert said(await audit.verify(written, kept)) == []


async def test_only_our_own_anchors_count(written: Database, vault: Vault) -> None:
    line = await anchors.sign(written, vault)
    forged = line.replace('"heads": {', f'"heads": {{"{uuid4()}": [1, "00"], ')

    for bad in (forged, line[:-3], "{}", "[]", "7", line.replace("v1", "v9")):
        kept, refused = anchors.read([line, bad, line], vault)
        assert (len(kept), refused) == (2, [2])


async def test_the_worker_keeps_one_line_a_round(
    written: Database, vault: Vault, tmp_path: Path
) -> None:
    file = tmp_path / "anchors"
    daily = DailyAnchor(written, vault, file)

    await daily.round()
    await tell(written, 1)
    await daily.round()
    await DailyAnchor(written, vault, None).round()

    kept, refused = anchors.read(file.read_text().splitlines(), vault)
    assert [one.heads[MIGRAHOSTING][0] for one in kept] == [9, 10]
    assert refused == []


async def test_a_file_that_answers_late_holds_up_nothing_else(
    written: Database, vault: Vault, tmp_path: Path
) -> None:
    """A machine that is away, say: a pipe is opened once somebody reads from it."""
    file = tmp_path / "away"
    os.mkfifo(file)
    kept: list[str] = []
    held_up = threading.Event()

    def back() -> None:
        """Once something else has been done meanwhile; sooner or later in any case."""
        held_up.wait(20)
        kept.append(file.read_text())

    reading = threading.Thread(target=back)
    reading.start()
    meanwhile = 0

    anchoring = asyncio.create_task(DailyAnchor(written, vault, file).round())
    while not anchoring.done():
        await asyncio.sleep(0.01)
        meanwhile += 1
        if meanwhile > 10:
            held_up.set()
    reading.join(timeout=20)

    assert meanwhile > 10
    assert len(anchors.read(kept, vault)[0]) == 1


async def test_who_died_while_anchoring_spoils_no_anchor_after(
    written: Database, vault: Vault, tmp_path: Path
) -> None:
    file = tmp_path / "anchors"
    file.write_text((await anchors.sign(written, vault))[:40])
    daily = DailyAnchor(written, vault, file)

    await daily.round()
    await daily.round()

    kept, refused = anchors.read(file.read_text().splitlines(), vault)
    assert (len(kept), refused) == (2, [1])


def rehash(
    superuser: psycopg.Connection, seq: int, *, row_id: UUID | None = None
) -> None:
    """What somebody does who knows how the chain is made."""
    found = superuser.execute(
        "select e.id, coalesce(p.hash, repeat('0', 64)), e.tenant_id::text,"
        " e.seq::text, e.id::text,"
        " trunc(extract(epoch from e.created_at) * 1000000)::bigint::text,"
        " e.actor_kind, e.actor_id::text, e.actor, e.action, e.entity, e.entity_id,"
        " e.reason, e.details::text, e.request_id from audit_events e left join"
        " audit_events p on p.tenant_id = e.tenant_id and p.seq = e.seq - 1"
        f" where e.{OURS} and e.seq = %s and e.id = coalesce(%s, e.id)",
        [seq, row_id],
    ).fetchone()
    assert found is not None
    superuser.execute(
        "update audit_events set prev_hash = %s, hash = %s where id = %s",
        [found[1], link(found[1:]), found[0]],
    )
