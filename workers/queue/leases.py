"""Who holds a lease: a name for this worker process that tells, on the same host, whether it still lives.

A lease runs out 30 s after the last heartbeat, wherever the worker is. On the worker's own host there is no need to wait:
a process that is gone is gone. So the name carries the host (boot and pid namespace included, for containers that share
a name), the pid, and the moment the process started, since pids come again.
"""

import hashlib
import os
import socket
from functools import cache
from pathlib import Path


@cache
def host_name() -> str:
    """Return this host as leases name it."""
    return f"{socket.gethostname()}-{hashlib.sha256(_identity().encode()).hexdigest()[:8]}"


def _identity() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return socket.gethostname()


def owner_name(kind: str) -> str:
    """Return the name of this process, e.g. `chat@host-1a2b3c4d/4711/88123`."""
    pid = os.getpid()
    return f"{kind}@{host_name()}/{pid}/{_started(pid)}"


def is_gone(owner: str) -> bool:
    """Whether `owner` ran on this host and is no more. False for owners elsewhere: only their lease can tell."""
    place, pid, started = owner.rsplit("/", 2)
    if not place.endswith("@" + host_name()) or started == "0":
        return False
    return _started(int(pid)) != started


def _started(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot; '' if there is none, '0' where nobody knows."""
    if not Path("/proc/self/stat").exists():
        return "0"
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
