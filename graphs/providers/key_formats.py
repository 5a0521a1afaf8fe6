"""The formats of the keys that tenants may store, to catch mistakes before a key is sealed.

Vendors guarantee no format and change theirs, so a pattern only tells what was pasted by mistake from what may be a key;
whether it is valid, only the vendor knows (`validate`). Every provider is a service; of one that isn't listed here, any key is
taken that isn't another's. No message here repeats any part of a key.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from graphs.providers.openai.vendors import VENDORS, Vendor
from graphs.providers.settings import own_address
from schema.errors import InputError

MIN_KEY_LENGTH, MAX_KEY_LENGTH = 8, 512


@dataclass(frozen=True, slots=True)
class Service:
    """A service that a tenant may store a key for. `example` shows what a key looks like, and `rule` says it after "must".
    `pattern` applies at the vendor's own address, and at hosts that end in one of `domains` if every customer has an address.
    """

    name: str
    example: str
    rule: str = ""
    pattern: re.Pattern[str] = re.compile(r".+")
    needs_key: bool = True
    needs_base_url: bool = False
    domains: tuple[str, ...] = ()


_LISTED: dict[str, Service] = {
    service.name: service
    for service in (
        # sk- and 48 characters until 2024; since then sk-proj-, sk-svcacct-, sk-admin- and up to 164 characters.
        Service("openai", "sk-…", "start with sk-", re.compile(r"sk-(?!ant-|or-)[\w-]{20,250}", re.ASCII)),
        # sk-ant-api03- and 95 characters; sk-ant-oat01- (tokens of a person) and sk-ant-admin01- are left to the vendor.
        Service("anthropic", "sk-ant-…", "start with sk-ant-", re.compile(r"sk-ant-[\w-]{20,250}", re.ASCII)),
        # AIza and 35 characters; what AI Studio makes since 2026 begins with AQ. and is longer
        # (https://ai.google.dev/gemini-api/docs/api-key).
        Service(
            "google",
            "AIza… or AQ.…",
            "start with AIza or AQ.",
            re.compile(r"AIza[\w-]{35}|AQ\.[\w.-]{20,250}", re.ASCII),
        ),
        # 32 hexadecimal digits; resources made since 2024 have 84 letters and digits.
        Service(
            "azure",
            "32 hexadecimal digits, or 84 letters and digits",
            "have 32 hexadecimal digits, or 84 letters and digits",
            re.compile(r"[0-9a-fA-F]{32}|[0-9a-zA-Z]{84}"),
            needs_base_url=True,
            domains=(".azure.com", ".azure.us", ".azure.cn"),
        ),
        # 40 letters and digits; longer ones with the prefix co_ are reported.
        Service(
            "cohere",
            "40 letters and digits",
            "have 40 letters and digits",
            re.compile(r"[0-9a-zA-Z]{40}|co_[0-9a-zA-Z]{32,64}"),
        ),
        # hf_ and 34 letters; other lengths are not ruled out, the old tokens of organisations begin with api_org_.
        Service("huggingface", "hf_…", "start with hf_", re.compile(r"(?:hf_|api_org_)[\w.-]{20,250}", re.ASCII)),
        # sk-or-v1- and 64 hexadecimal digits.
        Service("openrouter", "sk-or-…", "start with sk-or-", re.compile(r"sk-or-[\w-]{20,250}", re.ASCII)),
        # gsk_ and 52 letters and digits.
        Service("groq", "gsk_…", "start with gsk_", re.compile(r"gsk_[\w-]{20,250}", re.ASCII)),
        # Ollama has no keys of its own; a proxy in front of it may, and ollama.com does.
        Service("ollama", "none, or the key of a proxy in front of it", needs_key=False, needs_base_url=True),
    )
}

_KEY_PREFIXES = (
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
"""The service whose keys start so; the first match counts. Keys of DeepSeek and others start with sk- too."""

_OWNED = "|".join(re.escape(prefix) for prefix, _ in _KEY_PREFIXES if prefix != "sk-")
_NOT_ANOTHERS = re.compile(rf"(?!{_OWNED})[!-~]{{{MIN_KEY_LENGTH},{MAX_KEY_LENGTH}}}")


def _unlisted(vendor: Vendor) -> Service:
    """Return the service of a vendor whose keys nobody has described: a server of one's own may have none."""
    if not vendor.needs_key:
        example = "none, or the key that the server was started with"
        return Service(vendor.name, example, needs_key=False, needs_base_url=not vendor.base_url)
    shown = f"as {vendor.name} shows it"
    rule = f"have at least {MIN_KEY_LENGTH} characters, {shown}"
    return Service(vendor.name, shown, rule, _NOT_ANOTHERS, needs_base_url=not vendor.base_url)


SERVICES = _LISTED | {name: _unlisted(vendor) for name, vendor in VENDORS.items() if name not in _LISTED}
"""All services, by name."""


def find_service(name: str) -> Service:
    """Return the service of this name. Raises InputError, which doesn't repeat the name: it may be a misplaced key."""
    if name not in SERVICES:
        raise InputError(f"service_name is not supported; it must be {_service_names()}.", field="service_name")
    return SERVICES[name]


def check_key(service: Service, key: str, base_url: str | None) -> None:
    """Return if `key` may be a key for this service at `base_url` (None: the vendor's own address).

    Other servers, such as a gateway or vLLM, have keys of their own or none, so for them only what can't be a key anywhere
    is refused. Raises InputError for the field `api_key`, or `base_url` if that is missing.
    """
    if service.needs_base_url and base_url is None:
        raise InputError(
            f"{service.name} needs base_url, because every customer has an address of their own.", field="base_url"
        )
    custom_address = base_url is not None and not (urlsplit(base_url).hostname or "").endswith(service.domains)
    if not key:
        if service.needs_key and not (custom_address and _may_have_no_key(service)):
            raise _key_error(f"{service.name} needs a key. api_key must {service.rule}.")
        return
    _check_text(key)
    if not custom_address and not service.pattern.fullmatch(key):
        raise _key_error(_mismatch_message(service, key))


def _check_text(key: str) -> None:
    if key[:7].lower() == "bearer " or key[:14].lower() == "authorization:":
        raise _key_error("api_key is a whole header; send only what follows Bearer.")
    if any(char.isspace() for char in key):
        raise _key_error("api_key contains white space or a line break; send only the key.")
    if any(quote in key for quote in "\"'`“”‘’«»„"):
        raise _key_error("api_key contains quotation marks; send only what is between them.")
    if not (key.isascii() and key.isprintable()):
        raise _key_error("api_key contains characters that no key has; copy it again from the vendor's page.")
    if len(key) > MAX_KEY_LENGTH:
        raise _key_error(f"api_key is longer than {MAX_KEY_LENGTH} characters; send only the key.")


def _mismatch_message(service: Service, key: str) -> str:
    owner = next((owner for prefix, owner in _KEY_PREFIXES if key.startswith(prefix)), service.name)
    if owner != service.name:
        return f"api_key looks like a key of {owner}, not of {service.name}; it must {service.rule}."
    if "*" in key or ".." in key:
        return "api_key is shortened, as vendors' pages display keys; send the whole key."
    return f"api_key does not look like a key of {service.name}; it must {service.rule}. Send the whole key and nothing else."


def _may_have_no_key(service: Service) -> bool:
    """Whether other servers speak the vendor's protocol without keys, as vLLM does. Not if every customer has an address at
    the vendor: then there are no other servers."""
    return bool(own_address(service.name))


def _key_error(message: str) -> InputError:
    return InputError(message, field="api_key")


def _service_names() -> str:
    *others, last = SERVICES
    return f"{', '.join(others)} or {last}"
