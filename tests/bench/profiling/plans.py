"""The plans of all statements that something runs, from Postgres itself (`auto_explain`): which rows it read, and how."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from schema.postgres.connections import Db

GROWING = (
    *("jobs", "attempts", "job_logs", "sessions", "messages", "usage_records", "audit_log"),
    *(
        "documents",
        "document_versions",
        "files",
        "webhook_deliveries",
        "schedule_runs",
        "benchmarks",
        "benchmark_results",
    ),
)
SETTINGS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_level": "notice",
}


@dataclass
class Plans:
    """What was run since it began to listen."""

    plans: list[dict[str, Any]] = field(default_factory=list)

    def listen(self, db: Db) -> None:
        """Take the plans of this connection."""
        db.add_notice_handler(self._on_notice)

    def _on_notice(self, notice: psycopg.errors.Diagnostic) -> None:
        _, brace, text = (notice.message_primary or "").partition("{")
        if brace and "plan:" in _:
            self.plans.append(json.loads(brace + text))

    def rows_read(self) -> int:
        """Return how many rows of the tables that grow were read, also those that a filter left out."""
        return sum(_rows(node) for node in self._nodes() if node.get("Relation Name") in GROWING)

    def faults(self, max_sorted: int) -> list[str]:
        """Return what reads a table that grows from end to end, or sorts more than `max_sorted` rows."""
        found: list[str] = []
        for node in self._nodes():
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in GROWING:
                found.append(f"reads {node['Relation Name']} from end to end")
            if node["Node Type"] == "Sort" and (rows := sum(map(_rows, node["Plans"]))) > max_sorted:
                found.append(f"sorts {rows:,} rows")
        return found

    def _nodes(self) -> Iterator[Mapping[str, Any]]:
        for plan in self.plans:
            yield from _walk(plan["Plan"])


def _walk(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    children: Sequence[Mapping[str, Any]] = node.get("Plans", ())
    for child in children:
        yield from _walk(child)


def _rows(node: Mapping[str, Any]) -> int:
    left_out = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return round((node.get("Actual Rows", 0) + left_out) * node.get("Actual Loops", 0))


@contextmanager
def explaining(database_url: str) -> Iterator[None]:
    """Let new connections to this database tell their plans; `database_url` is a superuser's."""
    name = database_url.rpartition("/")[2]
    with psycopg.connect(database_url, autocommit=True) as db:
        for setting, value in SETTINGS.items():
            db.execute(f"ALTER DATABASE \"{name}\" SET {setting} = '{value}'")
        try:
            yield
        finally:
            for setting in SETTINGS:
                db.execute(f'ALTER DATABASE "{name}" RESET {setting}')
