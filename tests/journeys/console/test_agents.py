"""Agents in the browser: made, tried beside their settings, changed by two people, and gone back to what they were."""

from playwright.async_api import expect

from schema.installation.bootstrap import add_platform_admin
from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.journeys.client import Client
from tests.journeys.console.conftest import Visit
from tests.journeys.console.visitor import PHONE


async def test_a_new_agent_is_tried_and_it_is_said_why_it_answers(visit: Visit, client: Client) -> None:
    visitor = await visit("agents", locale="en-GB")
    visitor.allowed.append("status of 4")  # a name that is none
    page = visitor.page
    await visitor.button("New agent").click()
    await page.get_by_role("textbox", name="Name").fill("no name!")
    await page.get_by_label("What it is for").fill("Tells of water.")
    await page.get_by_label("Example questions").fill("Tell me of water.")
    await page.get_by_label("Models").fill("openai/text-7")
    await visitor.button("Create").click()
    await expect(page.locator(".field-error")).to_be_visible()
    await visitor.assert_fit()
    await page.get_by_role("textbox", name="Name").fill("Teller")
    await visitor.button("Create").click()
    await expect(page.get_by_role("heading", level=1, name="Teller")).to_be_visible()
    await page.get_by_label("Question", exact=True).fill("Tell me of water.")
    await page.get_by_label("Whom the question is led to").check()
    await visitor.button("Ask").click()
    await expect(page.locator(".why")).to_contain_text("One of this agent's examples says the same.")
    await expect(page.locator(".scores")).to_contain_text("Teller")
    await expect(page.locator(".scores")).to_contain_text("99 %")
    await expect(page.locator(".markdown")).to_have_text(text(7))
    await visitor.assert_fit()
    trace = (await client.get("/api/jobs"))["items"][0]["id"]
    (step, *_) = (await client.get(f"/api/jobs/{trace}/trace"))["steps"]
    assert [{"agent": "Teller", "score": 0.99}] == step["scores"]
    await page.get_by_role("link", name="Steps and cost").click()
    await expect(page.get_by_role("heading", name="Steps")).to_be_visible()
    await expect(page.locator(".why .scores")).to_contain_text("99 %")
    await visitor.assert_fit()
    await page.go_back()

    await page.get_by_label("Instructions").fill("Be brief.\nBe kind.")
    await visitor.button("Save").click()
    await expect(page.get_by_text("Version 2")).to_be_visible()
    await visitor.button("Compare: Version 1").click()
    await expect(page.get_by_role("dialog").locator(".diff ins")).to_have_text(["+ Be brief.", "+ Be kind."])
    await visitor.assert_fit()
    await visitor.button("Go back to this version").click()
    await expect(page.get_by_text("Version 3")).to_be_visible()
    await expect(page.get_by_label("Instructions")).to_have_value("")
    assert "" == (await client.get("/api/admin/agents/Teller"))["prompt"]

    small = await visit("agents/Teller", locale="vi-VN", size=PHONE, color_scheme="dark")
    await expect(small.page.get_by_role("heading", name="Các phiên bản")).to_be_visible()
    await small.assert_fit()


async def test_who_changes_an_agent_second_is_told_what_the_first_changed(visit: Visit, client: Client) -> None:
    status, said = await client.post("/api/admin/agents", {"name": "Teller", "description": "Tells of water."})
    assert 201 == status, said
    visitor = await visit("agents", locale="en-GB")
    page, path = visitor.page, "/api/admin/agents/Teller"
    await visitor.link("Change: Teller").click()
    await expect(page.get_by_label("What it is for")).to_have_value("Tells of water.")
    async with client.http.patch(path, json={"prompt": "Be brief.", "description": "Tells of rivers."}) as answer:
        assert 200 == answer.status
    await page.get_by_label("What it is for").fill("Tells of dams.")
    await visitor.button("Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("What it is for, Instructions")
    await expect(page.get_by_label("What it is for")).to_have_value("Tells of dams.")
    await visitor.assert_fit()
    await visitor.button("Save").click()
    await expect(page.get_by_text("Version 3")).to_be_visible()
    kept = await client.get(path)
    assert ("Tells of dams.", "Be brief.") == (kept["description"], kept["prompt"])


async def test_an_admin_grants_an_agent_of_the_installation(visit: Visit, shared_url: str, tenant: TestTenant) -> None:
    key = add_platform_admin(shared_url)
    visitor = await visit("agents", signed_in=False, locale="en-GB")
    await visitor.sign_in(key)
    page, name = visitor.page, f"Shared-{tenant.slug}"
    await visitor.button("New agent").click()
    await page.get_by_role("textbox", name="Name").fill(name)
    await page.get_by_label("What it is for").fill("Tells of water.")
    await visitor.button("Create").click()
    more, box = visitor.button("Show more"), page.get_by_role("checkbox", name=tenant.slug)
    await expect(page.locator("section .tick").first).to_be_visible()
    while not await box.count() and await more.count():
        before = await page.locator("section .tick").count()
        await more.click()
        await expect(page.locator("section .tick").nth(before)).to_be_visible()
    await box.check()
    await expect(box).to_be_checked()
    await visitor.assert_fit()
    async with Client(visitor.url, tenant.headers) as client:
        assert name in [one["name"] for one in (await client.get("/api/agents"))["items"]]
