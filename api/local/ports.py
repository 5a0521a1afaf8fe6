"""The ports of a stack, chosen before anything is started: a taken one is a sentence, not a process that can't start."""

import contextlib
import fcntl
import os
import tempfile
import weakref
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from api.local.errors import PortTaken
from api.local.home import free_port, is_free
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
    if settings.port is not None and settings.port == settings.flower_port:
        raise PortTaken(
            f"HEADRACE_PORT and HEADRACE_FLOWER_PORT are both {settings.port}. Set one of them to another port, such as "
            f"{free_port()}."
        )
    _require_free("HEADRACE_PORT", settings.port, settings.host)
    _require_free("HEADRACE_FLOWER_PORT", settings.flower_port, settings.flower_host)
    named = {port for port in (settings.port, settings.flower_port) if port is not None}
    claims: list[int] = []
    api = settings.port or _free_default(API_PORT, settings.host, named, claims)
    flower = settings.flower_port or _free_default(FLOWER_PORT, settings.flower_host, {*named, api}, claims)
    erp = _free_default(ERP_PORT, "127.0.0.1", {api, flower}, claims)
    ports = StackPorts(api, flower, erp)
    for claim in claims:
        weakref.finalize(ports, os.close, claim)
    return ports


def _require_free(name: str, port: int | None, host: str) -> None:
    if port is None or is_free(port, host):
        return
    raise PortTaken(
        f"{name}={port} is in use by {find_listener(port)}. Stop it, or set {name} to another port, such as {free_port()}."
    )


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
