"""The chat widget: made in the console, put into a page of somebody else's server, and what its visitors see there."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from tests.counterparts.behaviours import text
from tests.journeys.client import Client
from tests.journeys.console.conftest import Visit
from tests.journeys.console.visitor import DESK, PHONE, Visitor
from tests.system import System, free_port

WORDS = 60


@dataclass
class Shop:
    """Somebody's website, of another origin, with a policy that allows nothing but the widget's server."""

    url: str
    snippet: str = ""
    lang: str = "en"
    served: list[str] = field(default_factory=list)

    async def show(self, request: web.Request) -> web.Response:
        server = re.search(r"https?://[^/]+", self.snippet)
        allowed = server[0] if server else "'none'"
        policy = f"default-src 'none'; script-src {allowed}; connect-src {allowed}; img-src 'self'"
        page = f"""<!doctype html><html lang="{self.lang}"><head><title>Shop</title><link rel="icon" href="data:,">
          <meta name="viewport" content="width=device-width, initial-scale=1"></head>
          <body><main><h1>Shop</h1><p>Coffee.</p></main>{self.snippet}</body></html>"""
        policy += " data:"  # the icon
        return web.Response(text=page, content_type="text/html", headers={"Content-Security-Policy": policy})


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    port = free_port()
    serving = Shop(f"http://127.0.0.1:{port}")
    app = web.Application()
    app.router.add_get("/", serving.show)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield serving
    await runner.cleanup()


async def visit_shop(browser: Browser, shop: Shop, system: System, **options: Any) -> Visitor:
    context = await browser.new_context(reduced_motion="reduce", **options)
    visitor = await Visitor.come(context, shop.url)
    visitor.hosts.append(urlsplit(system.url).netloc)
    await visitor.page.goto(shop.url)
    return visitor


async def test_a_widget_is_made_put_into_a_page_and_answers_its_visitors(
    visit: Visit, browser: Browser, client: Client, system: System, shop: Shop
) -> None:
    agent = {"name": "Teller", "description": "Tells of water.", "models": [f"openai/text-{WORDS}-at-30"]}
    status, said = await client.post("/api/admin/agents", agent)
    assert 201 == status, said
    owner = await visit("widgets", locale="en-GB")
    page = owner.page
    await owner.button("New widget").click()
    await page.get_by_role("textbox", name="Name", exact=True).fill("Shop")
    await page.get_by_label("Pages that may have it").fill(shop.url)
    await page.get_by_label("Greeting").fill("Hello! Ask us about water.")
    await owner.assert_fit()
    await owner.button("Create").click()
    shop.snippet = await page.locator(".secret").inner_text()
    await owner.assert_fit()
    await page.keyboard.press("Escape")
    await owner.assert_fit()

    guest = await visit_shop(browser, shop, system, **DESK)
    there = guest.page
    await guest.button("Open the chat").click()
    await expect(there.get_by_text("Hello! Ask us about water.")).to_be_visible()
    await guest.assert_fit()
    await there.get_by_label("Your message").fill("Tell me.")
    await there.keyboard.press("Enter")
    answer = there.locator(".theirs").last
    await expect(answer).to_contain_text(text(3))
    await there.reload()  # in the middle of the answer
    await expect(there.locator(".mine")).to_have_text("Tell me.")
    await expect(answer).to_have_text(text(WORDS))
    await expect(guest.button("Send")).to_be_visible()
    await guest.assert_fit()
    await assert_next_answer_is_stopped(guest)

    shop.lang = "vi"
    phone = await visit_shop(browser, shop, system, **PHONE, color_scheme="dark")
    await phone.button("Mở khung trò chuyện").click()
    await expect(phone.page.get_by_role("dialog", name="Trò chuyện")).to_be_visible()
    await expect(phone.page.locator(".mine")).to_have_count(0)
    await phone.assert_fit()
    await phone.page.keyboard.press("Escape")
    await expect(phone.button("Mở khung trò chuyện")).to_be_focused()

    await owner.button("Conversations: Shop").click()
    await expect(page.get_by_role("dialog").locator("tbody tr")).to_have_count(1)
    await owner.assert_fit()
    await owner.page.get_by_role("dialog").get_by_role("link").click()
    await expect(page.get_by_text("Tell me.").first).to_be_visible()
    await owner.open("widgets")
    await owner.button("Delete: Shop").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("No widgets yet.")).to_be_visible()
    guest.allowed += ["CORS", "Failed to load", "ERR_FAILED"]
    await expect_refused(there)
    for visitor in (guest, phone):
        await visitor.page.context.close()
        visitor.assert_calm()


async def assert_next_answer_is_stopped(guest: Visitor) -> None:
    await guest.page.get_by_label("Your message").fill("More.")
    await guest.button("Send").click()
    await expect(guest.page.locator(".theirs").last).to_contain_text(text(3))
    await guest.button("Stop").click()
    await expect(guest.page.get_by_text("Stopped.")).to_be_visible()
    await expect(guest.page.locator(".theirs").last).not_to_have_text(text(WORDS))


async def expect_refused(page: Page) -> None:
    """Ask until the key is refused, which is so within a second of its end; the question stays where it was typed."""
    box = page.get_by_label("Your message")
    await box.fill("Are you there?")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert").last).to_be_visible()
    await expect(box).to_have_value("Are you there?")
