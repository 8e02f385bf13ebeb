"""The inbox as operators see it: in a real browser, with a real worker behind it."""

import pytest
from playwright.async_api import expect

from models.customers import Customer
from models.database import Database
from models.jobs import Decision, Job
from models.orders import Order
from models.payments import PaymentClaim
from models.states import Act, JobKind, JobStatus, OrderStatus
from models.users import User
from tests.console.browsing import DESKTOP, PHONE
from tests.console.conftest import OpenTab
from tests.console.jobs import parked_at_site, waiting
from tests.judge import balanced, golden
from tests.workflows.operator import abort_order, refunds
from tests.workflows.paths import (
    finished,
    job_of_line,
    paid_order,
    rows,
)
from tests.world import World

pytestmark = pytest.mark.timeout(400)

SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])


@SIZES
async def test_one_click_goes_on_and_one_sees_it_go_on(
    here: World, olga: User, tab: OpenTab, size: dict[str, int]
) -> None:
    order, website = await parked_at_site(here)
    window = await tab(size=size)
    page = window.page

    await window.go("/console")
    await window.fits()
    await window.log_in(olga.email)
    await window.says("1 job waits", "The hosting server refuses", "54.98 USD taken")
    await window.fits()
    domain = (await here.website_of(order)).domain
    await page.get_by_role("link", name=domain).click()
    await window.says(
        "hosting: site:add: no such PHP version",
        "Suggested: set it right, then try again.",
        "c1@example.com",
        "54.98 USD taken and not given back",
        f"The DNS record {domain}",
        "Put the starter page there deploy_starter to come",
    )
    await window.fits()

    await page.evaluate("window.since = 'the decision'")
    await window.decide("Try again", "PHP 8.4 is installed now", "Yes, try again")
    await window.says("It is tried again; below you see it go on.")
    await page.evaluate("window.since = 'the decision'")
    await expect(page.locator("#timeline li.good")).to_have_count(5)
    await expect(page.locator("#state h1")).to_have_text("Done")
    await window.says("PHP 8.4 is installed now", olga.email, "carried out")
    assert await page.evaluate("window.since") == "the decision", "it was reloaded"
    await window.fits()

    await finished(here, await here.job_of(order), JobStatus.SUCCEEDED)
    await page.get_by_role("link", name="Back to the inbox").click()
    await window.says("Nothing else waits for you")
    await window.fits()
    [decision] = await rows(here, Decision, job_id=website.id)
    assert (decision.act, decision.why) == (Act.RETRY, "PHP 8.4 is installed now")
    assert (decision.author_id, decision.verified) == (olga.id, True)
    await golden(here, orders=1)


@SIZES
async def test_an_abort_says_first_what_it_does(
    here: World, olga: User, tab: OpenTab, size: dict[str, int]
) -> None:
    order, website = await parked_at_site(here)
    window = await tab(size=size)
    await window.go(f"/console/inbox/{website.id}")
    await window.log_in(olga.email)

    await window.page.get_by_text("Undo the whole order").click()
    form = window.page.locator("details.act[open]")
    await expect(form).to_contain_text("daily_backups_30d: it has not begun")
    await expect(form).to_contain_text("54.98 USD of pi_")
    await expect(form).to_contain_text("are refunded, once everything is taken back.")
    await window.fits()
    # A press by mistake is not enough: neither reason nor confirmation is given.
    await form.get_by_role("button", name="Yes, undo the order").click()
    assert await rows(here, Decision, job_id=(await here.job_of(order)).id) == []
    await form.get_by_label("Why").fill("the customer asked")
    await form.get_by_role("checkbox").check()
    await form.get_by_role("button", name="Yes, undo the order").click()

    await window.says("The order is being undone")
    await expect(window.page.locator("#state h1")).to_have_text("Undone")
    await window.says("Delete the site on the hosting server")
    await finished(here, await here.job_of(order), JobStatus.FAILED)
    assert (await here.read(Order, order.id)).status == OrderStatus.FAILED
    assert await refunds(here, order) == [5498]
    assert await here.sites() == set()
    await balanced(here)


async def test_a_refund_that_stripe_will_never_make_goes_on_by_one_click(
    here: World, olga: User, tab: OpenTab
) -> None:
    order, website = await parked_at_site(here)
    [claim] = await rows(here, PaymentClaim, order_id=order.id)
    disputed = {"payment_intent": claim.stripe_payment_intent_id}
    await here.control("stripe", "POST", "dispute", json=disputed)
    await abort_order(here, website)
    root = await here.parked(await here.job_of(order))
    window = await tab(size=PHONE)
    await window.go(f"/console/inbox/{root.id}")
    await window.log_in(olga.email)
    await window.says(
        "Refund stuck: The payment is disputed",
        "skip the refund, and it counts as given back by hand",
        "54.98 USD on their way back.",
    )
    await window.page.get_by_text("Go on without it", exact=True).click()
    form = window.page.locator("details.act[open]")
    await expect(form).to_contain_text("54.98 USD of pi_")
    await expect(form).to_contain_text("count as given back by hand.")
    await window.fits()
    await window.page.get_by_text("Go on without it", exact=True).click()

    await window.decide("Go on without it", "it was lost", "Yes, go on without it")

    await window.says("54.98 USD given back.", "Of that 54.98 USD by hand")
    await expect(window.page.locator("#state h1")).to_have_text("Undone")
    await finished(here, root, JobStatus.FAILED)
    assert (await here.read(Order, order.id)).status == OrderStatus.FAILED
    assert await refunds(here, order) == []
    assert (await balanced(here)).by_hand == 5498


async def test_all_of_a_cause_are_tried_again_at_once(
    here: World, olga: User, tab: OpenTab
) -> None:
    orders = [(await parked_at_site(here, number=number))[0] for number in range(3)]
    window = await tab()
    await window.go("/console/inbox")
    await window.log_in(olga.email)
    await window.says("3 jobs wait")

    await window.decide("Try all 3 again", "PHP is back", "Yes, try all 3 again")

    await window.says("3 jobs are tried again.")
    for order in orders:
        await finished(here, await here.job_of(order), JobStatus.SUCCEEDED)
    await window.page.reload()
    await window.says("Nothing else waits for you")
    await golden(here, orders=3)


async def test_without_scripts_everything_works_by_forms(
    here: World, olga: User, tab: OpenTab
) -> None:
    order, website = await parked_at_site(here)
    window = await tab(js=False)
    await window.go(f"/console/inbox/{website.id}")
    await window.log_in(olga.email, "wrong")
    await window.says("E-mail address or password is wrong.")
    await window.log_in(olga.email)

    await window.decide("Try again", "it is well", "Yes, try again")

    await window.says("It is tried again")
    await finished(here, await here.job_of(order), JobStatus.SUCCEEDED)
    await window.page.get_by_role("button", name="Log out").click()
    await expect(window.page.get_by_label("Password")).to_be_visible()


@SIZES
async def test_what_others_have_written_is_shown_and_does_nothing(
    here: World, olga: User, tab: OpenTab, size: dict[str, int]
) -> None:
    evil = '<script>alert(1)</script><img src=x onerror="alert(2)">'
    long = "w" * 150
    await here.fault(
        "hosting",
        {"kind": "reject", "op": "clpctl site:add:*", "message": f"{evil}{long}"},
    )
    order = await paid_order(here)
    website = await here.parked(
        await job_of_line(here, order, JobKind.WEBSITE_PROVISION)
    )
    async with here.db.platform() as session:
        (await session.get_one(Customer, order.customer_id)).name = f"{evil} {long}"
        await session.commit()
    window = await tab(size=size)

    await window.go("/console/inbox")
    await window.log_in(olga.email)
    await window.says("<script>alert(1)</script>")
    await window.fits()
    await window.go(f"/console/inbox/{website.id}")
    await window.says("<script>alert(1)</script>", long)
    # The live parts have come, too.
    await expect(window.page.locator("#state[data-shown]")).to_be_attached()
    assert await window.page.locator("main script, main img").count() == 0
    await window.fits()


async def test_a_page_that_is_out_of_date_decides_nothing(
    here: World, olga: User, tab: OpenTab
) -> None:
    _, website = await parked_at_site(here)
    window = await tab(js=False)
    await window.go(f"/console/inbox/{website.id}")
    await window.log_in(olga.email)
    async with here.db.platform() as session:
        (await session.get_one(Job, website.id)).message = "something else by now"
        await session.commit()

    await window.decide("Try again", "I believe it is well", "Yes, try again")

    await window.says("The job has changed meanwhile", "something else by now")
    assert await rows(here, Decision, job_id=website.id) == []
    kept = window.page.locator("details.act[open]").get_by_label("Why")
    await expect(kept).to_have_value("I believe it is well")


@pytest.mark.parametrize("refused", [429, 502])
async def test_a_page_whose_stream_was_refused_asks_again(
    db: Database, olga: User, tab: OpenTab, refused: int
) -> None:
    waits = await waiting(db)
    window = await tab()
    # As a proxy does while the web process is started anew.
    await window.page.route(
        "**/live", lambda route: route.fulfill(status=refused), times=1
    )

    await window.go(f"/console/inbox/{waits.id}")
    await window.log_in(olga.email)

    await expect(window.page.locator("#state[data-shown]")).to_be_attached()


async def test_a_login_that_nobody_answers_says_so_and_can_be_tried_again(
    olga: User, tab: OpenTab
) -> None:
    window = await tab()
    await window.page.route("**/console/login", lambda route: route.abort(), times=1)
    await window.go("/console/inbox")

    await window.log_in(olga.email)

    await window.says("The panel does not answer. Try again in a moment.")
    window.complaints.clear()  # the browser's own, of the call that failed
    await window.log_in(olga.email)
    await window.says("Find jobs")


async def test_a_word_leads_to_its_jobs(here: World, olga: User, tab: OpenTab) -> None:
    await parked_at_site(here)
    window = await tab()
    await window.go("/console/inbox")
    await window.log_in(olga.email)

    await window.page.get_by_label("Find jobs").fill("c1@example.com")
    await window.page.keyboard.press("Enter")
    await window.says("3 found", "Daily backups", "not begun")
    await window.page.get_by_label("Find jobs").fill("nobody@example.com")
    await window.page.keyboard.press("Enter")
    await window.says("No job is known by this")
