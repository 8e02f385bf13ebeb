"""The OpenAPI document holds whatever is sent, and tenants stay apart in every answer.

`MPANEL_FUZZ_EXAMPLES=100` asks longer, also as the platform's own administrator;
`MPANEL_FUZZ_SEED=7` asks for something else.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Final
from uuid import UUID

import pytest

from api.settings import ApiSettings
from models.database import Database
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.api import rows
from tests.api.live import Site, live
from tests.fuzz.fuzzer import Caller, Fuzzer
from tests.fuzz.things import foreign, names, stock

SEED: Final = int(os.environ.get("MPANEL_FUZZ_SEED", "20"))
# Of each operation by each caller.
USUALLY: Final = 8
EXAMPLES: Final = int(os.environ.get("MPANEL_FUZZ_EXAMPLES", str(USUALLY)))


@pytest.mark.timeout(600)
async def test_whatever_is_sent_is_answered_as_documented_and_by_the_tenants_own(
    settings: ApiSettings, db: Database, owner_url: str
) -> None:
    things = await stock(db, owner_url)
    hidden = names(owner_url, MIGRAHOSTING)
    async with live(settings, db) as site:
        us = Caller("us", login(site, Role.OPERATOR, MIGRAHOSTING), things.ours)
        them = Caller("them", login(site, Role.ADMIN, rows.OTHER), things.everybodys)
        callers = [us, them]
        if EXAMPLES > USUALLY:
            boss = login(site, Role.SUPER_ADMIN, MIGRAHOSTING)
            callers.append(Caller("boss", boss, things.everybodys))
        fuzzer = Fuzzer(site.app.openapi(), site.url, EXAMPLES, SEED)
        await asyncio.to_thread(fuzzer.run, callers)

    calls = sum(len(one.heard) for one in callers)
    print(f"seed {SEED}: {calls} calls")
    operations = sum(map(len, site.app.openapi()["paths"].values()))
    assert calls > operations * EXAMPLES, "most were sent"
    told = "\n\n".join(" ".join((*where, how)) for where, how in fuzzer.found.items())
    assert not fuzzer.found, f"seed {SEED}\n{told}"

    # What came to be meanwhile counts, too; what a caller said itself does not.
    hidden |= names(owner_url, MIGRAHOSTING)
    leaked = {
        one.operation: found
        for one in them.heard
        if (found := foreign(one.answer, hidden) - foreign(one.asked, hidden))
    }
    assert leaked == {}, f"seed {SEED}"
    assert any(foreign(one.answer, hidden) for one in us.heard), "the search finds"


def login(site: Site, role: Role, tenant: UUID) -> Callable[[], str]:
    """Asked by the thread that makes the calls."""
    loop = asyncio.get_running_loop()

    def token() -> str:
        made = site.token(role, tenant)
        return asyncio.run_coroutine_threadsafe(made, loop).result()

    return token
