"""Somebody at the console: a page of a browser, and what must be true of whatever they do there."""

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, Request, expect

from tests.waiting import PATIENCE_S

DESK: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
expect.set_options(timeout=PATIENCE_S * 1000)


@dataclass
class Visitor:
    """A page of a browser. What it must not do is gathered, and asserted at the end (`assert_calm`)."""

    page: Page
    url: str
    allowed: list[str] = field(default_factory=list)
    """Parts of messages in the browser's console that the test provokes."""
    problems: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    """Other hosts that may be asked."""

    @classmethod
    async def come(cls, context: BrowserContext, url: str) -> "Visitor":
        """Open a tab."""
        visitor = cls(await context.new_page(), url)
        visitor.page.set_default_timeout(PATIENCE_S * 1000)
        visitor.page.on("console", visitor._on_console)
        visitor.page.on("pageerror", lambda error: visitor.problems.append(f"error in the page: {error}"))
        visitor.page.on("request", visitor._on_request)
        return visitor

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in self.allowed):
            self.problems.append(f"console: {message.text} ({message.location.get('url')})")

    def _on_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https") and address.netloc not in (urlsplit(self.url).netloc, *self.hosts):
            self.problems.append(f"asked another host: {request.url}")

    async def open(self, path: str = "") -> None:
        """Go to a page of the console by its address."""
        await self.page.goto(f"{self.url}/console/{path}")

    async def sign_in(self, key: str) -> None:
        """Sign in with an API key, as the sign-in page has it."""
        await self.button(re.compile("^(API key|Khoá API)$")).click()
        await self.page.locator("input[type=password]").fill(key)
        await self.page.locator("form button[type=submit]").click()
        await expect(self.page.locator("nav")).to_be_attached()

    async def choose(self, model: str) -> None:
        """Have this model answer, as somebody who chose it before."""
        choice = json.dumps({"agent": "", "model": model, "collections": []})
        await self.page.evaluate("choice => localStorage.setItem('headrace.choice', choice)", choice)
        await self.page.reload()

    async def ask(self, question: str) -> None:
        """Ask in the open conversation."""
        await self.page.get_by_label(re.compile("^(Message|Tin nhắn)$")).fill(question)
        await self.page.keyboard.press("Enter")

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("button", name=name, exact=isinstance(name, str))

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=name)

    async def assert_fit(self) -> None:
        """Assert that axe-core finds nothing on the page as it is now, and that nothing is wider than the screen."""
        await expect(self.page.locator("h1").first).to_be_attached()
        found = (await Axe().run(self.page)).response["violations"]
        told = [f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary']}" for one in found]
        assert not told, "\n".join(told)
        inner, outer = await self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert inner <= outer, f"the page is {inner} px wide, the screen {outer}"
        parts = "[...document.querySelectorAll('main, .page, .conversation')]"
        wide = f"{parts}.filter(part => part.scrollWidth > part.clientWidth + 1).length"
        assert 0 == await self.page.evaluate(wide), "something is wider than the page"

    def assert_calm(self) -> None:
        """Assert that the browser had nothing to complain of, and that no other host was asked."""
        assert not self.problems, "\n".join(self.problems)
