"""`mpanel inbox`, as an operator types it, against the API behind a port."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import col, select

from api.auth.demand import Demand
from api.auth.passwords import _HASHER
from api.settings import ApiSettings
from models.alerts import Alert
from models.base import utc_now
from models.database import Database
from models.effects import Effect
from models.jobs import Decision, Job, JobStep
from models.orders import Order
from models.payments import PaymentRefund, UnclaimedPayment
from models.sessions import LoginSession, RefreshToken
from models.states import EffectState, JobKind, JobStatus, Reason, StepStatus
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.api import rows
from tests.api.conftest import add_user, app, no_temporal, settings
from tests.api.live import SOON, Site, live
from tests.api.people import enrol, log_in, person
from workers.cli.client import Api, CallFailed, Login, keep, kept, told
from workers.cli.following import states
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

    async def begin(self, *words: str) -> asyncio.subprocess.Process:
        """A command that goes on for a while."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "workers.cli",
            *words,
            env={"PATH": os.environ["PATH"], "XDG_CONFIG_HOME": str(self.home)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *words: str, typed: str = "") -> Said:
        process = await self.begin(*words)
        async with asyncio.timeout(120):
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
    async with httpx.AsyncClient(
        base_url=mpanel.url, timeout=SOON, trust_env=False
    ) as client:
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


async def test_two_commands_of_one_login_renew_its_token_one_after_the_other(
    mpanel: Terminal, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPANEL_LOGIN_FILE", str(mpanel.file))
    late, early, later = [Api(replace(kept(), token="run.out.token")) for _ in range(3)]
    asked = [asyncio.to_thread(one.get, "/api/auth/me") for one in (early, later)]
    me, again = await asyncio.gather(*asked)
    async with db.platform() as session:
        for one in (await session.exec(select(RefreshToken))).all():
            one.used_at = one.used_at and one.used_at - timedelta(hours=1)
        await session.commit()

    assert me == again == await asyncio.to_thread(late.get, "/api/auth/me")
    assert (await mpanel("inbox")).code == 0


async def test_a_command_that_outlives_its_login_leaves_the_next_one_alone(
    mpanel: Terminal, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPANEL_LOGIN_FILE", str(mpanel.file))
    api = Api(replace(kept(), token="run.out.token"))
    other = Login("http://elsewhere.example", "b@example.com", "its", "tokens")
    keep(other)

    await asyncio.to_thread(api.get, "/api/auth/me")

    assert kept() == other


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


@pytest.mark.parametrize("text", ["<h1>Welcome</h1>", "[]"])
def test_what_is_no_panel_is_called_so(text: str) -> None:
    asked = httpx.Request("POST", "http://shop.example/api/auth/login")

    with pytest.raises(CallFailed, match=r"shop\.example.* another program's"):
        told(httpx.Response(200, text=text, request=asked))


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

    listed = await mpanel("inbox", "list", "--cause", cause)
    assert (listed.code, str(job.id) in listed.out) == (0, True)
    assert "Ada Byron <ada@example.com>" in listed.out
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
    charge = await mpanel("inbox", "find", "ch_3Nx")
    assert "look for its payment (pi_...)" in charge.out
    nothing = await mpanel("inbox", "show", "nobody@example.com")
    assert (nothing.code, nothing.err) == (
        1,
        "Nothing is found by 'nobody@example.com'.\n",
    )


async def test_a_job_is_watched_until_it_ends(mpanel: Terminal, db: Database) -> None:
    job = await waiting(db)
    step = JobStep(
        tenant_id=job.tenant_id,
        job_id=job.id,
        name="create_site",
        status=StepStatus.PARKED,
        generation=1,
        scheduled_at=utc_now(),
        tried_at=utc_now(),
        phase=1,
        tries=1,
    )
    await rows.add(db, step)
    watching = await mpanel.begin("inbox", "watch", str(job.id))
    assert watching.stdout is not None
    async with asyncio.timeout(120):
        began = [(await watching.stdout.readline()).decode() for _ in range(2)]
    async with db.platform() as session:
        row = await session.get_one(Job, job.id)
        row.status, row.reason = JobStatus.FAILED, None
        (await session.get_one(JobStep, step.id)).status = StepStatus.SUCCEEDED
        await session.commit()

    async with asyncio.timeout(120):
        out, err = await watching.communicate()

    assert watching.returncode == 0, err
    assert [*began, *out.decode().splitlines(keepends=True)] == [
        "create_site parked\n",
        "job needs_attention\n",
        "create_site succeeded\n",
        "job failed\n",
    ]


async def an_order(db: Database) -> tuple[Order, Job]:
    """Of Ada's, whose own job waits for its payment."""
    buyer = rows.customer(email="ada@example.com", name="Ada Byron")
    order, _ = rows.order(buyer)
    order.stripe_payment_intent_id = "pi_hers"
    root = rows.job(
        kind=JobKind.FULFIL_ORDER,
        subject_id=order.id,
        order_id=order.id,
        status=JobStatus.NEEDS_ATTENTION,
        step="prove_payment",
        reason=Reason.PAYMENT_AMBIGUOUS,
        error_code="too_much",
        started_generation=1,
        input={
            "unclaimed": [
                {"payment_intent_id": "pi_hers", "amount": 5698, "currency": "USD"}
            ]
        },
    )
    await rows.add(db, buyer, order, root)
    return order, root


async def test_an_order_is_found_by_its_ids_and_aborted_as_a_whole(
    mpanel: Terminal, db: Database
) -> None:
    order, root = await an_order(db)

    found = await mpanel("inbox", "find", str(order.id))
    assert str(root.id) in found.out
    assert "56.98 USD unclaimed" in " ".join(found.out.split())
    shown = await mpanel("inbox", "show", "pi_hers")
    assert "56.98 USD  of pi_hers, not claimed yet" in shown.out
    done = await mpanel(
        "inbox", "abort", "pi_hers", "--order", "--reason", "asked", "--yes"
    )

    assert done.code == 0, done.err
    assert "56.98 USD of pi_hers stay at Stripe" in done.out
    async with db.platform() as session:
        (decision,) = await decisions(session)
    assert (decision.act, decision.job_id) == ("abort_order", root.id)


async def test_what_nobody_is_sure_of_is_listed_a_page_at_a_time(
    mpanel: Terminal, db: Database
) -> None:
    job = await waiting(db)
    orphan = Alert(
        tenant_id=MIGRAHOSTING,
        cause="orphan",
        subject_id=job.id,
        message="the site of mp000000000000 on srv1 carries our mark",
    )
    unsure = [
        Effect(
            tenant_id=MIGRAHOSTING,
            job_id=job.id,
            owner_id=job.subject_id,
            provider="powerdns",
            kind="record",
            reference=f"reference-{number:02}",
            state=EffectState.INTENDED,
        )
        for number in range(52)
    ]
    await rows.add(db, orphan, *unsure)

    first = await mpanel("inbox", "orphans")
    second = await mpanel("inbox", "orphans", "--page", "2")

    assert "! the site of mp000000000000 on srv1" in first.out
    assert f"? record reference-00 at powerdns: begun by job {job.id}" in first.out
    assert "... and 2 more: --page 2" in first.out
    assert second.out.count("? record") == 2
    assert "more" not in second.out


async def test_a_payment_that_nobody_claimed_becomes_a_refund_or_an_order(
    mpanel: Terminal, db: Database
) -> None:
    bought = rows.product(code="wp_growth")
    listed = [
        UnclaimedPayment(
            stripe_payment_intent_id=f"pi_{number}",
            stripe_customer_id=f"cus_{number}",
            amount=4999,
            currency="usd",
            paid_at=utc_now(),
        )
        for number in range(2)
    ]
    await rows.add(db, bought, *listed)

    shown = await mpanel("inbox", "payments")
    for one in listed:
        assert str(one.id) in shown.out
        assert one.stripe_payment_intent_id in shown.out
    assert "49.99 USD" in shown.out
    refund = ("inbox", "payments", "refund", str(listed[0].id), "--reason", "a gift")
    assert (await mpanel(*refund)).code == 2, "it asks first"
    refunded = await mpanel(*refund, "--yes")
    ordered = await mpanel(
        "inbox",
        "payments",
        "order",
        str(listed[1].id),
        "--email",
        "ada@example.com",
        "--item",
        "wp_growth",
    )

    assert refunded.out == "49.99 USD are being refunded.\n", refunded.err
    async with db.platform() as session:
        (kept,) = (await session.exec(select(PaymentRefund))).all()
        (order,) = (await session.exec(select(Order))).all()
        roots = select(Job).where(col(Job.parent_id).is_(None))
        (job,) = (await session.exec(roots)).all()
    assert kept.stripe_payment_intent_id == "pi_0"
    assert f"Order {order.id} is made." in ordered.out, ordered.err
    assert f"mpanel inbox watch {job.id}" in " ".join(ordered.out.split())


async def test_the_last_page_says_of_no_other(mpanel: Terminal, db: Database) -> None:
    made = [
        rows.job(
            status=JobStatus.NEEDS_ATTENTION, step="create_site", reason=Reason.REJECTED
        )
        for _ in range(51)
    ]
    await rows.add(db, *made)

    first, second = [
        await mpanel("inbox", "list", "--page", str(page)) for page in (1, 2)
    ]

    assert "... and 1 more: --page 2" in first.out
    assert "more" not in second.out
    assert len(second.out.splitlines()) == 2


async def test_a_watch_outlives_a_restart_of_the_api_and_no_more_than_that() -> None:
    pauses: list[float] = []
    back = Restarting(away=5)
    told = list(states(back, "the-job", pause=pauses.append))  # type: ignore[arg-type]

    assert [one["n"] for one in told] == [1, 2]
    assert back.asked == ["", *["7"] * 6], "it goes on where it was"
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0]

    pauses.clear()
    with pytest.raises(CallFailed):
        list(states(Restarting(away=1000), "the-job", pause=pauses.append))  # type: ignore[arg-type]
    assert 30 < sum(pauses) < 120


class Restarting:
    """An API that breaks off after its first word, and is away for a while."""

    def __init__(self, *, away: int) -> None:
        self.asked: list[str] = []
        self._away = away

    @contextmanager
    def stream(self, _: str, last_id: str) -> Iterator[httpx.Response]:
        self.asked.append(last_id)
        if len(self.asked) == 1:
            yield httpx.Response(200, text='id: 7\ndata: {"n": 1}\n\n')
        elif len(self.asked) <= self._away + 1:
            raise CallFailed("it does not answer", code="UNREACHABLE")
        else:
            end = "event: end\ndata: {}\n\n"
            yield httpx.Response(200, text=f'id: 8\ndata: {{"n": 2}}\n\n{end}')


async def test_empty_lists_say_that_all_is_well(mpanel: Terminal) -> None:
    for words, sentence in (
        ((), "No worker is up"),
        ((), "Nothing else waits for anybody."),
        (("orphans",), "Providers and ledger agree."),
        (("payments",), "Every payment has its order."),
    ):
        said = await mpanel("inbox", *words)
        assert (said.code, sentence in said.out) == (0, True), said.err


async def decisions(session: Any) -> list[Decision]:
    return list((await session.exec(select(Decision))).all())


async def test_an_abort_asks_for_a_code_and_is_then_done(
    settings: ApiSettings, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPANEL_LOGIN_FILE", str(tmp_path / "login.json"))
    strict = settings.model_copy(update={"second_factor": Demand.OPERATORS})
    async with live(strict, db) as site:
        user, job = await person(db), await waiting(db)
        async with httpx.AsyncClient(
            base_url=site.url, timeout=SOON, trust_env=False
        ) as http:
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
