"""What large pages of the console cost in the browser: an answer of 50,000 words, and a live list of 10,000 jobs.

A frame's time is that of the clock, which others on the machine lengthen; the CPU of the page's main thread for a frame, by the
browser's own count, is told beside it.
"""

import asyncio
import time

import aiohttp
import psycopg
from playwright.async_api import BrowserContext, CDPSession, Page, expect

from schema.identity.api_keys import new_api_key
from schema.installation.bootstrap import ensure_api_key
from tests.bench.load.ended_jobs import add_tenant
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import percentile
from tests.bench.testbed import Testbed
from tests.journeys.console.visitor import DESK, Visitor

WORDS = 50_000
JOBS = 10_000
JOBS_A_SECOND, LIVE_S = 20, 8
LIVE_MODEL = "openai/text-20-at-50"
SCROLLED, STEP_PX = 240, 400
NEEDED_FRAME_MS = 16
# From the beginning of each frame until the browser has styled, laid out and painted it, which is when a message that was sent
# at its beginning arrives.
SCROLL = """async ({frames, step}) => {
  const area = [...document.querySelectorAll('*')].find((one) => one.scrollHeight > one.clientHeight + 5000
    && /auto|scroll/.test(getComputedStyle(one).overflowY)) ?? document.scrollingElement;
  const took = [], from = area.scrollTop;
  const channel = new MessageChannel();
  for (let frame = 0; frame < frames; frame++) {
    await new Promise((resolve) => requestAnimationFrame(() => {
      const began = performance.now();
      channel.port1.onmessage = () => { took.push(performance.now() - began); resolve(); };
      area.scrollTop += step;
      channel.port2.postMessage(0);
    }));
  }
  return {took, moved: area.scrollTop - from};
}"""


# Asks for more rows until there are no more; each time the list has to grow first.
READ_ON = """async () => {
  const rows = () => Number(document.querySelector('.rows').getAttribute('aria-rowcount'));
  const more = () => document.querySelector('.rows + .button');
  while (more()) {
    const before = rows();
    more().click();
    while (rows() === before) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return rows() - 1;
}"""


async def begin_to_measure(context: BrowserContext, page: Page) -> CDPSession:
    """Have the browser count the CPU of the page's main thread."""
    probe = await context.new_cdp_session(page)
    await probe.send("Performance.enable", {"timeDomain": "threadTicks"})
    return probe


async def spent(probe: CDPSession) -> dict[str, float]:
    """Return what the page has spent until now, in seconds, and the clock."""
    metrics = (await probe.send("Performance.getMetrics"))["metrics"]
    return {one["name"]: one["value"] for one in metrics} | {"clock": time.monotonic()}


async def measure_long_answer(found: Measurement, signed_in: BrowserContext, bed: Testbed) -> None:
    """Scroll through an answer of 50,000 words, from its question downwards."""
    visitor = await Visitor.come(signed_in, bed.system.url)
    await visitor.open()
    await visitor.choose(f"openai/prose-{WORDS}")
    probe = await begin_to_measure(signed_in, visitor.page)
    await visitor.ask("Tell me.")
    answer = visitor.page.locator(".answer").last
    await expect(answer.locator(".markdown")).to_contain_text("water")
    await expect(answer).to_have_attribute("aria-busy", "false")
    await _scroll(found, visitor.page, probe, f"{WORDS:,} words")
    await visitor.page.close()


async def measure_live_list(found: Measurement, signed_in: BrowserContext, bed: Testbed) -> None:
    """Show all jobs of a tenant in one list, and scroll through it while others are asked for and end."""
    with psycopg.connect(bed.database_url) as db:
        tenant_id, *_ = add_tenant(bed.database_url, f"list-{time.monotonic_ns()}", JOBS, 1.0)
        key = new_api_key()
        ensure_api_key(db, tenant_id, key, name="bench", role="owner")
    browser = signed_in.browser
    assert browser is not None
    context = await browser.new_context(**DESK, locale="en-GB")
    visitor = await Visitor.come(context, bed.system.url)
    await visitor.open("jobs")
    await visitor.sign_in(key)
    await expect(visitor.page.locator(".rows .badge").first).to_be_visible()
    probe = await begin_to_measure(context, visitor.page)
    before = await spent(probe)
    rows = await visitor.page.evaluate(READ_ON)
    after = await spent(probe)
    if rows < JOBS:
        found.failures.append(f"the list has {rows} rows")
    cpu_s = after["TaskDuration"] - before["TaskDuration"]
    found.lines.append(Line(what=f"main thread, reading on to {JOBS:,} jobs", figure=cpu_s, unit="s"))
    load = asyncio.create_task(_submit_jobs(bed, key))
    before = await spent(probe)
    await _scroll(found, visitor.page, probe, f"{JOBS:,} jobs, {JOBS_A_SECOND} new a second")
    await load
    after = await spent(probe)
    share = (after["TaskDuration"] - before["TaskDuration"]) / (after["clock"] - before["clock"]) * 100
    found.notes.append(f"the list: {share:.1f} % of a core while it was live, {after['Nodes']:,.0f} nodes in the page")
    await context.close()


async def _submit_jobs(bed: Testbed, key: str) -> None:
    """Ask for answers at a steady rate; none is waited for."""
    headers = {"Authorization": f"Bearer {key}", "Prefer": "respond-async"}
    async with aiohttp.ClientSession(bed.system.url, headers=headers, raise_for_status=True) as client:
        for _ in range(JOBS_A_SECOND * LIVE_S):
            async with client.post("/api/chat", json={"message": "Hello.", "model": LIVE_MODEL}):
                await asyncio.sleep(1 / JOBS_A_SECOND)  # the rate


async def _scroll(found: Measurement, page: Page, probe: CDPSession, what: str) -> None:
    before = await spent(probe)
    scrolled = await page.evaluate(SCROLL, {"frames": SCROLLED, "step": STEP_PX})
    after = await spent(probe)
    took: list[float] = scrolled["took"]
    if scrolled["moved"] < SCROLLED * STEP_PX / 2:
        found.failures.append(f"{what}: the page scrolled by {scrolled['moved']} px only")
    found.runs.append({"what": what, "frames": took})
    cpu_ms = (after["TaskDuration"] - before["TaskDuration"]) / SCROLLED * 1000
    found.lines += [
        Line(what=f"a frame, scrolling {what}, p95", figure=percentile(took, 0.95), unit="ms", need=NEEDED_FRAME_MS),
        Line(what=f"main thread a frame, scrolling {what}, mean", figure=cpu_ms, unit="ms"),
    ]
