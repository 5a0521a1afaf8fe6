"""`wikipedia`: the introductions of articles that match a query, in English or Vietnamese."""

from typing import Any

from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec
from tools.http_calls import expect_type, request_json

API_URL = "https://{language}.wikipedia.org/w/api.php"
"""Overridden by the setting WIKIPEDIA_URL, which may contain `{language}`."""

LANGUAGES = ("en", "vi")
MAX_ARTICLE = 6_000

SPEC = ToolSpec(
    name="wikipedia",
    description=(
        "Look something up in Wikipedia: people, places, history, science, terms. Returns the introduction of the articles "
        "that fit best, with their addresses. Not for today's news."
    ),
    parameters={
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "A subject or a title", "minLength": 1, "maxLength": 300},
            "language": {"type": "string", "enum": list(LANGUAGES), "description": "The user's language if left out"},
            "max_results": {"type": "integer", "minimum": 1, "maximum": 5, "description": "2 if left out"},
        },
        "required": ["query"],
        "additionalProperties": False,
    },
    untrusted=True,
)


async def look_up(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """Uses one request: a search as generator, with the introductions and URLs of the results as properties."""
    language = arguments.get("language") or (context.language if context.language in LANGUAGES else "en")
    response = await request_json(
        context.fetch,
        context.settings.get("WIKIPEDIA_URL", API_URL).replace("{language}", language),
        service="Wikipedia",
        params={
            **{"action": "query", "format": "json", "formatversion": "2", "redirects": "1"},
            **{"generator": "search", "gsrsearch": arguments["query"], "gsrlimit": arguments.get("max_results", 2)},
            **{"prop": "extracts|info", "exintro": "1", "explaintext": "1", "exlimit": "max", "inprop": "url"},
        },
    )
    found = expect_type(expect_type(response, dict, "Wikipedia").get("query", {}), dict, "Wikipedia")
    pages = expect_type(found.get("pages", []), list, "Wikipedia")
    articles = [_article(page) for page in sorted((p for p in pages if isinstance(p, dict)), key=_search_rank)]
    blocks = [f"# {article['title']}\n{article['url']}\n{article['text']}" for article in articles]
    text = "\n\n".join(blocks) or "Wikipedia has no article that fits; try another spelling."
    return ToolResult(text, {"language": language, "articles": articles}, renderer="links")


def _search_rank(page: dict[str, Any]) -> int:
    """The rank in the search results: pages come unordered, with their rank in `index`."""
    index = page.get("index")
    return index if isinstance(index, int) else 1_000


def _article(page: dict[str, Any]) -> dict[str, str]:
    return {
        "title": str(page.get("title") or ""),
        "url": str(page.get("fullurl") or ""),
        "text": str(page.get("extract") or "").strip()[:MAX_ARTICLE],
    }


def build() -> Tool:
    return FunctionTool(SPEC, look_up)
