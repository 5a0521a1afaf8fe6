"""What owners look after in the browser: keys, people, agents, tools, webhooks, usage, health."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect

from schema.ids import new_id
from schema.installation.bootstrap import add_platform_admin
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
    await page.get_by_label("Rights (optional)").fill("jobs.read")
    await visitor.assert_fit()
    await visitor.button("Create").click()
    key = await page.locator(".secret").inner_text()
    async with Client(system.url, {"Authorization": f"Bearer {key}"}) as robot:
        me = await robot.get("/api/auth/me")
        assert ("robot", ["self", "jobs.read"]) == (me["key"]["name"], me["rights"])
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


@pytest.mark.parametrize(("size", "theme", "locale"), [(DESK, "dark", "en-GB"), (PHONE, "light", "vi-VN")])
async def test_the_pages_of_owners_are_seen(
    visit: Visit, client: Client, system: System, size: dict, theme: str, locale: str
) -> None:
    trigger = {"name": "New issues", "job": {"kind": "chat", "message": "Sort: {{$.title}}", "model": "openai/text-5"}}
    for path, body in (
        ("/api/triggers", trigger),
        ("/api/api-keys", {"service_name": "ollama", "base_url": f"{system.url}/nowhere"}),
    ):
        status, said = await client.post(path, body)
        assert 201 == status, said
    visitor = await visit("triggers", size=size, color_scheme=theme, locale=locale)
    visitor.allowed.append("503")  # the health of a system of which not every part runs
    page = visitor.page
    shown = {
        "triggers": "New issues",
        "providers": "ollama",
        "sources": "",
        "signin": "",
        "health": "postgres",
        "tools": "",
    }
    for name, text_on_it in shown.items():
        await visitor.open(name)
        await expect(page.locator(".page .empty, .page .rows, .page .facts").first).to_contain_text(text_on_it)
        await visitor.assert_fit()
    await visitor.open("assistant")
    await page.locator(".page form input").first.fill("Short")
    await page.locator(".page form button[type=submit]").click()
    await expect(page.locator(".toast")).to_be_visible()
    await visitor.assert_fit()
    assert "Short" == (await client.get("/api/admin/configuration"))["persona"]["style"]


async def test_an_admin_makes_a_tenant_limits_and_suspends_it_and_sets_a_price(
    visit: Visit, shared_url: str, system: System
) -> None:
    key = add_platform_admin(shared_url)
    visitor = await visit("tenants", signed_in=False, locale="en-GB")
    await visitor.sign_in(key)
    page, slug = visitor.page, f"t-{new_id().hex[:12]}"
    await visitor.button("New organisation").click()
    await page.get_by_label("Short name").fill(slug)
    await page.get_by_role("textbox", name="Name", exact=True).fill("Acme")
    await page.get_by_label("Budget a day").fill("2.5")
    await visitor.assert_fit()
    await visitor.button("Create").click()
    await expect(page.locator(".secret")).to_contain_text("hr_")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await page.get_by_label("Search", exact=True).fill(slug)
    row = page.locator("table.rows tbody tr", has_text=slug)
    await expect(row).to_contain_text("$2.50 / –")
    await visitor.button(f"Suspend: {slug}").click()
    await page.get_by_role("dialog").get_by_role("button", name="Suspend").click()
    await expect(row).to_contain_text("Suspended")
    await visitor.assert_fit()
    visitor.allowed.append("503")  # the health of a system of which not every part runs
    await visitor.open("health")
    await expect(page.get_by_role("heading", name="History")).to_be_visible()
    await page.get_by_label("Part").select_option("postgres")
    await expect(page.locator("section .rows, section .empty").first).to_be_visible()
    await visitor.assert_fit()
    await visitor.open("models?search=gpt-4o-mini")
    await expect(page.locator("table.rows tbody tr").first).to_contain_text("gpt-4o-mini")
    await visitor.button("Set a model").click()
    name = f"own/{slug}"
    await page.get_by_role("textbox", name="Name").fill(name)
    await page.get_by_label("Input", exact=True).fill("0.5")
    await page.get_by_label("Output", exact=True).fill("1")
    await visitor.button("Save").click()
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await page.get_by_label("Search", exact=True).fill(slug)
    await expect(page.locator("table.rows tbody tr", has_text=name)).to_contain_text("$0.50")
    await visitor.assert_fit()
    await visitor.button(f"Reset: {name}").click()
    await page.get_by_role("dialog").get_by_role("button", name="Reset").click()
    await expect(page.get_by_text("No model has this name.")).to_be_visible()
