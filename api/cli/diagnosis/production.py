"""Settings that are fine on one's own machine and unfit for production: what is open, unencrypted, or easily guessed."""

import ipaddress
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from api.auth.password_strength import is_common
from api.cli.diagnosis.findings import Finding
from api.local.stack_settings import ROOT, StackSettings
from schema.postgres.servers import list_servers
from schema.vault import KEYS, KEYS_FILE
from workers.amqp.address import split
from workers.redis.address import RedisAddress

MIN_PASSWORD = 12
MIN_NETWORK = {4: 8, 6: 16}
"""Networks of the allow-list with a shorter prefix are most of the internet."""

PRIVATE_FILES = ("*.key", "*.keys", "*.password")


def is_production(settings: StackSettings) -> bool:
    """Whether the settings are those of an installation for others: a Postgres of its own, and an open address."""
    return settings.database_url is not None and not is_loopback(settings.host)


def check_settings(environ: Mapping[str, str], settings: StackSettings) -> Iterator[Finding]:
    """Look at the settings as a process would read them."""
    yield listening(environ, settings)
    yield flower(environ, settings)
    yield metrics(environ)
    yield secret_keys(environ)
    yield from key_files(environ, settings.home)
    yield issuer(environ)
    yield from egress(environ)
    for name, url in store_urls(settings).items():
        yield from store_url(name, url)
    if settings.redis_url:
        yield from sentinel_password(settings.redis_url)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def listening(environ: Mapping[str, str], settings: StackSettings) -> Finding:
    """The API's address, and what encrypts the way to it."""
    if is_loopback(settings.host):
        return Finding("address", f"the API listens on {settings.host}, for this machine only")
    if environ.get("HEADRACE_TLS_PORT"):
        return Finding("address", f"the API listens on {settings.host}, with TLS")
    if proxies := environ.get("HEADRACE_TRUSTED_PROXIES"):
        return Finding("address", f"the API listens on {settings.host}, behind the proxies {proxies}")
    advice = (
        "Keys and conversations cross the network in plain text. Set HEADRACE_TLS_PORT, or put a proxy with TLS in front, name "
        "it in HEADRACE_TRUSTED_PROXIES, and let only it reach the port."
    )
    return Finding("address", f"the API listens on {settings.host} without TLS", advice)


def flower(environ: Mapping[str, str], settings: StackSettings) -> Finding:
    """Flower's address and password; it shows jobs of all tenants."""
    sign_in = environ.get("HEADRACE_FLOWER_SIGN_IN", "")
    name, _, password = sign_in.partition(":")
    if not is_loopback(settings.flower_host) and not sign_in:
        advice = "Set HEADRACE_FLOWER_SIGN_IN=name:password; Flower refuses to start without."
        return Finding("flower", f"listens on {settings.flower_host} without a sign-in", advice)
    if sign_in and is_weak(password, name):
        return Finding("flower", "its password is easily guessed", f"Choose one of {MIN_PASSWORD} characters or more.")
    if not is_loopback(settings.flower_host):
        return Finding("flower", f"listens on {settings.flower_host}", "Let only operators reach it.", hint=True)
    return Finding("flower", f"listens on {settings.flower_host}, for this machine only")


def metrics(environ: Mapping[str, str]) -> Finding:
    """Ports of metrics have no sign-in; what they say is of all tenants."""
    host = environ.get("HEADRACE_METRICS_HOST") or "127.0.0.1"
    if environ.get("HEADRACE_METRICS_PORT") and not is_loopback(host):
        advice = "It asks for no token. Let only the scraper reach it, or leave HEADRACE_METRICS_PORT out and scrape the API."
        return Finding("metrics", f"each process serves its figures on {host}", advice, hint=True)
    return Finding("metrics", "are read at the API by admins, and with HEADRACE_METRICS_TOKEN")


def secret_keys(environ: Mapping[str, str]) -> Finding:
    """Where the keys are that open stored secrets."""
    if environ.get(KEYS_FILE):
        return Finding("secrets", f"the keys are in {environ[KEYS_FILE]}")
    if environ.get(KEYS):
        advice = (
            f"{KEYS_FILE} names a file instead, which no list of processes shows, and is read again after a rotation."
        )
        return Finding("secrets", f"the keys are in {KEYS}", advice, hint=True)
    advice = (
        f"Without {KEYS} or {KEYS_FILE} each machine would have keys of its own. Copy them to all, and to a safe place."
    )
    return Finding("secrets", "no keys are named", advice)


def key_files(environ: Mapping[str, str], home: Path) -> Iterator[Finding]:
    """Files of keys and passwords that others than their owner can read."""
    named = [Path(environ[KEYS_FILE])] if environ.get(KEYS_FILE) else []
    kept = [file for pattern in PRIVATE_FILES for file in home.glob(pattern)] if home.is_dir() else []
    files = [file for file in (*named, *kept, ROOT / ".env") if file.is_file()]
    for file in files:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & stat.S_IRWXO:
            yield Finding("keys", f"{file} is open to every user of this machine ({mode:o})", f"chmod 600 {file}")
        elif mode & stat.S_IRWXG:
            advice = "That is right where a group of its own has only the processes."
            yield Finding("keys", f"{file} is open to its group ({mode:o})", advice, hint=True)
    if not any(stat.S_IMODE(file.stat().st_mode) & (stat.S_IRWXO | stat.S_IRWXG) for file in files):
        yield Finding("keys", f"{len(files)} files of keys and settings are their owner's only")


def issuer(environ: Mapping[str, str]) -> Finding:
    """The public address."""
    named = environ.get("HEADRACE_ISSUER", "")
    if not named:
        advice = (
            "Set HEADRACE_ISSUER to the public address, so that tokens and redirects name it wherever a process runs."
        )
        return Finding("issuer", "is not set", advice)
    if urlsplit(named).scheme != "https":
        return Finding("issuer", f"{named} is not https", "Tokens that name it can't be relied on by others.")
    return Finding("issuer", named)


def egress(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Networks that tools and webhooks may reach although they are private."""
    for entry in filter(None, (part.strip() for part in environ.get("HEADRACE_EGRESS_ALLOW", "").split(","))):
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            continue
        if network.prefixlen < MIN_NETWORK[network.version]:
            advice = "Tools that a model calls could reach everything there. Name hosts, or small networks."
            yield Finding("egress", f"HEADRACE_EGRESS_ALLOW has {entry}", advice)


def store_urls(settings: StackSettings) -> dict[str, str]:
    """Return the URLs of stores that are set, by their settings."""
    urls = {"HEADRACE_DATABASE_URL": settings.database_url, "HEADRACE_REDIS_URL": settings.redis_url}
    urls |= {
        f"HEADRACE_{role.removeprefix('headrace_').upper()}_DATABASE_URL": url
        for role, url in settings.role_urls.items()
    }
    urls["HEADRACE_BROKER_URL"] = next(iter(split(settings.broker_url or "")), None)  # its nodes are one cluster
    return {name: url for name, url in urls.items() if url}


TLS_SCHEMES = {"redis": "rediss", "redis+sentinel": "rediss+sentinel", "amqp": "amqps"}


def store_url(name: str, url: str) -> Iterator[Finding]:
    """A store's password, and whether the way to it is encrypted; neither is shown."""
    parts = urlsplit(url)
    hosts = (
        [parts.hostname or "localhost"]
        if "DATABASE" not in name
        else [each or "localhost" for each, _ in list_servers(url)]
    )
    password = unquote(parts.password or "")
    host = next((each for each in hosts if not each.startswith("/") and not is_loopback(each)), "")
    away = parts.scheme != "unix" and bool(host)
    if password and is_weak(password, unquote(parts.username or "")):
        advice = f"Give it {MIN_PASSWORD} random characters or more: openssl rand -hex 20"
        yield Finding("password", f"that of {name} is easily guessed", advice)
    elif not password and away:
        yield Finding("password", f"{name} has none", "Whoever reaches the server reads and changes everything.")
    encrypted = parts.scheme.startswith(("rediss", "amqps")) or any(
        f"sslmode={mode}" in parts.query for mode in ("require", "verify-")
    )
    if away and not encrypted:
        how = "sslmode=verify-full" if "DATABASE" in name else f"{TLS_SCHEMES.get(parts.scheme, parts.scheme)}://"
        advice = f"Use {how}, unless the network between them is yours alone."
        yield Finding("encryption", f"{name} goes to {host} in plain text", advice, hint=True)


def sentinel_password(url: str) -> Iterator[Finding]:
    """The password of the sentinels, who can be told to promote any server."""
    if (known := RedisAddress.from_url(url).sentinels) and not known.password:
        advice = (
            "Whoever reaches them can name another master. Set requirepass there, and sentinel_password in the URL."
        )
        yield Finding("password", "the sentinels of HEADRACE_REDIS_URL have none", advice, hint=True)


def is_weak(password: str, user: str) -> bool:
    """Whether a password would be guessed."""
    return len(password) < MIN_PASSWORD or password == user or is_common(password.lower(), email=f"{user}@localhost")
