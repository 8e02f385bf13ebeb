"""`mpanel inbox`, as an operator types it, against the API behind a port."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from api.auth.demand import Demand
from api.auth.passwords import _HASHER
from api.settings import ApiSettings
from models.base import utc_now
from models.database import Database
from models.jobs import Decision, Job
from models.sessions import LoginSession
from models.states import JobStatus, Reason
from models.users import Role
from tests.api import rows
from tests.api.conftest import add_user, app, no_temporal, settings
from tests.api.live import Site, live
from tests.api.people import enrol, log_in, person
from workers.cli.client import Api, Login
from workers.dev.folder import DataFolder

__all__ = ["app", "no_temporal", "settings"]

PASSWORD = "correct horse battery"


@dataclass
class Said:
    """What a command said, and how it ended."""

    out: str
    err: str
    code: int


@dataclass
class Terminal:
    """Somebody who types `mpanel ...`, with a home of their own."""

    home: Path
    url: str
    typed: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    async def __call__(self, *words: str, typed: str = "") -> Said:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "workers.cli",
            *words,
            env={"PATH": os.environ["PATH"], "XDG_CONFIG_HOME": str(self.home)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate(typed.encode())
        return Said(out.decode(), err.decode(), process.returncode or 0)

    @property
    def file(self) -> Path:
        return self.home / "mpanel" / "login.json"


@pytest.fixture
async def site(settings: ApiSettings, db: Database) -> AsyncIterator[Site]:
    async with live(settings, db) as made:
        yield made


@pytest.fixture
async def mpanel(site: Site, db: Database, tmp_path: Path) -> Terminal:
    """An operator who has logged in."""
    user = await add_user(db, Role.SUPER_ADMIN, password_hash=_HASHER.hash(PASSWORD))
    terminal = Terminal(tmp_path, site.url)
    said = await terminal(
        "login", "--url", site.url, "--email", user.email, typed=f"{PASSWORD}\n"
    )
    assert said.code == 0, said.err
    return terminal


async def waiting(db: Database, **values: Any) -> Job:
    """The job of a website whose server has a full disk."""
    bought = rows.product()
    buyer = rows.customer(email="ada@example.com", name="Ada Byron")
    owned = rows.subscription(buyer, bought)
    site = rows.website(owned, domain="ada.example")
    given: dict[str, Any] = {
        "step": "create_site",
        "reason": Reason.REJECTED,
        "message": "hosting: the disk is full",
        "provider": "hosting",
        "error_class": "rejected",
        "error_code": "disk_full",
        "started_generation": 1,
    }
    job = rows.job(
        subject_id=site.id, status=JobStatus.NEEDS_ATTENTION, **given | values
    )
    await rows.add(db, buyer, bought, owned, site, job)
    return job


async def test_the_tokens_are_kept_for_their_owner_alone_and_end_with_the_login(
    mpanel: Terminal,
) -> None:
    assert mpanel.file.stat().st_mode & 0o777 == 0o600
    kept = json.loads(mpanel.file.read_text())
    assert PASSWORD not in mpanel.file.read_text()

    assert (await mpanel("logout")).code == 0

    assert not mpanel.file.exists()
    async with httpx.AsyncClient(base_url=mpanel.url, trust_env=False) as client:
        answer = await client.get(
            "/api/auth/me", headers={"Authorization": f"Bearer {kept['token']}"}
        )
    assert answer.status_code == 401
    said = await mpanel("inbox")
    assert said.code == 1
    assert said.err == "Nobody is logged in. Begin with: mpanel login\n"


async def test_a_token_that_has_run_out_is_renewed_unseen(mpanel: Terminal) -> None:
    kept = json.loads(mpanel.file.read_text())
    mpanel.file.write_text(json.dumps(kept | {"token": "run.out.token"}))

    said = await mpanel("inbox")

    assert (said.code, said.err) == (0, "")
    renewed = json.loads(mpanel.file.read_text())
    assert renewed["refresh_token"] != kept["refresh_token"]


async def test_the_admin_of_a_development_stack_logs_in_by_its_folder(
    site: Site, db: Database, tmp_path: Path
) -> None:
    user = await add_user(db, Role.SUPER_ADMIN, password_hash=_HASHER.hash(PASSWORD))
    folder = DataFolder(tmp_path / "stack")
    folder.path.mkdir()
    admin = {"email": user.email, "password": PASSWORD}
    folder.write("dev.json", {"api": site.url, "admin": admin})
    terminal = Terminal(tmp_path, site.url)

    said = await terminal("login", "--data-dir", str(folder.path))

    assert said.code == 0, said.err
    assert f"Logged in at {site.url} as {user.email}" in said.out


async def test_a_wrong_password_and_an_api_that_is_down_say_what_to_do(
    mpanel: Terminal,
) -> None:
    wrong = await mpanel("login", "--email", "a@example.com", typed="wrong\n")
    assert (wrong.code, wrong.out) == (1, "")
    assert "password is wrong" in wrong.err

    away = await mpanel(
        "login", "--url", "http://127.0.0.1:9", "--email", "a@b.example"
    )
    assert away.code == 1
    assert "Is the API up? In development: mpanel dev" in away.err.replace("\n", " ")


async def test_the_inbox_is_told_by_cause_and_a_job_in_one_look(
    mpanel: Terminal, db: Database
) -> None:
    job = await waiting(db)

    listed = await mpanel("inbox")
    assert "1  The disk of the hosting server is full" in listed.out
    assert "Make room on the server, then retry" in listed.out
    assert "hosting.rejected.disk_full" in listed.out
    assert "\x1b[" not in listed.out, "colours in a pipe"

    shown = await mpanel("inbox", "show", "ada.example")
    for words in (
        str(job.id),
        "Ada Byron <ada@example.com>",
        "hosting: the disk is full",
        "df -h",
        "create_site (Create the site on the hosting server) is tried again at once.",
        "skip: create_site cannot be skipped",
        "as a rule the right one",
    ):
        assert words in shown.out

    plain = await mpanel("inbox", "show", str(job.id), "--json")
    assert json.loads(plain.out)["cause"]["id"] == "hosting.rejected.disk_full"


async def test_a_decision_is_shown_first_and_wants_a_yes(
    mpanel: Terminal, db: Database
) -> None:
    job = await waiting(db)

    asked = await mpanel("inbox", "retry", str(job.id))
    assert asked.code == 2
    assert "is tried again at once" in asked.out
    assert asked.err == "Nobody can be asked here: say --yes to do it.\n"

    done = await mpanel(
        "inbox", "retry", str(job.id), "--yes", "--reason", "room again"
    )
    assert done.code == 0
    assert f"mpanel inbox watch {job.id}" in done.out
    async with db.platform() as session:
        (decision,) = await decisions(session)
    assert (decision.act, decision.why) == ("retry", "room again")

    wrong = await mpanel("inbox", "skip", str(job.id), "--yes", "--reason", "no")
    assert wrong.code == 1
    assert "create_site cannot be skipped" in wrong.out


async def test_all_of_a_cause_are_decided_at_once(
    mpanel: Terminal, db: Database
) -> None:
    job = await waiting(db)
    cause = "hosting.rejected.disk_full"

    done = await mpanel("inbox", "retry", "--cause", cause, "--yes", "--json")

    told = json.loads(done.out)
    assert (told["decided"], told["refused"]) == (1, 0)
    assert told["items"][0]["jobId"] == str(job.id)
    nothing = await mpanel("inbox", "retry", "--cause", "powerdns.down", "--yes")
    assert (nothing.code, nothing.err) == (
        1,
        "Nothing waits for powerdns.down. See: mpanel inbox\n",
    )


async def test_an_abort_says_which(mpanel: Terminal, db: Database) -> None:
    job = await waiting(db)

    vague = await mpanel("inbox", "abort", str(job.id), "--reason", "x", "--yes")

    assert (vague.code, vague.err) == (2, "Say what to abort: --item or --order.\n")
    done = await mpanel(
        "inbox", "abort", str(job.id), "--item", "--reason", "asked", "--yes"
    )
    assert done.code == 0
    async with db.platform() as session:
        (decision,) = await decisions(session)
    assert decision.act == "abort_item"


async def test_what_is_found_and_what_is_not(mpanel: Terminal, db: Database) -> None:
    job = await waiting(db)

    found = await mpanel("inbox", "find", "ada@example.com", "nobody@example.com")
    assert str(job.id) in found.out
    nothing = await mpanel("inbox", "show", "nobody@example.com")
    assert (nothing.code, nothing.err) == (
        1,
        "Nothing is found by 'nobody@example.com'.\n",
    )


async def test_a_job_is_watched_until_it_ends(
    mpanel: Terminal, site: Site, db: Database
) -> None:
    job = await waiting(db)
    watching = asyncio.create_task(mpanel("inbox", "watch", str(job.id)))
    async with asyncio.timeout(60):
        while not site.parts.feed.open:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    async with db.platform() as session:
        row = await session.get_one(Job, job.id)
        row.status, row.reason = JobStatus.FAILED, None
        await session.commit()

    said = await watching

    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == "job failed"


async def test_empty_lists_say_that_all_is_well(mpanel: Terminal) -> None:
    for words, told in (
        ((), "No worker is up"),
        ((), "Nothing else waits for anybody."),
        (("orphans",), "Providers and ledger agree."),
        (("payments",), "Every payment has its order."),
    ):
        said = await mpanel("inbox", *words)
        assert (said.code, told in said.out) == (0, True), said.err


async def decisions(session: Any) -> list[Decision]:
    return list((await session.exec(select(Decision))).all())


async def test_an_abort_asks_for_a_code_and_is_then_done(
    settings: ApiSettings, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPANEL_LOGIN_FILE", str(tmp_path / "login.json"))
    strict = settings.model_copy(update={"second_factor": Demand.OPERATORS})
    async with live(strict, db) as site:
        user, job = await person(db), await waiting(db)
        async with httpx.AsyncClient(base_url=site.url, trust_env=False) as http:
            login = (await log_in(http, user)).json()
            phone, _ = await enrol(http, login["token"])
        async with db.platform() as session:
            for one in (await session.exec(select(LoginSession))).all():
                one.second_factor_at = utc_now() - timedelta(hours=1)
            await session.commit()
        kept = Login(site.url, user.email, login["token"], login["refreshToken"])
        asked: list[str] = []

        def code() -> str:
            asked.append(phone.code())
            return asked[-1]

        body = {"act": "abort_item", "reason": "asked", "jobIds": [str(job.id)]}
        api = Api(kept, code=code)
        made = await asyncio.to_thread(api.post, "/api/operator/inbox/decide", body)

    assert (made["decided"], len(asked)) == (1, 1)
