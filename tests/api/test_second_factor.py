"""Something one has beside what one knows."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pyotp
import pytest
from fastapi import FastAPI
from sqlmodel import select

from api.auth.demand import FRESH, Demand
from api.settings import ApiSettings
from models.database import Database
from models.second_factors import RecoveryCode, SecondFactor
from models.sessions import LoginSession
from models.users import Role, User
from tests.api import people
from tests.api.audited import told
from tests.api.conftest import client_of
from tests.api.people import PASSWORD, bearer, enrol, log_in, person
from tests.api.web import running


@pytest.fixture
async def strict(settings: ApiSettings, db: Database) -> AsyncIterator[FastAPI]:
    """A web process that demands a second factor of operators."""
    async with running(
        settings.model_copy(update={"second_factor": Demand.OPERATORS})
    ) as made:
        yield made


@pytest.fixture
async def api(strict: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(strict) as client:
        yield client


@pytest.fixture
async def user(db: Database) -> User:
    return await person(db)


async def token_of(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["token"])


async def step_up(api: httpx.AsyncClient, token: str, code: str) -> httpx.Response:
    return await api.post(
        "/api/auth/step-up", json={"code": code}, headers=bearer(token)
    )


async def age_proof(db: Database, by: timedelta) -> None:
    """As if every login had proven its factor so much earlier."""
    async with db.platform() as session:
        for login in (await session.exec(select(LoginSession))).all():
            assert login.second_factor_at is not None
            login.second_factor_at -= by
        await session.commit()


def error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


# --- setting it up ------------------------------------------------------------------


async def test_until_an_operator_has_one_a_login_may_only_set_it_up(
    api: httpx.AsyncClient, user: User
) -> None:
    answer = await log_in(api, user)
    assert answer.json()["limited"] is True
    token = await token_of(answer)

    for path in ("/api/jobs", "/api/customers", "/api/auth/sessions"):
        refused = await api.get(path, headers=bearer(token))
        assert error(refused) == (403, "SECOND_FACTOR_REQUIRED")
        assert refused.json()["error"]["details"]["enrol"] == "POST /api/auth/totp"
    assert (await api.get("/api/auth/me", headers=bearer(token))).status_code == 200

    await enrol(api, token)

    assert (await api.get("/api/jobs", headers=bearer(token))).status_code == 200


async def test_a_viewer_needs_none(api: httpx.AsyncClient, db: Database) -> None:
    answer = await log_in(api, await person(db, Role.VIEWER))

    assert answer.json()["limited"] is False
    token = await token_of(answer)
    assert (await api.get("/api/jobs", headers=bearer(token))).status_code == 200


async def test_whoever_becomes_an_operator_needs_one_at_once(
    api: httpx.AsyncClient, db: Database
) -> None:
    user = await person(db, Role.VIEWER)
    token = await token_of(await log_in(api, user))
    async with db.platform() as session:
        (await session.get_one(User, user.id)).roles = [Role.OPERATOR]
        await session.commit()

    refused = await api.get("/api/jobs", headers=bearer(token))

    assert error(refused) == (403, "SECOND_FACTOR_REQUIRED")


async def test_it_counts_only_once_a_code_has_confirmed_it(
    api: httpx.AsyncClient, user: User
) -> None:
    token = await token_of(await log_in(api, user))
    body = {"password": PASSWORD}
    made = await api.post("/api/auth/totp", json=body, headers=bearer(token))
    uri = pyotp.parse_uri(made.json()["otpauthUri"])
    assert uri.name == user.email
    assert uri.secret == made.json()["secret"]

    assert (await log_in(api, user)).status_code == 200
    wrong = await api.post(
        "/api/auth/totp/confirm", json={"code": "000000"}, headers=bearer(token)
    )

    assert error(wrong) == (401, "WRONG_CODE")
    assert (await log_in(api, user)).status_code == 200


async def test_a_session_alone_sets_up_none(api: httpx.AsyncClient, user: User) -> None:
    token = await token_of(await log_in(api, user))

    refused = await api.post(
        "/api/auth/totp", json={"password": "wrong"}, headers=bearer(token)
    )

    assert error(refused) == (401, "UNAUTHORIZED")


async def test_a_second_app_does_not_replace_the_first(
    api: httpx.AsyncClient, user: User
) -> None:
    token = await token_of(await log_in(api, user))
    await enrol(api, token)

    again = await api.post(
        "/api/auth/totp", json={"password": PASSWORD}, headers=bearer(token)
    )

    assert error(again) == (409, "WRONG_STATE")


async def test_two_set_ups_at_once_leave_one_app(
    api: httpx.AsyncClient, user: User
) -> None:
    token = await token_of(await log_in(api, user))

    answers = await asyncio.gather(
        *(
            api.post(
                "/api/auth/totp", json={"password": PASSWORD}, headers=bearer(token)
            )
            for _ in range(4)
        )
    )

    assert {one.status_code for one in answers} == {201}


async def test_the_secret_is_sealed_and_recovery_codes_are_hashed(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    app, codes = await enrol(api, await token_of(await log_in(api, user)))

    async with db.platform() as session:
        factor = (await session.exec(select(SecondFactor))).one()
        stored = (await session.exec(select(RecoveryCode.code_hash))).all()
    assert app.secret not in factor.secret
    assert len(codes) == len(set(codes)) == len(stored) == 10
    assert not set(codes) & set(stored)


# --- logging in ---------------------------------------------------------------------


async def test_a_login_wants_the_code_as_well(
    api: httpx.AsyncClient, user: User
) -> None:
    app, _ = await enrol(api, await token_of(await log_in(api, user)))

    assert error(await log_in(api, user)) == (401, "SECOND_FACTOR_REQUIRED")
    answer = await log_in(api, user, app.code())

    assert answer.json()["limited"] is False
    token = await token_of(answer)
    assert (await api.get("/api/jobs", headers=bearer(token))).status_code == 200


async def test_a_code_works_once(api: httpx.AsyncClient, user: User) -> None:
    app, _ = await enrol(api, await token_of(await log_in(api, user)))
    code = app.code()
    assert (await log_in(api, user, code)).status_code == 200

    assert error(await log_in(api, user, code)) == (401, "WRONG_CODE")


async def test_of_a_code_used_twice_at_once_one_is_refused(
    api: httpx.AsyncClient, user: User
) -> None:
    token = await token_of(await log_in(api, user))
    app, recovery = await enrol(api, token)

    for code in (app.code(), recovery[0]):
        answers = await asyncio.gather(*(step_up(api, token, code) for _ in range(4)))
        assert sorted(one.status_code for one in answers) == [200, 401, 401, 401]
        await forget_failures(api, token, recovery.pop())


async def forget_failures(api: httpx.AsyncClient, token: str, code: str) -> None:
    assert (await step_up(api, token, code)).status_code == 200


async def test_each_recovery_code_works_once(
    api: httpx.AsyncClient, user: User
) -> None:
    _, codes = await enrol(api, await token_of(await log_in(api, user)))

    answer = await log_in(api, user, codes[0].upper().replace("-", " "))

    token = await token_of(answer)
    assert error(await log_in(api, user, codes[0])) == (401, "WRONG_CODE")
    standing = await api.get("/api/auth/totp", headers=bearer(token))
    assert standing.json()["recoveryCodesLeft"] == 9


async def test_nobodys_recovery_code_is_anothers(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    other = await person(db)
    _, codes = await enrol(api, await token_of(await log_in(api, other)))
    await enrol(api, await token_of(await log_in(api, user)))

    assert error(await log_in(api, user, codes[0])) == (401, "WRONG_CODE")


@pytest.mark.usefixtures("standing_clock")
async def test_wrong_codes_are_slowed_down(api: httpx.AsyncClient, user: User) -> None:
    token = await token_of(await log_in(api, user))
    app, _ = await enrol(api, token)

    answers = [(await step_up(api, token, "000000")).status_code for _ in range(6)]

    assert answers == [401] * 5 + [429]
    assert (await step_up(api, token, app.code())).status_code == 429
    logins = [(await log_in(api, user, "000000")).status_code for _ in range(6)]
    assert logins == [401] * 5 + [429]


# --- fresh for what cannot be taken back ----------------------------------------------


async def test_new_recovery_codes_and_removal_want_a_fresh_code(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    token = await token_of(await log_in(api, user))
    app, old = await enrol(api, token)
    await age_proof(db, FRESH)

    async def renewed() -> httpx.Response:
        return await api.post("/api/auth/totp/recovery-codes", headers=bearer(token))

    async def removed() -> httpx.Response:
        return await api.delete("/api/auth/totp", headers=bearer(token))

    for refused in (await renewed(), await removed()):
        assert error(refused) == (403, "STEP_UP_REQUIRED")
        assert refused.json()["error"]["details"]["call"] == "POST /api/auth/step-up"
    assert (await step_up(api, token, app.code())).status_code == 200

    new = (await renewed()).json()["recoveryCodes"]
    assert not set(new) & set(old)
    assert error(await log_in(api, user, old[0])) == (401, "WRONG_CODE")
    assert (await removed()).status_code == 204
    assert error(await api.get("/api/jobs", headers=bearer(token))) == (
        403,
        "SECOND_FACTOR_REQUIRED",
    )
    assert (await log_in(api, user)).json()["limited"] is True


async def test_what_becomes_of_a_second_factor_is_told_and_no_code_with_it(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    token = await token_of(await log_in(api, user))
    app, codes = await enrol(api, token)
    shown = app.code()
    assert (await step_up(api, token, shown)).status_code == 200
    await token_of(await log_in(api, user, codes[0]))
    await api.post("/api/auth/totp/recovery-codes", headers=bearer(token))
    await api.delete("/api/auth/totp", headers=bearer(token))

    events = [one for one in await told(db) if one.entity == "user"]

    assert [one.action for one in events] == [
        "totp.enabled",
        "step_up",
        "recovery_code.used",
        "recovery_codes.renewed",
        "totp.disabled",
    ]
    assert {(one.actor_id, one.entity_id) for one in events} == {
        (user.id, str(user.id))
    }
    for one in events:
        for secret in (shown, codes[0], app.secret):
            assert f'"{secret}"' not in one.model_dump_json()


async def test_a_login_without_its_code_can_prove_it_later(
    api: httpx.AsyncClient, user: User
) -> None:
    early = await token_of(await log_in(api, user))
    app, _ = await enrol(api, await token_of(await log_in(api, user)))
    assert error(await api.get("/api/jobs", headers=bearer(early)))[0] == 403

    assert (await step_up(api, early, app.code())).status_code == 200

    assert (await api.get("/api/jobs", headers=bearer(early))).status_code == 200


async def test_where_none_is_demanded_one_that_is_set_up_is_wanted_all_the_same(
    settings: ApiSettings, db: Database, user: User
) -> None:
    async with running(settings) as lenient, client_of(lenient) as api:
        answer = await log_in(api, user)
        assert answer.json()["limited"] is False
        token = await token_of(answer)
        assert (await api.get("/api/jobs", headers=bearer(token))).status_code == 200
        app, _ = await people.enrol(api, token)

        assert error(await log_in(api, user)) == (401, "SECOND_FACTOR_REQUIRED")
        assert (await log_in(api, user, app.code())).status_code == 200
