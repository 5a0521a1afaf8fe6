"""What the keys of the services look like that tenants may store one for, to catch rubbish before it is sealed.

Vendors promise no format and change theirs, so a pattern tells apart what was pasted by mistake from what may be a key,
no more; whether it is one, the vendor says (`validate`). No sentence here repeats any part of a key.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from graphs.providers.openai.vendors import VENDORS
from schema.errors import InputError

MAX_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Service:
    """A service that a tenant may store a key for. `example` shows what a key begins with; `pattern` holds at the vendor's
    own address, and at hosts that end in one of `domains` where every customer has an address."""

    name: str
    example: str
    pattern: re.Pattern[str] = re.compile(r".+")
    needs_key: bool = True
    needs_base_url: bool = False
    domains: tuple[str, ...] = ()


SERVICES: dict[str, Service] = {
    service.name: service
    for service in (
        # sk- and 48 characters until 2024; since then sk-proj-, sk-svcacct-, sk-admin- and up to 164 characters.
        Service("openai", "sk-…", re.compile(r"sk-(?!ant-|or-)[\w-]{20,250}", re.ASCII)),
        # sk-ant-api03- and 95 characters; sk-ant-oat01- (tokens of a person) and sk-ant-admin01- are left to the vendor.
        Service("anthropic", "sk-ant-…", re.compile(r"sk-ant-[\w-]{20,250}", re.ASCII)),
        # AIza and 35 characters; what AI Studio makes since 2026 begins with AQ. and is longer
        # (https://ai.google.dev/gemini-api/docs/api-key).
        Service("google", "AIza… or AQ.…", re.compile(r"AIza[\w-]{35}|AQ\.[\w.-]{20,250}", re.ASCII)),
        # 32 hexadecimal digits; resources made since 2024 have 84 letters and digits.
        Service(
            "azure",
            "32 hexadecimal digits, or 84 letters and digits",
            re.compile(r"[0-9a-fA-F]{32}|[0-9a-zA-Z]{84}"),
            needs_base_url=True,
            domains=(".azure.com", ".azure.us", ".azure.cn"),
        ),
        # 40 letters and digits; longer ones with the prefix co_ are reported.
        Service("cohere", "40 letters and digits", re.compile(r"[0-9a-zA-Z]{40}|co_[0-9a-zA-Z]{32,64}")),
        # hf_ and 34 letters; other lengths are not ruled out, the old tokens of organisations begin with api_org_.
        Service("huggingface", "hf_…", re.compile(r"(?:hf_|api_org_)[\w.-]{20,250}", re.ASCII)),
        # sk-or-v1- and 64 hexadecimal digits.
        Service("openrouter", "sk-or-…", re.compile(r"sk-or-[\w-]{20,250}", re.ASCII)),
        # Ollama has no keys of its own; a proxy before it may, and ollama.com does.
        Service("ollama", "none, or what a proxy before it asks for", needs_key=False, needs_base_url=True),
    )
}

_MARKS = (
    ("sk-ant-", "anthropic"),
    ("sk-or-", "openrouter"),
    ("sk-proj-", "openai"),
    ("sk-svcacct-", "openai"),
    ("sk-", "openai"),
    ("AIza", "google"),
    ("AQ.", "google"),
    ("hf_", "huggingface"),
    ("gsk_", "groq"),
    ("xai-", "xai"),
    ("hr_", "headrace"),
)
"""Whose key it is that begins so; the first that fits. DeepSeek and others begin with sk- too, which nobody can tell."""


def find_service(name: str) -> Service:
    """The service of this name. Raises InputError, which does not repeat it: people mix the fields up."""
    if name not in SERVICES:
        raise InputError(f"service_name is not one that is supported; right is {_listed()}.", field="service_name")
    return SERVICES[name]


def check_key(service: Service, key: str, base_url: str | None) -> None:
    """Return when `key` may be a key for this service at `base_url` (None: the vendor's own address).

    What stands at another address, such as a gateway or vLLM, has keys of its own making, or none: then only what can be
    no key anywhere is refused. Raises InputError that names `api_key`, or `base_url` where that is missing.
    """
    if service.needs_base_url and base_url is None:
        raise InputError(f"{service.name} needs base_url: every customer has an address.", field="base_url")
    elsewhere = base_url is not None and not (urlsplit(base_url).hostname or "").endswith(service.domains)
    if not key:
        if service.needs_key and not (elsewhere and _runs_without(service)):
            raise _wrong(f"{service.name} needs a key; right is {service.example}.")
        return
    _check_text(key)
    if not elsewhere and not service.pattern.fullmatch(key):
        raise _wrong(_misfit(service, key))


def _check_text(key: str) -> None:
    if key[:7].lower() == "bearer " or key[:14].lower() == "authorization:":
        raise _wrong("api_key is a whole header; send only what comes after Bearer.")
    if any(char.isspace() for char in key):
        raise _wrong("api_key holds white space or a line break; send only the key.")
    if any(quote in key for quote in "\"'`“”‘’«»„"):
        raise _wrong("api_key holds quotation marks; send only what is between them.")
    if not (key.isascii() and key.isprintable()):
        raise _wrong("api_key holds characters that no key has; copy it again from where it was made.")
    if len(key) > MAX_LENGTH:
        raise _wrong(f"api_key is longer than {MAX_LENGTH} characters; send only the key.")


def _misfit(service: Service, key: str) -> str:
    owner = next((owner for mark, owner in _MARKS if key.startswith(mark)), service.name)
    if owner != service.name:
        return f"api_key looks like a key of {owner}, not of {service.name}; right is {service.example}."
    if "*" in key or ".." in key:
        return f"api_key is a shortened key, as pages show them; send the whole of it ({service.example})."
    return f"api_key does not look like a key of {service.name}; right is {service.example}, whole and nothing else."


def _runs_without(service: Service) -> bool:
    """Whether the vendor's protocol is served without keys elsewhere, as vLLM does; where every customer has an address of
    the vendor's, there is no elsewhere."""
    vendor = VENDORS.get(service.name)
    return vendor is not None and bool(vendor.base_url)


def _wrong(message: str) -> InputError:
    return InputError(message, field="api_key")


def _listed() -> str:
    *most, last = SERVICES
    return f"{', '.join(most)} or {last}"
