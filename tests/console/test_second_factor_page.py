"""The second factor, from the first login to the abort that wants it fresh."""

from datetime import timedelta

import pyotp
import pytest
from playwright.async_api import expect

from api.auth.demand import Demand
from models.base import utc_now
from models.jobs import Decision
from models.sessions import LoginSession
from models.states import Act
from models.users import User
from tests.console.browsing import PASSWORD, PHONE
from tests.console.conftest import OpenTab
from tests.console.jobs import parked_at_site
from tests.workflows.paths import rows
from tests.world import World


@pytest.fixture
def second_factor() -> Demand:
    return Demand.OPERATORS


@pytest.mark.timeout(400)
async def test_it_is_set_up_asked_for_in_place_and_wanted_fresh(
    here: World, olga: User, tab: OpenTab
) -> None:
    _, website = await parked_at_site(here)
    window = await tab(size=PHONE)
    page = window.page

    await window.go(f"/console/inbox/{website.id}")
    await window.log_in(olga.email)
    await window.says("Set up a second factor")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Go on").click()
    await window.says("Add mPanel to your app")
    await window.fits()
    secret = await page.locator("main code").inner_text()
    await page.get_by_label("The code that the app shows").fill("000000")
    await page.get_by_role("button", name="Confirm").click()
    await window.says("The code is wrong")
    code = page.get_by_label("The code that the app shows")
    await code.fill(pyotp.TOTP(secret).now())
    await page.get_by_role("button", name="Confirm").click()
    await window.says("It is set up")
    kept = await page.locator(".codes code").all_inner_texts()
    await window.fits()
    await page.get_by_role("button", name="Log out").click()

    await window.log_in(olga.email)
    await window.says("Now the code of your authenticator app")
    # What was typed stands there still.
    await expect(page.get_by_label("Password")).to_have_value(PASSWORD)
    await page.get_by_label("Code").fill(kept[0])
    await page.get_by_role("button", name="Log in").click()
    await window.says("1 job waits")

    async with here.db.platform() as session:
        [login] = await rows(here, LoginSession, user_id=olga.id)
        held = await session.get_one(LoginSession, login.id)
        held.second_factor_at = utc_now() - timedelta(minutes=11)
        await session.commit()
    await window.go(f"/console/inbox/{website.id}")
    await page.locator("details.act > summary", has_text="Undo this item").click()
    form = page.locator("details.act[open]")
    await form.get_by_label("Why").fill("it will never work")
    await form.get_by_label("Code of your authenticator app").fill(kept[0])
    await form.get_by_role("checkbox").check()
    await form.get_by_role("button", name="Yes, undo this item").click()
    await window.says("The code is wrong, or was used already.")
    form = page.locator("details.act[open]")
    await expect(form.get_by_label("Why")).to_have_value("it will never work")
    await form.get_by_label("Code of your authenticator app").fill(kept[1])
    await form.get_by_role("checkbox").check()
    await form.get_by_role("button", name="Yes, undo this item").click()
    await window.says("This item is being undone")
    [decision] = await rows(here, Decision, job_id=website.id)
    assert (decision.act, decision.author_id) == (Act.ABORT_ITEM, olga.id)
