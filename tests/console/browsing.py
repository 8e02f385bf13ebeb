"""A browser tab that notes whatever a page should not do."""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, Page, expect

SLOW = 60_000  # ms; the machine may be busy
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
PASSWORD = "correct horse battery staple"
# What a browser says of an answer that a test wants to see refused.
_REFUSED = re.compile(
    r"Failed to load resource: .* status of (401|403|404|409|422|429|502)"
)
# The page's width, and where each thing stands that can be pressed and is not folded
# away; all at once, as pages change by themselves.
_MEASURED = """() => ({
  wide: document.documentElement.scrollWidth,
  pressed: [...document.querySelectorAll("main button, main .button")]
    .filter((one) => one.checkVisibility())
    .map((one) => {
      const {left, right, height} = one.getBoundingClientRect();
      return {text: one.textContent, left, right, height};
    }),
})"""

expect.set_options(timeout=SLOW)


@dataclass
class Tab:
    """One window of one user's browser at one console."""

    panel: str
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    async def go(self, path: str) -> None:
        """Types an address."""
        await self.page.goto(f"{self.panel}{path}")

    async def log_in(self, email: str, password: str = PASSWORD) -> None:
        """By the form, wherever it is asked for."""
        await self.page.get_by_label("E-mail address").fill(email)
        await self.page.wait_for_load_state()  # its script sends the form
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Log in").click()

    async def says(self, *texts: str) -> None:
        """The page comes to say all of these."""
        for text in texts:
            await expect(self.page.locator("main")).to_contain_text(text)

    async def fits(self) -> None:
        """Nothing stands beyond the window's width; what can be pressed can be hit."""
        await self.page.wait_for_load_state()  # the page may stand there, unstyled
        width = (self.page.viewport_size or DESKTOP)["width"]
        found = await self.page.evaluate(
            _MEASURED
        )  # at once: pages change by themselves
        assert found["wide"] <= width, f"{self.page.url} is {found['wide']} px wide"
        for one in found["pressed"]:
            assert one["height"] >= 43, one
            assert one["left"] >= 0, one
            assert one["right"] <= width, one

    async def decide(self, act: str, why: str, confirm: str) -> None:
        """Opens an act, reads nothing, gives a reason, confirms."""
        buttons = self.page.locator("details.act > summary")
        await buttons.filter(has_text=act).click()
        form = self.page.locator("details.act[open] form")
        await form.get_by_label("Why").fill(why)
        box = form.get_by_role("checkbox")
        if await box.count():
            await box.check()
        await form.get_by_role("button", name=confirm).click()

    def _note(self, complaint: str) -> None:
        if not _REFUSED.match(complaint):
            self.complaints.append(complaint)


async def open_tab(
    browser: Browser, panel: str, *, size: dict[str, int] | None = None, js: bool = True
) -> Tab:
    """A tab of a browser that knows nobody."""
    context = await browser.new_context(
        viewport=size or DESKTOP,  # type: ignore[arg-type]
        java_script_enabled=js,
    )
    context.set_default_timeout(SLOW)
    page = await context.new_page()
    tab = Tab(panel, context, page)
    page.on(
        "console",
        lambda said: (
            tab._note(said.text) if said.type in ("error", "warning") else None
        ),
    )
    page.on("pageerror", lambda error: tab._note(str(error)))
    page.on("dialog", lambda dialog: tab._note(f"dialog: {dialog.message}"))

    def leaving(url: str) -> None:
        if urlsplit(url).netloc != urlsplit(panel).netloc:
            tab._note(f"asked {url}")

    page.on("request", lambda request: leaving(request.url))
    return tab
