"""The heartbeat: a thread of its own that renews the leases of all jobs that run in this process (J2).

A thread, because a busy event loop must not cost the jobs their leases; and one statement for all of them. From the answer
it learns what was lost and what is to be cancelled. If the loop has not turned for a minute it is stuck, and the beat
stops: then another worker may have the jobs.

It is also the watchdog of a deaf worker: when doorbells have been rung again and again for our queue, and none was heard
here, the consumer has lost its connection without noticing. The process then stops itself, and its supervisor starts a
new one.
"""

import os
import signal
import threading
import time
from typing import Any

import psycopg
import structlog
from psycopg.rows import dict_row

from schema.db import connection_options
from schema.queries.jobs.attempts import RENEW, renew_values
from schema.queries.jobs.sweeper import UNHEARD
from workers.queue.context import QueueContext

log = structlog.get_logger()

STUCK_S = 60.0
DEAF_S = 20.0
KILL_S = 30.0


class Heartbeat(threading.Thread):
    """Beats three times per lease. `start()` it once the workshop is open, `stop()` it last."""

    def __init__(self, context: QueueContext, *, database_url: str, grace_s: float) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._context, self._running = context, context.running
        self._database_url, self._grace_s = database_url, grace_s
        self._every_s = context.lease_s / 3
        self._stopping = threading.Event()
        self._turned_at = time.monotonic()
        self._db: psycopg.Connection[Any] | None = None

    def stop(self) -> None:
        """Stop beating and close the connection."""
        self._stopping.set()
        self.join(5)

    def run(self) -> None:
        """Beat until stopped. A Postgres that is away costs nothing but the beat."""
        while not self._stopping.wait(self._every_s):
            try:
                self._beat()
            except psycopg.Error as error:
                log.warning("heartbeat_missed", error=type(error).__name__)
                self._disconnect()
        self._disconnect()

    def _beat(self) -> None:
        self._running.loop.call_soon_threadsafe(self._turn)
        if time.monotonic() - self._turned_at > max(STUCK_S, 2 * self._every_s):
            log.error("loop_stuck", running=len(self._running))
            return
        db = self._connection()
        held = self._running.held()
        if held:
            rows = db.execute(RENEW, renew_values(held, self._context.lease_s)).fetchall()
            kept = {row["id"]: row["cancel_requested"] for row in rows}
            self._running.loop.call_soon_threadsafe(self._running.on_heartbeat, held, kept)
        if self._is_deaf(db):
            self._leave()

    def _turn(self) -> None:
        self._turned_at = time.monotonic()

    def _is_deaf(self, db: psycopg.Connection[Any]) -> bool:
        running = self._running
        if running.draining or len(running) >= self._context.slots:
            return False
        if running.loop.time() - running.last_message_at < DEAF_S:
            return False
        return db.execute(UNHEARD, {"queues": [self._context.name]}).fetchone() is not None

    def _leave(self) -> None:
        log.error("worker_deaf", queue=self._context.name)
        os.kill(os.getpid(), signal.SIGTERM)
        self._stopping.wait(self._grace_s + KILL_S)
        os._exit(70)

    def _connection(self) -> psycopg.Connection[Any]:
        if self._db is None or self._db.closed:
            options = {**connection_options("headrace_system", "headrace heartbeat"), "row_factory": dict_row}
            self._db = psycopg.connect(self._database_url, **options)
        return self._db

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
