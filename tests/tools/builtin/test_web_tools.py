"""Web search, Wikipedia and weather, against counterparts over a socket, through the egress guard."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.counterparts.http_server import Exchange
from tests.tools.tool_contexts import call, failure, make_context, web_context
from tests.tools.web_services import PAGES, TAVILY_KEY, WebServices, as_json, html
from tools.builtin import weather, web_search, wikipedia
from tools.contract import Tool

FOUND = [{"title": title, "url": url, "snippet": snippet} for title, url, snippet in PAGES]


@pytest.fixture
async def services() -> AsyncIterator[WebServices]:
    async with WebServices() as server:
        yield server


async def test_a_search_with_a_key_asks_tavily(services: WebServices) -> None:
    async with web_context(settings={**services.settings, "TAVILY_API_KEY": TAVILY_KEY}) as context:
        result = await call(web_search.build(), context, query="metro", max_results=2)
    assert ["/search"] == services.paths()
    assert {"provider": "tavily", "results": FOUND} == result.data
    assert "1. Hanoi opens a new metro line\nhttps://news.example/metro?id=1&lang=en\nThe line has" in result.text


async def test_a_search_without_a_key_asks_duckduckgo_and_leaves_out_advertisements(services: WebServices) -> None:
    async with web_context(settings=services.settings, language="vi") as context:
        result = await call(web_search.build(), context, query="tàu điện")
    assert {"q": "tàu điện", "kl": "vn-vi"} == services.requests[0].body
    assert {"provider": "duckduckgo", "results": FOUND} == result.data


async def test_a_search_that_tavily_refuses_goes_to_duckduckgo(services: WebServices) -> None:
    async with web_context(settings={**services.settings, "TAVILY_API_KEY": "wrong"}) as context:
        result = await call(web_search.build(), context, query="metro", max_results=1)
    assert ["/search", "/html/"] == services.paths()
    assert {"provider": "duckduckgo", "results": FOUND[:1]} == result.data


async def test_a_search_whose_tavily_is_unreachable_goes_to_duckduckgo(services: WebServices) -> None:
    settings = {**services.settings, "TAVILY_API_KEY": TAVILY_KEY, "TAVILY_URL": "http://127.0.0.1:1"}
    async with web_context(settings=settings) as context:
        assert FOUND == (await call(web_search.build(), context, query="metro")).data["results"]


async def test_a_search_that_finds_nothing_says_so(services: WebServices) -> None:
    async with web_context(settings=services.settings) as context:
        result = await call(web_search.build(), context, query="nothing")
    assert ("The search found nothing; try other words.", []) == (result.text, result.data["results"])


@pytest.mark.parametrize(
    "fault",
    [
        lambda exchange: html(exchange, 202, "<html>wait</html>"),
        lambda exchange: html(exchange, 200, '<div class="anomaly-modal">robots</div>'),
        lambda exchange: html(exchange, 200, "<html>another page</html>"),
        lambda exchange: exchange.answer(500, {}),
    ],
)
async def test_a_search_that_nobody_answers_is_unavailable(
    services: WebServices, fault: Callable[[Exchange], None]
) -> None:
    services.fault = fault
    async with web_context(settings=services.settings) as context:
        error = await failure(web_search.build(), context, query="metro")
    assert ("ToolUnavailable", True) == (type(error).__name__, "DuckDuckGo" in error.message)


@pytest.mark.parametrize(
    ("link", "leads_to"),
    [
        ("//duckduckgo.com/l/?uddg=https%3A%2F%2Fa.example%2F%3Fb%3Dc&rut=1", "https://a.example/?b=c"),
        ("https://b.example/", "https://b.example/"),
        ("//duckduckgo.com/l/?uddg=javascript%3Aalert(1)", ""),
        ("//duckduckgo.com/l/?rut=1", ""),
        ("https://duckduckgo.com/y.js?ad=1", ""),
        ("javascript:alert(1)", ""),
        ("http://[broken", ""),
        ("", ""),
    ],
)
def test_only_links_to_pages_are_shown(link: str, leads_to: str) -> None:
    assert leads_to == web_search.page_url(link)


async def test_wikipedia_keeps_the_order_of_the_search(services: WebServices) -> None:
    async with web_context(settings=services.settings) as context:
        result = await call(wikipedia.build(), context, query="hanoi")
    assert ["Hanoi", "Hanoi Metro"] == [article["title"] for article in result.data["articles"]]
    assert "# Hanoi\nhttps://en.wikipedia.org/wiki/Hanoi\nHanoi is the capital of Vietnam." in result.text


async def test_wikipedia_speaks_the_users_language(services: WebServices) -> None:
    async with web_context(settings=services.settings, language="vi") as context:
        vietnamese = await call(wikipedia.build(), context, query="thủ đô")
        english = await call(wikipedia.build(), context, query="capital", language="en", max_results=1)
    assert ("vi", "Hà Nội là thủ đô của Việt Nam.") == (
        vietnamese.data["language"],
        vietnamese.data["articles"][0]["text"],
    )
    assert ("en", 1) == (english.data["language"], len(english.data["articles"]))


async def test_wikipedia_without_an_article_says_so(services: WebServices) -> None:
    async with web_context(settings=services.settings) as context:
        assert "no article that fits" in (await call(wikipedia.build(), context, query="nothing")).text


async def test_the_weather_names_the_place_and_the_days(services: WebServices) -> None:
    async with web_context(settings=services.settings, language="vi") as context:
        result = await call(weather.build(), context, place="Hà Nội", country="vn", days=2)
    assert [
        "Hanoi, Hanoi, Vietnam, now (2026-07-01T14:15 there): light rain, 31.2 °C (feels like 37.0), humidity 74 %, "
        "wind 9.7 km/h, rain 0.4 mm",
        "2026-07-01: thunderstorm, 26.4 to 33.1 °C, rain 1.5 mm (80 % likely)",
        "2026-07-02: thunderstorm, 26.4 to 33.1 °C, rain 1.5 mm (80 % likely)",
    ] == result.text.splitlines()
    assert "name=H%C3%A0%20N%E1%BB%99i" in services.requests[0].path.replace("+", "%20")
    assert "countryCode=VN" in services.requests[0].path


async def test_the_weather_of_an_unknown_place_names_the_field(services: WebServices) -> None:
    async with web_context(settings=services.settings) as context:
        error = await failure(weather.build(), context, place="Nowhere")
    assert ("tool_bad_arguments", "place") == (error.code, error.field)


WEB_TOOLS = [
    (web_search.build(), {"query": "x"}),
    (wikipedia.build(), {"query": "x"}),
    (weather.build(), {"place": "Hanoi"}),
]


@pytest.mark.parametrize(("tool", "arguments"), WEB_TOOLS)
@pytest.mark.parametrize(
    "fault",
    [
        as_json([]),
        as_json({"query": [], "results": {}, "current": 1, "daily": 1}),
        as_json({"results": [1], "query": {"pages": "x"}}),
        as_json({"results": [{"latitude": "1/../x", "longitude": None}], "query": {"pages": {}}}),
        lambda exchange: exchange.answer(429, {}),
        lambda exchange: html(exchange, 200, "<html>a sign-in page of the hotel</html>"),
        lambda exchange: exchange.answer(302, {}, {"location": "http://127.0.0.1:1/"}),
        lambda exchange: html(exchange, 200, "x" * (2 << 20)),
        lambda exchange: exchange.cut(),
    ],
)
async def test_a_service_that_answers_badly_is_a_clear_error(
    services: WebServices, tool: Tool, arguments: dict[str, str], fault: Callable[[Exchange], None]
) -> None:
    services.fault = fault
    async with web_context(settings=services.settings) as context:
        error = await failure(tool, context, **arguments)
    assert error.code in {"tool_failed", "tool_too_large"}
    assert "failed unexpectedly" not in error.message


@pytest.mark.parametrize(("tool", "arguments"), WEB_TOOLS)
async def test_no_web_tool_goes_around_the_egress_guard(
    services: WebServices, tool: Tool, arguments: dict[str, str]
) -> None:
    error = await failure(tool, make_context(settings=services.settings), **arguments)
    assert ("tool_refused", []) == (error.code, services.paths())
