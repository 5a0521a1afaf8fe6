"""The ports of a stack, chosen before anything is started: a taken one is a sentence, not a process that can't start."""

import contextlib
from collections.abc import Collection
from dataclasses import dataclass

from api.local.errors import PortTaken
from api.local.home import free_port, is_free
from api.local.stack_settings import StackSettings

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
    says who is in the way and what to set."""
    if settings.port is not None and settings.port == settings.flower_port:
        raise PortTaken(
            f"HEADRACE_PORT and HEADRACE_FLOWER_PORT are both {settings.port}. Set one of them to another port, such as "
            f"{free_port()}."
        )
    _require_free("HEADRACE_PORT", settings.port, settings.host)
    _require_free("HEADRACE_FLOWER_PORT", settings.flower_port, settings.flower_host)
    named = {port for port in (settings.port, settings.flower_port) if port is not None}
    api = settings.port or _free_default(API_PORT, settings.host, named)
    flower = settings.flower_port or _free_default(FLOWER_PORT, settings.flower_host, {*named, api})
    return StackPorts(api, flower, _free_default(ERP_PORT, "127.0.0.1", {api, flower}))


def _require_free(name: str, port: int | None, host: str) -> None:
    if port is None or is_free(port, host):
        return
    raise PortTaken(
        f"{name}={port} is in use by {find_listener(port)}. Stop it, or set {name} to another port, such as {free_port()}."
    )


def _free_default(port: int, host: str, taken: Collection[int]) -> int:
    return port if port not in taken and is_free(port, host) else free_port(avoid=set(taken))


def find_listener(port: int) -> str:
    """Return who listens on a port, as far as this user may know."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and port in connection.laddr[1:] and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program"
