"""Hosts on one switch, on this machine: each is a network namespace, the switch a bridge in one more.

    with Network({"api": "10.18.0.11", "stores": "10.18.0.30"}) as network:
        with network.inside("api"): start something there
        with network.without("api", "stores"): whoever is connected hears nothing more, and no RST

The namespaces have no names and belong to this process alone, so nothing of them stays behind, however it ends; the machine's
own network is not touched. Faults are rules of nftables on the switch. The kernels of small machines have no `netem`, so
slowness is a process of its own (`delay_line.py`).
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.system import ROOT

CLONE_NEWNET = 0x40000000
NET = "/proc/thread-self/ns/net"
MASK = 24
TOOLS = ("ip", "nft")
libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """The hosts by name, with their addresses. Use as `with`, and only from the main thread."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.addresses = dict(addresses)
        self._namespaces: dict[str, int] = {}
        self._faults = 0

    def __enter__(self) -> "Network":
        try:
            for name in ("switch", *self.addresses):
                self._namespaces[name] = _new_namespace()
            with self._entered("switch"):
                _run("ip", "link", "add", "switch", "type", "bridge")
                _run("ip", "link", "set", "switch", "up")
                _nft("add table bridge faults")
            for number, name in enumerate(self.addresses):
                self._connect(name, f"port{number}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        while self._namespaces:
            os.close(self._namespaces.popitem()[1])

    def _connect(self, name: str, port: str) -> None:
        theirs = f"/proc/{os.getpid()}/fd/{self._namespaces[name]}"
        with self._entered("switch"):
            _run(*("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", theirs))
            _run("ip", "link", "set", port, "master", "switch", "up")
        with self._entered(name):
            _run("ip", "addr", "add", f"{self.addresses[name]}/{MASK}", "dev", "eth0")
            _run("ip", "link", "set", "eth0", "up")

    @contextlib.contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """Within, this thread is on a host: the sockets that it opens and the processes that it starts stay there."""
        with self._entered(host):
            yield

    @contextlib.contextmanager
    def _entered(self, name: str) -> Iterator[None]:
        before = os.open(NET, os.O_RDONLY)
        try:
            _enter(self._namespaces[name])
            yield
        finally:
            _enter(before)
            os.close(before)

    # -- faults, each for as long as the `with` lasts

    @contextlib.contextmanager
    def without(self, one: str, other: str) -> Iterator[None]:
        """Lose all that goes between two hosts, either way."""
        with self.one_way(one, other), self.one_way(other, one):
            yield

    @contextlib.contextmanager
    def one_way(self, source: str, to: str, *, percent: int = 100) -> Iterator[None]:
        """Lose what one host sends to another, or a share of it; the other way all comes through."""
        self._faults += 1
        chain = f"fault{self._faults}"
        some = "" if percent == 100 else f"numgen random mod 100 < {percent} "
        rule = f"ip saddr {self.addresses[source]} ip daddr {self.addresses[to]} {some}counter drop"
        with self._entered("switch"):
            _nft(f"add chain bridge faults {chain} {{ type filter hook forward priority 0; }}")
            _nft(f"add rule bridge faults {chain} {rule}")
        try:
            yield
        finally:
            with self._entered("switch"):
                _nft(f"delete chain bridge faults {chain}")

    @contextlib.contextmanager
    def unplugged(self, host: str) -> Iterator[None]:
        """Pull a host's cable: it is still there, and nobody hears of it."""
        port = f"port{list(self.addresses).index(host)}"
        with self._entered("switch"):
            _run("ip", "link", "set", port, "down")
        try:
            yield
        finally:
            with self._entered("switch"):
                _run("ip", "link", "set", port, "up")

    @contextlib.contextmanager
    def slowed(self, host: str, delay_s: float) -> Iterator[None]:
        """Hold up each packet that a host sends, and so each answer, for so long."""
        command = [sys.executable, "-m", "tests.chaos.cluster.delay_line", self.addresses[host], str(delay_s)]
        with self._entered(host):
            line = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert line.stdout is not None
        try:
            assert line.stdout.readline(), "the delay line did not start"
            yield
        finally:
            line.terminate()
            line.wait()
            line.stdout.close()


def why_not(*besides: str) -> str | None:
    """Return why no network can be made here, in a sentence; None if it can. `besides` are more programs that are needed."""
    missing = [tool for tool in (*TOOLS, *besides) if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} must be installed (Debian: iproute2, nftables, util-linux, caddy)."
    if os.geteuid() != 0:
        return "it needs root, to make network namespaces."
    if not Path("/dev/net/tun").exists():
        return "it needs /dev/net/tun, to slow a host down."
    try:
        with Network({"one": "10.18.0.1", "other": "10.18.0.2"}) as probe, probe.without("one", "other"):
            return None
    except (OSError, AssertionError) as error:
        return f"network namespaces can't be made here: {error}."


def _new_namespace() -> int:
    """Make a namespace with a loopback, and return a descriptor that keeps it."""
    before = os.open(NET, os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        made = os.open(NET, os.O_RDONLY)
        _run("ip", "link", "set", "lo", "up")
        return made
    finally:
        _enter(before)
        os.close(before)


def _enter(namespace: int) -> None:
    if libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _nft(statement: str) -> None:
    _run("nft", statement)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
