"""Conversations that have been held, for tests of what is done with their messages."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from schema.ids import new_id
from tests.conftest import TestTenant


@dataclass
class Talk:
    """A session in the database, to which turns are added as finished jobs would."""

    url: str
    tenant: TestTenant
    user_id: UUID | str | None = None
    id: UUID = field(default_factory=new_id)
    turns: int = 0

    def __post_init__(self) -> None:
        sql = "INSERT INTO sessions (tenant_id, id, title, turns, user_id) VALUES (%s, %s, 'Rivers', 0, %s)"
        self.change(sql, self.tenant.id, self.id, self.user_id)

    def turn(self, question: str, answer: str, *, agent: str | None = None, tool: str | None = None) -> tuple[str, str]:
        """Add a turn and return the ids of its question and answer; `tool` was called for it."""
        self.turns += 1
        job_id, ids = new_id(), (new_id(), new_id())
        self.change(
            """INSERT INTO jobs (tenant_id, id, kind, queue, state, priority, payload, max_tries, deadline_at, session_id,
              turn, user_id, agent) VALUES (%s, %s, 'chat', 'chat', 'succeeded', 5, '{}', 3, now(), %s, %s, %s, %s)""",
            *(self.tenant.id, job_id, self.id, self.turns, self.user_id, agent),
        )
        if tool:
            sql = "INSERT INTO tool_effects (tenant_id, job_id, call_id, tool, attempt) VALUES (%s, %s, 'c', %s, 1)"
            self.change(sql, self.tenant.id, job_id, tool)
        for ordinal, (role, text) in enumerate((("user", question), ("assistant", answer))):
            self.change(
                """INSERT INTO messages (tenant_id, id, session_id, job_id, turn, ordinal, role, parts, agent, detail)
                  VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
                *(self.tenant.id, ids[ordinal], self.id, job_id, self.turns, ordinal, role),
                *(Jsonb([{"type": "text", "text": text}]), agent if ordinal else None, Jsonb({"agent": agent})),
            )
        self.change("UPDATE sessions SET turns = %s WHERE id = %s", self.turns, self.id)
        return str(ids[0]), str(ids[1])

    def change(self, sql: str, *values: Any) -> None:
        with psycopg.connect(self.url) as db:
            db.execute(sql, values)

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            return db.execute(sql, values).fetchall()
