"""Looking for one job among many reads no table from its begin to its end."""

from uuid import uuid4

import psycopg
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from models.database import Database
from models.queries.found import _asked
from models.tenants import MIGRAHOSTING

JOBS = 20_000
BIG = ("jobs", "effects")
_MANY = """
select set_config('mpanel.scope', 'platform', true);
insert into jobs (id, created_at, tenant_id, kind, status, subject_id, order_id,
    exclusive, batch, input, generation, started_generation, updated_at,
    timeline_final, undoing)
select gen_random_uuid(), now(), '{tenant}', 'website_provision', 'succeeded',
    gen_random_uuid(), gen_random_uuid(), true, false, '{{}}', 1, 1, now(), true, false
from generate_series(1, {jobs});
insert into effects (id, created_at, tenant_id, job_id, owner_id, provider, kind,
    reference, account, state, remote_id, facts, updated_at, checks)
select gen_random_uuid(), now(), '{tenant}', id, subject_id, 'hosting', 'site',
    subject_id::text, 'srv1', 'present', 'mp' || left(subject_id::text, 12), '{{}}',
    now(), 0
from jobs;
analyze
"""


WORDS = (
    str(uuid4()),
    f"website_provision:{uuid4()}:r2",
    "ada@example.com",
    "ada.example",
    "192.0.2.7",
    "pi_ada",
    "cus_ada",
    "cs_ada",
    "re_ada",
    "mp0123456789ab",
    "198.51.100.7",
    "2001:db8::7",
)


async def test_every_word_finds_its_index(db: Database, owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute(_MANY.format(tenant=MIGRAHOSTING, jobs=JOBS))

    for word in WORDS:
        asked = _asked(word).compile(
            dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}
        )
        async with db.platform() as session:
            plan = await (await session.connection()).execute(text(f"explain {asked}"))
            lines = [str(row[0]) for row in plan]
        read_whole = [
            one for one in lines for table in BIG if f"Seq Scan on {table}" in one
        ]
        assert not read_whole, "\n".join([word, *lines])
