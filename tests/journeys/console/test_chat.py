"""Chats in the browser: what is seen while an answer comes, whatever dies meanwhile."""

import json

import pytest
from playwright.async_api import FilePayload, Route, expect

from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.journeys.agent_setup import add_agent, grant_tools, script
from tests.journeys.client import Client
from tests.journeys.console.conftest import Visit
from tests.journeys.console.visitor import DESK, PHONE, Visitor
from tests.system import ModelProcess, System

WORDS = 120
TABLE = """The **totals**:

| item | sum |
|---|---:|
| gates | 12 |

$$\\frac{a}{b} = c$$

With \\(x^2\\) gates at $5 or $6, and \\(\\nothing{of the kind}\\).

```python
print("hello")
```
"""


async def complete(visitor: Visitor, said: str) -> None:
    """Wait until the last answer is complete, and assert what it says."""
    answer = visitor.page.locator(".answer").last
    await expect(answer).to_have_attribute("aria-busy", "false")
    await expect(answer.locator(".markdown")).to_have_text(said)


@pytest.mark.parametrize("size", [{}, PHONE])
async def test_a_first_question_is_answered_and_kept(visit: Visit, size: dict) -> None:
    visitor = await visit(locale="en-GB", **({"size": size} if size else {}))
    page = visitor.page
    await visitor.choose("openai/text-40")
    await visitor.assert_fit()
    await visitor.ask("Where does the water go?")
    await complete(visitor, text(40))
    await expect(page.get_by_label("Message")).to_have_value("")
    await visitor.assert_fit()
    await page.reload()
    await complete(visitor, text(40))
    await expect(page.locator(".question-text")).to_have_text("Where does the water go?")
    await visitor.button("Steps and cost").click()
    await expect(page.locator(".details")).to_contain_text("tokens in")


async def test_a_reload_in_the_middle_of_an_answer_goes_on_where_it_is(visit: Visit) -> None:
    visitor = await visit(locale="en-GB")
    await visitor.choose(f"openai/text-{WORDS}-at-40")
    await visitor.ask("Tell me slowly.")
    await expect(visitor.page.locator(".markdown")).to_contain_text(text(20))
    await visitor.page.reload()
    await expect(visitor.page.locator(".markdown")).to_contain_text(text(20))
    await complete(visitor, text(WORDS))


WATCH_A_PARAGRAPH = """() => {
  window.seen = {most: 0, stayed: true};
  let first;
  new MutationObserver(() => {
    const left = document.querySelectorAll('.markdown p > span:not(:last-child)');
    first ??= left[0];
    window.seen.most = Math.max(window.seen.most, left.length);
    if (left.length) window.seen.stayed &&= first === left[0];
  }).observe(document.body, {childList: true, subtree: true});
}"""


async def test_a_long_paragraph_grows_at_its_end_and_is_whole_when_it_is_complete(visit: Visit) -> None:
    visitor = await visit(locale="en-GB")
    await visitor.choose("openai/text-500-at-100")
    await visitor.page.evaluate(WATCH_A_PARAGRAPH)
    await visitor.ask("Go on and on.")
    await complete(visitor, text(500))
    seen = await visitor.page.evaluate("window.seen")
    assert (True, True) == (seen["most"] >= 2, seen["stayed"]), seen
    await expect(visitor.page.locator(".markdown p")).to_have_count(1)
    await expect(visitor.page.locator(".markdown p > span")).to_have_count(0)


async def test_paragraphs_and_lists_are_there_once_each_after_they_have_grown(visit: Visit) -> None:
    visitor = await visit(locale="en-GB")
    await visitor.choose("openai/prose-300-at-250")
    await visitor.ask("In order, please.")
    await expect(visitor.page.locator(".answer").last).to_have_attribute("aria-busy", "false")
    await expect(visitor.page.locator(".markdown .block > p")).to_have_count(6)
    await expect(visitor.page.locator(".markdown li")).to_have_count(9)
    assert 300 == len((await visitor.page.locator(".markdown").text_content() or "").split())


async def test_two_tabs_show_the_same_answer_as_it_comes(visit: Visit) -> None:
    visitor = await visit(locale="en-GB")
    await visitor.choose(f"openai/text-{WORDS}-at-40")
    await visitor.ask("Tell both.")
    await expect(visitor.page.locator(".markdown")).to_contain_text(text(10))
    other = await Visitor.come(visitor.page.context, visitor.url)
    await other.page.goto(visitor.page.url)
    await complete(other, text(WORDS))
    await complete(visitor, text(WORDS))
    other.assert_calm()


async def test_a_killed_worker_is_shown_and_its_answer_comes_whole(visit: Visit, system: System) -> None:
    visitor = await visit(locale="en-GB")
    await visitor.choose(f"openai/text-{WORDS}-at-30")
    await visitor.ask("Tell me in spite of it.")
    await expect(visitor.page.locator(".markdown")).to_contain_text(text(20))
    system.kill("chat")
    system.start("chat")
    await expect(visitor.page.get_by_text("A worker was lost")).to_be_visible()
    await complete(visitor, text(WORDS))


async def test_an_answer_is_stopped_by_the_escape_key_and_says_that_it_is_incomplete(visit: Visit) -> None:
    visitor = await visit(locale="en-GB")
    await visitor.choose("openai/text-5000-at-20")
    await visitor.ask("Never end.")
    await expect(visitor.page.locator(".markdown")).to_contain_text(text(5))
    await visitor.page.get_by_label("Message").press("Escape")
    await expect(visitor.page.get_by_text("Incomplete: it was stopped.")).to_be_visible()
    await visitor.page.reload()
    await expect(visitor.page.get_by_text("Incomplete: it was stopped.")).to_be_visible()


async def test_a_question_is_edited_and_asked_again_in_a_conversation_of_its_own(visit: Visit, client: Client) -> None:
    visitor = await visit(locale="en-GB")
    page = visitor.page
    await visitor.choose("openai/text-5")
    await visitor.ask("First?")
    await complete(visitor, text(5))
    await visitor.ask("Second?")
    await expect(page.locator(".turn")).to_have_count(2)
    await complete(visitor, text(5))
    first = page.url
    await page.get_by_text("Second?").last.hover()
    await page.locator(".turn").last.get_by_role("button", name="Edit and ask again").click()
    await page.get_by_role("textbox", name="Edit and ask again").fill("Third?")
    await visitor.button("Ask again").click()
    await expect(page.locator(".question-text").last).to_have_text("Third?")
    await expect(page.locator(".turn")).to_have_count(2)
    await expect(page.locator(".answer").last).to_have_attribute("aria-busy", "false")
    assert first != page.url
    said = await client.said(first.rsplit("/", 1)[1])
    assert ["First?", "Second?"] == [words for role, words in said if role == "user"]


async def test_a_conversation_is_renamed_pinned_shared_exported_and_deleted(visit: Visit, client: Client) -> None:
    visitor = await visit(locale="en-GB")
    page = visitor.page
    await visitor.choose("openai/text-5")
    await visitor.ask("About weirs")
    await complete(visitor, text(5))
    await visitor.button("Actions for About weirs").click()
    await visitor.assert_fit()
    await visitor.button("Rename").click()
    await page.get_by_role("textbox", name="Name").fill("About dams")
    await visitor.button("Save").click()
    await expect(page.locator(".session")).to_have_text(["About dams"])
    await visitor.button("Actions for About dams").click()
    await visitor.button("Pin").click()
    await expect(page.locator(".pinned .session")).to_have_text(["About dams"])
    await visitor.button("Actions for About dams").click()
    await visitor.button("Share").click()
    await visitor.button("Make a link").click()
    link = await page.locator(".secret").inner_text()
    await visitor.assert_fit()
    await page.goto(link)
    await expect(page.get_by_role("heading", level=1)).to_have_text("About dams")
    await expect(page.locator(".answer .markdown")).to_have_text(text(5))
    await expect(page.locator(".composer, .answer-actions")).to_have_count(0)
    await visitor.assert_fit()
    await page.go_back()
    await visitor.button("Actions for About dams").click()
    async with page.expect_download() as coming:
        await visitor.link("Export as Markdown").click()
    assert (await (await coming.value).path()).read_text().startswith("# About dams")
    await visitor.button("Actions for About dams").click()
    await visitor.button("Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("No conversations yet.")).to_be_visible()
    assert [] == (await client.get("/api/sessions"))["items"]


async def test_tools_tables_and_code_are_shown_as_what_they_are(
    visit: Visit, shared_url: str, tenant: TestTenant, provider: ModelProcess
) -> None:
    model = "scripted-console"
    grant_tools(shared_url, tenant, "mathematics")
    add_agent(shared_url, tenant, "Reckoner", models=[f"openai/{model}"], tools=["mathematics"], graph="react")
    called = {"calls": [["mathematics", {"operation": "evaluate", "expression": "17*23"}]]}
    await script(provider.url, model, called, {"said": TABLE})
    visitor = await visit(locale="en-GB")
    page = visitor.page
    await page.get_by_label("Agent", exact=True).select_option("Reckoner")
    await visitor.ask("What is 17 × 23?")
    answer = page.locator(".answer")
    await expect(answer).to_have_attribute("aria-busy", "false")
    await expect(answer.locator("summary")).to_contain_text("mathematics")
    await answer.locator("summary").click()
    await expect(answer.locator(".lines").last).to_contain_text("391")
    assert "right" == await answer.locator("td").last.evaluate("cell => getComputedStyle(cell).textAlign")
    await expect(answer.locator("math")).to_have_count(2)
    await expect(answer.locator("math[display=block] mfrac")).to_have_count(1)
    await expect(answer.locator(".markdown")).to_contain_text(r"gates at $5 or $6, and \(\nothing{of the kind}\).")
    await expect(answer.locator(".hljs-string")).to_have_text('"hello"')
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await answer.locator(".code").get_by_role("button", name="Copy").click()
    await expect(answer.locator(".code").get_by_role("button", name="Copied")).to_be_visible()
    assert 'print("hello")' == (await page.evaluate("navigator.clipboard.readText()")).strip()
    await visitor.assert_fit()
    await visitor.button("Bad answer").click()
    await page.get_by_label("Comment (optional)").fill("Too short")
    await visitor.assert_fit()
    await visitor.button("Send feedback").click()
    await expect(page.get_by_text("Thank you.")).to_be_visible()


CHART = {
    "type": "bar",
    "title": "Debt",
    "labels": ["May", "June"],
    "series": [{"name": "due", "values": [3, 5]}, {"name": "late", "values": [2, 1]}],
}


@pytest.mark.parametrize("kind", ["bar", "line"])
async def test_a_chart_is_drawn_with_its_table_beside_it_and_again_after_a_reload(
    visit: Visit, shared_url: str, tenant: TestTenant, provider: ModelProcess, kind: str
) -> None:
    model = f"scripted-chart-{kind}"
    add_agent(shared_url, tenant, "Drawer", models=[f"openai/{model}"], output_format="chart_data")
    await script(provider.url, model, {"said": json.dumps(CHART | {"type": kind})})
    visitor = await visit(locale="en-GB", size=PHONE if kind == "line" else DESK)
    page = visitor.page
    await page.get_by_label("Agent", exact=True).select_option("Drawer")
    await visitor.ask("How much do they owe?")
    table = page.locator(".data table:not(.u-legend)")
    for _ in range(2):
        await expect(page.get_by_role("img", name="Chart: Debt")).to_be_visible()
        await expect(page.locator(".chart canvas")).to_be_visible()
        await expect(page.locator(".markdown")).to_have_count(0)
        await page.get_by_text("As a table").click()
        await expect(table.locator("tbody tr")).to_have_text(["May32", "June51"])
        await visitor.assert_fit()
        await page.reload()
    await page.get_by_text("As a table").click()
    await table.get_by_role("button", name="late").click()
    await expect(table.locator("tbody tr")).to_have_text(["June51", "May32"])
    await page.get_by_label("Search", exact=True).fill("may")
    await expect(table.locator("tbody tr")).to_have_text(["May32"])


ROWS = [{"customer": "Nam Long", "due": 120}, {"customer": "An Phú", "due": 45}]


async def test_a_table_is_sorted_and_filtered_after_a_reload_too(
    visit: Visit, shared_url: str, tenant: TestTenant, provider: ModelProcess
) -> None:
    shown = {"output_format": "structured_json", "renderer": {"type": "table"}}
    add_agent(shared_url, tenant, "Lister", models=["openai/scripted-table"], **shown)
    await script(provider.url, "scripted-table", {"said": json.dumps(ROWS, ensure_ascii=False)})
    visitor = await visit(locale="en-GB", size=PHONE)
    page = visitor.page
    await page.get_by_label("Agent", exact=True).select_option("Lister")
    await visitor.ask("Who owes?")
    rows = page.locator(".data tbody tr")
    for _ in range(2):
        await expect(rows).to_have_text(["Nam Long120", "An Phú45"])
        await page.locator(".data").get_by_role("button", name="due").click()
        await expect(rows).to_have_text(["An Phú45", "Nam Long120"])
        await expect(page.locator(".markdown")).to_have_count(0)
        await visitor.assert_fit()
        await page.reload()


HOSTILE = """<script>window.hit = 1</script><img src=x onerror="window.hit = 1">

[click](javascript:window.hit=1) ![far](https://elsewhere.example/p.png) <b>bold</b>

<a href="data:text/html,x" style="position:fixed">x</a>
"""


async def test_what_a_model_writes_runs_nothing_and_loads_nothing(visit: Visit) -> None:
    visitor = await visit(locale="en-GB")
    await visitor.choose("openai/text-5")
    await visitor.ask("Anything")
    await complete(visitor, text(5))

    async def answer(route: Route) -> None:
        found = await (await route.fetch()).json()
        found["items"][-1]["parts"] = [{"type": "text", "text": HOSTILE}]
        await route.fulfill(json=found)

    await visitor.page.route("**/messages?*", answer)
    await visitor.page.reload()
    shown = visitor.page.locator(".markdown")
    await expect(shown).to_contain_text("<script>window.hit = 1</script>")
    await expect(shown.get_by_role("link", name="far")).to_have_attribute("href", "https://elsewhere.example/p.png")
    assert 0 == await shown.locator("img, script, .block [style], [href^='javascript'], [href^='data']").count()
    assert await visitor.page.evaluate("window.hit === undefined")


async def test_a_very_long_answer_is_drawn_part_by_part_and_is_whole(visit: Visit) -> None:
    visitor = await visit(locale="en-GB")
    await visitor.choose("openai/text-5")
    await visitor.ask("Anything")
    await complete(visitor, text(5))
    paragraphs = [f"Paragraph {n} is *one* of many, and has some words." for n in range(3000)]

    async def answer(route: Route) -> None:
        found = await (await route.fetch()).json()
        found["items"][-1]["parts"] = [{"type": "text", "text": "\n\n".join(paragraphs)}]
        await route.fulfill(json=found)

    await visitor.page.route("**/messages?*", answer)
    await visitor.page.reload()
    shown = visitor.page.locator(".markdown p")
    await expect(shown).to_have_count(len(paragraphs))
    assert [one.replace("*", "") for one in paragraphs] == await shown.all_text_contents()


async def test_a_draft_outlives_a_reload_and_a_failed_send(visit: Visit) -> None:
    visitor = await visit(locale="en-GB")
    visitor.allowed.append("ERR_FAILED")
    page = visitor.page
    box = page.get_by_label("Message")
    await box.fill("not sent yet")
    await page.reload()
    await expect(box).to_have_value("not sent yet")
    await page.route("**/api/chat", lambda route: route.abort())
    await visitor.button("Send").click()
    await expect(page.get_by_role("alert")).to_contain_text("can't be reached")
    await expect(box).to_have_value("not sent yet")
    await expect(page.locator(".turn")).to_have_count(0)


async def test_enter_does_not_send_while_an_input_method_composes(visit: Visit) -> None:
    visitor = await visit(locale="vi-VN")
    box = visitor.page.get_by_label("Tin nhắn")
    await box.fill("tiếng Việ")
    key = "new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true})"
    await box.evaluate(f"area => area.dispatchEvent({key})")
    await expect(box).to_have_value("tiếng Việ")
    await expect(visitor.page.locator(".turn")).to_have_count(0)


async def test_files_that_a_message_can_not_have_are_named_before_it_is_sent(visit: Visit) -> None:
    visitor = await visit(locale="en-GB")
    page = visitor.page
    await page.get_by_label("Message").fill("What is in it?")
    names = ("one.txt", "two.txt")
    files = [FilePayload(name=name, mimeType="text/plain", buffer=b"x" * 3_500_000) for name in names]
    await page.locator(".composer input[type=file]").set_input_files(files)
    await expect(page.get_by_role("alert")).to_contain_text("two.txt is too large")
    await expect(page.locator(".composer")).to_contain_text("one.txt")
    await expect(page.get_by_label("Message")).to_have_value("What is in it?")
