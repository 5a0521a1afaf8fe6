"""Jobs in the browser: as they change, why they failed, and again."""

import re
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from playwright.async_api import Route, expect

from tests.journeys.client import Client
from tests.journeys.console.conftest import Visit
from tests.journeys.console.visitor import PHONE


async def test_jobs_are_seen_as_they_change_and_filters_are_in_the_address(visit: Visit, client: Client) -> None:
    visitor = await visit("jobs", locale="en-GB")
    page = visitor.page
    await expect(page.get_by_text("No jobs yet.")).to_be_visible()
    accepted = await client.submit("text-5000-at-5")
    row, new = page.locator("table.rows tbody tr"), visitor.button("Show 1 new")
    await expect(row.or_(new)).to_be_visible()
    if await new.is_visible():  # else the page's stream was opened only after the job was there
        await new.click()
    await expect(row).to_contain_text("Running")
    await visitor.assert_fit()
    await client.cancel(accepted["job_id"])
    await expect(row).to_contain_text("Cancelled")
    await visitor.button("Failed").click()
    await expect(page).to_have_url(re.compile(r"/jobs\?state=failed$"))
    await expect(page.get_by_text("No job matches these filters.")).to_be_visible()
    await page.reload()
    await expect(visitor.button("Failed")).to_have_attribute("aria-pressed", "true")
    await page.go_back()
    await expect(row).to_have_count(1)
    await page.get_by_label("Created").select_option("1h")
    await expect(page).to_have_url(re.compile(r"/jobs\?since=1h$"))
    await expect(row).to_have_count(1)
    await expect(page.locator(".summary")).to_have_text("1 job")
    async with page.expect_download() as coming:
        await visitor.link("As CSV").click()
    lines = (await (await coming.value).path()).read_text().splitlines()
    assert (2, True) == (len(lines), accepted["job_id"] in lines[1])


async def test_a_failed_job_says_why_and_runs_again(visit: Visit, client: Client) -> None:
    accepted = await client.submit("refuse-400")
    await client.ended(accepted["job_id"])
    visitor = await visit("jobs?state=failed", locale="en-GB", size=PHONE)
    page = visitor.page
    await page.locator(".row-link").click()
    await expect(page.locator(".note.error")).to_be_visible()
    await expect(page.locator(".timeline")).to_contain_text("Failed")
    await expect(page.locator("h2", has_text="Attempts")).to_be_visible()
    await visitor.assert_fit()
    await visitor.button("Retry").click()
    await expect(page.locator(".timeline li", has_text="Started")).to_have_count(1)
    await client.ended(accepted["job_id"])
    await expect(visitor.button("Retry")).to_be_visible()


async def test_all_that_failed_is_driven_again_at_once(visit: Visit, client: Client) -> None:
    jobs = [(await client.submit("refuse-400"))["job_id"] for _ in range(3)]
    for job in jobs:
        await client.ended(job)
    visitor = await visit("jobs?state=failed", locale="en-GB")
    page = visitor.page
    await visitor.button("Retry all that failed (3)").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Retry 3 with these filters?")
    await visitor.assert_fit()
    await dialog.get_by_role("button", name="Retry all that failed").click()
    await expect(page.get_by_text("3 started again.")).to_be_visible()
    for job in jobs:
        await client.ended(job)


async def test_some_jobs_are_selected_and_cancelled_or_run_again_together(visit: Visit, client: Client) -> None:
    dead = [(await client.submit("refuse-400"))["job_id"] for _ in range(2)]
    for job in dead:
        await client.ended(job)
    live = (await client.submit("text-5000-at-5"))["job_id"]
    visitor = await visit("jobs", locale="en-GB", size=PHONE)
    page = visitor.page
    await expect(page.locator("tbody tr")).to_have_count(3)
    await page.get_by_label(re.compile("Select chat")).first.check()
    await expect(page.get_by_text("1 selected")).to_be_visible()
    for box in await page.get_by_label(re.compile("Select chat")).all():
        await box.check()
    bar = page.get_by_role("group", name="Selected")
    await expect(bar).to_contain_text("3 selected")
    await visitor.assert_fit()
    await bar.get_by_role("button", name="Cancel 1").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel 1").click()
    await expect(page.get_by_text("1 cancelled.")).to_be_visible()
    await client.ended(live)
    for box in await page.get_by_label(re.compile("Select chat")).all():
        await box.check()
    await bar.get_by_role("button", name="Run 3 again").click()
    await page.get_by_role("dialog").get_by_role("button", name="Run 3 again").click()
    await expect(page.get_by_text("3 started again.")).to_be_visible()
    await expect(bar).to_have_count(0)
    await client.cancel(live)


async def test_a_running_job_is_cancelled_from_its_page(visit: Visit, client: Client) -> None:
    accepted = await client.submit("text-5000-at-5")
    visitor = await visit(f"jobs/{accepted['job_id']}", locale="en-GB")
    await visitor.button("Cancel job").click()
    await expect(visitor.page.locator(".facts")).to_contain_text("Cancelled")
    await expect(visitor.page.locator(".timeline")).to_contain_text("Cancelled")


async def test_of_a_long_list_only_what_is_near_is_in_the_page(visit: Visit, client: Client) -> None:
    job = (await client.submit("text-1"))["job_id"]
    await client.ended(job)
    visitor = await visit("settings/keys", locale="en-GB")
    page = visitor.page

    async def list_many(route: Route) -> None:
        found = await (await route.fetch(url=f"{visitor.url}/api/jobs")).json()
        start, limit = (int(parse_qs(urlsplit(route.request.url).query)[name][0]) for name in ("cursor", "limit"))
        items = [found["items"][0] | {"id": str(UUID(int=n)), "tries": n % 7} for n in range(start, start + limit)]
        await route.fulfill(json={"items": items, "next_cursor": str(start + limit) if start + limit < 649 else None})

    async def list_first(route: Route) -> None:
        found = await (await route.fetch()).json()
        await route.fulfill(json={"items": found["items"], "next_cursor": "0"})

    await page.route(re.compile(r"/api/jobs\?(?!.*cursor)"), list_first)
    await page.route(re.compile(r"/api/jobs\?.*cursor="), list_many)
    await visitor.open("jobs")
    rows, table = page.locator("table.rows tbody tr:not(.gap)"), page.locator("table.rows")
    for read in range(1, 7):
        await visitor.button("Show more").click()
        await expect(table).to_have_attribute("aria-rowcount", str(51 + 100 * read))
    await page.locator("main").evaluate("main => main.scrollTo(0, main.scrollHeight)")
    await expect(page.locator(f"a[href$='{UUID(int=648)}']")).to_be_visible()
    await expect(page.locator(f"a[href$='{UUID(int=60)}']")).to_have_count(0)
    assert await rows.count() < 300
    await visitor.assert_fit()
    await page.locator("main").evaluate("main => main.scrollTo(0, 0)")
    await expect(page.locator(f"a[href$='{job}']")).to_be_visible()
    await expect(page.locator(f"a[href$='{UUID(int=648)}']")).to_have_count(0)
