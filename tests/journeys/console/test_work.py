"""What runs by itself and what is measured, in the browser: schedules, pipelines, benchmarks."""

import re

import pytest
from playwright.async_api import expect

from tests.journeys.client import Client
from tests.journeys.console.conftest import Visit
from tests.journeys.console.visitor import PHONE
from tests.system import System


@pytest.fixture
async def runner(system: System) -> System:
    """The system with a worker that runs pipelines and benchmarks."""
    system.start("default")
    await system.ready("default")
    return system


async def test_a_schedule_is_made_run_paused_and_says_what_became_of_it(visit: Visit, client: Client) -> None:
    visitor = await visit("schedules", locale="en-GB", timezone_id="Asia/Saigon")
    visitor.allowed.append("status of 4")  # times that are none
    page = visitor.page
    await expect(page.get_by_text("No schedules yet.")).to_be_visible()
    await visitor.button("New schedule").click()
    await page.get_by_role("textbox", name="Name").fill("Morning report")
    await page.get_by_label("What is asked").fill("What is due?")
    await page.get_by_label("When").fill("at eight")
    await visitor.button("Create").click()
    await expect(page.locator(".field-error")).to_be_visible()
    await visitor.assert_fit()
    await page.get_by_label("When").fill("0 8 * * MON-FRI")
    await visitor.button("Create").click()
    await visitor.link("Morning report").click()
    await expect(page.locator(".facts")).to_contain_text("Asia/Saigon")
    await expect(page.locator(".plain-list li")).to_have_count(5)
    await expect(page.locator(".plain-list li").first).to_contain_text(re.compile(r"\b0?8:00:00"))
    await visitor.button("Run now").click()
    row = page.locator("table.rows tbody tr")
    await expect(row).to_contain_text("by hand")
    await visitor.button("Pause").click()
    await expect(page.locator(".facts")).to_contain_text("Paused")
    await visitor.assert_fit()
    await row.get_by_role("link").click()
    await expect(page.locator(".facts")).to_be_visible()
    assert 1 == len((await client.get("/api/jobs"))["items"])


async def test_a_pipeline_is_changed_beside_its_graph_and_drawn_while_it_runs(
    visit: Visit, client: Client, runner: System
) -> None:
    prompt = {"kind": "prompt", "prompt": "{{input}}", "model": "openai/text-60-at-30"}
    steps = {"first": {**prompt, "next": "last"}, "last": {**prompt, "model": "openai/text-6"}}
    status, made = await client.post("/api/pipelines", {"name": "two", "start": "first", "steps": steps})
    assert 201 == status, made
    visitor = await visit(f"pipelines/{made['id']}", locale="vi-VN", size=PHONE, color_scheme="dark")
    visitor.allowed.append("status of 4")  # a model that is none
    page = visitor.page
    await page.get_by_placeholder("Tên bước mới").fill("middle")
    await visitor.button("Thêm").click()
    await page.get_by_label("Mô hình").fill("openai/no/such")
    await page.get_by_label("Tiếp theo").select_option("last")
    await page.locator(".node.step", has_text="first").click()
    await page.get_by_label("Tiếp theo").select_option("middle")
    assert 3 == await page.locator(".node.step").count()
    await page.locator(".node.step", has_text="middle").click()
    await page.get_by_label("Mô hình").fill("openai/text-4")
    await visitor.assert_fit()
    await visitor.button("Lưu").click()
    await expect(visitor.button("Lưu")).to_be_disabled()
    assert 2 == (await client.get(f"/api/pipelines/{made['id']}"))["version"]
    await page.locator("form.card textarea").fill("Đi thôi")
    await visitor.button("Chạy").click()
    await expect(page.locator(".node.running")).to_contain_text("first")
    await visitor.assert_fit()
    await expect(page.locator(".node.done")).to_have_count(3)
    await expect(page.locator(".outcome")).to_contain_text("Thành công")


async def test_models_are_measured_drawn_and_two_runs_laid_side_by_side(visit: Visit, runner: System) -> None:
    visitor = await visit("benchmarks", locale="en-GB")
    page = visitor.page
    for run in range(2):
        await visitor.button("Measure speed").click()
        await page.get_by_label("Models").fill("openai/text-6-at-200\nopenai/text-9-at-200")
        await page.get_by_label("Calls of each model").fill("3")
        if not run:
            await visitor.assert_fit()
        await visitor.button("Start").click()
        await expect(page.locator(".facts")).to_contain_text("6/6")
        await expect(page.locator(".chart canvas")).to_have_count(4)
        if not run:
            await visitor.assert_fit()
        await visitor.link("All benchmarks").click()
    await expect(page.locator("table.rows tbody tr")).to_have_count(2)
    for tick in await page.locator(".tick").all():
        await tick.check()
    await visitor.button("Compare the two").click()
    await expect(page.locator(".data tbody tr", has_text="openai/text-9-at-200").last).to_be_visible()
    await expect(page).to_have_url(re.compile("compare="))
    await expect(page.get_by_role("heading", name="Call by call")).to_be_visible()
    await visitor.assert_fit()
