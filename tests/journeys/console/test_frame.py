"""Signing in, the frame around the pages, and what happens when a sign-in ends."""

import pytest
from playwright.async_api import Route, expect

from tests.conftest import TestTenant
from tests.journeys.client import Client
from tests.journeys.console.conftest import Visit
from tests.journeys.console.visitor import DESK, PHONE
from tests.system import System

PASSWORD = "sluice gates open at dawn"


async def test_a_person_signs_in_with_a_password_and_out_again(
    visit: Visit, client: Client, tenant: TestTenant
) -> None:
    email = "an@example.com"
    status, said = await client.post(
        "/api/users", {"email": email, "name": "An", "password": PASSWORD, "role": "member"}
    )
    assert 201 == status, said
    visitor = await visit(signed_in=False, locale="en-GB")
    visitor.allowed.append("401")  # the wrong password
    page = visitor.page
    await visitor.assert_fit()
    await page.get_by_label("Organisation").fill(tenant.slug)
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password").fill("wrong")
    await visitor.button("Sign in").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await page.get_by_label("Password").fill(PASSWORD)
    await visitor.button("Sign in").click()
    await expect(page.get_by_text("What would you like to know?")).to_be_visible()

    await page.locator(".account-button").click()
    await visitor.assert_fit()
    await visitor.button("Sign out").click()
    await expect(visitor.button("Sign in")).to_be_visible()
    await page.reload()
    await expect(visitor.button("Sign in")).to_be_visible()


async def test_a_link_with_a_code_signs_in_once(visit: Visit, client: Client) -> None:
    status, said = await client.post("/api/auth/codes")
    assert 201 == status, said
    path = said["url"].split("/console/")[1]
    visitor = await visit(path, signed_in=False)
    await expect(visitor.page.locator("nav")).to_be_attached()
    assert "#" not in visitor.page.url
    other = await visit(path, signed_in=False)
    other.allowed.append("401")
    await expect(other.page.get_by_role("alert")).to_be_visible()


@pytest.mark.parametrize(("size", "theme", "locale"), [(DESK, "light", "en-GB"), (PHONE, "dark", "vi-VN")])
async def test_the_pages_are_reached_by_their_links_and_back(visit: Visit, size: dict, theme: str, locale: str) -> None:
    visitor = await visit(size=size, color_scheme=theme, locale=locale)
    page, names = visitor.page, {"en-GB": ("Menu", "Jobs"), "vi-VN": ("Menu", "Công việc")}
    menu, jobs = names[locale]
    assert locale[:2] == await page.locator("html").get_attribute("lang")
    if size is PHONE:
        await visitor.button(menu).click()
    await page.get_by_role("navigation").get_by_role("link", name=jobs).click()
    await expect(page.get_by_role("heading", level=1, name=jobs)).to_be_visible()
    await visitor.assert_fit()
    await page.go_back()
    await expect(page.locator(".composer")).to_be_visible()
    await page.go_forward()
    await expect(page.get_by_role("heading", level=1, name=jobs)).to_be_visible()


async def test_theme_and_language_are_chosen_and_kept(visit: Visit) -> None:
    visitor = await visit(color_scheme="light", locale="en-GB")
    page = visitor.page
    await page.locator(".account-button").click()
    await page.get_by_label("Theme").select_option("dark")
    await page.get_by_label("Language").select_option("vi")
    await expect(page.get_by_role("dialog", name="Tài khoản và cài đặt")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("navigation").get_by_role("link", name="Tài liệu")).to_be_visible()
    assert "rgb(18, 22, 25)" == await page.evaluate("getComputedStyle(document.body).backgroundColor")


async def test_a_sign_in_that_ended_elsewhere_is_asked_for_above_the_page_and_nothing_typed_is_lost(
    visit: Visit, client: Client, tenant: TestTenant
) -> None:
    status, key = await client.post("/api/auth/keys", {"name": "laptop", "role": "member"})
    assert 201 == status, key
    visitor = await visit(signed_in=False, locale="en-GB")
    visitor.allowed.append("401")
    await visitor.sign_in(key["secret"] if "secret" in key else key["key"])
    page = visitor.page
    await page.get_by_label("Message").fill("a whole question")
    async with client.http.delete(f"/api/auth/keys/{key['id']}") as answer:
        assert 204 == answer.status
    await visitor.button("Send").dispatch_event("click")  # which the dialog may have covered already
    dialog = page.get_by_role("dialog", name="Sign in")
    await expect(dialog).to_be_visible()
    await visitor.assert_fit()
    await dialog.get_by_role("button", name="API key").click()
    await dialog.locator("input[type=password]").fill(tenant.key)
    await dialog.locator("button[type=submit]").click()
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_label("Message")).to_have_value("a whole question")


async def test_it_works_behind_a_proxy_that_adds_a_path_prefix(visit: Visit, system: System) -> None:
    visitor = await visit(locale="en-GB")

    async def forward(route: Route) -> None:
        url = route.request.url.replace("/hr/", "/", 1)
        await route.fulfill(response=await route.fetch(url=url, max_redirects=0))

    await visitor.page.context.route("**/hr/**", forward)
    await visitor.page.goto(f"{system.url}/hr/console/keys")
    await expect(visitor.page.get_by_role("heading", level=1)).to_have_text("API keys")
    await expect(visitor.page.locator("table.rows")).to_be_visible()
    href = await visitor.page.get_by_role("navigation").get_by_role("link").first.get_attribute("href")
    assert "/hr/console/chat" == href
    await visitor.page.context.unroute_all(behavior="ignoreErrors")


async def test_an_address_of_no_page_says_so(visit: Visit) -> None:
    visitor = await visit("no/such/page", locale="en-GB")
    await expect(visitor.page.get_by_text("There is no such page.")).to_be_visible()
