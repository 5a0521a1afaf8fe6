"""What a large page of the console costs in the browser: an answer of 50,000 words."""

from playwright.async_api import BrowserContext, expect

from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import percentile
from tests.bench.testbed import Testbed
from tests.journeys.console.visitor import Visitor

WORDS = 50_000
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


async def measure_long_answer(found: Measurement, signed_in: BrowserContext, bed: Testbed) -> None:
    """Scroll through an answer of 50,000 words, from its question downwards."""
    visitor = await Visitor.come(signed_in, bed.system.url)
    await visitor.open()
    await visitor.choose(f"openai/prose-{WORDS}")
    await visitor.ask("Tell me.")
    answer = visitor.page.locator(".answer").last
    await expect(answer.locator(".markdown")).to_contain_text("water")
    await expect(answer).to_have_attribute("aria-busy", "false")
    scrolled = await visitor.page.evaluate(SCROLL, {"frames": SCROLLED, "step": STEP_PX})
    took: list[float] = scrolled["took"]
    if scrolled["moved"] < SCROLLED * STEP_PX / 2:
        found.failures.append(f"the page scrolled by {scrolled['moved']} px only")
    found.runs.append({"frames": took})
    figure = percentile(took, 0.95)
    found.lines.append(
        Line(what=f"a frame, scrolling {WORDS:,} words, p95", figure=figure, unit="ms", need=NEEDED_FRAME_MS)
    )
    await visitor.page.close()
