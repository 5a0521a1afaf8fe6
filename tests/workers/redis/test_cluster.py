"""A Valkey Cluster can't be used, and every process says so at its start."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from api.cli.doctor import external_redis
from api.local.processes import start_child
from api.local.stores.valkey import binary
from schema.errors import ClusterRefused
from tests.fork_server import ROOT, base_environment
from tests.secret import SECRET_KEY
from tests.system import COMMANDS, free_port
from tests.waiting import PATIENCE_S, wait_until
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.cluster import REFUSAL, refuse_cluster


@pytest.fixture(scope="module")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One node of a Cluster that has all keys; the second one is for keys that it lacks."""
    folder, port = tmp_path_factory.mktemp("node"), free_port()
    settings = {"port": port, "bind": "127.0.0.1", "dir": folder, "cluster-enabled": "yes", "cluster-port": free_port()}
    command = [str(binary()), *(part for name, value in settings.items() for part in (f"--{name}", str(value)))]
    with (folder / "log").open("ab") as log:
        node = start_child(command, death_signal=signal.SIGKILL, mode="same", log=log)
    try:
        with redis.Redis("127.0.0.1", port) as db:
            wait_until(lambda: _answers(db), "the node answered")
            db.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        node.kill()
        node.wait()


def _answers(db: redis.Redis) -> bool:
    try:
        return bool(db.ping())
    except redis.RedisError:
        return False


@pytest.mark.parametrize("role", COMMANDS)
def test_every_process_ends_at_its_start_and_says_what_to_use_instead(
    role: str, cluster_url: str, tmp_path: Path, unused_tcp_port: int
) -> None:
    own = {
        "HEADRACE_DATABASE_URL": f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/x",
        "HEADRACE_REDIS_URL": cluster_url,
        "HEADRACE_SECRET_KEYS": SECRET_KEY,
        "HEADRACE_STORAGE": str(tmp_path),
    }
    command = [sys.executable, "-m", *COMMANDS[role]]
    environment = {**base_environment(), **own}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (2, REFUSAL) == (done.returncode, done.stderr.strip().removeprefix("headrace: "))


def test_doctor_says_it_too(cluster_url: str) -> None:
    assert [("is a Cluster", REFUSAL)] == [(found.state, found.advice) for found in external_redis(cluster_url)]


async def test_one_that_comes_later_is_as_good_as_away(cluster_url: str) -> None:
    """The process was started before it, and could not ask."""
    client = RedisClient(RedisAddress.from_url(cluster_url))
    with pytest.raises(RedisUnavailable):
        await client.call("EVAL", "return 1", 2, "headrace:a", "headrace:b")
    await client.close()


def test_who_is_no_cluster_or_away_is_let_through(redis_url: str, unused_tcp_port: int, cluster_url: str) -> None:
    refuse_cluster(redis_url)
    refuse_cluster(f"redis://127.0.0.1:{unused_tcp_port}/0")
    with pytest.raises(ClusterRefused):
        refuse_cluster(cluster_url)
