"""The operator's list of LangChain chat models and embedders, a JSON file that HEADRACE_LANGCHAIN_MODELS names:

    [{"name": "gpt", "class": "langchain_openai:ChatOpenAI",
      "arguments": {"model": "gpt-5-mini", "api_key": {"env": "OPENAI_KEY"}}}]

Each is the model `langchain/NAME`. As with tools (`tools/langchain/listing.py`), the list is the operator's: nothing else is
ever loaded.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta

from tools.langchain.child import ClassCall
from tools.langchain.listing import ClassName, made_of, read_list

NAME = "langchain"
SETTING = "HEADRACE_LANGCHAIN_MODELS"
MIN_SECRET_CHARS = 8
INHERITED = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
)
MODEL_NAME = re.compile(r"[A-Za-z0-9][\w.:-]{0,99}", re.ASCII)


class ListedModel(msgspec.Struct, frozen=True, rename={"class_name": "class"}, forbid_unknown_fields=True):
    """A model as the file has it."""

    name: Annotated[str, Meta(pattern=rf"^{MODEL_NAME.pattern}$(?!\n)")]
    class_name: ClassName
    arguments: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class LangChainModel:
    """The model `langchain/name`, with the arguments that it is made with. They may hold secrets; `secrets` are the values of
    settings among them."""

    name: str
    made: ClassCall = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def read_listed_models(env: Mapping[str, str]) -> tuple[LangChainModel, ...]:
    """Return the models of the file, none without the setting. Raises ValueError that names the setting and what is wrong."""
    listed = read_list(env, SETTING, ListedModel, "models")
    names = [one.name for one in listed]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{SETTING} is {env[SETTING]!r}; it lists {twice!r} twice.")
    return tuple(_opened(one, env) for one in listed)


def inherited(env: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what the models' process inherits: where proxies and certificates are."""
    return tuple((name, env[name]) for name in INHERITED if env.get(name))


def _opened(listed: ListedModel, env: Mapping[str, str]) -> LangChainModel:
    secrets = tuple(value for name in _settings(listed.arguments) if len(value := env[name]) >= MIN_SECRET_CHARS)
    return LangChainModel(listed.name, made_of(listed, env, SETTING), secrets)


def _settings(value: Any) -> Iterator[str]:
    """Yield the names of the settings that arguments name."""
    match value:
        case {"env": str(name)} if len(cast(dict[str, Any], value)) == 1:
            yield name
        case dict():
            for one in cast(dict[str, Any], value).values():
                yield from _settings(one)
        case list():
            for one in cast(list[Any], value):
                yield from _settings(one)
        case _:
            return
