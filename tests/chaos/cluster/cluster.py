"""headrace on several hosts, made of the files that are shipped: the Procfile, the Caddyfile, and the secrets and settings of
docs/deployment.md and `compose.prod.yaml`.

    clients ── proxy ──┬── api1 ──┬── stores (Postgres, Valkey)
                       └── api2 ──┤
                          work1 ──┤   models (the stand-in)
                          work2 ──┘

Files of documents lie in a folder that all hosts share, as they would in a bucket. Not here: what is broken (`cases.py`).
"""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from socket import AF_INET, AddressFamily
from ssl import create_default_context

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from dotenv import dotenv_values

from api.local.home import Home
from api.local.stores.local_stores import Stores
from tests.chaos.cluster.network import Network
from tests.chaos.cluster.stores import NetworkPostgres, NetworkValkey
from tests.chaos.world import Load, World, supervised
from tests.fork_server import base_environment
from tests.house.deployment_files import FOLDER, PRODUCTION, compose, image_environment, make_secrets, procfile_commands
from tests.journeys.client import Client
from tests.journeys.conftest import keep_commits
from tests.system import ROOT, ModelProcess, System
from tests.workers.certificates.authority import Authority

TOOLS = ("unshare", "mount", "setpriv", "caddy")
DOMAIN = "headrace.example.com"
TLS_PORT = 8443
STREAMS = 100
"""How many streams the cases have under way."""
ADDRESSES = {
    "clients": "10.18.0.2",
    "proxy": "10.18.0.10",
    "api1": "10.18.0.11",
    "api2": "10.18.0.12",
    **{f"api{n}": f"10.18.0.1{n}" for n in (3, 4, 5, 6)},
    "work1": "10.18.0.21",
    "work2": "10.18.0.22",
    "stores": "10.18.0.30",
    "models": "10.18.0.40",
}
HOSTS = {
    "proxy": "proxy",
    "api": "api1",
    "api2": "api2",
    "chat": "work1",
    "chat2": "work2",
    "default": "work1",
    "default2": "work2",
    "ingestion": "work1",
    "ingestion2": "work2",
    "scheduler": "work1",
    "scheduler2": "work2",
}
"""On which host each process runs: whichever host is lost, all kinds are left."""
ADDED = {"chat3": "work1", **{f"api{n}": f"api{n}" for n in (3, 4, 5, 6)}}
"""Where processes run that only some cases start."""
NAMES = {"postgres": ["stores"], "valkey": ["stores"], "api": ["api1", "api2"], "models": ["models"]}
"""What hosts are called in the shipped files, by those who look them up."""


class Names(AbstractResolver):
    """Knows the name of the installation, as its users' DNS does: whichever of its addresses answers is taken."""

    def __init__(self, addresses: Iterable[str], rng: random.Random) -> None:
        self._addresses, self._rng = list(addresses), rng

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_INET) -> list[ResolveResult]:
        """Called by aiohttp."""
        return [
            ResolveResult(hostname=host, host=address, port=port, family=AF_INET, proto=0, flags=0)
            for address in self._rng.sample(self._addresses, len(self._addresses))
        ]

    async def close(self) -> None:
        """Called by aiohttp."""


class ClusterSystem(System):
    """The processes, each on its host and with its own `/etc/hosts`. Clients reach them through the proxy, or where they serve
    TLS themselves."""

    def __init__(self, network: Network, stores: Stores, folder: Path, model: ModelProcess, rng: random.Random) -> None:
        super().__init__(stores.database_url, stores.redis_url, folder=folder, roles=tuple(HOSTS))
        self.network = network
        self._rng, self.authority = rng, Authority()
        self.trust = create_default_context(cadata=self.authority.root)
        self.serve_tls()
        self.env = _environment(folder, model)
        self._proxy_env = _proxy_environment(folder, self.authority)
        self._commands = {**procfile_commands(), "proxy": f"caddy run --config {FOLDER}/Caddyfile --adapter caddyfile"}
        self._hosts_file = folder / "hosts"
        lines = [f"{network.addresses[host]} {name}" for name, hosts in NAMES.items() for host in hosts]
        self._hosts_file.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))

    def serve_tls(self, *names: str) -> None:
        """Lead clients to the TLS ports of these API processes, or to the proxy."""
        self._url = f"https://{DOMAIN}:{TLS_PORT}" if names else f"https://{DOMAIN}"
        self.names = Names([self.network.addresses[name] for name in names or ("proxy",)], self._rng)

    def url_of(self, name: str) -> str:
        return self._url

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        """Start (again) the process `name` with the Procfile's command."""
        env = self._proxy_env if name == "proxy" else self.env
        return self.run(name, self._place(name), self._commands[name.rstrip("0123456789")].split(), env)

    def _place(self, name: str) -> str:
        return HOSTS.get(name) or ADDED[name]

    def run(self, name: str, host: str, command: list[str], env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start a program on a host."""
        tied = ["setpriv", "--pdeathsig", "KILL"]  # it ends when this process does, however that is
        bound = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(self._hosts_file)]
        with (self.folder / f"{name}.log").open("ab") as log, self.network.inside(host):
            process = subprocess.Popen(
                [*tied, *bound, *command], cwd=ROOT, env=dict(env), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.processes[name] = process
        return process

    async def _is_ready(self, name: str) -> bool:
        if not name.startswith(("api", "proxy")):
            return await super()._is_ready(name)
        direct = f"http://{self.network.addresses[self._place(name)]}:8000"
        where = self.url_of(name) if name == "proxy" else direct
        try:
            async with (
                asyncio.timeout(10),
                Client(where, {}, trust=self.trust, resolver=self.names) as client,
                client.http.get("/health/ready") as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


class ClusterWorld(World):
    """A cluster to break."""

    def __init__(self, stores: Stores, system: ClusterSystem, model: ModelProcess, rng: random.Random) -> None:
        super().__init__(stores, system, model, rng)
        self.cluster, self.network = system, system.network

    def client_of(self, name: str, load: Load) -> Client:
        """A client who asks the proxy, wherever that leads."""
        return Client(
            self.system.url_of(name), load.tenant.headers, trust=self.cluster.trust, resolver=self.cluster.names
        )


@contextlib.asynccontextmanager
async def open_cluster(folder: Path, rng: random.Random) -> AsyncIterator[ClusterWorld]:
    """Make the network, start stores, model, processes and proxy; end all of it. This thread is among the clients meanwhile."""
    make_secrets(folder / "secrets")
    with Network(ADDRESSES) as network, network.inside("clients"), _stores(network, folder) as stores:
        with network.inside("models"):
            model = ModelProcess(folder, network.addresses["models"]).__enter__()
        system = ClusterSystem(network, stores, folder, model, rng)
        try:
            owner = dotenv_values(folder / "secrets" / "owner.env")
            await _migrate(system, {**system.env, **{name: value or "" for name, value in owner.items()}})
            keep_commits(stores.database_url)
            _set_kernel(network)
            async with system:
                world = ClusterWorld(stores, system, model, rng)
                async with supervised(world):
                    await world.read(world.begin(), STREAMS, "text-10-at-5")  # pools grow to their size once
                    yield world
        finally:
            await asyncio.to_thread(system.stop_all)
            model.__exit__()


@contextlib.contextmanager
def _stores(network: Network, folder: Path) -> Iterator[Stores]:
    secrets, home = folder / "secrets", Home(folder / "stores")
    with home.locked(), contextlib.ExitStack() as started, network.inside("stores"):
        password = (secrets / "postgres_password").read_text().strip()
        postgres, valkey = NetworkPostgres(home, password), NetworkValkey(home, secrets)
        for store in (postgres, valkey):
            started.callback(store.stop)
            store.start()
        with network.inside("clients"):
            there = network.addresses["stores"]
            yield Stores(
                database_url=postgres.url.replace("127.0.0.1", there),
                redis_url=valkey.url.replace("127.0.0.1", there),
                postgres=postgres,
                valkey=valkey,
            )


def _environment(folder: Path, model: ModelProcess) -> dict[str, str]:
    """What the image, `compose.prod.yaml` and `processes.env` set, and where the models are."""
    given = {
        "HEADRACE_SECRET_KEYS_FILE": str(folder / "secrets" / "secret.keys"),
        "HEADRACE_STORAGE": str(folder / "files"),
        "HEADRACE_LOGS": "json",
        "HEADRACE_TRUSTED_PROXIES": ADDRESSES["proxy"],
        "HEADRACE_ISSUER": f"https://{DOMAIN}",
    }
    shipped = compose(PRODUCTION)["x-headrace"]["environment"]
    image = {name: value for name, value in image_environment().items() if not name.startswith("HEADRACE_METRICS")}
    secret = {name: value or "" for name, value in dotenv_values(folder / "secrets" / "processes.env").items()}
    base = base_environment()
    return {
        **base,
        "PATH": f"{Path(sys.executable).parent}:{base['PATH']}",
        **image,
        "HEADRACE_HOME": str(folder / "home"),
        **{name: given[name] for name in shipped},
        **secret,
        "OPENAI_BASE_URL": model.base_url,
        "HEADRACE_EGRESS_ALLOW": model.host,
    }


async def _migrate(system: ClusterSystem, env: dict[str, str]) -> None:
    process = system.run("migrate", "work1", ["python", "-m", "api", "migrate"], env)
    status = await asyncio.to_thread(process.wait)
    del system.processes["migrate"]
    assert status == 0, system.log("migrate")


def _set_kernel(network: Network) -> None:
    """Give the proxy's host the settings of its container."""
    with network.inside("proxy"):
        for name, value in compose(PRODUCTION)["services"]["proxy"]["sysctls"].items():
            Path("/proc/sys", name.replace(".", "/")).write_text(str(value))


def _proxy_environment(folder: Path, authority: Authority) -> dict[str, str]:
    """What the shipped Caddyfile is told, with a certificate for the installation."""
    files = (folder / "proxy.pem", folder / "proxy.key")
    for file, text in zip(files, authority.issue(DOMAIN), strict=True):
        file.write_text(text)
    home = str(folder / "caddy")
    return {"PATH": os.environ["PATH"], "HOME": home, "DOMAIN": DOMAIN, "TLS": " ".join(map(str, files))}
