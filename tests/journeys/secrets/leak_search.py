"""Where secrets could turn up: what Redis is told and keeps, what Postgres keeps, what Flower shows, what `ps` shows."""

import asyncio
import contextlib
import json
import re
import resource
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import psycopg
from psycopg import sql

from tests.sentinels import connect

Place = tuple[str, bytes]

ARGUMENT = re.compile(rb'"((?:[^"\\]|\\.)*)"')
ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.DOTALL)
CONTROLS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}


class Monitor:
    """Everything that Redis is told while it is open, as lists of a command and its arguments."""

    def __init__(self) -> None:
        self.commands: list[list[bytes]] = []

    @contextlib.asynccontextmanager
    async def listening(self, redis_url: str) -> AsyncIterator["Monitor"]:
        where = urlsplit(redis_url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 26)
        writer.write(f"AUTH {where.password}\r\nMONITOR\r\n".encode())
        assert [b"+OK\r\n"] * 2 == [await reader.readline(), await reader.readline()]
        listener = asyncio.create_task(self._listen(reader))
        try:
            yield self
        finally:
            writer.close()
            await listener

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self.commands.append([ESCAPE.sub(_unescape, argument) for argument in ARGUMENT.findall(line)])


def _unescape(escape: re.Match[bytes]) -> bytes:
    said = escape[1]
    return bytes.fromhex(said[1:].decode()) if len(said) == 3 else CONTROLS.get(said, said)


def redis_contents(redis_url: str) -> list[Place]:
    """Every key of every database with what it holds."""
    places: list[Place] = []
    with connect(redis_url) as db:
        assert {"db0"} >= set(db.info("keyspace")), "only database 0 is read"
        for key in db.scan_iter(count=1000):
            match db.type(key):
                case b"string":
                    held = db.get(key)
                case b"list":
                    held = db.lrange(key, 0, -1)
                case b"hash":
                    held = db.hgetall(key)
                case b"set":
                    held = db.smembers(key)
                case b"zset":
                    held = db.zrange(key, 0, -1)
                case b"stream":
                    held = db.xrange(key)
                case kind:
                    raise AssertionError(f"{key} is a {kind}, which nobody reads here")
            places.append((key.decode(), key + b"\n" + b"\n".join(_flat(held))))
    return places


def _flat(held: object) -> Iterator[bytes]:
    if isinstance(held, bytes):
        yield held
    elif isinstance(held, dict):
        yield from _flat(list(held.items()))
    elif isinstance(held, list | tuple | set):
        for inner in held:
            yield from _flat(inner)


def redis_snapshot(redis_url: str) -> bytes:
    """The file that Redis saves itself to, with nothing compressed."""
    with connect(redis_url) as db:
        db.config_set("rdbcompression", "no")
        db.save()
        names = {name: db.config_get(name)[name] for name in ("dir", "dbfilename")}
    return (Path(names["dir"]) / names["dbfilename"]).read_bytes()


def postgres_columns(database_url: str) -> list[Place]:
    """Every column of every table, all rows together, read as the tables' owner; what is deflated also inflated."""
    places: list[Place] = []
    with psycopg.connect(database_url) as db:
        db.execute("SET row_security = off")  # which fails, rather than hide a row
        tables = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        for (table,) in tables:
            cursor = db.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
            rows = cursor.fetchall()
            for number, column in enumerate(cursor.description or ()):
                places.append((f"{table}.{column.name}", b"\n".join(_text(row[number]) for row in rows)))
    return places


def _text(value: object) -> bytes:
    if isinstance(value, bytes):
        with contextlib.suppress(zlib.error):
            return value + b"\n" + zlib.decompress(value)
        return value
    return (value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)).encode()


async def flower_pages(url: str, job_ids: list[str]) -> list[Place]:
    """Every page of Flower, and that of each job that it has heard of; a page that is closed says so (401)."""
    async with aiohttp.ClientSession(url) as http:

        async def page(path: str) -> bytes:
            async with http.get(path) as answer:
                assert answer.status in (200, 401, 404), f"{path}: {answer.status}"
                return await answer.read()

        listed = await page(f"/tasks/datatable?draw=1&start=0&length=1000&search[value]=&{COLUMNS}")
        workers = await page("/workers?json=1")
        heard = [job_id for job_id in job_ids if job_id.encode() in listed]
        assert heard, "Flower has heard of no job"
        paths = [*PAGES, *(f"/worker/{worker['hostname']}" for worker in json.loads(workers)["data"])]
        paths += [f"/task/{job_id}" for job_id in heard]
        return [
            ("Flower's tasks", listed),
            ("Flower's workers", workers),
            *[(path, await page(path)) for path in paths],
        ]


COLUMNS = "order[0][column]=0&order[0][dir]=desc&columns[0][data]=name"
PAGES = ("/", "/workers?refresh=1", "/tasks", "/broker", "/metrics", "/dashboard", "/healthcheck",
         "/api/workers?refresh=1", "/api/tasks", "/api/queues/length")  # fmt: skip


def command_lines() -> list[Place]:
    """What `ps` shows of every process of this machine."""
    places: list[Place] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            places.append((f"the command line of process {file.parent.name}", file.read_bytes()))
    return places


def core_limit(pid: int) -> int:
    """How many bytes a core dump of a process may have."""
    return resource.prlimit(pid, resource.RLIMIT_CORE)[0]
