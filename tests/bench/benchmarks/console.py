"""What the console costs in the browser: the bytes of its first load, the time until one can type, the CPU of a stream. A
large page is in `console_pages.py`."""

import asyncio
import os

from playwright.async_api import Browser, BrowserContext, async_playwright, expect

from api.console.build import build
from api.local.errors import LocalError
from tests.bench.benchmarks.console_pages import begin_to_measure, measure_live_list, measure_long_answer, spent
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import median
from tests.bench.testbed import Testbed
from tests.journeys.console.chromium import HOW, find_chromium, launch
from tests.journeys.console.visitor import DESK, Visitor

RATE = 250
STREAM_S = 12
SLOW_S = 1.5 * STREAM_S
LOADS = 5
ANSWERS = {"prose": "in paragraphs and lists", "text": "in one single paragraph"}
CODE = """performance.getEntriesByType('resource').filter(({name}) => /\\.(js|css)$/.test(name))
    .reduce((sum, {encodedBodySize}) => sum + encodedBodySize, 0) / 1000"""
NOTE_WHEN_READY = """new MutationObserver((_, watch) => {
    if (!document.querySelector('.composer textarea')) return;
    watch.disconnect();
    window.readyAt = performance.now();
}).observe(document, {childList: true, subtree: true})"""
NEEDED_KB = 150
NEEDED_MS = 1000
NEEDED_PERCENT = 15


async def measure_console(bed: Testbed, _plan: Plan) -> Measurement:
    """Chromium without a screen, on this machine; it and headrace share the cores. CPU is that of the page's main thread,
    by the browser's own count, from the question until the answer is complete."""
    found = Measurement(name="console", title=f"The console in Chromium; streams of {RATE} tokens/s for {STREAM_S} s")
    path = find_chromium()
    if path is None:
        found.notes.append(f"not measured. {HOW}")
        return found
    try:
        await asyncio.to_thread(build, os.environ, print)
    except LocalError as error:
        found.notes.append(f"not measured. {error.message}")
        return found
    async with async_playwright() as playwright, await launch(playwright, path) as browser:
        signed_in = await _signed_in(browser, bed)
        await _loads(found, browser, signed_in, bed)
        for kind, told in ANSWERS.items():
            await _stream(found, signed_in, bed, kind, told)
        await measure_long_answer(found, signed_in, bed)
        await measure_live_list(found, signed_in, bed)
    return found


async def _signed_in(browser: Browser, bed: Testbed) -> BrowserContext:
    context = await browser.new_context(**DESK, locale="en-GB")
    visitor = await Visitor.come(context, bed.system.url)
    await visitor.open()
    await visitor.sign_in(bed.tenant("console", max_running=10))
    return context


async def _loads(found: Measurement, browser: Browser, signed_in: BrowserContext, bed: Testbed) -> None:
    """Load the chat page with nothing cached, a few times."""
    run: dict[str, list[float]] = {"kB": [], "ms": []}
    for _ in range(LOADS):
        context = await browser.new_context(**DESK, locale="en-GB", storage_state=await signed_in.storage_state())
        await context.add_init_script(NOTE_WHEN_READY)
        visitor = await Visitor.come(context, bed.system.url)
        await visitor.open()
        await expect(visitor.page.locator(".composer textarea")).to_be_visible()
        run["kB"].append(await visitor.page.evaluate(CODE))
        run["ms"].append(await visitor.page.evaluate("window.readyAt"))
        await context.close()
    found.runs.append(run)
    found.lines += [
        Line(what="first load, scripts and styles, compressed", figure=max(run["kB"]), unit="kB", need=NEEDED_KB),
        Line(what=f"until one can type, median of {LOADS} loads", figure=median(run["ms"]), unit="ms", need=NEEDED_MS),
    ]


async def _stream(found: Measurement, signed_in: BrowserContext, bed: Testbed, kind: str, told: str) -> None:
    """Ask for an answer, and read what the page spent on it."""
    visitor = await Visitor.come(signed_in, bed.system.url)
    await visitor.open()
    model = f"openai/{kind}-{RATE * STREAM_S}-at-{RATE}"
    await visitor.choose(model)
    probe = await begin_to_measure(signed_in, visitor.page)
    await visitor.ask("Tell me.")
    answer = visitor.page.locator(".answer").last
    await expect(answer.locator(".markdown")).to_contain_text("water")
    before = await spent(probe)
    await expect(answer).to_have_attribute("aria-busy", "false")
    after = await spent(probe)
    words = len((await answer.locator(".markdown").text_content() or "").split())
    if words < RATE * STREAM_S:
        found.failures.append(f"{kind}: the page shows {words} words")
    if (took_s := after["clock"] - before["clock"]) > SLOW_S:
        found.failures.append(f"{kind}: the stream took {took_s:.0f} s, not {STREAM_S}: the machine has no time for it")
    run = {name: after[name] - value for name, value in before.items()}
    found.runs.append({"answer": kind, "words": words, **run})
    percent = run["TaskDuration"] / run["clock"] * 100
    need = NEEDED_PERCENT if kind == "prose" else None
    found.lines.append(Line(what=f"main thread, an answer {told}", figure=percent, unit="% of a core", need=need))
    parts = ", ".join(f"{name} {run[f'{name}Duration']:.2f}" for name in ("Script", "Layout", "RecalcStyle", "Task"))
    found.notes.append(f"an answer {told}, s in {run['clock']:.1f} s: {parts}, whole process {run['ProcessTime']:.2f}")
    await visitor.page.close()
