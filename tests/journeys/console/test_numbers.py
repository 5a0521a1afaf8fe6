"""Figures and records in the browser, and what finds every page: performance, usage, the audit log, the palette, the keys."""

import re

import pytest
from playwright.async_api import expect

from tests.journeys.client import Client
from tests.journeys.console.conftest import Visit
from tests.journeys.console.visitor import DESK, PHONE


@pytest.mark.parametrize(("size", "theme", "locale"), [(DESK, "light", "en-GB"), (PHONE, "dark", "vi-VN")])
async def test_performance_usage_and_the_audit_log_are_seen_and_saved(
    visit: Visit, client: Client, size: dict, theme: str, locale: str
) -> None:
    await client.ended((await client.submit("text-5"))["job_id"])
    visitor = await visit("usage?by=model", size=size, color_scheme=theme, locale=locale)
    page = visitor.page
    await expect(page.locator("table.rows")).to_contain_text("openai/text-5")
    await visitor.assert_fit()
    await visitor.open("performance")
    await expect(page.locator(".chart canvas")).to_have_count(6)
    await page.locator("summary").first.click()
    await expect(page.locator(".table-frame tbody tr")).to_have_count(61)
    await visitor.assert_fit()
    await visitor.open("audit?action=chat")
    await expect(page.locator("table.rows tbody tr")).to_contain_text("chat.ended")
    await visitor.assert_fit()
    if locale == "en-GB":
        async with page.expect_download() as coming:
            await visitor.link("As CSV").click()
        assert "chat.ended" in (await (await coming.value).path()).read_text()
        await page.get_by_placeholder("What: agent, user.created").fill("tenant.created")
        await expect(page).to_have_url(re.compile(r"action=tenant\.created"))
        await expect(page.get_by_text("Nothing matches these filters.")).to_be_visible()


async def test_everything_is_found_by_keys_alone(visit: Visit, client: Client) -> None:
    await client.ended((await client.submit("text-5", "About weirs"))["job_id"])
    visitor = await visit("keys", locale="en-GB")
    page = visitor.page
    await expect(page.locator("table.rows")).to_be_visible()
    await page.keyboard.press("j")
    await expect(page.locator("tbody tr").first.get_by_role("button")).to_be_focused()
    await page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    await expect(dialog).to_contain_text("Find anything")
    await visitor.assert_fit()
    await dialog.get_by_label("Shortcuts of a single key").uncheck()
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await expect(dialog).to_be_hidden()
    await page.keyboard.press("Control+k")
    palette = page.get_by_role("dialog", name="Find anything")
    await page.keyboard.type("perf")
    await expect(palette.get_by_role("option").first).to_have_text(re.compile("^Performance"))
    await visitor.assert_fit()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Performance")
    await page.keyboard.press("Control+k")
    await page.keyboard.type("weirs")
    await expect(palette.get_by_role("option")).to_have_text([re.compile("^About weirs")])
    await page.keyboard.press("Enter")
    await expect(page.locator(".question-text")).to_have_text("About weirs")
    await page.keyboard.press("Control+k")
    await page.keyboard.type("zzqq")
    await expect(page.get_by_text("Nothing has this name.")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(palette).to_be_hidden()
