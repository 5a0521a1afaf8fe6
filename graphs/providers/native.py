"""The providers with a protocol of their own, one row each; vendors that speak OpenAI's are rows of `openai/vendors.py`.

Not for: what is configured (`settings.py`), and building a provider when it is asked for (`registry.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from graphs.providers.anthropic import provider as anthropic
from graphs.providers.cohere import provider as cohere
from graphs.providers.contract import Provider
from graphs.providers.google import provider as google
from graphs.providers.ollama import provider as ollama
from graphs.providers.ollama.addresses import parse_hosts, parse_keep_alive


@dataclass(frozen=True, slots=True)
class Option:
    """A further setting of one provider: the name under which it is built with it, that of the setting, how it is parsed (which
    raises ValueError), and what it must be."""

    name: str
    env: str
    parse: Callable[[str], str]
    shape: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeProvider:
    """How one provider differs from the others.

    `build` is its class, called with an open session, an address, `key`, `timeouts`, and those of its `options` that are
    set.
    `url_env` and `key_env` are its settings; of several keys the first that is set counts. `base_url` is the vendor's own
    address, with which a key is enough, and where one is needed if `needs_key`; empty if every user has one of their own.
    `parse_url` parses an address that somebody set, and raises ValueError for an invalid one; `url_shape` says what it must
    be. `preferred`, `lists_own`: as in `openai/vendors.py`. `fallback` is the model to use if none is named and none of those
    is listed.
    """

    name: str
    build: Callable[..., Provider]
    url_env: str
    key_env: tuple[str, ...]
    base_url: str = ""
    needs_key: bool = False
    parse_url: Callable[[str], str] = str
    url_shape: str = "http://host:port"
    preferred: tuple[str, ...] = ()
    lists_own: bool = False
    fallback: str = ""
    options: tuple[Option, ...] = ()

    @property
    def configured_by(self) -> tuple[str, ...]:
        """The settings each of which configures it."""
        return (*self.key_env, self.url_env) if self.base_url else (self.url_env,)

    def demands_key_at(self, base_url: str) -> bool:
        """Whether a call to this address needs a key: the vendor's own does, a gateway of yours may not."""
        return self.needs_key and base_url.rstrip("/") == self.base_url


KEEP_ALIVE = Option("keep_alive", "OLLAMA_KEEP_ALIVE", parse_keep_alive, "a time such as 30m or 24h, or -1 for ever")

NATIVE: dict[str, NativeProvider] = {
    row.name: row
    for row in (
        NativeProvider(
            name=ollama.NAME,
            build=ollama.Ollama,
            url_env="OLLAMA_HOST",
            key_env=("OLLAMA_API_KEY",),
            parse_url=parse_hosts,
            url_shape="host:port or http://host:port, or several of them with commas between",
            lists_own=True,
            options=(KEEP_ALIVE,),
            fallback=ollama.FIRST_MODEL,
        ),
        NativeProvider(
            name=google.NAME,
            build=google.Google,
            url_env="GEMINI_BASE_URL",
            key_env=("GEMINI_API_KEY",),  # not GOOGLE_API_KEY: people set that for maps and the like
            base_url=google.ADDRESS,
            needs_key=True,
            parse_url=google.parse_address,
            url_shape="a URL such as https://generativelanguage.googleapis.com, without a password",
            preferred=("gemini-3.5-flash", "gemini-3-flash-preview", "gemini-2.5-flash"),
        ),
        NativeProvider(
            name=cohere.NAME,
            build=cohere.Cohere,
            url_env="COHERE_BASE_URL",
            key_env=("COHERE_API_KEY", "CO_API_KEY"),
            base_url=cohere.ADDRESS,
            needs_key=True,
            parse_url=cohere.parse_address,
            url_shape="a URL such as https://api.cohere.com, without a password",
            preferred=("command-a-03-2025", "command-r7b-12-2024"),
        ),
        NativeProvider(
            name=anthropic.NAME,
            build=anthropic.Anthropic,
            url_env="ANTHROPIC_BASE_URL",
            key_env=("ANTHROPIC_API_KEY",),
            base_url=anthropic.BASE_URL,
            needs_key=True,
            parse_url=anthropic.parse_base_url,
            url_shape="like https://api.anthropic.com",
            preferred=("claude-sonnet-5-5", "claude-sonnet-5", "claude-sonnet-4-6", "claude-haiku-5-5"),
        ),
    )
}
