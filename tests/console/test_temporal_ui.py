"""An operator in the real Temporal UI: finds what waits, reads why, decides by code."""

import asyncio
import re
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Locator, Page, expect

from models.database import Database
from models.jobs import Decision
from models.states import JobStatus
from models.users import Role, User
from tests.api.conftest import add_user, token_of
from tests.console.conftest import Temporal
from tests.console.jobs import parked_at_site
from tests.judge import golden
from tests.workflows.paths import finished, rows
from tests.world import World

SLOW = 60_000  # ms; the machine may be busy
NEEDS_ATTENTION = "JobStatus = 'needs_attention'"

pytestmark = pytest.mark.timeout(400)


async def test_an_operator_decides_in_the_temporal_ui(
    here: World, panel: str, temporal: Temporal, browser: Browser
) -> None:
    order, website = await parked_at_site(here)
    olga = await add_user(here.db, Role.OPERATOR)
    page = await browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(SLOW)
    expect.set_options(timeout=SLOW)

    await listed(here, website.workflow_id, NEEDS_ATTENTION)
    await search(page, temporal, NEEDS_ATTENTION)
    await page.get_by_role("link", name=website.workflow_id).click()

    await tab(page, "User Metadata")
    summary, details = markdown(page, 0), markdown(page, 1)
    await expect(summary).to_contain_text("wp_growth for order")
    await expect(details).to_contain_text("Waits for a person.")
    await expect(details).to_contain_text("create_site needs attention")
    await expect(details).to_contain_text("hosting: site:add: no such PHP version")
    await tab(page, "Search Attributes")
    attributes = page.get_by_text('"provider_rejected"').locator("visible=true")
    await expect(attributes.first).to_be_visible()

    code = await code_for(panel, here.db, olga, website.id)
    await signal(page, "decide", f'{{"act": "retry", "code": "{code}"}}')

    await finished(here, await here.job_of(order), JobStatus.SUCCEEDED)
    await page.reload()
    await expect(page.get_by_text("Completed").first).to_be_visible()
    [decision] = await rows(here, Decision, job_id=website.id)
    assert (decision.author, decision.author_id) == (olga.email, olga.id)
    assert (decision.via, decision.verified) == ("signal", True)
    await golden(here, orders=1)
    await page.close()


async def listed(here: World, workflow_id: str, query: str) -> None:
    """Temporal finds a run a moment after its row has changed; the UI asks once."""
    async with asyncio.timeout(60):
        while workflow_id not in [  # noqa: ASYNC110
            one.id async for one in here.client.list_workflows(query)
        ]:
            await asyncio.sleep(0.05)


async def search(page: Page, temporal: Temporal, query: str) -> None:
    """Opens the list and types the query, as one does with a saved one."""
    await page.goto(f"{temporal.ui}/namespaces/default/workflows")
    await page.get_by_test_id("toggle-manual-query").click()
    await page.get_by_role("searchbox", name="Enter a query").fill(query)
    await page.keyboard.press("Enter")


async def tab(page: Page, name: str) -> None:
    await page.get_by_role("tab", name=name).click()


def markdown(page: Page, place: int) -> Locator:
    """What the UI has rendered, in the frame that it keeps it in."""
    frame = page.frame_locator("iframe").nth(place)
    return frame.locator("body")


async def signal(page: Page, name: str, request: str) -> None:
    """By the dialog that the UI has for it."""
    await page.get_by_role("button", name="More Actions").click()
    await page.get_by_role("menuitem", name="Send a Signal").click()
    dialog = page.get_by_role("dialog", name="Send a Signal")
    await dialog.get_by_role("button", name="Select a signal").click()
    await dialog.get_by_role("option", name=re.compile(f"^{name} ")).click()
    data = dialog.locator("[contenteditable=true]")
    await data.fill(request)
    # The UI lays the JSON out when one leaves it, and moves its buttons by that.
    await data.blur()
    await expect(data.locator(".cm-line")).to_have_count(4)
    await dialog.get_by_role("button", name="Submit").click()
    await expect(dialog).to_be_hidden()


async def code_for(panel: str, db: Database, user: User, job_id: Any) -> str:
    """What the API gives to a named user for one act on one job."""
    token = await token_of(db, user)
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        answer = await http.post(
            f"{panel}/api/jobs/{job_id}/codes",
            json={"act": "retry"},
            headers={"Authorization": f"Bearer {token}"},
        )
    answer.raise_for_status()
    return str(answer.json()["code"])
