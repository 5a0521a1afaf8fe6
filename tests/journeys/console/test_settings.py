"""What owners look after in the browser: keys, people, agents, tools, webhooks, usage, health."""

import pytest
from playwright.async_api import expect

from schema.ids import new_id
from schema.installation.bootstrap import add_platform_admin
from tests.journeys.client import Client
from tests.journeys.console.conftest import Visit
from tests.journeys.console.visitor import DESK, PHONE
from tests.system import System


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
        "health": "Postgres",
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
