"""A login is a row: renewed, seen, listed and ended."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlmodel import select

from api.services.refresh import GRACE
from api.settings import ApiSettings
from models.base import utc_now
from models.database import Database
from models.sessions import LoginSession, RefreshToken
from models.users import Role, User
from tests.api.audited import told
from tests.api.conftest import client_of
from tests.api.people import PASSWORD, bearer, log_in, person, renew
from tests.api.web import running

NEW_PASSWORD = "another horse, another battery"


@pytest.fixture
async def user(db: Database) -> User:
    return await person(db)


async def given(api: httpx.AsyncClient, user: User) -> dict[str, str]:
    response = await log_in(api, user, **{"user-agent": "a browser"})
    assert response.status_code == 200, response.text
    found: dict[str, str] = response.json()
    return found


async def alive(api: httpx.AsyncClient, token: str) -> bool:
    response = await api.get("/api/auth/me", headers=bearer(token))
    assert response.status_code in {200, 401}
    return response.status_code == 200


async def age_tokens(db: Database, by: timedelta) -> None:
    """As if every token had been used so much earlier."""
    async with db.platform() as session:
        for token in (await session.exec(select(RefreshToken))).all():
            if token.used_at is not None:
                token.used_at -= by
        await session.commit()


# --- renewing ---------------------------------------------------------------------


async def test_a_stolen_refresh_token_ends_the_whole_login(
    api: httpx.AsyncClient, user: User
) -> None:
    mine, elsewhere = await given(api, user), await given(api, user)
    renewed = (await renew(api, mine["refreshToken"])).json()

    assert (await renew(api, mine["refreshToken"], "a thief")).status_code == 401

    assert (await renew(api, renewed["refreshToken"])).status_code == 401
    assert not await alive(api, renewed["token"])
    assert await alive(api, elsewhere["token"])


async def test_a_used_refresh_token_that_comes_late_ends_the_login(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    mine = await given(api, user)
    renewed = (await renew(api, mine["refreshToken"])).json()
    await age_tokens(db, GRACE)

    assert (await renew(api, mine["refreshToken"])).status_code == 401

    assert not await alive(api, renewed["token"])


async def test_a_client_whose_answer_was_lost_may_ask_again_at_once(
    api: httpx.AsyncClient, user: User
) -> None:
    mine = await given(api, user)
    await renew(api, mine["refreshToken"])
    await renew(api, mine["refreshToken"])

    third = (await renew(api, mine["refreshToken"])).json()

    assert await alive(api, third["token"])
    assert (await renew(api, third["refreshToken"])).status_code == 200


async def test_what_a_retry_has_replaced_is_void_and_its_use_ends_the_login(
    api: httpx.AsyncClient, user: User
) -> None:
    mine = await given(api, user)
    first = (await renew(api, mine["refreshToken"])).json()
    second = (await renew(api, mine["refreshToken"])).json()

    assert (await renew(api, first["refreshToken"])).status_code == 401

    assert not await alive(api, second["token"])


async def test_no_retry_once_the_new_token_was_used(
    api: httpx.AsyncClient, user: User
) -> None:
    mine = await given(api, user)
    renewed = (await renew(api, mine["refreshToken"])).json()
    again = (await renew(api, renewed["refreshToken"])).json()

    assert (await renew(api, mine["refreshToken"])).status_code == 401

    assert not await alive(api, again["token"])


async def test_of_many_renewals_at_once_the_login_keeps_one_line(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    mine = await given(api, user)

    answers = await asyncio.gather(
        *(renew(api, mine["refreshToken"]) for _ in range(8))
    )

    assert {one.status_code for one in answers} == {200}
    async with db.platform() as session:
        tokens = (await session.exec(select(RefreshToken))).all()
    assert len([one for one in tokens if one.used_at is None]) == 1


async def test_a_login_ends_at_its_age_however_often_it_was_renewed(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    mine = await given(api, user)
    async with db.platform() as session:
        login = (await session.exec(select(LoginSession))).one()
        assert login.expires_at - login.created_at <= timedelta(hours=12, seconds=5)
        login.expires_at = utc_now()
        await session.commit()

    assert not await alive(api, mine["token"])
    assert (await renew(api, mine["refreshToken"])).status_code == 401


async def test_a_viewer_stays_logged_in_for_two_weeks(
    api: httpx.AsyncClient, db: Database
) -> None:
    await given(api, await person(db, Role.VIEWER))

    async with db.platform() as session:
        login = (await session.exec(select(LoginSession))).one()
    off = login.expires_at - login.created_at - timedelta(days=14)
    assert abs(off) < timedelta(minutes=1)


# --- seen and ended -----------------------------------------------------------------


async def test_a_user_sees_where_they_are_logged_in(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    await given(api, await person(db))
    await given(api, user)
    mine = await given(api, user)

    listed = await api.get("/api/auth/sessions", headers=bearer(mine["token"]))

    assert listed.status_code == 200
    assert listed.json()["total"] == 2
    newest, oldest = listed.json()["items"]
    assert (newest["current"], oldest["current"]) == (True, False)
    assert newest["userAgent"] == "a browser"
    assert newest["address"] == "127.0.0.1"
    assert newest["method"] == "password"
    assert newest["secondFactorAt"] is None


async def test_a_session_ended_on_one_process_is_over_on_another(
    app: FastAPI, settings: ApiSettings, user: User
) -> None:
    async with (
        running(settings) as other,
        client_of(app) as here,
        client_of(other) as there,
    ):
        mine, stolen = await given(here, user), await given(there, user)
        listed = await here.get("/api/auth/sessions", headers=bearer(mine["token"]))
        (foreign,) = [one for one in listed.json()["items"] if not one["current"]]
        assert await alive(there, stolen["token"])

        where = f"/api/auth/sessions/{foreign['id']}"
        ended = await here.delete(where, headers=bearer(mine["token"]))

        assert ended.status_code == 204
        assert not await alive(there, stolen["token"])
        assert (await renew(there, stolen["refreshToken"])).status_code == 401
        assert await alive(there, mine["token"])


async def test_nobody_ends_another_users_session(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    mine, theirs = await given(api, user), await given(api, await person(db))
    listed = await api.get("/api/auth/sessions", headers=bearer(theirs["token"]))
    foreign = listed.json()["items"][0]["id"]

    answers = [
        await api.delete(f"/api/auth/sessions/{one}", headers=bearer(mine["token"]))
        for one in (foreign, uuid4())
    ]

    assert [one.status_code for one in answers] == [404, 404]
    assert answers[0].json() == answers[1].json()
    assert await alive(api, theirs["token"])


async def test_all_other_sessions_end_at_once(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    others = [await given(api, user) for _ in range(2)]
    mine, theirs = await given(api, user), await given(api, await person(db))

    answer = await api.post(
        "/api/auth/sessions/revoke-others", headers=bearer(mine["token"])
    )

    assert answer.json() == {"revoked": 2}
    ended = await told(db, "session.revoked")
    assert [(one.actor_id, one.entity) for one in ended] == [(user.id, "session")] * 2
    assert len({one.entity_id for one in ended}) == 2
    assert not any([await alive(api, one["token"]) for one in others])
    assert await alive(api, mine["token"])
    assert await alive(api, theirs["token"])


# --- passwords ----------------------------------------------------------------------


async def change(
    api: httpx.AsyncClient, token: str, current: str, new: str
) -> httpx.Response:
    return await api.post(
        "/api/auth/change-password",
        json={"currentPassword": current, "newPassword": new},
        headers=bearer(token),
    )


async def test_a_new_password_ends_every_other_session(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    stolen, mine = await given(api, user), await given(api, user)

    answer = await change(api, mine["token"], PASSWORD, NEW_PASSWORD)

    assert answer.status_code == 200
    assert answer.json()["revoked"] == 1
    assert not await alive(api, stolen["token"])
    assert await alive(api, mine["token"])
    assert (await renew(api, mine["refreshToken"])).status_code == 200
    assert (await log_in(api, user)).status_code == 401
    body = {"email": user.email, "password": NEW_PASSWORD}
    assert (await api.post("/api/auth/login", json=body)).status_code == 200
    changed, ended = await told(db, "password.changed", "session.revoked")
    assert (changed.action, changed.entity_id) == ("password.changed", str(user.id))
    assert (ended.action, ended.actor_id) == ("session.revoked", user.id)
    assert NEW_PASSWORD not in changed.model_dump_json()


@pytest.mark.parametrize("new", ["short", PASSWORD])
async def test_a_new_password_must_be_long_and_new(
    api: httpx.AsyncClient, user: User, new: str
) -> None:
    mine = await given(api, user)

    answer = await change(api, mine["token"], PASSWORD, new)

    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["field"] == "newPassword"
    assert new not in answer.text or new == "short"
    assert (await log_in(api, user)).status_code == 200


@pytest.mark.usefixtures("standing_clock")
async def test_a_thief_with_a_session_alone_sets_no_password(
    api: httpx.AsyncClient, user: User
) -> None:
    mine = await given(api, user)

    answers = [
        (await change(api, mine["token"], f"guess {n}", NEW_PASSWORD)).status_code
        for n in range(6)
    ]

    assert answers == [401] * 5 + [429]
    assert (await log_in(api, user)).status_code == 200
