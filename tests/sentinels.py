"""Two Valkey servers of which one follows the other, and three sentinels that watch them: real ones, on loopback.

with watched_valkey(tmp_path) as servers:
    servers.url                      what HEADRACE_REDIS_URL is to be
    servers.kill(); servers.start()  the master dies, and comes back as whatever the sentinels make of it
"""

import contextlib
import re
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
import redis.asyncio
from redis.sentinel import Sentinel

from api.local.processes import start_child
from api.local.stores.valkey import binary
from tests.system import free_port
from tests.waiting import wait_until
from workers.redis.address import RedisAddress

MASTER_NAME = "mymaster"
DOWN_AFTER_MS = 1000
SERVER = """\
bind 127.0.0.1
port {port}
dir "{folder}"
requirepass {password}
masterauth {password}
appendonly no
save ""
maxmemory 512mb
maxmemory-policy noeviction
repl-diskless-sync-delay 0
"""
SENTINEL = """\
bind 127.0.0.1
port {port}
dir "{folder}"
requirepass {sentinel_password}
sentinel monitor {name} 127.0.0.1 {master_port} 2
sentinel auth-pass {name} {password}
sentinel down-after-milliseconds {name} {down_after_ms}
sentinel failover-timeout {name} 4000
sentinel parallel-syncs {name} 1
"""


class WatchedValkey:
    """The servers and their sentinels. `kill`, `start` and `pid` are of the master, as those of an embedded server are."""

    def __init__(self, folder: Path, *, down_after_ms: int = DOWN_AFTER_MS) -> None:
        self.folder = folder
        self.ports = [free_port() for _ in range(2)]
        self.sentinel_ports = [free_port() for _ in range(3)]
        self.password, self.sentinel_password = secrets.token_hex(20), secrets.token_hex(20)
        self._down_after_ms = down_after_ms
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """The URL of the sentinels."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://:{self.password}@{hosts}/{MASTER_NAME}/0?sentinel_password={self.sentinel_password}"

    @property
    def master_port(self) -> int:
        """Where the sentinels say that the master is."""
        return find_master(self.url)[1]

    @property
    def pid(self) -> int:
        """The process of the master."""
        return self._processes[self.master_port].pid

    @property
    def log_file(self) -> Path:
        """What all of them log."""
        return self.folder / "log"

    def open(self) -> None:
        """Start all, and wait until the sentinels know of each other and of both servers."""
        for port in self.ports:
            text = SERVER.format(port=port, folder=self._folder(port), password=self.password)
            leads = f"replicaof 127.0.0.1 {self.ports[0]}\n" if port != self.ports[0] else ""
            self._config(port).write_text(text + leads)
        for port in self.sentinel_ports:
            text = SENTINEL.format(
                **{"port": port, "folder": self._folder(port), "name": MASTER_NAME, "master_port": self.ports[0]},
                **{"password": self.password, "sentinel_password": self.sentinel_password},
                down_after_ms=self._down_after_ms,
            )
            self._config(port).write_text(text)
        for port in (*self.ports, *self.sentinel_ports):
            self._start(port)
        self.wait_whole()

    def wait_whole(self) -> None:
        """Wait until all run, know of each other, and one server follows the other."""
        wait_until(self._is_whole, "the sentinels knew both servers")

    def close(self) -> None:
        """Stop all."""
        for port in tuple(self._processes):
            self.kill_at(port)

    def kill(self) -> None:
        """Kill the master, as a machine that is switched off."""
        self.kill_at(self.master_port)

    def kill_at(self, port: int) -> None:
        """Kill the server or the sentinel at a port."""
        process = self._processes.pop(port)
        process.kill()
        process.wait()

    def start(self) -> None:
        """Start again what was killed."""
        for port in (*self.ports, *self.sentinel_ports):
            if port not in self._processes:
                self._start(port)

    def restart(self, *, clean: bool = True) -> None:
        """Kill the master and start it again: it comes back as the master if it was not missed, else as a replica."""
        self.kill()
        self.start()

    def _start(self, port: int) -> None:
        kind = ["--sentinel"] if port in self.sentinel_ports else []
        with self.log_file.open("ab") as log:
            command = [str(binary()), str(self._config(port)), *kind]
            self._processes[port] = start_child(command, death_signal=signal.SIGKILL, mode="same", log=log)

    def _is_whole(self) -> bool:
        for port in self.sentinel_ports:
            try:
                with redis.Redis("127.0.0.1", port, password=self.sentinel_password) as sentinel:
                    told: dict[str, Any] = sentinel.sentinel_master(MASTER_NAME)  # pyright: ignore[reportAssignmentType]
            except redis.RedisError:
                return False
            if told["num-slaves"] < 1 or told["num-other-sentinels"] < len(self.sentinel_ports) - 1:
                return False
        with connect(self.url) as master:
            told = master.info("replication")
        return told["connected_slaves"] == 1 and told["slave0"]["state"] == "online"

    def _folder(self, port: int) -> Path:
        folder = self.folder / str(port)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _config(self, port: int) -> Path:
        return self._folder(port) / "valkey.conf"


@contextlib.contextmanager
def watched_valkey(folder: Path, *, down_after_ms: int = DOWN_AFTER_MS) -> Iterator[WatchedValkey]:
    """Servers and sentinels that run."""
    servers = WatchedValkey(folder, down_after_ms=down_after_ms)
    try:
        servers.open()
        yield servers
    finally:
        servers.close()


def in_database(url: str, number: int) -> str:
    """The URL of another database of the same Redis."""
    return re.sub(r"/\d+(?=\?|$)", f"/{number}", url)


def find_master(url: str) -> tuple[str, int]:
    """Where the sentinels of a URL say that the master is."""
    address = RedisAddress.from_url(url)
    assert address.sentinels is not None
    as_whom: dict[str, Any] = {"password": address.sentinels.password or None, "socket_timeout": 1}
    with contextlib.closing(Sentinel(address.sentinels.hosts, sentinel_kwargs=as_whom)) as sentinels:
        return sentinels.discover_master(address.sentinels.master_name)


def connect(url: str, *, decode_responses: bool = False) -> Any:
    """redis-py's client of the Redis of a URL: with sentinels, of the one that is the master now."""
    return redis.Redis.from_url(master_url(url), decode_responses=decode_responses)


def connect_async(url: str, *, decode_responses: bool = False) -> Any:
    """The same, for `async with`."""
    return redis.asyncio.Redis.from_url(master_url(url), decode_responses=decode_responses)


def master_url(url: str) -> str:
    """The URL of the server that is the master now."""
    address = RedisAddress.from_url(url)
    if address.sentinels is None:
        return url
    host, port = find_master(url)
    return f"redis://:{address.password}@{host}:{port}/{address.db}"
