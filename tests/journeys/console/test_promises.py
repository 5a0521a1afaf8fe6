"""What must hold in the browser in every run of the tests: an answer outlives all that die, a person sees what is theirs,
and what was not heard is sent again. A drop that ends as a cited answer, a new agent, dead jobs and a benchmark's chart are in
the files of their nouns."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect

from tests.counterparts.behaviours import text
from tests.counterparts.webhook_receiver import WebhookReceiver
from tests.journeys.client import Client
from tests.journeys.console.conftest import Visit
from tests.system import System

PASSWORD = "sluice gates open at dawn"
WORDS = 60


async def test_an_answer_comes_whole_although_its_worker_and_the_api_are_killed(visit: Visit, system: System) -> None:
    visitor = await visit(locale="en-GB")
    visitor.allowed += ["ERR_", "Failed to load resource"]
    page = visitor.page
    await visitor.choose(f"openai/text-{WORDS}-at-20")
    await visitor.ask("Tell me in spite of that.")
    await expect(page.locator(".markdown")).to_contain_text(text(10))
    system.kill("chat")
    system.kill("api")
    await expect(page.get_by_text("The connection is lost.")).to_be_visible()
    await page.get_by_label("Message").fill("A thought meanwhile")
    system.start("api")
    system.start("chat")
    answer = page.locator(".answer")
    await expect(answer).to_have_attribute("aria-busy", "false")
    await expect(answer.locator(".markdown")).to_have_text(text(WORDS))
    await expect(page.get_by_label("Message")).to_have_value("A thought meanwhile")


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
