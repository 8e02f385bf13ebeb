"""Logins, keys, invitations: what people and programs prove themselves with."""

from argon2 import PasswordHasher

from models.database import Database
from models.users import Role
from tests.api.conftest import add_user
from tests.api.people import App, bearer
from tests.canaries.scene import Scene


async def people_come_in(scene: Scene, db: Database) -> dict[str, str]:
    """Logins good and bad, with everything that a login has."""
    planted, api, shown = scene.planted, scene.api, scene.shown
    password = planted.new("password")
    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    user = await add_user(db, Role.SUPER_ADMIN, password_hash=hasher.hash(password))
    for name in ("wrong password", "wrong password of nobody"):
        email = user.email if name == "wrong password" else "nobody@example.com"
        body = {"email": email, "password": planted.new(name)}
        assert (await api.post("/api/auth/login", json=body)).status_code == 401
    body = {"email": user.email, "password": password}
    first = (await shown.post("/api/auth/login", json=body)).json()
    headers = bearer(planted.keep("access token, limited", first["token"]))
    planted.keep("refresh token, limited", first["refreshToken"])
    made = await shown.post(
        "/api/auth/totp", json={"password": password}, headers=headers
    )
    app = App(planted.keep("TOTP secret", made.json()["secret"]))
    code = planted.keep("TOTP code", app.code())
    confirmed = await shown.post(
        "/api/auth/totp/confirm", json={"code": code}, headers=headers
    )
    codes = confirmed.json()["recoveryCodes"]
    planted.keep("recovery code, used", codes[0])
    planted.keep("recovery code, unused", codes[1])
    wrong = {**body, "code": planted.new("wrong recovery code")[:24]}
    assert (await api.post("/api/auth/login", json=wrong)).status_code in (401, 422)
    body["code"] = codes[0]
    login = (await shown.post("/api/auth/login", json=body)).json()
    planted.keep("refresh token, used", login["refreshToken"])
    renewed = await shown.post(
        "/api/auth/refresh", json={"refreshToken": login["refreshToken"]}
    )
    headers = bearer(planted.keep("access token", renewed.json()["token"]))
    planted.keep("refresh token", renewed.json()["refreshToken"])
    stranger = {"refreshToken": planted.new("refresh token that is none")}
    assert (await api.post("/api/auth/refresh", json=stranger)).status_code == 401
    again = {"code": planted.keep("TOTP code, later", app.code())}
    fresh = await api.post("/api/auth/step-up", json=again, headers=headers)
    assert fresh.status_code == 200, fresh.text
    new = planted.new("new password")
    change = {"currentPassword": password, "newPassword": new}
    changed = await api.post("/api/auth/change-password", json=change, headers=headers)
    assert changed.status_code == 200, changed.text
    code = planted.keep("recovery code of the console", codes[2])
    form = {"email": user.email, "password": new, "code": code}
    entered = await shown.post("/console/login", data=form)
    assert entered.status_code == 303, entered.text
    planted.keep("console's cookie", next(iter(entered.cookies.values())))
    form["password"] = planted.new("wrong password in the console")
    assert (await api.post("/console/login", data=form)).status_code == 401
    return headers


async def programs_call(scene: Scene, boss: dict[str, str]) -> None:
    """Keys and invitations."""
    planted, api, shown = scene.planted, scene.api, scene.shown
    made = await shown.post(
        "/api/api-keys", json={"name": "a program", "scopes": ["decide"]}, headers=boss
    )
    key = {"X-API-Key": planted.keep("API key", made.json()["key"])}
    assert (await api.get("/api/jobs", headers=key)).status_code == 200
    wrong = {"X-API-Key": planted.new("API key that is none", prefix="mk_")}
    assert (await api.get("/api/jobs", headers=wrong)).status_code == 401
    somebody = {
        "name": "New",
        "email": "new@example.com",
        "roles": ["operator"],
        "status": "active",
    }
    invited = await shown.post("/api/users", json=somebody, headers=boss)
    token = planted.keep("invitation", invited.json()["invitation"]["token"])
    password = planted.new("invited user's password")
    for body, status in (
        ({"token": planted.new("invitation that is none"), "password": password}, 401),
        ({"token": token, "password": password}, 204),
    ):
        answer = await api.post("/api/auth/set-password", json=body)
        assert answer.status_code == status, answer.text
