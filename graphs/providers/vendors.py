"""The vendors that speak OpenAI's protocol, one row each. A new vendor is one row, and nothing else.

A vendor is configured when one of its `key_env` or `base_url_env` names is set (`registry.py` reads them).
"""

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Vendor:
    """What one vendor does its own way.

    `base_url` is empty where every user has an address of their own. `path` is appended to an address that comes from
    the environment without a path. `key_check` is the cheapest GET that fails with a wrong key. `preferred` are the
    models to take when none is named, the first that the vendor lists; `lists_own` means that what it lists was
    loaded by its owner, so that the first one is a fair choice.
    """

    name: str
    base_url: str = ""
    key_env: tuple[str, ...] = ()
    base_url_env: tuple[str, ...] = ()
    path: str = ""
    auth: Literal["bearer", "api-key"] = "bearer"
    needs_key: bool = True
    key_check: str = "models"
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    developer_role: bool = False
    stream_usage: bool = True
    preferred: tuple[str, ...] = ()
    lists_own: bool = False

    def at(self, base_url: str) -> "Vendor":
        """This vendor's protocol at another address: a local server that knows none of the vendor's newer fields."""
        if base_url.rstrip("/") == self.base_url:
            return self
        if not self.base_url:  # no address of its own: this one is the vendor itself, with all its ways
            return replace(self, base_url=base_url)
        return replace(
            self,
            base_url=base_url,
            needs_key=False,
            key_check="models",
            max_tokens_field="max_tokens",  # llama.cpp ignores the newer name and would never stop
            developer_role=False,
            preferred=(),
            lists_own=True,
        )


VENDORS: dict[str, Vendor] = {
    row.name: row
    for row in (
        Vendor(
            "openai",
            "https://api.openai.com/v1",
            key_env=("OPENAI_API_KEY",),
            base_url_env=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
            max_tokens_field="max_completion_tokens",
            developer_role=True,
            preferred=("gpt-5-mini", "gpt-4.1-mini", "gpt-4o-mini"),
        ),
        Vendor(
            "azure",
            key_env=("AZURE_OPENAI_API_KEY",),
            base_url_env=("AZURE_OPENAI_ENDPOINT",),
            path="/openai/v1",
            auth="api-key",
            max_tokens_field="max_completion_tokens",
            developer_role=True,
        ),
        Vendor(
            "openrouter",
            "https://openrouter.ai/api/v1",
            key_env=("OPENROUTER_API_KEY",),
            base_url_env=("OPENROUTER_BASE_URL",),
            key_check="key",  # its list of models is public
            preferred=("openrouter/auto",),
        ),
        Vendor(
            "huggingface",
            "https://router.huggingface.co/v1",
            key_env=("HUGGINGFACE_API_KEY",),  # not HF_TOKEN: people set that to download weights, not to chat
            base_url_env=("HUGGINGFACE_BASE_URL",),
        ),
        Vendor(
            "groq",
            "https://api.groq.com/openai/v1",
            key_env=("GROQ_API_KEY",),
            base_url_env=("GROQ_BASE_URL",),
            max_tokens_field="max_completion_tokens",
        ),
        Vendor(
            "mistral",
            "https://api.mistral.ai/v1",
            key_env=("MISTRAL_API_KEY",),
            base_url_env=("MISTRAL_BASE_URL",),
            stream_usage=False,  # sends usage unasked, and refuses fields it does not know
        ),
        Vendor(
            "deepseek",
            "https://api.deepseek.com",
            key_env=("DEEPSEEK_API_KEY",),
            base_url_env=("DEEPSEEK_BASE_URL",),
        ),
        Vendor(
            "together",
            "https://api.together.xyz/v1",
            key_env=("TOGETHER_API_KEY",),
            base_url_env=("TOGETHER_BASE_URL",),
        ),
        Vendor("vllm", key_env=("VLLM_API_KEY",), base_url_env=("VLLM_BASE_URL",), needs_key=False, lists_own=True),
        Vendor(
            "llamacpp",
            key_env=("LLAMACPP_API_KEY",),
            base_url_env=("LLAMACPP_BASE_URL",),
            needs_key=False,
            lists_own=True,
        ),
        Vendor(
            "lmstudio",
            key_env=("LMSTUDIO_API_KEY",),
            base_url_env=("LMSTUDIO_BASE_URL",),
            needs_key=False,
            lists_own=True,
        ),
    )
}
