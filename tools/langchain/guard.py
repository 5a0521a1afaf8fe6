"""Keeps a process of LangChain's tools to the egress policy: every connection of Python's sockets is checked, and no program is
started. What opens connections without Python (in C) is not seen; the operator's list decides what is loaded at all.
"""

import socket
import sys
from typing import Any, NoReturn

from schema.errors import EgressRefused
from tools.egress import EgressPolicy
from tools.egress.addresses import as_address

PROGRAMS = frozenset(
    {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn"}
)
UNCONNECTED = frozenset({"socket.sendto", "socket.sendmsg"})
MAX_NAMES = 1000


class GuardRefused(PermissionError):
    """What a tool tried and may not. An OSError, so that libraries treat it as a connection that failed."""


class Guard:
    """The checks of one process. They can't be taken away again."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._names: dict[str, str] = {}  # of addresses that a name resolved to
        self._resolve = socket.getaddrinfo
        self.refusals: list[str] = []
        """The sentences of what was refused, for the caller: libraries swallow errors."""

    def install(self) -> None:
        """Begin to check; call it before the first import of what is to be kept to the policy."""
        socket.getaddrinfo = self._getaddrinfo
        sys.addaudithook(self._audit)

    def _getaddrinfo(self, host: Any, *args: Any, **kwargs: Any) -> Any:
        found = self._resolve(host, *args, **kwargs)
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if isinstance(name, str) and len(self._names) < MAX_NAMES:
            self._names.update({one[4][0]: name for one in found if isinstance(one[4][0], str)})
        return found

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event in PROGRAMS:
            self._refuse("Programs can't be started by this tool.")
        if event in UNCONNECTED or event == "socket.connect":
            self._check(*args[:2])

    def _check(self, sock: socket.socket, where: Any) -> None:
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            self._refuse("Only internet addresses can be called by this tool.")
        if where is None or sock.type & socket.SOCK_DGRAM:
            self._refuse("This tool can call only over TCP.")
        address = as_address(str(where[0]).partition("%")[0])
        if address is None:  # a name, which Python would resolve after this check
            self._refuse("This tool's library connects to a name without resolving it first.")
        host, port = self._names.get(str(where[0]), str(where[0])), int(where[1])
        try:
            self._policy.check("http" if port == 80 else "https", host, port, [address])
        except EgressRefused as refused:
            self._refuse(refused.message)

    def _refuse(self, why: str) -> NoReturn:
        self.refusals.append(why)
        raise GuardRefused(why)
