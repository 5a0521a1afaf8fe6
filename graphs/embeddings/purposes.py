"""Prefixes for models that were trained to distinguish queries from passages.

They are those of the models' cards; without them, retrieval is worse. Models that are not listed (all-MiniLM, bge-m3,
OpenAI's, …) get texts unchanged. Texts that are only compared with texts of the same kind are queries.
"""

from fnmatch import fnmatchcase

from graphs.providers.contract import Purpose

_SENTENCE = "Represent this sentence for searching relevant passages: "
_INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "

PREFIXES: tuple[tuple[str, str, str], ...] = (
    ("*e5-*instruct*", _INSTRUCT, ""),
    ("e5-*", "query: ", "passage: "),
    ("multilingual-e5-*", "query: ", "passage: "),
    ("nomic-embed-text*", "search_query: ", "search_document: "),
    ("embeddinggemma*", "task: search result | query: ", "title: none | text: "),
    ("qwen3-embedding*", _INSTRUCT.removesuffix(" "), ""),
    ("mxbai-embed-large*", _SENTENCE, ""),
    ("bge-*-en*", _SENTENCE, ""),
    ("bge-*-zh*", "为这个句子生成表示以用于检索相关文章：", ""),
    ("snowflake-arctic-embed*v2*", "query: ", ""),
    ("snowflake-arctic-embed2*", "query: ", ""),
    ("snowflake-arctic-embed*", _SENTENCE, ""),
)
"""A model's bare name in lower case, the prefix of queries, and that of passages; the first match counts."""

TRUNCATABLE = (
    "text-embedding-3-*",
    "nomic-embed-text*v1.5*",
    "embeddinggemma*",
    "qwen3-embedding*",
    "mxbai-embed-large*",
)
"""Models whose vectors can be truncated: their first numbers alone are a valid vector (Matryoshka)."""


def purpose_prefix(model: str, purpose: Purpose) -> str:
    """Return the prefix for `model` (`intfloat/e5-small-v2`, `nomic-embed-text:latest`, …); empty for most."""
    name = _bare_name(model)
    for pattern, query, passage in PREFIXES:
        if fnmatchcase(name, pattern):
            return query if purpose == "query" else passage
    return ""


def can_truncate(model: str) -> bool:
    """Whether the vectors of `model` can be truncated."""
    name = _bare_name(model)
    return any(fnmatchcase(name, pattern) for pattern in TRUNCATABLE)


def _bare_name(model: str) -> str:
    return model.rpartition("/")[2].lower()
