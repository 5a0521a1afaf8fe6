"""`--profile`: how long Postgres spent on each statement, from its own log. The log itself costs some of it."""

import re
from collections import defaultdict
from pathlib import Path

import psycopg

from tests.bench.reporting.percentiles import percentile

# A statement goes over many lines, so what says how long it took is looked for, and the words after it.
DURATION = re.compile(
    r"duration: ([\d.]+) ms  (parse|bind|execute|statement)[^:]*: (.{0,4000}?)(?=\n\d{4}-\d\d-|\Z)", re.DOTALL
)
MAX_SHOWN = 24


def log_statements(database_url: str, *, on: bool) -> None:
    """Have Postgres log the duration of every statement, or stop it. Needs the embedded server's superuser."""
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute(
            "ALTER SYSTEM SET log_min_duration_statement = 0" if on else "ALTER SYSTEM RESET log_min_duration_statement"
        )
        db.execute("SELECT pg_reload_conf()")


def statement_report(log_file: Path, begin: int) -> str:
    """Return the statements that took most in the log from byte `begin` on: count, total, p50 and p99 of each step."""
    took: dict[tuple[str, str], list[float]] = defaultdict(list)
    with log_file.open("rb") as file:
        file.seek(begin)
        for ms, step, sql in DURATION.findall(file.read().decode(errors="replace")):
            took[" ".join(sql.split())[:90], step].append(float(ms))
    ordered = sorted(took.items(), key=lambda item: -sum(item[1]))[:MAX_SHOWN]
    rows = [
        f"  {len(all_ms):6d} {sum(all_ms):9.1f} {percentile(all_ms, 0.5):7.3f} {percentile(all_ms, 0.99):7.3f}  {step:9} {sql}"
        for (sql, step), all_ms in ordered
    ]
    return "\n".join(["\nPostgres, ms by statement and step", "   count     total     p50     p99", *rows])
