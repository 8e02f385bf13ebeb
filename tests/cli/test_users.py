"""`mpanel user`: what a person at the machine does to people."""

import os
import subprocess
import sys

from sqlmodel import col, select

from models.api_keys import Scope
from models.audit import AuditEvent
from models.database import Database
from models.queries import api_keys
from models.queries.audit import By
from models.second_factors import RecoveryCode, SecondFactor
from models.sessions import LoginSession
from models.users import Role, User
from tests.api import rows
from tests.api.conftest import add_user, token_of


def mpanel(url: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "workers.cli", "user", *words],
        check=False,
        env={"PATH": os.environ["PATH"], "MPANEL_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=120,
    )


async def someone(db: Database) -> User:
    """Logged in, with an app."""
    user = await add_user(db, Role.OPERATOR)
    await token_of(db, user)
    facts = {"tenant_id": user.tenant_id, "user_id": user.id}
    await rows.add(
        db,
        SecondFactor(**facts, secret="sealed"),
        RecoveryCode(**facts, code_hash="hash"),
    )
    return user


async def left(db: Database) -> tuple[int, int, list[str]]:
    """(logins, factors, what the audit log says)."""
    async with db.platform() as session:
        logins = len((await session.exec(select(LoginSession))).all())
        factors = len((await session.exec(select(SecondFactor))).all())
        told = (
            await session.exec(
                select(AuditEvent.action).order_by(col(AuditEvent.created_at))
            )
        ).all()
    return logins, factors, list(told)


async def test_whoever_lost_the_app_sets_up_another(db: Database, app_url: str) -> None:
    user = await someone(db)

    done = mpanel(app_url, "reset-second-factor", user.email)

    assert (done.returncode, done.stderr) == (0, "")
    assert await left(db) == (0, 0, ["totp.disabled"])
    again = mpanel(app_url, "reset-second-factor", user.email)
    assert again.stdout == f"{user.email} had no second factor.\n"


async def test_a_disabled_user_is_logged_out_until_enabled(
    db: Database, app_url: str
) -> None:
    user = await someone(db)

    async with db.platform() as session:
        made = await api_keys.create(
            session,
            By("user", user.id, user.email),
            tenant_id=user.tenant_id,
            name="reports",
            scopes=[Scope.READ],
            expires_at=None,
        )
        await session.commit()

    assert mpanel(app_url, "disable", user.email).returncode == 0
    assert await left(db) == (0, 1, ["key.created", "user.disabled", "key.revoked"])
    async with db.platform() as session:
        assert await api_keys.good(session, made[0].id) == []
    async with db.platform() as session:
        assert (await session.get_one(User, user.id)).disabled_at is not None

    assert mpanel(app_url, "enable", user.email).returncode == 0
    async with db.platform() as session:
        assert (await session.get_one(User, user.id)).disabled_at is None


async def test_an_unknown_user_is_said_without_a_traceback(
    db: Database, app_url: str
) -> None:
    done = mpanel(app_url, "disable", "nobody@example.com")

    assert done.returncode == 1
    assert done.stderr == "there is no user nobody@example.com\n"
