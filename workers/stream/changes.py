"""Tells whoever watches a tenant which of its jobs, documents and deliveries have changed: by their ids alone, since the rows
say what they are now.

Notes of a process are gathered for a moment and go out together. They are kept in Redis, so that a stream that was lost can go
on, only for tenants that somebody watches. A lost note does no harm for long: watchers read again what they saw live, and are
told when Redis may have lost some. Fails open: while Redis is unavailable nothing is noted and nobody waits.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple
from uuid import UUID

from schema import redis_names
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError

LUA = Path(__file__).parent / "lua"
NOTE_CHANGES = (LUA / "note_changes.lua").read_text()
WATCH_CHANGES = (LUA / "watch_changes.lua").read_text()

GATHER_S = 0.05
KEPT = 2000  # entries of a tenant's stream
WATCHED_MS = 10 * 60 * 1000  # for how long after its last watcher a tenant's changes are kept

Noun = Literal["jobs", "documents", "deliveries"]
LETTERS: dict[Noun, bytes] = {"jobs": b"j", "documents": b"d", "deliveries": b"w"}
NOUNS: dict[bytes, Noun] = {letter: noun for noun, letter in LETTERS.items()}
ID_BYTES = 16


class Change(NamedTuple):
    """Something that is no longer as it was, or no longer there."""

    noun: Noun
    id: UUID


class Watch(NamedTuple):
    """The place from which somebody watches, and what they missed before; None if that isn't known."""

    place: str
    missed: list[tuple[str, list[Change]]] | None


class Changes:
    """Notes the changes that a process makes."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._pending: dict[UUID, dict[Change, None]] = {}
        self._task: asyncio.Task[None] | None = None

    def note(self, tenant_id: UUID, noun: Noun, *ids: UUID) -> None:
        """Note that rows have changed, after that was committed. Never waits."""
        if not ids:
            return
        pending = self._pending.setdefault(tenant_id, {})
        pending.update(dict.fromkeys(Change(noun, each) for each in ids))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._send_soon(), name="changes")

    async def _send_soon(self) -> None:
        try:
            while self._pending:
                await asyncio.sleep(GATHER_S)
                pending, self._pending = self._pending, {}
                await self._send(pending)
        finally:
            self._task = None

    async def _send(self, pending: dict[UUID, dict[Change, None]]) -> None:
        commands = [
            (
                *("EVAL", NOTE_CHANGES, 2, redis_names.changes_watched(tenant_id), redis_names.changes(tenant_id)),
                *(redis_names.changes_channel(tenant_id), pack_changes(changes), KEPT, WATCHED_MS),
            )
            for tenant_id, changes in pending.items()
        ]
        try:
            await self._redis.send(commands)
        except RedisUnavailable:
            return  # watchers are told of the gap


async def watch_changes(redis: RedisClient, tenant_id: UUID, after: str = "") -> Watch:
    """Have a tenant's changes kept from now on, and return those after the id `after`. Raises RedisUnavailable, ReplyError."""
    keys = (redis_names.changes_watched(tenant_id), redis_names.changes(tenant_id))
    reply = await redis.call("EVAL", WATCH_CHANGES, 2, *keys, WATCHED_MS, KEPT, after)
    place, entries = reply[0], reply[1] if len(reply) > 1 else None
    marks_left_out = [(id_.decode(), unpack_changes(fields[1])) for id_, fields in entries or () if fields[1]]
    missed = None if entries is None else marks_left_out
    return Watch(place.decode(), missed)


async def keep_watching(redis: RedisClient, tenant_ids: Iterable[UUID]) -> None:
    """Have these tenants' changes kept for longer."""
    commands = [("SET", redis_names.changes_watched(tenant_id), 1, "PX", WATCHED_MS) for tenant_id in tenant_ids]
    try:
        if commands:
            await redis.send(commands)
    except (RedisUnavailable, ReplyError):
        return  # whoever reconnects watches anew


def pack_changes(changes: Iterable[Change]) -> bytes:
    """Encode changes: a letter and an id each."""
    return b"".join(LETTERS[change.noun] + change.id.bytes for change in changes)


def unpack_changes(data: bytes) -> list[Change]:
    """Decode what `pack_changes` made."""
    step = 1 + ID_BYTES
    return [
        Change(NOUNS[data[start : start + 1]], UUID(bytes=data[start + 1 : start + step]))
        for start in range(0, len(data), step)
    ]
