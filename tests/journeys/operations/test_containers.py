"""The image as it is deployed, with a read-only root and no rights: a chat in containers whose worker is stopped.

Only with HEADRACE_TESTS=full, and where podman has an image of this code: `podman build -t headrace .`
"""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from tests.conftest import make_tenant
from tests.journeys.client import Client, event_types
from tests.secret import SECRET_KEY
from tests.system import free_port
from tests.waiting import wait_for

LIMITS = (
    *("--network", "host", "--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp:mode=1777"),
    *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
)

ENDS = ("job.restarted", "job.succeeded", "job.failed")


def podman(*arguments: str) -> str:
    """Run podman and return what it printed; it must succeed."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"podman {arguments[0]}: {done.stderr}"
    return done.stdout + (done.stderr if arguments[0] == "logs" else "")


def is_built() -> bool:
    if os.environ.get("HEADRACE_TESTS") != "full" or shutil.which("podman") is None:
        return False
    return subprocess.run(["podman", "image", "exists", "headrace"], check=False).returncode == 0


pytestmark = pytest.mark.skipif(not is_built(), reason="needs HEADRACE_TESTS=full and `podman build -t headrace .`")


class Containers:
    """Processes of headrace in containers of this machine's network, all with the same settings."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.port = free_port()
        self._settings = {**settings, "HEADRACE_HOST": "127.0.0.1", "HEADRACE_PORT": str(self.port)}
        self._names = list[str]()

    def start(self, *command: str) -> str:
        """Start `python -m` with these words; return the container's name."""
        name = f"headrace-test-{uuid.uuid4().hex[:8]}"
        settings = {**self._settings, "HEADRACE_METRICS_PORT": str(free_port())}
        given = [word for key, value in settings.items() for word in ("--env", f"{key}={value}")]
        self._names.append(name)
        podman("run", "--detach", "--name", name, *LIMITS, *given, "headrace", "python", "-m", *command)
        return name

    async def start_chat(self) -> str:
        """Start a chat worker and return its name when it takes jobs."""
        name = self.start("workers", "chat")
        await wait_for(lambda: "worker_ready" in podman("logs", name), "the worker is ready")
        return name

    def remove(self) -> None:
        podman("rm", "--force", "--time", "0", *self._names)


@pytest.fixture
def containers(database_url: str, redis_url: str) -> Iterator[Containers]:
    settings = {
        "HEADRACE_DATABASE_URL": database_url,
        "HEADRACE_REDIS_URL": redis_url,
        "HEADRACE_HOME": "/tmp/headrace",
    }
    own = {"HEADRACE_SECRET_KEYS": SECRET_KEY, "HEADRACE_GRACE_S": "1", "HEADRACE_OFFLINE_TOKENS_PER_S": "2"}
    started = Containers(settings | own)
    try:
        yield started
    finally:
        started.remove()


async def test_a_chat_whose_container_is_stopped_goes_on_in_another(containers: Containers, database_url: str) -> None:
    tenant = make_tenant(database_url)
    api, worker = containers.start("api", "serve"), await containers.start_chat()
    containers.start("workers", "scheduler")
    await wait_for(lambda: "server_ready" in podman("logs", api), "the API is ready")
    podman("healthcheck", "run", worker)
    async with Client(f"http://127.0.0.1:{containers.port}", tenant.headers) as client:
        status, said = await client.post("/api/chat", {"message": "Hello!"}, Prefer="respond-async")
        assert status == 202, said
        async with await client.follow(said["job_id"]) as stream:
            await stream.until("message.delta")
            await containers.start_chat()
            podman("stop", "--time", "60", worker)
            events = await stream.rest()
        job = await client.job(said["job_id"])
    assert "0" == podman("inspect", worker, "--format", "{{.State.ExitCode}}").strip()
    assert "jobs_handed_back" in podman("logs", worker)
    assert ["job.restarted", "job.succeeded"] == [name for name in event_types(events) if name in ENDS]
    assert "succeeded" == job["state"]
