"""The fallback chain and its circuit breakers, against two vendors over real sockets."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

import aiohttp
import pytest

from graphs.providers.breakers import Breakers
from graphs.providers.capabilities import Capabilities, capabilities, from_name
from graphs.providers.contract import Delta, Finished, ModelRequest, Progress
from graphs.providers.errors import (
    ModelUnknown,
    ProviderCircuitOpen,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRefused,
    ProviderRejectedKey,
    ProviderStreamCut,
    ProviderTimeout,
    ProviderUnreachable,
)
from graphs.providers.fallback import ChainModel, stream_with_fallback
from graphs.providers.offline.provider import Offline
from graphs.providers.ollama.provider import Ollama
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.registry import open_session
from schema.errors import ProviderError
from tests.counterparts.behaviours import text
from tests.counterparts.ollama_server import OllamaServer
from tests.counterparts.openai.server import OpenAIServer
from tests.graphs.model_requests import PATIENT, SHORT_SILENCES, ask, text_of


@dataclass
class Clock:
    """A clock that only the test moves."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class FallbackHarness:
    """Two vendors, breakers with a clock that the test moves, and the reported switches."""

    openai: OpenAIServer
    ollama: OllamaServer
    session: aiohttp.ClientSession
    second: Ollama
    clock: Clock = field(default_factory=Clock)
    switches: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.breakers = Breakers(now=self.clock)

    def first_for(self, model: str) -> OpenAICompatible:
        vendor = VENDORS["openai"].at(self.openai.base_url)
        return OpenAICompatible(self.session, vendor, timeouts=SHORT_SILENCES.get(model, PATIENT))

    def chain(self, first: str, second: str | None = None) -> list[ChainModel]:
        choices = [ChainModel(self.first_for(first), first, f"openai/{first}", "t/openai")]
        return [*choices, ChainModel(self.second, second, f"ollama/{second}", "t/ollama")] if second else choices

    def stream(self, *models: str, request: ModelRequest | None = None) -> AsyncGenerator[Delta, None]:
        def on_switch(*switch: str) -> None:
            self.switches.append((switch[0], switch[1], switch[2]))

        return stream_with_fallback(self.chain(*models), request or ask("left-out"), self.breakers, on_switch)

    async def ask(self, *models: str, into: list[Delta] | None = None) -> list[Delta]:
        deltas = [] if into is None else into
        async with aclosing(self.stream(*models)) as stream:
            async for delta in stream:
                deltas.append(delta)
        return deltas

    async def fail(self, times: int, model: str = "refuse-500") -> None:
        for _ in range(times):
            with pytest.raises(ProviderOverloaded):
                await self.ask(model)


@pytest.fixture
async def harness() -> AsyncGenerator[FallbackHarness, None]:
    async with OpenAIServer() as openai, OllamaServer() as ollama, open_session() as session:
        yield FallbackHarness(openai, ollama, session, Ollama(session, ollama.url, timeouts=PATIENT))


async def test_the_first_choice_answers_when_it_can(harness: FallbackHarness):
    deltas = await harness.ask("text-5", "text-9")

    assert text(5) == text_of(deltas)
    assert ([], []) == (harness.switches, harness.ollama.requests)
    assert "text-5" == harness.openai.records[0].model


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("refuse-500", "provider_overloaded"),
        ("refuse-401", "provider_rejected_key"),
        ("refuse-402", "provider_spent"),
        ("refuse-405", "provider_elsewhere"),
        ("rate-limit-1", "provider_rate_limited"),
        ("nobody-knows-me", "model_unknown"),
        ("stall-first", "provider_timeout"),
        ("cut-after-0", "provider_cut"),
        ("short-after-0", "provider_cut"),
        ("garbage-after-0", "provider_garbage"),
        ("error-after-0", "provider_overloaded"),
    ],
)
async def test_a_failure_before_the_first_token_goes_on_with_the_next(harness: FallbackHarness, model: str, code: str):
    deltas = await harness.ask(model, "text-9")

    assert text(9) == text_of(deltas)
    assert 1 == sum(isinstance(d, Finished) for d in deltas)
    assert [(f"openai/{model}", code, "ollama/text-9")] == harness.switches


@pytest.mark.parametrize("model", ["refuse-400", "refuse-413", "refuse-422"])
async def test_what_is_wrong_everywhere_is_raised_at_once(harness: FallbackHarness, model: str):
    with pytest.raises(ProviderRefused):
        await harness.ask(model, "text-9")

    assert ([], []) == (harness.switches, harness.ollama.requests)


@pytest.mark.parametrize("model", ["cut-after-3", "stall-after-3", "error-after-3", "garbage-after-3"])
async def test_after_the_first_token_the_error_is_raised(harness: FallbackHarness, model: str):
    deltas: list[Delta] = []

    with pytest.raises(ProviderError) as caught:
        await harness.ask(model, "text-9", into=deltas)

    assert caught.value.retryable
    assert text(3) == text_of(deltas)
    assert ([], []) == (harness.switches, harness.ollama.requests)


async def test_progress_is_no_token(harness: FallbackHarness):
    harness.ollama.pulled.clear()
    choices = [
        ChainModel(harness.second, "absent-halfway", "ollama/absent-halfway", "t/ollama"),
        ChainModel(harness.first_for("text-4"), "text-4", "openai/text-4", "t/openai"),
    ]

    deltas = [d async for d in stream_with_fallback(choices, ask("x"), harness.breakers)]

    assert any(isinstance(d, Progress) for d in deltas)
    assert text(4) == text_of(deltas)


async def test_when_all_fail_the_error_names_all_that_were_tried(harness: FallbackHarness):
    with pytest.raises(ModelUnknown, match=r"openai/refuse-401, ollama/absent-never") as caught:
        await harness.ask("refuse-401", "absent-never")

    assert "model_unknown" == caught.value.code


async def test_when_all_fail_an_error_that_may_pass_is_the_one_to_try_again_for(harness: FallbackHarness):
    with pytest.raises(ProviderRateLimited, match="openai/rate-limit-1, ollama/refuse-401") as caught:
        await harness.ask("rate-limit-1", "refuse-401")

    assert (0.2, True) == (caught.value.retry_after_s, caught.value.retryable)


async def test_a_chain_of_one_raises_what_its_provider_raised(harness: FallbackHarness):
    with pytest.raises(ProviderRejectedKey) as caught:
        await harness.ask("refuse-401")

    assert "chain" not in caught.value.message


async def test_an_empty_chain_is_a_mistake(harness: FallbackHarness):
    with pytest.raises(ValueError, match="at least one"):
        await anext(stream_with_fallback([], ask("x"), harness.breakers))


async def test_five_failures_in_a_row_open_the_breaker(harness: FallbackHarness):
    await harness.fail(4)
    assert "closed" == harness.breakers.state("t/openai")
    await harness.fail(1)
    assert "open" == harness.breakers.state("t/openai")

    with pytest.raises(ProviderCircuitOpen) as caught:
        await harness.ask("text-5")

    assert (True, 15.0) == (caught.value.retryable, caught.value.retry_after_s)
    assert 5 == len(harness.openai.requests)


async def test_an_open_breaker_goes_on_with_the_next_without_a_call(harness: FallbackHarness):
    await harness.fail(5)

    assert text(9) == text_of(await harness.ask("text-5", "text-9"))
    assert [("openai/text-5", "provider_resting", "ollama/text-9")] == harness.switches
    assert 5 == len(harness.openai.requests)


async def test_an_answer_between_failures_starts_the_count_again(harness: FallbackHarness):
    await harness.fail(4)
    await harness.ask("text-1")
    await harness.fail(4)

    assert "closed" == harness.breakers.state("t/openai")


@pytest.mark.parametrize("model", ["refuse-401", "refuse-400", "rate-limit-9"])
async def test_errors_of_a_vendor_in_good_health_open_nothing(harness: FallbackHarness, model: str):
    for _ in range(6):
        with pytest.raises((ProviderRejectedKey, ProviderRefused, ProviderRateLimited)):
            await harness.ask(model)

    assert "closed" == harness.breakers.state("t/openai")


async def test_failures_in_mid_answer_open_it_too(harness: FallbackHarness):
    for _ in range(5):
        with pytest.raises(ProviderStreamCut):
            await harness.ask("cut-after-1")

    assert "open" == harness.breakers.state("t/openai")


async def test_another_tenants_breaker_stays_closed(harness: FallbackHarness):
    await harness.fail(5)
    choice = ChainModel(harness.first_for("text-3"), "text-3", "openai/text-3", "other/openai")

    assert text(3) == text_of([d async for d in stream_with_fallback([choice], ask("x"), harness.breakers)])


async def test_after_fifteen_seconds_one_probe_goes_and_closes_it(harness: FallbackHarness):
    await harness.fail(5)
    harness.clock.now_s = 14.9
    with pytest.raises(ProviderCircuitOpen):
        await harness.ask("text-5")
    harness.clock.now_s = 15.0
    assert "half_open" == harness.breakers.state("t/openai")

    assert text(5) == text_of(await harness.ask("text-5"))
    assert "closed" == harness.breakers.state("t/openai")


async def test_a_probe_that_fails_opens_it_for_as_long_again(harness: FallbackHarness):
    await harness.fail(5)
    harness.clock.now_s = 15.0
    await harness.fail(1)

    harness.clock.now_s = 29.9
    with pytest.raises(ProviderCircuitOpen):
        await harness.ask("text-5")


async def test_while_the_probe_is_on_its_way_nobody_else_calls(harness: FallbackHarness):
    await harness.fail(5)
    harness.clock.now_s = 15.0
    probe = asyncio.create_task(harness.ask("stall-first"))
    await harness.openai.until_begun(6)

    with pytest.raises(ProviderCircuitOpen):
        await harness.ask("text-5")
    with pytest.raises(ProviderTimeout):
        await probe

    assert 6 == len(harness.openai.requests)


async def test_a_probes_first_token_lets_the_others_call(harness: FallbackHarness):
    await harness.fail(5)
    harness.clock.now_s = 15.0

    async with aclosing(harness.stream("text-5000-at-200")) as probe:
        await anext(probe)
        assert text(5) == text_of(await harness.ask("text-5"))


async def test_a_cancelled_probe_makes_room_for_another(harness: FallbackHarness):
    await harness.fail(5)
    harness.clock.now_s = 15.0
    probe = asyncio.create_task(harness.ask("slow-first-5"))
    await harness.openai.until_begun(6)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe

    assert text(5) == text_of(await harness.ask("text-5"))


def test_a_late_failure_from_before_does_not_end_a_probe():
    clock = Clock()
    breakers = Breakers(failures=1, now=clock)
    late, opener = breakers.acquire("k"), breakers.acquire("k")
    assert late is not None
    assert opener is not None
    opener.failed(ProviderUnreachable("away"))
    clock.now_s = 15.0
    probe = breakers.acquire("k")
    assert probe is not None

    late.failed(ProviderUnreachable("away"))
    late.released()

    assert ("half_open", None) == (breakers.state("k"), breakers.acquire("k"))
    probe.first_token()
    assert "closed" == breakers.state("k")


async def test_closing_the_stream_closes_the_vendors_socket_at_once(harness: FallbackHarness):
    async with aclosing(harness.stream("refuse-500", "text-5000-at-200")) as stream:
        await anext(stream)

    record = harness.ollama.requests[-1]
    await harness.ollama.until(lambda: record.client_closed_ns > 0)
    assert 0 < record.tokens_sent < 1000


async def test_cancelling_before_the_first_token_closes_the_vendors_socket(harness: FallbackHarness):
    task = asyncio.create_task(harness.ask("slow-first-5", "text-9"))
    await harness.openai.until_begun()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await harness.openai.until(lambda: harness.openai.requests[-1].client_closed_ns > 0)
    assert ([], []) == (harness.switches, harness.ollama.requests)


async def test_a_vendor_that_is_away_is_passed_over(harness: FallbackHarness):
    await harness.openai.stop()

    assert text(9) == text_of(await harness.ask("text-5", "text-9"))
    assert "provider_unreachable" == harness.switches[0][1]


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "gpt-5-mini", Capabilities(True, True)),
        ("openai", "o1-mini", Capabilities(False, False)),
        ("openai", "gpt-3.5-turbo", Capabilities(True, False)),
        ("anthropic", "claude-sonnet-4-6", Capabilities(True, True)),
        ("google", "gemini-3-flash-preview", Capabilities(True, True)),
        ("mistral", "mistral-embed", Capabilities(False, False)),
        ("openrouter", "meta-llama/llama-4-scout", Capabilities(True, True)),
        ("vllm", "my-own", Capabilities(True, False)),
    ],
)
def test_the_table_knows_what_common_models_can_do(provider: str, model: str, expected: Capabilities):
    assert expected == from_name(provider, model)


async def test_a_provider_that_cannot_be_asked_is_looked_up_in_the_table():
    assert Capabilities(True, False, 9) == await capabilities(Offline(0), "extractive", {"context_tokens": 9})
