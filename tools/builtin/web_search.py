"""`web_search`: searches with Tavily if its key is set; without a key, or if Tavily fails, with DuckDuckGo's HTML page.

DuckDuckGo has no API. The package `ddgs` has an HTTP client of its own that can't be routed through the egress guard, so the
page is requested and parsed here.
"""

from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import structlog

from schema.errors import EgressFailed
from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec
from tools.errors import ToolFailed, ToolUnavailable
from tools.http_calls import check_status, expect_type, request_json

TAVILY_KEY = "TAVILY_API_KEY"
TAVILY_URL = "https://api.tavily.com"
DUCKDUCKGO_URL = "https://html.duckduckgo.com"
REGIONS = {"vi": "vn-vi", "en": "us-en"}
MAX_RESULTS = 10
MAX_SNIPPET = 600

Pages = list[dict[str, str]]
"""Title, URL and snippet of each page, best first."""

log = structlog.get_logger()

SPEC = ToolSpec(
    name="web_search",
    description=(
        "Search the web for what is current or not in the documents: news, prices, people, products. Returns titles, "
        "addresses and short passages of pages; name the address when you use one."
    ),
    parameters={
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to search for", "minLength": 1, "maxLength": 400},
            "max_results": {"type": "integer", "minimum": 1, "maximum": MAX_RESULTS, "description": "5 if left out"},
        },
        "required": ["query"],
        "additionalProperties": False,
    },
    untrusted=True,
    timeout_s=25.0,
)


async def search_web(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """Raises ToolUnavailable if neither service responds."""
    query, count = arguments["query"], arguments.get("max_results", 5)
    provider, found = "tavily", None
    if context.settings.get(TAVILY_KEY):
        try:
            found = await _search_tavily(query, count, context)
        except (ToolFailed, EgressFailed) as error:
            log.warning("tavily_failed", code=error.code, tenant_id=context.tenant_id, job_id=context.job_id)
    if found is None:
        provider, found = "duckduckgo", await _search_duckduckgo(query, count, context)
    return _format_result(found, provider)


async def _search_tavily(query: str, count: int, context: ToolContext) -> Pages:
    response = await request_json(
        context.fetch,
        context.settings.get("TAVILY_URL", TAVILY_URL).rstrip("/") + "/search",
        service="Tavily",
        headers={"authorization": f"Bearer {context.settings[TAVILY_KEY]}"},
        body={"query": query, "max_results": count, "search_depth": "basic"},
    )
    pages = expect_type(expect_type(response, dict, "Tavily").get("results"), list, "Tavily")
    return [
        {
            "title": str(page.get("title") or ""),
            "url": str(page.get("url") or ""),
            "snippet": str(page.get("content") or "")[:MAX_SNIPPET],
        }
        for page in pages[:count]
        if isinstance(page, dict)
    ]


async def _search_duckduckgo(query: str, count: int, context: ToolContext) -> Pages:
    """Status 202 means that DuckDuckGo has rate-limited us as a bot."""
    response = await context.fetch.request(
        "POST",
        context.settings.get("DUCKDUCKGO_URL", DUCKDUCKGO_URL).rstrip("/") + "/html/",
        data={"q": query, "kl": REGIONS.get(context.language, "wt-wt")},
        headers={"user-agent": "Mozilla/5.0 (compatible; headrace)", "accept": "text/html"},
    )
    if response.status_code == 202 or b"anomaly-modal" in response.content:
        raise ToolUnavailable(f"DuckDuckGo is rate-limiting searches; try later, or an admin can set {TAVILY_KEY}.")
    check_status(response, "DuckDuckGo")
    page = ResultPage()
    page.feed(response.content.decode("utf-8", "replace"))
    if not page.results and "no-results" not in page.classes:
        raise ToolUnavailable(f"DuckDuckGo returned a page that can't be parsed; an admin can set {TAVILY_KEY}.")
    return [{name: text.strip() for name, text in result.items()} for result in page.results[:count]]


class ResultPage(HTMLParser):
    """Parses `results` from DuckDuckGo's page: links of class result__a, each followed by text of class result__snippet.
    Skips advertisements, which link to DuckDuckGo's own y.js. `classes` are all classes on the page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.results: Pages = []
        self.classes: set[str] = set()
        self._field = ""
        self._tag = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        classes = set((values.get("class") or "").split())
        self.classes |= classes
        if "result__a" in classes:
            url = page_url(values.get("href") or "")
            self._field, self._tag = ("title", tag) if url else ("", "")
            if url:
                self.results.append({"title": "", "url": url, "snippet": ""})
        elif "result__snippet" in classes and self.results and not self.results[-1]["snippet"]:
            self._field, self._tag = "snippet", tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._tag:
            self._field = self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._field and len(self.results[-1][self._field]) < MAX_SNIPPET:
            self.results[-1][self._field] += data


def page_url(link: str) -> str:
    """The target of a DuckDuckGo link; empty for its own pages and for anything but http(s)."""
    try:
        parts = urlsplit(link)
        if parts.path == "/l/":
            parts = urlsplit(parse_qs(parts.query).get("uddg", [""])[0])
    except ValueError:
        return ""
    is_duckduckgo = (parts.hostname or "").endswith("duckduckgo.com")
    return "" if is_duckduckgo or parts.scheme not in ("http", "https") else parts.geturl()


def _format_result(found: Pages, provider: str) -> ToolResult:
    blocks = [
        f"{number}. {page['title']}\n{page['url']}\n{page['snippet']}".rstrip() for number, page in enumerate(found, 1)
    ]
    text = "\n\n".join(blocks) or "The search found nothing; try other words."
    return ToolResult(text, {"provider": provider, "results": found}, renderer="links")


def build() -> Tool:
    return FunctionTool(SPEC, search_web)
