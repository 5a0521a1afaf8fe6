"""What owners look after in the browser: keys, people, agents, tools, webhooks, usage, health."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect

from tests.counterparts.behaviours import text
from tests.counterparts.webhook_receiver import WebhookReceiver
from tests.journeys.client import Client
from tests.journeys.console.conftest import Visit
from tests.journeys.console.visitor import DESK, PHONE
from tests.system import System

PASSWORD = "sluice gates open at dawn"


async def test_a_key_is_shown_once_works_and_is_revoked(visit: Visit, system: System) -> None:
    visitor = await visit("keys", locale="en-GB")
    page = visitor.page
    await visitor.button("New key").click()
    await page.get_by_role("textbox", name="Name").fill("robot")
    await visitor.assert_fit()
    await visitor.button("Create").click()
    key = await page.locator(".secret").inner_text()
    async with Client(system.url, {"Authorization": f"Bearer {key}"}) as robot:
        assert "robot" == (await robot.get("/api/auth/me"))["key"]["name"]
    await page.keyboard.press("Escape")
    await visitor.button("Revoke: robot").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(page.locator("tr", has_text="robot")).to_contain_text("Revoked")


async def test_a_person_who_is_added_sees_only_what_is_theirs(visit: Visit, client: Client) -> None:
    await client.submit("text-5", "Mine alone")
    visitor = await visit("people", locale="en-GB")
    visitor.allowed.append("status of 4")  # a password that is too weak
    page = visitor.page
    await visitor.button("Add a person").click()
    await page.get_by_label("E-mail").fill("binh@example.com")
    await page.get_by_label("First password (optional)").fill("password")
    await visitor.button("Create").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await visitor.assert_fit()
    await page.get_by_label("First password (optional)").fill(PASSWORD)
    await visitor.button("Create").click()
    await expect(page.locator("table.rows")).to_contain_text("binh@example.com")
    await visitor.assert_fit()

    other = await visit(signed_in=False, locale="en-GB")
    await other.page.get_by_label("Organisation").fill((await client.get("/api/tenant"))["slug"])
    await other.page.get_by_label("E-mail").fill("binh@example.com")
    await other.page.get_by_label("Password").fill(PASSWORD)
    await other.button("Sign in").click()
    await expect(other.page.get_by_text("No conversations yet.")).to_be_visible()
    await expect(other.page.get_by_role("navigation").get_by_role("link", name="People")).to_have_count(0)
    await other.open("jobs")
    await expect(other.page.get_by_text("No jobs yet.")).to_be_visible()


async def test_a_new_agent_answers(visit: Visit) -> None:
    visitor = await visit("agents", locale="en-GB")
    visitor.allowed.append("status of 4")  # a name that is none
    page = visitor.page
    await visitor.button("New agent").click()
    await page.get_by_role("textbox", name="Name").fill("no name!")
    await page.get_by_label("What it is for").fill("Tells of water.")
    await page.get_by_label("Models").fill("openai/text-7")
    await visitor.button("Create").click()
    await expect(page.locator(".field-error")).to_be_visible()
    await visitor.assert_fit()
    await page.get_by_role("textbox", name="Name").fill("Teller")
    await visitor.button("Create").click()
    await visitor.link("Ask it: Teller").click()
    await page.get_by_label("Message").fill("Tell me.")
    await page.keyboard.press("Enter")
    await expect(page.locator(".markdown")).to_have_text(text(7))
    await expect(page.locator(".answer-name")).to_contain_text("Teller")


@pytest.fixture
async def receiver(system: System) -> AsyncIterator[WebhookReceiver]:
    """Somebody who is told, and the worker that tells them."""
    system.start("default")
    await system.ready("default")
    async with WebhookReceiver() as listening:
        yield listening


async def test_a_webhook_is_tested_and_sent_again(visit: Visit, receiver: WebhookReceiver) -> None:
    visitor = await visit("webhooks", locale="en-GB")
    page = visitor.page
    await visitor.button("New endpoint").click()
    await page.get_by_label("Address").fill(receiver.url())
    await visitor.button("Create").click()
    await expect(page.locator(".secret")).to_contain_text("whsec_")
    await page.keyboard.press("Escape")
    await visitor.button(f"Send a test: {receiver.url()}").click()
    await receiver.until(1)
    row = page.locator("section table.rows tbody tr")
    await expect(row).to_contain_text("Delivered")
    await visitor.assert_fit()
    await row.get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("200")
    await visitor.assert_fit()
    await dialog.get_by_role("button", name="Send again").click()
    await receiver.until(2)
    assert 1 == len(set(receiver.ids()))


@pytest.mark.parametrize(("size", "theme", "locale"), [(DESK, "light", "en-GB"), (PHONE, "dark", "vi-VN")])
async def test_usage_health_and_tools_are_seen(
    visit: Visit, client: Client, size: dict, theme: str, locale: str
) -> None:
    await client.ended((await client.submit("text-5"))["job_id"])
    visitor = await visit("usage?by=model", size=size, color_scheme=theme, locale=locale)
    visitor.allowed.append("503")  # the health of a system of which not every part runs
    await expect(visitor.page.locator("table.rows")).to_contain_text("openai/text-5")
    await visitor.assert_fit()
    await visitor.open("health")
    await expect(visitor.page.locator(".facts")).to_contain_text("postgres")
    await visitor.assert_fit()
    await visitor.open("tools")
    await expect(visitor.page.locator(".page h1")).to_be_visible()
    await visitor.assert_fit()
