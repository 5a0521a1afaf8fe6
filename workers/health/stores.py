"""Checks of the stores with their figures: how full they are, what holds them up. Whether they work is asked in `checks.py`."""

import asyncio
from pathlib import Path

import psutil

from schema.postgres.connections import Pool, system_tx
from schema.queries.health.figures import PostgresFigures, read_postgres_figures
from workers.health.checks import Finding, PartDown, check_postgres, check_redis
from workers.health.settings import HealthSettings
from workers.redis.client import RedisClient
from workers.stream.memory_bound import NO_EVICTION, read_memory

FULL = 0.9
LONG_TRANSACTION_S = 900.0
"""Longer than any of ours: they hinder the vacuum."""
OLD_XID = 1_000_000_000
"""Half of what Postgres can count before it refuses writes; its vacuum sees to it from a tenth on."""
RETAINED_WAL = 16 * 1024**3
FULL_DISK_PERCENT = 99.5


async def find_postgres(pool: Pool, system_pool: Pool, settings: HealthSettings) -> Finding:
    """Commit a write, and look at what Postgres says of itself."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await check_postgres(pool)
    took_s = loop.time() - began
    async with system_tx(system_pool) as db:
        figures = await read_postgres_figures(db)
    detail = {
        "connections": figures.connections,
        "most_connections": figures.most_connections,
        "longest_transaction_s": round(figures.longest_transaction_s, 1),
        "oldest_xid_age": figures.oldest_xid_age,
        "retained_wal_bytes": figures.retained_wal_bytes,
        "inactive_slots": figures.inactive_slots,
    }
    return Finding(detail, slow(took_s, settings) or _trouble_of_postgres(figures))


def _trouble_of_postgres(figures: PostgresFigures) -> str | None:
    if figures.connections > FULL * figures.most_connections:
        return f"{figures.connections} of its {figures.most_connections} connections are taken."
    if figures.oldest_xid_age > OLD_XID:
        return f"Its oldest row was frozen {figures.oldest_xid_age:,} transactions ago: its vacuum doesn't get through."
    if figures.longest_transaction_s > LONG_TRANSACTION_S:
        return (
            f"A transaction has been open for {figures.longest_transaction_s / 60:.0f} minutes and hinders the vacuum."
        )
    if figures.retained_wal_bytes > RETAINED_WAL:
        return f"A replication slot keeps {figures.retained_wal_bytes / 1024**3:.0f} GB of the write-ahead log."
    return None


class RedisCheck:
    """Checks Redis; it remembers how many keys had been evicted at the last look."""

    def __init__(self, redis: RedisClient, inbox: str, settings: HealthSettings) -> None:
        self._redis, self._inbox, self._settings = redis, inbox, settings
        self._evicted: int | None = None

    async def find(self) -> Finding:
        """Write, publish to this process's own subscription, and look at the memory."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await check_redis(self._redis, self._inbox)
        took_s = loop.time() - began
        memory = await read_memory(self._redis)
        evicted = memory.evicted_keys - (memory.evicted_keys if self._evicted is None else self._evicted)
        self._evicted = memory.evicted_keys
        detail = {
            "memory_bytes": memory.used,
            "memory_percent": round(100 * memory.fill, 1),
            "evicted_keys": memory.evicted_keys,
        }
        trouble = slow(took_s, self._settings)
        if memory.policy != NO_EVICTION and evicted > 0:
            trouble = f"It evicts keys (maxmemory-policy {memory.policy}); it must be {NO_EVICTION}."
        elif memory.fill > FULL:
            trouble = f"{memory.fill:.0%} of its memory is in use."
        return Finding(detail, trouble)


async def find_disk(folder: Path, settings: HealthSettings) -> Finding:
    """Look at the file system of a folder that may not be there yet. Raises PartDown if it is full."""
    usage = await asyncio.to_thread(psutil.disk_usage, str(_existing(folder)))
    detail = {"used_percent": usage.percent, "free_bytes": usage.free}
    if usage.percent >= FULL_DISK_PERCENT:
        raise PartDown("The disk is full.", detail=detail)
    trouble = f"{usage.percent:.0f} % of the disk is in use." if usage.percent >= settings.disk_percent else None
    return Finding(detail, trouble)


async def find_memory(settings: HealthSettings) -> Finding:
    """Look at the memory of this machine."""
    memory = psutil.virtual_memory()
    trouble = f"{memory.percent:.0f} % of the memory is in use." if memory.percent >= settings.memory_percent else None
    return Finding({"used_percent": memory.percent, "available_bytes": memory.available}, trouble)


def slow(took_s: float, settings: HealthSettings) -> str | None:
    """Return what is said of a part that works and takes so long."""
    return f"It works, but took longer than {settings.slow_s:g} s." if took_s > settings.slow_s else None


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return folder if folder.exists() else _existing(folder.parent)
