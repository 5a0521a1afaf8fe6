"""`doctor`: checks this machine. One line for each thing: ok, or what is wrong and what to do.

It changes nothing and shows no secret, so its output can be pasted into an issue.
"""

import argparse
import asyncio
import importlib.util
import os
import platform
import shutil
import socket
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from api.cli.all_settings import check_all_settings
from api.cli.arguments import path_here
from api.cli.diagnosis.backups import newest_backup
from api.cli.diagnosis.findings import Finding
from api.cli.diagnosis.production import check_settings, is_production
from api.cli.diagnosis.sentinels import check_sentinels
from api.cli.diagnosis.servers import check_servers
from api.local.errors import LocalError
from api.local.home import is_free, listening_error
from api.local.ports import API_PORT, ERP_PORT, FLOWER_PORT, named_ports, same_ports, why_taken
from api.local.processes import user_mode
from api.local.stack import RunningStack, find_running, http_status
from api.local.stack_settings import StackSettings, settings_from, without_own_exports
from graphs.providers.ollama.addresses import parse_hosts
from schema.errors import ClusterRefused
from schema.installation.settings_check import SettingsInvalid
from schema.postgres.servers import list_servers
from workers.amqp.address import place, split
from workers.redis.address import RedisAddress
from workers.redis.cluster import refuse_cluster

TESTED_PYTHONS = ((3, 11), (3, 12), (3, 13))
MIN_FREE_BYTES = 1_000_000_000
LOOKED_AT = "in this shell or .env"
USER_MODES = {
    "same": "as this user",
    "userns": "in a user namespace",
    "nobody": "as uid 65534, from a copy in /var/tmp",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--production",
        action="store_true",
        help="also look at what is unfit for others than oneself; without it where the settings are of such an installation",
    )
    parser.add_argument(
        "--backups", type=path_here, metavar="FOLDER", help="where the backups are, to see how old the newest is"
    )


def run(arguments: argparse.Namespace) -> int:
    findings = list(run_checks(os.environ, production=arguments.production, backups=arguments.backups))
    for finding in findings:
        print(finding)
    wrong = sum(bool(finding.advice) and not finding.hint for finding in findings)
    print(f"\n{'No problems found.' if not wrong else f'{wrong} to fix.'}")
    return 1 if wrong else 0


def run_checks(
    environ: Mapping[str, str], *, production: bool = False, backups: Path | None = None
) -> Iterator[Finding]:
    yield python()
    yield embeddings()
    try:
        check_all_settings(environ)
    except SettingsInvalid as error:
        for problem in error.problems:
            yield Finding("settings", "invalid", problem)
        return
    settings = settings_from(environ)
    yield disk(settings.home)
    running = find_running(settings.home)
    yield from stores(settings)
    yield from ports(settings, running)
    yield stack(running)
    yield from certificates()
    yield from providers(without_own_exports(environ), running)
    if production or backups is not None or is_production(settings):
        yield from check_settings(environ, settings)
        yield from check_servers(settings)
        yield newest_backup(backups)


def python() -> Finding:
    state = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] in TESTED_PYTHONS:
        return Finding("python", state)
    return Finding(
        "python", state, "headrace is tested on 3.11, 3.12 and 3.13. Remove .venv and use one of these.", True
    )


def embeddings() -> Finding:
    missing = [name for name in ("torch", "sentence_transformers") if not importlib.util.find_spec(name)]
    if not missing:
        return Finding("embeddings", "all-MiniLM-L6-v2 and any sentence-transformers model")
    advice = "For other local models and re-ranking, run ./headrace with Python 3.11 or set HEADRACE_TORCH=auto."
    return Finding("embeddings", f"all-MiniLM-L6-v2 only ({' and '.join(missing)} missing)", advice, hint=True)


def disk(home: Path) -> Finding:
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    state = f"{free / 1e9:.1f} GB free at {place}"
    if not os.access(place, os.W_OK):
        return Finding("disk", f"{place} is not writable", "Set HEADRACE_HOME to a writable folder.")
    return Finding(
        "disk",
        state,
        "" if free > MIN_FREE_BYTES else "Free some space: on a full disk, Postgres stops accepting jobs.",
    )


def stores(settings: StackSettings) -> Iterator[Finding]:
    if settings.database_url:
        for host, port in list_servers(settings.database_url):
            yield reachable("postgres", host, port)
    else:
        yield embedded_postgres()
    if settings.redis_url:
        yield from external_redis(settings.redis_url)
    else:
        yield embedded_valkey()
    for url in split(settings.broker_url or ""):
        yield reachable("broker", *place(url))


def embedded_postgres() -> Finding:
    from api.local.stores.postgres import binaries

    try:
        binaries()
    except LocalError as error:
        return Finding("postgres", "missing", error.message)
    return Finding("postgres", f"embedded, run {USER_MODES[user_mode()]}")


def embedded_valkey() -> Finding:
    from api.local.stores.valkey import binary

    try:
        return Finding("redis", f"embedded ({binary().name})")
    except LocalError as error:
        return Finding("redis", "missing", error.message)


def external_redis(url: str) -> Iterator[Finding]:
    """Whether Redis takes connections, and is none that can't be used; or who its sentinels say that the master is."""
    address = RedisAddress.from_url(url)
    if address.sentinels is not None:
        yield from asyncio.run(check_sentinels(address))
        return
    try:
        refuse_cluster(url)
    except ClusterRefused as error:
        yield Finding("redis", "is a Cluster", error.message)
        return
    yield reachable("redis", address.host, address.port)


URL_OF = {"postgres": "HEADRACE_DATABASE_URL", "redis": "HEADRACE_REDIS_URL", "broker": "HEADRACE_BROKER_URL"}


def reachable(name: str, host: str, port: int) -> Finding:
    """Whether a server takes connections; without a host, or with a socket's folder, this machine's."""
    host = "127.0.0.1" if not host or host.startswith("/") else host
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError as error:
        advice = f"Start it, or correct {URL_OF[name]}."
        return Finding(name, f"{host}:{port} can't be reached ({error.strerror or error})", advice)
    return Finding(name, f"{host}:{port} accepts connections")


def ports(settings: StackSettings, running: RunningStack | None) -> Iterator[Finding]:
    if running:
        return
    asked = named_ports(settings)
    if problem := same_ports(asked):
        state, _, advice = problem.partition(". ")
        yield Finding("port", state, advice)
    for name, (port, host) in asked.items():
        error = listening_error(port, host)
        if error is None:
            yield Finding("port", f"{port} is free ({name})")
        else:
            state, _, advice = why_taken(error, port, host).partition(". ")
            yield Finding("port", f"{port} {state} ({name})", f"{advice}, or set {name} to another port.")
    defaults = {"HEADRACE_PORT": (API_PORT, settings.host), "HEADRACE_FLOWER_PORT": (FLOWER_PORT, settings.flower_host)}
    for name, (port, host) in defaults.items():
        if name in asked:
            continue
        if is_free(port, host) and port not in [taken for taken, _ in asked.values()]:
            yield Finding("port", f"{port} is free ({name})")
        else:
            yield Finding(
                "port", f"{port} is in use", f"Another port will be chosen; set {name} to pick one.", hint=True
            )
    if not is_free(ERP_PORT):
        yield Finding("port", f"{ERP_PORT} is in use", "Another port will be chosen for the demo's ERP.", hint=True)


def stack(running: RunningStack | None) -> Finding:
    if running is None:
        return Finding("stack", "not running here", "Start it with ./headrace up.", hint=True)
    parts = urlsplit(running.url)
    status = http_status(parts.hostname or "", parts.port or 80, "/health/ready")
    if status == 200:
        return Finding("stack", f"{running.url} is ready")
    advice = f"See {running.url}/health and the output of ./headrace up."
    return Finding("stack", f"{running.url}/health/ready answers {status or 'nothing'}", advice)


def certificates() -> Iterator[Finding]:
    """What the server of the other commands serves TLS with; nothing where there is none, or no admin's key."""
    from api.cli.certificates import judge, read_all, server_and_admin_key

    try:
        server = server_and_admin_key()
    except LocalError:
        return
    try:
        items = read_all(*server)
    except LocalError as error:
        if "certificates.manage" not in error.message:  # whoever isn't a platform admin has nothing to do with them
            yield Finding("certificates", "can't be read", error.message, hint=True)
        return
    for item in items:
        yield Finding("certificates", *judge(item))


def providers(environ: Mapping[str, str], running: RunningStack | None) -> Iterator[Finding]:
    hosts = environ.get("OLLAMA_HOST", "")
    for url in _ollama_urls(hosts):
        address = urlsplit(url).netloc.rpartition("@")[2]
        if ollama := ollama_version(url):
            yield Finding("ollama", f"{address} {ollama}")
        elif hosts:
            yield Finding("ollama", f"{address}, of OLLAMA_HOST, does not answer", "Start it with: ollama serve")
        else:
            yield Finding(
                "ollama", "not found on this machine", "Install Ollama or set OLLAMA_HOST to use local models.", True
            )
    yield openai(bool(environ.get("OPENAI_API_KEY")), running)


def _ollama_urls(hosts: str) -> list[str]:
    """Addresses that are no addresses are named by the check of settings."""
    try:
        return parse_hosts(hosts).split(",")
    except ValueError:
        return []


def openai(is_set: bool, running: RunningStack | None) -> Finding:
    """Whether this shell or `.env` has a key; a stack that runs has the environment in which it was started."""
    if is_set:
        return Finding("openai", f"OPENAI_API_KEY is set {LOOKED_AT}")
    advice = "Set it to use OpenAI; add OPENAI_BASE_URL for another provider."
    if running:
        advice = (
            f"The running stack may have one from where it was started: {running.url}/health says which model answers."
        )
    return Finding("openai", f"OPENAI_API_KEY of a provider is not set {LOOKED_AT}", advice, hint=True)


def ollama_version(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        return ""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/api/version", timeout=2) as answer:  # noqa: S310
            return "answers" if answer.status == 200 else ""
    except (OSError, ValueError):
        return ""
