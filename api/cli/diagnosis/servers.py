"""Postgres and Redis themselves: their versions, their clocks, and as whom processes come. Only what is asked for is read."""

import asyncio
import re
import time
from collections.abc import Iterator, Mapping

import psycopg
from psycopg.rows import DictRow, dict_row

from api.cli.diagnosis.findings import Finding
from api.cli.diagnosis.sentinels import check_sentinels
from api.local.stack_settings import StackSettings
from schema.errors import ClusterRefused
from schema.installation.migrate import newest_migration
from schema.postgres.logins import ROLES, URL_SETTINGS
from schema.postgres.servers import list_servers
from workers.amqp.publisher import AmqpPublisher, BrokerUnavailable
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.cluster import check_no_cluster
from workers.redis.connection import ReplyError

MIN_POSTGRES = 18
MIN_REDIS = (7, 2)
MIN_RABBITMQ = (3, 10)
SKEW_S = 2.0
CONNECT_S = 5

FACTS = """
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int / 10000 AS major,
  extract(epoch FROM clock_timestamp())::float AS at, current_setting('archive_mode') <> 'off' AS archives,
  current_setting('synchronous_standby_names') AS synchronous,
  (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser,
  to_regclass('alembic_version') IS NOT NULL AS is_installed
"""
DEMO = "SELECT 1 FROM tenants t JOIN api_keys k ON k.tenant_id = t.id WHERE t.slug = 'demo' AND k.revoked_at IS NULL LIMIT 1"


def check_servers(settings: StackSettings) -> Iterator[Finding]:
    """Look at the stores that are named; an embedded one is this machine's, and as it should be."""
    if settings.database_url:
        yield from postgres(settings.database_url, settings)
    else:
        advice = "Nobody else can reach it, and it ends with this machine. Set HEADRACE_DATABASE_URL."
        yield Finding("postgres", "the embedded one is for one machine", advice)
    if settings.redis_url:
        yield from asyncio.run(redis(settings.redis_url))
    if settings.broker_url:
        yield asyncio.run(broker(settings.broker_url))


def postgres(database_url: str, settings: StackSettings) -> Iterator[Finding]:
    """The database as the owner of the tables sees it."""
    try:
        with psycopg.Connection[DictRow].connect(database_url, row_factory=dict_row, connect_timeout=CONNECT_S) as db:
            asked_at = time.time()
            facts = db.execute(FACTS).fetchone()
            assert facts is not None
            apart_s = facts["at"] - (asked_at + time.time()) / 2
            yield _version("postgres", facts["version"], too_old=facts["major"] < MIN_POSTGRES, least=str(MIN_POSTGRES))
            yield clock("Postgres", apart_s)
            yield owner(settings, is_superuser=facts["is_superuser"])
            yield archive(facts)
            if len(list_servers(database_url)) > 1:
                yield standbys(str(facts["synchronous"]))
            if facts["is_installed"]:
                yield from _installed(db)
    except psycopg.Error as error:
        yield Finding("postgres", "does not answer as it should", str(error).strip().splitlines()[0])


def _installed(db: psycopg.Connection[DictRow]) -> Iterator[Finding]:
    row = db.execute("SELECT version_num FROM alembic_version").fetchone()
    has, newest = str(row["version_num"]) if row else "none", newest_migration()
    advice = "" if has == newest else "./headrace upgrade --check says what is missing."
    yield Finding("schema", f"{has}, and this headrace has {newest}" if advice else f"{has}, the newest", advice)
    if db.execute(DEMO).fetchone():
        advice = "Revoke its key, if nobody is to try things here."
        yield Finding("tenant", "the tenant demo is there, with a key", advice, hint=True)


def owner(settings: StackSettings, *, is_superuser: bool) -> Finding:
    """As whom processes come to Postgres; each proves at its start that its user is neither the owner nor a superuser."""
    missing = [URL_SETTINGS[role] for role in ROLES if role not in settings.role_urls]
    if not missing:
        return Finding("users", "processes have passwords of their own; only migrations and backups need the owner's")
    whose = "a superuser's" if is_superuser else "the tables' owner's"
    advice = (
        "Processes derive theirs from it, and whoever reads their environment has it. Give them "
        f"{' and '.join(missing)} instead."
    )
    return Finding("users", f"HEADRACE_DATABASE_URL has {whose} password", advice, hint=not is_superuser)


def archive(facts: Mapping[str, object]) -> Finding:
    """Whether Postgres can be brought back to any moment."""
    if facts["archives"]:
        return Finding("archive", "Postgres archives its write-ahead log")
    advice = "A backup is one moment, and what comes after it is lost with the disk. See docs/backup.md."
    return Finding("archive", "Postgres doesn't archive its write-ahead log", advice, hint=True)


def standbys(synchronous: str) -> Finding:
    """Whether what was accepted is on a standby as well before it is acknowledged."""
    if synchronous:
        return Finding("standby", f"commits wait for a standby ({synchronous})")
    advice = (
        "A failover loses what was accepted in its last moments, and may do jobs again. Set synchronous_standby_names."
    )
    return Finding("standby", "no commit waits for a standby", advice, hint=True)


async def redis(url: str) -> list[Finding]:
    """Valkey or Redis, and the sentinels that know the master."""
    address = RedisAddress.from_url(url)
    sentinels = await check_sentinels(address) if address.sentinels else []
    client = RedisClient(address)
    try:
        await check_no_cluster(address)
        asked_at = time.time()
        seconds, micros = await client.call("TIME")
        apart_s = int(seconds) + int(micros) / 1e6 - (asked_at + time.time()) / 2
        told = _read_info(await client.call("INFO", "server"))
        policy = _read_info(await client.call("INFO", "memory")).get("maxmemory_policy", "noeviction")
    except ClusterRefused as error:
        return [Finding("redis", "is a Cluster", error.message)]
    except (RedisUnavailable, ReplyError) as error:
        return [*sentinels, Finding("redis", "does not answer as it should", str(error))]
    finally:
        await client.close()
    name = "valkey" if "valkey_version" in told else "redis"
    version = told.get(f"{name}_version", "0")
    old = tuple(int(part) for part in version.split(".")[:2]) < MIN_REDIS
    found = [*sentinels, _version("redis", f"{name} {version}", too_old=old, least="7.2"), clock("Redis", apart_s)]
    if policy != "noeviction":
        found.append(
            Finding("redis", f"evicts keys ({policy})", "Set maxmemory-policy noeviction: signals would be lost.")
        )
    return found


async def broker(url: str) -> Finding:
    """RabbitMQ, and whether its queues are those that doorbells need."""
    publisher = AmqpPublisher(url)
    try:
        await publisher.count_waiting()
        version = str((await publisher.server_properties()).get("version", "0"))
    except BrokerUnavailable as error:
        return Finding("broker", "does not answer as it should", f"{error} ({type(error.__cause__).__name__})")
    finally:
        await publisher.close()
    old = tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < MIN_RABBITMQ
    return _version("broker", f"RabbitMQ {version}", too_old=old, least="3.10")


def clock(whose: str, apart_s: float) -> Finding:
    """By how much a server's clock is ahead of this machine's."""
    if abs(apart_s) <= SKEW_S:
        return Finding("clock", f"{whose}' and this machine's are {abs(apart_s):.1f} s apart")
    state = f"{whose}' is {abs(apart_s):.0f} s {'ahead of' if apart_s > 0 else 'behind'} this machine's"
    return Finding("clock", state, "Let a time service (chrony, systemd-timesyncd) set the clocks of both.")


def _version(name: str, version: str, *, too_old: bool, least: str) -> Finding:
    return Finding(name, f"version {version}", f"headrace is tested with {least} and newer." if too_old else "")


def _read_info(reply: bytes | str) -> dict[str, str]:
    text = reply.decode() if isinstance(reply, bytes) else reply
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
