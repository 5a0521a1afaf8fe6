"""Lease owners: a name for each worker process, from which others on the same host can tell whether it is still alive.

A lease expires 30 s after the last heartbeat, wherever the worker runs. On the worker's own host nobody needs to wait
for that, because a dead process can be seen. So the name contains the host (with boot id and pid namespace, for
containers that share a host name), the pid, and the start time of the process, since pids are reused.
"""

import hashlib
import os
import socket
from functools import cache
from pathlib import Path


@cache
def host_name() -> str:
    """Return the name of this host in leases."""
    return f"{socket.gethostname()}-{hashlib.sha256(_boot_and_namespace().encode()).hexdigest()[:8]}"


def _boot_and_namespace() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return socket.gethostname()


def owner_name(kind: str) -> str:
    """Return the name of this process, e.g. `chat@host-1a2b3c4d/4711/88123`."""
    pid = os.getpid()
    return f"{kind}@{host_name()}/{pid}/{_start_time(pid)}"


def has_died(owner: str) -> bool:
    """Whether `owner` ran on this host and has died. False for owners on other hosts: only their lease tells."""
    host, pid, started = owner.rsplit("/", 2)
    if not host.endswith("@" + host_name()) or started == "0":
        return False
    return _start_time(int(pid)) != started


def pid_here(owner: str) -> int | None:
    """Return the process id of `owner` if it lives on this host."""
    host, pid, _ = owner.rsplit("/", 2)
    return int(pid) if host.endswith("@" + host_name()) and not has_died(owner) else None


def _start_time(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; '' if it is not running, '0' if that is unknown."""
    if not Path("/proc/self/stat").exists():
        return "0"
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
