"""The providers that are configured, read from an environment mapping, and what a model's name means.

Not for: calling them (`registry.py`), or keys that tenants store (rows in the database).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from graphs.providers.contract import ProviderTimeouts
from graphs.providers.errors import ModelUnknown, ProviderIsHeadrace, ProviderUnknown
from graphs.providers.langchain import listing as langchain
from graphs.providers.langchain.listing import LangChainModel, read_listed_models
from graphs.providers.native import NATIVE, NativeProvider
from graphs.providers.offline import provider as offline
from graphs.providers.openai.vendors import VENDORS, Vendor
from schema.errors import HeadraceError
from tools.egress.trust import ca_file_from

PREFERENCE = ("ollama", "openai", "anthropic", "google", "cohere", "azure")
"""The first configured one of these is the default provider; others come after them. Ollama is local and free."""

_NAMES = (*NATIVE, *VENDORS)
_UNCALLED = (langchain.NAME, offline.NAME)  # without an address and a key

SUPPORTED = (*(n for n in PREFERENCE if n in _NAMES), *(n for n in _NAMES if n not in PREFERENCE), *_UNCALLED)
AUTO = "auto"
CHAT_AGENT = "chat"
"""What the model alone is called where an agent could have answered."""
FIRST_LIMIT = "HEADRACE_MODEL_FIRST_TOKEN_S"
LOCAL_FIRST_TOKEN_S = 300.0
"""A CPU reads 10 to 100 tokens of a prompt a second, and a model may have to be loaded first."""

_LOCAL_SERVERS = frozenset({"ollama", "vllm", "llamacpp", "lmstudio"})
_LOCAL_NAMES = (".local", ".lan", ".internal", ".localhost", ".home.arpa")
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})  # noqa: S104 -- compared, never bound


class ModelRef(NamedTuple):
    """A model at a provider. An empty `name` leaves the choice to `Providers.resolve`."""

    provider: str
    name: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.name}"


OFFLINE = ModelRef(offline.NAME, offline.MODEL)


@dataclass(frozen=True, slots=True)
class ProviderAccess:
    """A provider's address and key. The key is left out of `repr`.

    `sealed`: the key is a tenant's own, opened only when the provider is built (`tenant_providers.py`). `models` are those
    of a vendor that can't list them, `headers` what else it is sent, `options` what else it is built with (`native.py`).
    """

    name: str
    base_url: str
    key: str = field(default="", repr=False)
    sealed: bool = False
    models: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """The configured providers in order of preference: as in `PREFERENCE`, then as in `vendors.py`.

    `default_model` is HEADRACE_DEFAULT_MODEL and may be empty; `own_url` is HEADRACE_URL, to detect calls to ourselves;
    `responses_models` are patterns of `provider/name` that are called by OpenAI's Responses API, `langchain_models` what the
    operator lists, `langchain_env` what their process inherits; `ca_file`: more authorities
    to trust. `local_timeouts` are those for model servers that run nearby (`is_local`), if they differ.
    """

    configured: tuple[ProviderAccess, ...] = ()
    default_model: str = ""
    own_url: str = ""
    offline_tokens_per_s: float = offline.TOKENS_PER_S
    timeouts: ProviderTimeouts = field(default_factory=ProviderTimeouts)
    local_timeouts: ProviderTimeouts | None = None
    responses_models: tuple[str, ...] = ()
    langchain_models: tuple[LangChainModel, ...] = ()
    langchain_env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    ca_file: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "ProviderSettings":
        """Reads OLLAMA_HOST, the vendors' names, HEADRACE_DEFAULT_MODEL, HEADRACE_URL, HEADRACE_CA_FILE,
        HEADRACE_OFFLINE_TOKENS_PER_S, the time-outs HEADRACE_MODEL_CONNECT_S, HEADRACE_MODEL_FIRST_TOKEN_S,
        HEADRACE_MODEL_BETWEEN_TOKENS_S, HEADRACE_MODEL_PULL_S, HEADRACE_MODEL_END_MARK_S and HEADRACE_MODEL_MANAGE_S,
        HEADRACE_RESPONSES_MODELS, and the list of HEADRACE_LANGCHAIN_MODELS. An empty
        value counts as unset. The wait for the first token is LOCAL_FIRST_TOKEN_S for servers nearby, unless it is set.
        Raises ValueError that names the setting and what it must be.
        """
        timeouts, nearby = _timeouts(env), not env.get(FIRST_LIMIT, "").strip()
        accesses = (_access(name, env) for name in SUPPORTED if name not in _UNCALLED)
        listed = read_listed_models(env)
        of_langchain = (ProviderAccess(langchain.NAME, ""),) if listed else ()
        return cls(
            configured=(*(access for access in accesses if access is not None), *of_langchain),
            default_model=_default_model(env),
            own_url=env.get("HEADRACE_URL", "").strip(),
            ca_file=ca_file_from(env),
            offline_tokens_per_s=_number(env, "HEADRACE_OFFLINE_TOKENS_PER_S", offline.TOKENS_PER_S),
            timeouts=timeouts,
            local_timeouts=replace(timeouts, first_token_s=LOCAL_FIRST_TOKEN_S) if nearby else None,
            responses_models=_responses_models(env),
            langchain_models=listed,
            langchain_env=langchain.inherited(env) if listed else (),
        )

    def timeouts_for(self, access: "ProviderAccess") -> ProviderTimeouts:
        """Return the time limits of calls to a provider."""
        if self.local_timeouts is None or not is_local(access.name, access.base_url):
            return self.timeouts
        return self.local_timeouts

    @property
    def names(self) -> tuple[str, ...]:
        """The configured providers' names."""
        return tuple(access.name for access in self.configured)

    @property
    def default_provider(self) -> str:
        """The provider that bare model names belong to: the default model's, else the first configured one."""
        head, slash, _ = self.default_model.partition("/")
        if slash:
            return head
        return self.configured[0].name if self.configured else offline.NAME

    def get_access(self, name: str) -> ProviderAccess:
        """Return the access to a provider. Raises ProviderUnknown or, for a base URL that is our own, ProviderIsHeadrace."""
        access = next((a for a in self.configured if a.name == name), None)
        if access is None:
            raise ProviderUnknown(self._unknown(name))
        if self.own_url and any(_same_address(url, self.own_url) for url in access.base_url.split(",")):
            raise ProviderIsHeadrace(
                f"The base URL of {name} is headrace itself, so a call would loop forever. "
                f"Unset {' or '.join(_url_names(name))} for headrace, or set it to a model server."
            )
        _check_complete(access)
        return access

    def _unknown(self, name: str) -> str:
        configured = ", ".join(self.names) or f"none but {offline.NAME}"
        if name == langchain.NAME:
            return f"No models of LangChain are listed here ({langchain.SETTING}). Connected: {configured}."
        if name in SUPPORTED:
            return (
                f"The provider {name!r} is not connected here. Connected: {configured}. An owner of your tenant can store a "
                "key with POST /api/api-keys."
            )
        return (
            f"There is no provider {name[:80]!r}. Connected: {configured}. Supported: {', '.join(SUPPORTED)}. "
            "If a model's own name has a slash, write provider/its/name."
        )


def resolve(model: str | None, settings: ProviderSettings) -> ModelRef:
    """Return what a model's name means: `provider/name`, a bare name at the default provider, or `auto` (None, empty).

    What follows the first slash is the vendor's name and may contain slashes. Without HEADRACE_DEFAULT_MODEL, `auto` is the
    first configured provider with an empty name, or `offline/extractive` if none is configured. Makes no network calls.
    Raises ProviderUnknown, ProviderIsHeadrace or ModelUnknown.
    """
    requested = (model or "").strip()
    if requested in ("", AUTO):
        if settings.default_model not in ("", AUTO):
            return resolve(settings.default_model, settings)
        if not settings.configured:
            return OFFLINE
        return ModelRef(settings.get_access(settings.configured[0].name).name, "")
    head, slash, name = requested.partition("/")
    if slash and not name.strip():
        raise ModelUnknown(
            f"{requested[:80]!r} names no model. Name one as {head[:80]}/MODEL; GET /v1/models lists them."
        )
    ref = ModelRef(head, name) if slash else ModelRef(settings.default_provider, requested)
    if ref.provider != offline.NAME:
        return ModelRef(settings.get_access(ref.provider).name, ref.name)
    if ref.name != offline.MODEL:
        raise ModelUnknown(
            f"There is no model {requested[:80]!r}: no model provider is connected, so {OFFLINE} is the only model. An owner "
            "of your tenant can store a key for a provider with POST /api/api-keys."
        )
    return ref


def has_language_model(settings: ProviderSettings) -> bool:
    """Whether `auto` means a language model and not `offline/extractive`. Never raises: an unusable default model is reported
    when it is called."""
    try:
        return resolve(None, settings) != OFFLINE
    except HeadraceError:
        return True


def _default_model(env: Mapping[str, str]) -> str:
    text = env.get("HEADRACE_DEFAULT_MODEL", "").strip()
    provider, slash, name = text.partition("/")
    if slash and (provider not in SUPPORTED or not name):
        raise ValueError(
            f"HEADRACE_DEFAULT_MODEL is {text[:80]!r}; it must be provider/model, such as ollama/llama3.2:3b. "
            f"Providers: {', '.join(SUPPORTED)}."
        )
    return text


def _timeouts(env: Mapping[str, str]) -> ProviderTimeouts:
    defaults = asdict(ProviderTimeouts())
    return ProviderTimeouts(
        **{name: _seconds(env, f"HEADRACE_MODEL_{name.upper()}", defaults[name]) for name in defaults}
    )


def is_local(name: str, base_url: str) -> bool:
    """Whether a provider is a server that people run themselves: by its kind, or by an address that is private, of this
    machine, or a name without a domain, such as that of a container."""
    host = urlsplit(base_url if "://" in base_url else f"http://{base_url}").hostname or ""
    try:
        return name in _LOCAL_SERVERS or ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_NAMES)


def _responses_models(env: Mapping[str, str]) -> tuple[str, ...]:
    found = tuple(one.strip() for one in env.get("HEADRACE_RESPONSES_MODELS", "").split(",") if one.strip())
    for one in found:
        if one.partition("/")[0] not in VENDORS or not one.partition("/")[2]:
            raise ValueError(
                f"HEADRACE_RESPONSES_MODELS has {one[:80]!r}; each must be provider/model, such as openai/gpt-5*, of a "
                f"provider that speaks OpenAI's protocol: {', '.join(VENDORS)}."
            )
    return found


def own_address(name: str) -> str:
    """Return the address that a provider has for all users; empty if every user has one of their own."""
    row = NATIVE.get(name) or VENDORS.get(name)
    return row.base_url if row is not None else ""


def _access(name: str, env: Mapping[str, str]) -> ProviderAccess | None:
    native = NATIVE.get(name)
    return _vendor_access(VENDORS[name], env) if native is None else _native_access(native, env)


def _native_access(native: NativeProvider, env: Mapping[str, str]) -> ProviderAccess | None:
    if not any(env.get(name, "").strip() for name in native.configured_by):
        return None
    url = env.get(native.url_env, "").strip()
    try:
        address = native.parse_url(url) if url else native.base_url
    except ValueError as exc:
        raise ValueError(f"{native.url_env} is {url!r}; it must be {native.url_shape}.") from exc
    return ProviderAccess(native.name, address, _key(native.key_env, env), options=tuple(_options(native, env)))


def _options(native: NativeProvider, env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for option in native.options:
        if text := env.get(option.env, "").strip():
            try:
                yield option.name, option.parse(text)
            except ValueError as exc:
                raise ValueError(f"{option.env} is {text[:80]!r}; it must be {option.shape}.") from exc


def _key(names: Sequence[str], env: Mapping[str, str]) -> str:
    key = next((value for name in names if (value := env.get(name, "").strip())), "")
    if not (key.isascii() and (not key or key.isprintable())):
        raise ValueError(f"The key in {' or '.join(names)} is invalid; it must be ASCII without line breaks.")
    return key


def _vendor_access(vendor: Vendor, env: Mapping[str, str]) -> ProviderAccess | None:
    key = _key(vendor.key_env, env)
    set_name = next((name for name in vendor.base_url_env if env.get(name, "").strip()), "")
    if not (key or set_name):
        return None
    url = _vendor_url(vendor, set_name, env) if set_name else vendor.base_url
    models = tuple(name.strip() for name in env.get(vendor.models_env, "").split(",") if name.strip())
    headers = tuple((header, _key((name,), env)) for header, name in vendor.header_env if env.get(name, "").strip())
    return ProviderAccess(vendor.name, url, key, models=models, headers=headers)


def _vendor_url(vendor: Vendor, set_name: str, env: Mapping[str, str]) -> str:
    url = env[set_name].strip().rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError(f"{set_name} is not a valid URL; it must look like http://host:port/v1, without a password.")
    if vendor.parse_url is None:
        return url
    try:
        return vendor.parse_url(url, env.get(vendor.version_env, ""))
    except ValueError as exc:
        raise ValueError(f"{vendor.version_env} or the query of {set_name}: {exc}.") from exc


def _check_complete(access: ProviderAccess) -> None:
    if access.name == langchain.NAME:
        return
    has_key = bool(access.key or access.sealed)
    if (native := NATIVE.get(access.name)) is not None:
        if native.demands_key_at(access.base_url) and not has_key:
            raise ProviderUnknown(f"The provider {native.name!r} has no key: set {' or '.join(native.key_env)}.")
        return
    vendor = VENDORS[access.name]
    if not access.base_url:
        raise ProviderUnknown(f"The provider {vendor.name!r} has no address: set {' or '.join(vendor.base_url_env)}.")
    if not has_key and vendor.at(access.base_url).needs_key:
        raise ProviderUnknown(f"The provider {vendor.name!r} has no key: set {' or '.join(vendor.key_env)}.")


def _url_names(name: str) -> tuple[str, ...]:
    return VENDORS[name].base_url_env if name in VENDORS else (NATIVE[name].url_env,)


def _same_address(one: str, other: str) -> bool:
    return _host_and_port(one) == _host_and_port(other)


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    host = parts.hostname or ""
    return "this machine" if host in _THIS_MACHINE else host, parts.port or (443 if parts.scheme == "https" else 80)


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is {text!r}; it must be a number that is not negative, such as {default:g}.")
    return value


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    value = _number(env, name, default)
    if value == 0:
        raise ValueError(f"{name} is 0; it must be a positive number of seconds, such as {default:g}.")
    return value
