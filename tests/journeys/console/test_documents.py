"""Documents in the browser: dropped, searchable, found, and cited in an answer that opens them."""

import json

from playwright.async_api import FilePayload, Route, expect

from tests.journeys.client import Client
from tests.journeys.console.conftest import Visit
from tests.journeys.console.visitor import PHONE

HANDBOOK = (
    b"# Handbook\n\n## Leave\n\nEverybody has 24 working days of paid leave.\n\n## Keys\n\nKeys lie at the gate.\n"
)
QUESTION = "How many working days of paid leave are there?"


async def test_a_document_goes_from_a_drop_to_an_answer_that_cites_it(visit: Visit, worker: str) -> None:
    visitor = await visit("documents", locale="en-GB")
    page = visitor.page
    await expect(page.get_by_text("No documents yet.")).to_be_visible()
    await visitor.assert_fit()
    file = {"name": "handbook.md", "mimeType": "text/markdown", "buffer": HANDBOOK}
    await page.get_by_label("Into collection").fill("handbook")
    await page.locator("input[type=file]").set_input_files([file])
    row = page.locator("table.rows tbody tr")
    await expect(row).to_contain_text("Searchable")

    await page.get_by_label("Search by meaning and words").fill(QUESTION)
    await visitor.button("Search").click()
    passage = page.locator(".passages > li").first
    await expect(passage).to_contain_text("24 working days")
    await expect(passage).to_contain_text("by words #1")
    await visitor.assert_fit()

    await page.get_by_label("Collection", exact=True).select_option("handbook")
    await page.get_by_text("Settings of handbook").click()
    await page.get_by_label("Embedder").select_option("openai/small")
    await visitor.assert_fit()
    await page.locator(".settings").get_by_role("button", name="Save").click()
    await expect(page.get_by_text("It is searched with openai/small now.")).to_be_visible()
    await expect(page.get_by_label("Embedder")).to_have_value("openai/small")

    choice = json.dumps({"agent": "", "model": "offline/extractive", "collections": ["handbook"]})
    await page.evaluate("choice => localStorage.setItem('headrace.choice', choice)", choice)
    await visitor.open("chat")
    await page.get_by_label("Message").fill(QUESTION)
    await page.keyboard.press("Enter")
    await expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    await page.locator(".markdown .cite").first.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("24 working days")
    await visitor.assert_fit()
    await dialog.get_by_role("link", name="Open the document").click()
    await expect(page.locator(".passages > .found")).to_contain_text("24 working days")
    await visitor.assert_fit()


async def test_a_file_that_is_refused_or_unreadable_says_why(visit: Visit, client: Client, worker: str) -> None:
    visitor = await visit("documents", locale="en-GB", size=PHONE)
    visitor.allowed.append("status of 4")
    page = visitor.page
    files = [
        {"name": "program.exe", "mimeType": "application/octet-stream", "buffer": b"MZ\x90\x00" + bytes(200)},
        {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7\nnothing of a document\n"},
    ]
    await page.locator("input[type=file]").set_input_files(files)
    await expect(page.get_by_role("alert")).to_contain_text("program.exe")
    row = page.locator("table.rows tbody tr")
    await expect(row).to_contain_text("Failed")
    await expect(row.locator(".field-error")).to_be_visible()
    await visitor.assert_fit()
    await row.get_by_role("button", name="Delete: broken.pdf").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("No documents yet.")).to_be_visible()


async def test_files_that_meet_a_server_that_is_away_are_sent_again(visit: Visit) -> None:
    visitor = await visit("documents", locale="en-GB")
    visitor.allowed += ["ERR_", "status of 503"]
    asked: list[int] = []

    async def answer(route: Route) -> None:
        """A server that is away, then busy, then there; the page learns of each file once."""
        asked.append((route.request.post_data_buffer or b"").count(b'name="files"'))
        if len(asked) == 1:
            await route.abort("connectionrefused")
        elif len(asked) == 2:
            await route.fulfill(status=503, json={"code": "unavailable", "detail": "Try again in a second."})
        else:
            refused = [{"name": f"{n}.md", "message": "It is empty."} for n in range(20)] if len(asked) < 5 else []
            await route.fulfill(status=202, json={"documents": [], "refused": refused})

    await visitor.page.route("**/api/documents", answer)
    files: list[FilePayload] = [{"name": f"{n}.md", "mimeType": "text/markdown", "buffer": b"# One"} for n in range(45)]
    await visitor.page.locator("input[type=file]").set_input_files(files)
    alert = visitor.page.get_by_role("alert")
    await expect(alert).to_contain_text("and 20 more.")
    await expect(visitor.page.get_by_role("progressbar")).to_have_count(0)
    assert [20, 20, 20, 20, 5] == asked
    await expect(alert.get_by_role("button")).to_have_count(0)
