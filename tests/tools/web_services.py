"""Tavily, DuckDuckGo, Wikipedia and Open-Meteo as the tools know them, in one small server: their addresses, what they ask for
and the shapes they answer with. `fault` makes every answer a bad one."""

import json
from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from tests.counterparts.http_server import CounterpartServer, Exchange

TAVILY_KEY = "tvly-right"
PAGES = [
    (
        "Hanoi opens a new metro line",
        "https://news.example/metro?id=1&lang=en",
        "The line has 12 stations & opened today.",
    ),
    ("Metro fares <2026>", "https://fares.example/", "A ticket costs 15,000 VND."),
]
ARTICLES = {
    "en": [
        ("Hanoi", "Hanoi is the capital of Vietnam."),
        ("Hanoi Metro", "The Hanoi Metro is a rapid transit system."),
    ],
    "vi": [("Hà Nội", "Hà Nội là thủ đô của Việt Nam.")],
}


class WebServices(CounterpartServer):
    """`settings` are what a context needs so that the tools find it."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Callable[[Exchange], None] | None = None

    @property
    def settings(self) -> dict[str, str]:
        return {
            "TAVILY_URL": self.url,
            "DUCKDUCKGO_URL": self.url,
            "WIKIPEDIA_URL": self.url + "/w/{language}/api.php",
            "OPEN_METEO_URL": self.url,
            "OPEN_METEO_GEOCODING_URL": self.url,
        }

    def paths(self) -> list[str]:
        """What was asked for, without queries."""
        return [urlsplit(record.path).path for record in self.requests]

    async def handle(self, exchange: Exchange) -> None:
        parts = urlsplit(exchange.path)
        query = dict(parse_qsl(parts.query))
        if self.fault is not None:
            self.fault(exchange)
        elif parts.path == "/search":
            self._tavily(exchange)
        elif parts.path == "/html/":
            self._duckduckgo(exchange)
        elif parts.path.startswith("/w/"):
            exchange.answer(200, _wikipedia(parts.path.split("/")[2], query))
        elif parts.path == "/v1/search":
            exchange.answer(200, _geocoding(query))
        else:
            exchange.answer(200, _forecast(query))

    def _tavily(self, exchange: Exchange) -> None:
        if exchange.record.headers.get("authorization") != f"Bearer {TAVILY_KEY}":
            exchange.answer(401, {"detail": {"error": "Unauthorized: missing or invalid API key."}})
            return
        results = [{"title": t, "url": u, "content": s, "score": 0.9, "raw_content": None} for t, u, s in PAGES]
        body = exchange.record.body
        exchange.answer(200, {"query": body["query"], "results": results[: body["max_results"]], "response_time": 0.5})

    def _duckduckgo(self, exchange: Exchange) -> None:
        found = exchange.record.body["q"] != "nothing"
        html(exchange, 200, duckduckgo_page(PAGES if found else []))


def html(exchange: Exchange, status: int, page: str) -> None:
    """A whole answer in HTML."""
    body = page.encode()
    head = f"HTTP/1.1 {status} So\r\ncontent-type: text/html; charset=UTF-8\r\ncontent-length: {len(body)}\r\n\r\n"
    exchange.write(head.encode() + body)
    exchange.finish()


def duckduckgo_page(pages: list[tuple[str, str, str]]) -> str:
    """As html.duckduckgo.com builds it: an advertisement first, links that lead over /l/, words in <b>."""
    ad = (
        '<div class="result results_links results_links_deep result--ad"><h2 class="result__title">'
        '<a rel="nofollow" class="result__a" href="https://duckduckgo.com/y.js?ad_domain=shop.example">Buy now</a></h2>'
        '<a class="result__snippet" href="https://duckduckgo.com/y.js?ad_domain=shop.example">An offer</a></div>'
    )
    blocks = [
        '<div class="result results_links results_links_deep web-result "><div class="links_main links_deep result__body">'
        f'<h2 class="result__title"><a rel="nofollow" class="result__a" href="//duckduckgo.com/l/?uddg={quote(url, "")}'
        f'&amp;rut=0b1d">{escape(title)}</a></h2><div class="result__extras"><a class="result__url" href="#"> x </a></div>'
        f'<a class="result__snippet" href="#"><b>{escape(snippet[:3])}</b>{escape(snippet[3:])}</a></div></div>'
        for title, url, snippet in pages
    ]
    none = '<div class="no-results">No results.</div>'
    return f'<html><body><div id="links">{ad}{"".join(blocks) or none}</div></body></html>'


def _wikipedia(language: str, query: dict[str, str]) -> dict[str, Any]:
    """Pages come in the order of their ids and not in that of the search, as from MediaWiki."""
    if query["gsrsearch"] == "nothing":
        return {"batchcomplete": True}
    pages = [
        {
            **{"pageid": 900 - index, "ns": 0, "title": title, "index": index, "extract": text},
            "fullurl": f"https://{language}.wikipedia.org/wiki/{quote(title.replace(' ', '_'))}",
        }
        for index, (title, text) in enumerate(ARTICLES[language][: int(query["gsrlimit"])], 1)
    ]
    return {"batchcomplete": True, "query": {"pages": pages[::-1]}}


def _geocoding(query: dict[str, str]) -> dict[str, Any]:
    if query["name"] == "Nowhere":
        return {"generationtime_ms": 0.5}
    hanoi = {"id": 1581130, "name": "Hanoi", "latitude": 21.0245, "longitude": 105.84117, "country_code": "VN"}
    return {"results": [{**hanoi, "admin1": "Hanoi", "country": "Vietnam", "timezone": "Asia/Bangkok"}]}


def _forecast(query: dict[str, str]) -> dict[str, Any]:
    count = int(query["forecast_days"])
    rain = {"precipitation_sum": [1.5] * count, "precipitation_probability_max": [80] * count}
    heat = {"temperature_2m_max": [33.1] * count, "temperature_2m_min": [26.4] * count, "weather_code": [95] * count}
    now = {"time": "2026-07-01T14:15", "temperature_2m": 31.2, "apparent_temperature": 37.0, "weather_code": 61}
    return {
        **{"latitude": 21.0, "longitude": 105.875, "timezone": "Asia/Bangkok"},
        "current": {**now, "relative_humidity_2m": 74, "precipitation": 0.4, "wind_speed_10m": 9.7},
        "daily": {"time": [f"2026-07-0{day}" for day in range(1, count + 1)], **heat, **rain},
    }


def as_json(value: Any) -> Callable[[Exchange], None]:
    """A fault: an answer of another shape."""
    return lambda exchange: exchange.answer(200, json.loads(json.dumps(value)))
