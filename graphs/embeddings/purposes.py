"""What stands before a text, for models that were trained to be told whether it is asked or answers.

The words are those of the models' own cards; left out, they find fewer of the right passages. Models that are not here
(all-MiniLM, bge-m3, OpenAI's, …) are given texts as they are. Texts that are only compared with their like are queries.
"""

from fnmatch import fnmatchcase
from typing import Literal

Purpose = Literal["query", "passage"]

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
"""A model's bare name in lower case, what stands before a query, what before a passage; the first row that fits counts."""

SHORTENED = (
    "text-embedding-3-*",
    "nomic-embed-text*v1.5*",
    "embeddinggemma*",
    "qwen3-embedding*",
    "mxbai-embed-large*",
)
"""Models whose vectors may be cut: their first numbers alone are a vector too (Matryoshka)."""


def prefix_of(model: str, purpose: Purpose) -> str:
    """What stands before a text for `model` (`intfloat/e5-small-v2`, `nomic-embed-text:latest`, …); mostly nothing."""
    name = _bare(model)
    for pattern, query, passage in PREFIXES:
        if fnmatchcase(name, pattern):
            return query if purpose == "query" else passage
    return ""


def may_be_shortened(model: str) -> bool:
    """Whether the first numbers of a vector of `model` are a vector too."""
    name = _bare(model)
    return any(fnmatchcase(name, pattern) for pattern in SHORTENED)


def _bare(model: str) -> str:
    return model.rpartition("/")[2].lower()
