"""The vendors that speak OpenAI's protocol, one row each. A new vendor is one row, and nothing else.

A vendor is configured when one of its `key_env` or `base_url_env` names is set (`registry.py` reads them).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from graphs.providers.contract import Completing
from graphs.providers.openai import azure

Auth = Literal["bearer", "api-key"]
"""How a key is sent: as `Authorization: Bearer …`, or in a header of this name."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """How one vendor differs from the others.

    `base_url` is empty if every user has an address of their own. `preferred` are the models to use when none is named: the
    first that the vendor lists. `lists_own`: the listed models were loaded by the server's owner, so the first one is a good
    choice.

    `models` is the path of its model list, `key_check` that of the cheapest GET that fails with a wrong key (a whole URL if
    it is on another host). `lists` is False if the list tells nothing of what can be called; then `models_env` names the
    models.

    `responses_models` is a pattern of the models that only the Responses API has.

    `headers` are sent with every request; `header_env` are pairs of a header and the setting that has its value. `version_env`
    is the setting with the version of the API, which `parse_url` puts into an address; `version` is that of the address.

    `keeps_token_name` sends the limit of tokens under the name that the client used. `choices`: it has `n`.
    `returns_thoughts`: it wants the thoughts before a call of a tool back with the call, as `reasoning_content`.
    `makes_grammars`: it turns schemas into grammars, which can't say all (`grammar_schemas.py`).

    `completing` says how its models go on with a text, if they do: those of the pattern `completions_models`, at the path
    `completions`.
    """

    name: str
    base_url: str = ""
    key_env: tuple[str, ...] = ()
    base_url_env: tuple[str, ...] = ()
    auth: Auth = "bearer"
    needs_key: bool = True
    models: str = "models"
    key_check: str = "models"
    lists: bool = True
    models_env: str = ""
    responses_models: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    header_env: tuple[tuple[str, str], ...] = ()
    version_env: str = ""
    version: str = ""
    parse_url: Callable[[str, str], str] | None = None
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    developer_role: bool = False
    stream_usage: bool = True
    preferred: tuple[str, ...] = ()
    lists_own: bool = False
    keeps_token_name: bool = False
    choices: bool = False
    returns_thoughts: bool = False
    makes_grammars: bool = False
    completions: str = "completions"
    completions_models: str = ".*"
    completing: Completing | None = None

    def at(self, base_url: str) -> "Vendor":
        """Return this vendor at another address: a local server, or a proxy before the vendor."""
        if base_url.rstrip("/") == self.base_url:
            return self
        if not self.base_url:  # every user has an address: this one is the vendor itself
            address, version = azure.split_version(base_url)
            found = replace(self, base_url=address, version=version)
            return (
                found
                if azure.knows_usage(version)
                else replace(found, max_tokens_field="max_tokens", stream_usage=False)
            )
        return replace(
            self,
            base_url=base_url,
            needs_key=False,
            models="models",
            key_check="models",
            # Nobody knows what stands there: the name of the limit is the client's, and of ours the one that all know.
            max_tokens_field="max_tokens",
            keeps_token_name=True,
            preferred=(),
            lists_own=True,
            headers=(),
            responses_models="",
            completions_models=".*" if self.completing and self.completing.lists else self.completions_models,
        )

    def completes(self, model: str) -> bool:
        """Whether a model can go on with a text."""
        return self.completing is not None and re.fullmatch(self.completions_models, model) is not None

    def needs_responses(self, model: str) -> bool:
        """Whether a model can be called by the Responses API alone."""
        return bool(self.responses_models) and re.fullmatch(self.responses_models, model) is not None

    def route(self, name: str, model: str = "") -> str:
        """Return the path of a route, with the version that the address names."""
        if not self.version:
            return name
        path = azure.deployment_path(name, model) if model and azure.is_dated(self.version) else name
        return f"{path}{'&' if '?' in path else '?'}api-version={self.version}"


WHOLE = Completing(lists=True, suffix=True, echo=True)
"""As OpenAI does it."""
PROMPT_ONLY = Completing(lists=True, echo=True)
GAPS = Completing(suffix=True)

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
            choices=True,
            preferred=("gpt-5-mini", "gpt-4.1-mini", "gpt-4o-mini"),
            completions_models=r"(ft:)?(gpt-3\.5-turbo-instruct|davinci-002|babbage-002).*",
            completing=WHOLE,
            responses_models=r"o\d-pro.*|.*-deep-research.*|gpt-[5-9](\.\d)?-pro.*|.*codex.*|computer-use.*",
        ),
        Vendor(
            "azure",
            key_env=("AZURE_OPENAI_API_KEY",),
            base_url_env=("AZURE_OPENAI_ENDPOINT",),
            auth="api-key",
            # Its list has the models that could be deployed; those that are, only their owner can name.
            lists=False,
            models_env="AZURE_OPENAI_DEPLOYMENTS",
            version_env="OPENAI_API_VERSION",
            parse_url=azure.read_address,
            max_tokens_field="max_completion_tokens",
            developer_role=True,
            lists_own=True,
            choices=True,
        ),
        Vendor(
            "openrouter",
            "https://openrouter.ai/api/v1",
            key_env=("OPENROUTER_API_KEY",),
            base_url_env=("OPENROUTER_BASE_URL",),
            key_check="key",  # its list of models is public
            headers=(("X-Title", "headrace"),),  # the name of the application, in its owner's statistics
            header_env=(("HTTP-Referer", "OPENROUTER_HTTP_REFERER"),),
            preferred=("openrouter/auto",),
            completing=GAPS,
        ),
        Vendor(
            "huggingface",
            "https://router.huggingface.co/v1",
            key_env=("HUGGINGFACE_API_KEY",),  # not HF_TOKEN: people set that to download weights, not to chat
            base_url_env=("HUGGINGFACE_BASE_URL",),
            # The router's model list doesn't check a token: it refuses fine-grained ones that may chat all the same.
            key_check="https://huggingface.co/api/whoami-v2",
            header_env=(("X-HF-Bill-To", "HUGGINGFACE_BILL_TO"),),  # the organisation that pays
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
            choices=True,
            stream_usage=False,  # sends usage unasked, and refuses fields it does not know
            completions="fim/completions",
            completions_models=r"codestral-(?!embed|mamba).*",
            completing=GAPS,
        ),
        Vendor(
            "deepseek",
            "https://api.deepseek.com",
            returns_thoughts=True,
            completions="beta/completions",
            completions_models=r"(?!.*reason).*",
            completing=Completing(suffix=True, echo=True),
            key_env=("DEEPSEEK_API_KEY",),
            base_url_env=("DEEPSEEK_BASE_URL",),
        ),
        Vendor(
            "together",
            "https://api.together.xyz/v1",
            key_env=("TOGETHER_API_KEY",),
            base_url_env=("TOGETHER_BASE_URL",),
            choices=True,
            completing=Completing(echo=True),
        ),
        Vendor(
            "vllm",
            key_env=("VLLM_API_KEY",),
            base_url_env=("VLLM_BASE_URL",),
            needs_key=False,
            lists_own=True,
            choices=True,
            completing=WHOLE,
        ),
        Vendor(
            "llamacpp",
            key_env=("LLAMACPP_API_KEY",),
            base_url_env=("LLAMACPP_BASE_URL",),
            needs_key=False,
            lists_own=True,
            completing=PROMPT_ONLY,
            makes_grammars=True,
        ),
        Vendor(
            "lmstudio",
            key_env=("LMSTUDIO_API_KEY",),
            base_url_env=("LMSTUDIO_BASE_URL",),
            needs_key=False,
            lists_own=True,
            completing=PROMPT_ONLY,
            makes_grammars=True,
        ),
    )
}
