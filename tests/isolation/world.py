"""The world of the route matrix: the two tenants, others in every state, and what of it must never change or be reached."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
import redis
from psycopg.rows import dict_row

from schema import redis_names
from schema.vault import PLATFORM
from tests.isolation.two_tenants import JOBS, KINDS, Holder, Row
from workers.limits.rates import RATES


@contextmanager
def open_world(database_url: str, redis_url: str) -> Iterator["World"]:
    """Make the world; `database_url` names the tables' owner."""
    with (
        psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as db,
        redis.Redis.from_url(redis_url) as redis_client,
    ):
        yield World(db, redis_client)


class World:
    """The tenants of the matrix, over one database and one Redis."""

    def __init__(self, db: psycopg.Connection[Row], redis_client: redis.Redis) -> None:
        self.db, self.redis = db, redis_client
        self.a, self.b, self.suspended, self.deleting = (Holder.of_new_tenant(db, letter) for letter in "abab")
        for holder, state in ((self.suspended, "suspended"), (self.deleting, "deleting")):
            self.db.execute("UPDATE tenants SET state = %s WHERE id = %s", (state, holder.tenant_id))
        self.platform = Holder(self.db, "a", tenant_id=PLATFORM)
        self.fellow = Holder(self.db, "a", tenant_id=self.a.tenant_id, user_id=self.a.user())
        self.a.insert(
            "feedback", message_id=UUID(self.a.answer()), rating="down", agent="x"
        )  # for a dataset of feedback
        self.foreign = {kind: self._owned(self.b, kind) for kind in KINDS if kind not in ("price", "certificate")}
        theirs = (
            "session",
            "key",
            "benchmark",
            "schedule",
            "pair of benchmarks",
            "document",
            "failed document",
            "document name",
            *("file", "batch", "batch of messages", "conversation"),
            *JOBS,
        )
        self.fellows = {kind: self._owned(self.fellow, kind) for kind in theirs}
        self.b.everything()
        self._stream(self.b)

    def digest(self) -> dict[str, str]:
        """Return a fingerprint of all that B has: of its rows in each table, and of each of its keys in Redis.

        Without what follows a call of B's own some time later: when its key was used last, and how much it has read.
        """
        row = "(to_jsonb(t) - 'last_used_at')::text"
        parts = [
            f"SELECT '{table}' AS name, md5(coalesce(string_agg({row}, '|' ORDER BY {row}), '')) AS digest "
            f"FROM {table} t WHERE {column} = %(id)s"
            for table, column in self.tables()
        ]
        rows = self.db.execute(" UNION ALL ".join(parts), {"id": self.b.tenant_id}).fetchall()
        counted_later = {redis_names.limit_window(self.b.tenant_id, rate.name).encode() for rate in RATES}
        keys = sorted({*self.redis.scan_iter(match=redis_names.tenant_pattern(self.b.tenant_id))} - counted_later)
        return {row["name"]: row["digest"] for row in rows} | {key.decode(): str(self.redis.dump(key)) for key in keys}

    def tables(self) -> list[tuple[str, str]]:
        """Return every table that belongs to tenants, with the column that names the tenant."""
        sql = """SELECT c.relname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
          WHERE c.relnamespace = 'public'::regnamespace AND a.attname = 'tenant_id' AND c.relkind IN ('r', 'p')
            AND NOT c.relispartition ORDER BY 1"""
        return [("tenants", "id"), *((row["name"], "tenant_id") for row in self.db.execute(sql).fetchall())]

    def empty_tables(self) -> list[str]:
        """Return the tables in which B has nothing."""
        sql = "SELECT count(*) AS number FROM {} WHERE {} = %s"
        counts = {
            table: self.db.execute(sql.format(table, column), (self.b.tenant_id,)).fetchone()
            for table, column in self.tables()
        }
        return [table for table, row in counts.items() if not row or not row["number"]]

    def forget_names(self) -> None:
        """Remove A's users and collections that were made under names of B's, which are no secrets of B's, and what A's audit
        log says of them and of refusals."""
        for table, column in (("users", "email"), ("collections", "name")):
            sql = f"DELETE FROM {table} WHERE tenant_id = %s AND {column} LIKE %s"
            self.db.execute(sql, (self.a.tenant_id, f"{self.b.marker}%"))
        for word in (self.b.marker, str(self.b.tenant_id), self.b.slug):
            sql = "DELETE FROM audit_log a WHERE tenant_id = %s AND strpos(a::text, %s) > 0"
            self.db.execute(sql, (self.a.tenant_id, word))

    def _owned(self, holder: Holder, kind: str) -> list[str]:
        """Return things of this kind that somebody else must not reach; of jobs one in every state."""
        names = [holder.new(other) for other in (JOBS if kind in JOBS else (kind,))]
        if kind in (
            "new email",
            "same answer",
            "other collection",
            "other model",
            "other pipeline",
            "other dataset",
            "other conversation",
        ):
            names = [holder.new(kind.split()[1])]
        return [name for name in names if name is not None]

    def _stream(self, holder: Holder) -> None:
        """Leave in Redis what a running job does."""
        job_id = UUID(holder.job("running job"))
        self.redis.hset(redis_names.job_fence(holder.tenant_id, job_id), mapping={"attempt": 1, "last": 1})
        self.redis.xadd(redis_names.job_events(holder.tenant_id, job_id), {"p": holder.marker}, id="1-0")
        for waiting in self.foreign["running job"]:
            self.redis.hset(redis_names.job_fence(holder.tenant_id, UUID(waiting)), mapping={"attempt": 1, "last": 1})
