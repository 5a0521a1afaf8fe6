"""The ports of a stack, chosen before anything is started: a taken one is a sentence, not a process that can't start."""

import contextlib
import errno
import fcntl
import os
import tempfile
import weakref
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from api.local.errors import PortTaken
from api.local.home import free_port, is_free, listening_error
from api.local.stack_settings import StackSettings
from workers.storage.private_files import make_private_folder

API_PORT, FLOWER_PORT = 8000, 5555
ERP_PORT = 8765


@dataclass(frozen=True)
class StackPorts:
    """Where the API, Flower and the demo's ERP will listen."""

    api: int
    flower: int
    erp: int


def choose_ports(settings: StackSettings) -> StackPorts:
    """Return the ports that were asked for, else the defaults, or free ones where a default is taken. Raises PortTaken, which
    says who is in the way and what to set.

    While the answer is kept, no other stack of this user chooses one of the defaults: it may start before anybody listens.
    """
    chosen = named_ports(settings)
    if problem := same_ports(chosen):
        raise PortTaken(problem)
    for name, (port, host) in chosen.items():
        require_free(name, port, host)
    named = {port for port, _ in chosen.values()}
    claims: list[int] = []
    api = settings.port or _free_default(API_PORT, settings.host, named, claims)
    flower = settings.flower_port or _free_default(FLOWER_PORT, settings.flower_host, {*named, api}, claims)
    erp = _free_default(ERP_PORT, "127.0.0.1", {api, flower}, claims)
    ports = StackPorts(api, flower, erp)
    for claim in claims:
        weakref.finalize(ports, os.close, claim)
    return ports


def named_ports(settings: StackSettings) -> dict[str, tuple[int, str]]:
    """The ports that were asked for, with the address at which each is listened to, by the name of their setting."""
    asked = {
        "HEADRACE_PORT": (settings.port, settings.host),
        "HEADRACE_TLS_PORT": (settings.tls_port, settings.host),
        "HEADRACE_FLOWER_PORT": (settings.flower_port, settings.flower_host),
    }
    return {name: (port, host) for name, (port, host) in asked.items() if port is not None}


def same_ports(chosen: Mapping[str, tuple[int, str]]) -> str:
    """Return a sentence about the first two settings that name one port, empty if each has its own."""
    names: dict[int, str] = {}
    for name, (port, _) in chosen.items():
        if port in names:
            return f"{names[port]} and {name} are both {port}. Set one of them to another port, such as {free_port()}."
        names[port] = name
    return ""


def require_free(name: str, port: int, host: str) -> None:
    """Raise PortTaken if nobody could listen there now; it says why, and what to do."""
    if is_free(port, host) or (error := listening_error(port, host)) is None:
        return
    raise PortTaken(
        f"{name}={port} {why_taken(error, port, host)}, or set {name} to another port, such as {free_port()}."
    )


def why_taken(error: OSError, port: int, host: str) -> str:
    """Return what is in the way of listening, and what to do about it, as the middle of a sentence."""
    if error.errno == errno.EADDRINUSE:
        return f"is in use by {find_listener(port)}. Stop it"
    if error.errno == errno.EACCES:
        return "may not be listened to by this user, as all below 1024. Give the process CAP_NET_BIND_SERVICE"
    return f"can't be listened to at {host} ({error.strerror}). Use an address of this machine"


def _free_default(port: int, host: str, taken: Collection[int], claims: list[int]) -> int:
    if port in taken or not is_free(port, host):
        return free_port(avoid=set(taken))
    folder = Path(tempfile.gettempdir(), f"headrace-ports-{os.getuid()}")
    try:
        make_private_folder(folder)
        claims.append(os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
        fcntl.flock(claims[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return free_port(avoid=set(taken))
    except OSError:
        pass  # the folder is somebody else's: two that start in the same moment may meet
    return port


def find_listener(port: int) -> str:
    """Return who listens on a port, as far as this user may know."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and port in connection.laddr[1:] and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program"
