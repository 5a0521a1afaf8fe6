"""Follows the changes of the tenants that somebody watches at this process, and hands out the rows that have changed.

A tenant has one feed, however many streams watch it: of all that changes within a quarter of a second, the rows are read once.
What a stream may see is decided for each row. Jobs that were seen live are read again now and then, in case a note was lost
with the process that was to send it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

import msgspec
import structlog

from schema import redis_names
from schema.errors import HeadraceError
from schema.states import TERMINAL
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError
from workers.stream.changes import LETTERS, WATCHED_MS, Change, Noun, keep_watching, unpack_changes, watch_changes
from workers.stream.pubsub import Subscriber

log = structlog.get_logger()

TICK_S = 0.25  # between two messages of a stream
CROWDED_TICK_S = 2.0  # after so many changes that streams are told to read their lists again
RETRY_S = 1.0
MAX_ROWS = 100
"""Rows of a noun in one message; if more have changed, the message says that its list must be read again."""
RECHECK_S = 10.0
MAX_RECHECKED = 200
PLACE = re.compile(r"[0-9]{1,16}-[0-9]{1,16}")
NO_PLACE = "0-0"


@dataclass(frozen=True, kw_only=True)
class ChangedRow:
    """A row as it is now, encoded as its list shows it. `owner_id` is the user whose it is; a row that `is_shared` belongs to
    all of the tenant."""

    noun: Noun
    id: UUID
    owner_id: UUID | None
    is_shared: bool
    state: str
    body: msgspec.Raw

    @property
    def change(self) -> Change:
        return Change(self.noun, self.id)


ReadRows = Callable[[UUID, Sequence[Change]], Awaitable[list[ChangedRow]]]
"""Reads what has changed in a tenant (`api/events/rows.py`)."""


@dataclass(frozen=True, kw_only=True)
class Visibility:
    """What a stream's caller may see: of whose rows (None: all of the tenant), and which nouns."""

    visible_user_id: UUID | None
    nouns: frozenset[Noun]

    def row(self, row: ChangedRow) -> bool:
        """Whether a row may be shown."""
        if row.noun not in self.nouns:
            return False
        return self.visible_user_id is None or row.owner_id == self.visible_user_id or row.is_shared


@dataclass(eq=False, kw_only=True)
class Listener:
    """One open stream. `place` is how far it has come; `resumed` says whether it knows all before that."""

    sees: Visibility
    place: str = NO_PLACE
    resumed: bool = False
    is_new: bool = True
    owed: list[tuple[str, list[Change]]] = field(default_factory=list)
    rows: dict[Change, ChangedRow] = field(default_factory=dict)
    deleted: dict[Change, None] = field(default_factory=dict)
    reload: set[Noun] = field(default_factory=set)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    _shown: dict[Change, None] = field(default_factory=dict)

    def restart(self, place: str) -> None:
        """Begin anew: something may have been missed."""
        self.place, self.resumed, self.is_new = place, False, True
        self.wake.set()

    def take(self, place: str, rows: Sequence[ChangedRow], deleted: Sequence[Change], reload: set[Noun]) -> None:
        """Take what the caller may see of the latest changes."""
        self.place = max(self.place, place, key=stream_position)
        for row in rows:
            if self.sees.row(row):
                self.rows[row.change] = row
                self._shown[row.change] = None
        for change in deleted:
            self.rows.pop(change, None)
            if change.noun in self.sees.nouns and (self.sees.visible_user_id is None or change in self._shown):
                self.deleted[change] = None
        self.reload |= reload & self.sees.nouns
        self._bound()
        if self.rows or self.deleted or self.reload:
            self.wake.set()

    def _bound(self) -> None:
        """Whoever reads slowly is told to read the lists again, instead of all that happened meanwhile."""
        if len(self.rows) + len(self.deleted) > 4 * MAX_ROWS:
            self.reload |= {change.noun for change in (*self.rows, *self.deleted)}
            self.rows.clear()
            self.deleted.clear()
        while len(self._shown) > 10 * MAX_ROWS:
            del self._shown[next(iter(self._shown))]


class Feed:
    """The changes of one tenant, for its listeners."""

    def __init__(self, tenant_id: UUID, redis: RedisClient, read_rows: ReadRows) -> None:
        self.tenant_id, self._redis, self._read_rows = tenant_id, redis, read_rows
        self.listeners: set[Listener] = set()
        self._pending: dict[Change, None] = {}
        self._live: dict[UUID, str] = {}
        self._rechecked: set[UUID] = set()
        self._place = NO_PLACE
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def join(self, listener: Listener, after: str) -> None:
        """Have a listener go on after `after`, or begins now if that is empty or too long ago."""
        try:
            watch = await watch_changes(self._redis, self.tenant_id, after)
        except (RedisUnavailable, ReplyError):
            return
        listener.resumed = watch.missed is not None
        listener.place = after if listener.resumed else watch.place
        if watch.missed:
            listener.owed = watch.missed
            self._start()

    async def rejoin(self) -> None:
        """Go on after the connection to Redis was lost."""
        try:
            watch = await watch_changes(self._redis, self.tenant_id, "" if self._place == NO_PLACE else self._place)
        except (RedisUnavailable, ReplyError):
            return
        if watch.missed is None:
            for listener in self.listeners:
                listener.restart(watch.place)
        for place, changes in watch.missed or ():
            self.add(place, changes)

    def add(self, place: str, changes: Sequence[Change]) -> None:
        """Take note of changes that have just come."""
        self._place = max(self._place, place, key=stream_position)
        self._pending.update(dict.fromkeys(changes))
        self._rechecked.difference_update(change.id for change in changes)
        self._start()

    def recheck(self) -> None:
        """Read again the jobs that were seen live."""
        self._rechecked = {job_id for job_id in self._live if Change("jobs", job_id) not in self._pending}
        if self._rechecked:
            self._pending.update(dict.fromkeys(Change("jobs", job_id) for job_id in self._rechecked))
            self._start()

    def close(self) -> None:
        """Stop after what is under way: a read that is cancelled costs its connection."""
        self._pending.clear()
        self._closing.set()

    async def closed(self) -> None:
        """Return when it has stopped."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="change feed")

    async def _run(self) -> None:
        try:
            while self._pending or any(listener.owed for listener in self.listeners):
                with suppress(TimeoutError):
                    async with asyncio.timeout(await self._tick()):
                        await self._closing.wait()
                if self._closing.is_set():
                    return
        finally:
            self._task = None

    async def _tick(self) -> float:
        """Hand out what has changed; return how long to wait for more."""
        pending, self._pending, place = self._pending, {}, self._place
        owed = {listener: listener.owed for listener in self.listeners if listener.owed}
        changes = dict.fromkeys(pending) | {c: None for entries in owed.values() for _, some in entries for c in some}
        crowded = set[Noun](noun for noun in LETTERS if sum(c.noun == noun for c in changes) > MAX_ROWS)
        try:
            rows = await self._read_rows(self.tenant_id, [c for c in changes if c.noun not in crowded])
        except HeadraceError as error:
            log.warning("changes_not_read", code=error.code)
            self._pending = pending | self._pending
            return RETRY_S
        found = {row.change for row in rows}
        deleted = [change for change in changes if change not in found and change.noun not in crowded]
        shown = self._note_live(rows, deleted)
        for listener in tuple(self.listeners):
            if listener in owed:
                listener.owed = []
                last = owed[listener][-1][0]
                listener.take(max(place, last, key=stream_position), rows, deleted, crowded)
            elif pending:
                listener.take(place, shown, [change for change in deleted if change in pending], crowded)
        return CROWDED_TICK_S if crowded else TICK_S

    def _note_live(self, rows: Sequence[ChangedRow], deleted: Sequence[Change]) -> list[ChangedRow]:
        """Remember which jobs are live, and return the rows without jobs that were only read again and are as they were."""
        rechecked, self._rechecked = self._rechecked, set()
        known = dict(self._live)
        for change in deleted:
            self._live.pop(change.id, None)
        for row in rows:
            if row.noun == "jobs":
                self._live.pop(row.id, None)
                if row.state not in TERMINAL:
                    self._live[row.id] = row.state
        while len(self._live) > MAX_RECHECKED:
            del self._live[next(iter(self._live))]
        return [row for row in rows if row.id not in rechecked or known.get(row.id) != row.state]


class ChangeFeeds:
    """The feeds of a process, and the one subscription behind them."""

    def __init__(self, address: RedisAddress, redis: RedisClient) -> None:
        self._redis = redis
        self._subscriber = Subscriber(address, self._on_message, self._on_gap)
        self._feeds: dict[str, Feed] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._upkeep: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Unsubscribe."""
        for task in (self._upkeep, *self._tasks):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        for feed in self._feeds.values():
            feed.close()
            await feed.closed()
        await self._subscriber.close()

    async def open(self, tenant_id: UUID, sees: Visibility, after: str, read_rows: ReadRows) -> Listener:
        """Return a stream's listener, which goes on after the place `after` if what came since is still known. `read_rows` is
        the same for all."""
        if self._upkeep is None:
            self._subscriber.start()
            self._upkeep = asyncio.get_running_loop().create_task(self._keep_up(), name="change feeds")
        channel = redis_names.changes_channel(tenant_id)
        feed = self._feeds.get(channel)
        if feed is None:
            feed = self._feeds[channel] = Feed(tenant_id, self._redis, read_rows)
        listener = Listener(sees=sees)
        feed.listeners.add(listener)
        try:
            await self._subscriber.subscribe(channel)
            await feed.join(listener, after)
        except BaseException:
            self.leave(tenant_id, listener)
            raise
        return listener

    def leave(self, tenant_id: UUID, listener: Listener) -> None:
        """Take a stream that has ended from its feed; the last one closes it."""
        channel = redis_names.changes_channel(tenant_id)
        feed = self._feeds.get(channel)
        if feed is None:
            return
        feed.listeners.discard(listener)
        if not feed.listeners:
            feed.close()
            del self._feeds[channel]
            self._subscriber.unsubscribe(channel)

    def _on_message(self, channel: str, data: bytes) -> None:
        if feed := self._feeds.get(channel):
            place, _, body = data.partition(b" ")
            feed.add(place.decode(), unpack_changes(body))

    def _on_gap(self) -> None:
        for feed in self._feeds.values():
            task = asyncio.get_running_loop().create_task(feed.rejoin(), name="rejoin changes")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _keep_up(self) -> None:
        """Have the changes of watched tenants kept, and live jobs read again."""
        loop = asyncio.get_running_loop()
        kept_at = loop.time()
        while True:
            await asyncio.sleep(RECHECK_S)
            for feed in self._feeds.values():
                feed.recheck()
            if loop.time() - kept_at > WATCHED_MS / 1000 / 10:
                kept_at = loop.time()
                await keep_watching(self._redis, [feed.tenant_id for feed in self._feeds.values()])


def stream_position(place: str) -> tuple[int, int]:
    """Return what places are compared by."""
    time, _, number = place.partition("-")
    return int(time), int(number)
