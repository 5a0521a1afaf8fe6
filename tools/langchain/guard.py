"""Keeps a process of LangChain's tools to the egress policy: every connection of Python's sockets is checked, no program is
started, and no file is changed. What opens connections without Python (in C) is not seen; the operator's list decides what is
loaded at all. Programs and files are the kernel's to refuse, where it can (`tools/sandbox.py`); here refusals get their words.
"""

import os
import socket
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

from schema.errors import EgressRefused
from tools.egress import EgressPolicy
from tools.egress.addresses import as_address

PROGRAMS = frozenset(
    {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn"}
)
CHANGES = frozenset(
    {
        *("os.chflags", "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.removexattr", "os.rename"),
        *("os.rmdir", "os.setxattr", "os.symlink", "os.truncate", "os.utime"),
    }
)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
UNCHANGED = (os.devnull, os.devnull.encode())
UNCONNECTED = frozenset({"socket.sendto", "socket.sendmsg"})
MAX_NAMES, MAX_CAUSES = 1000, 20


class GuardRefused(PermissionError):
    """What a tool tried and may not. An OSError, so that libraries treat it as a connection that failed."""


class Guard:
    """The checks of one process. They can't be taken away again."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._names: dict[str, str] = {}  # of addresses that a name resolved to
        self._resolve = socket.getaddrinfo
        self.refusals: list[str] = []
        """The sentences of connections that were refused: libraries swallow errors."""

    def refusal_of(self, error: BaseException) -> str:
        """Return the sentence of the refusal that an error comes from, else of a refused connection; empty if there is none."""
        found = next((one for one in _causes(error) if isinstance(one, GuardRefused)), None)
        return str(found) if found is not None else next(iter(self.refusals), "")

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
            raise GuardRefused("Programs can't be started by this tool.")
        if event in CHANGES or (event == "open" and _writes(*args)):
            raise GuardRefused("Files can't be written or changed by this tool.")
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


def _writes(path: Any, _mode: Any, flags: Any) -> bool:
    """Whether an opening may change a file. What has a number is open already."""
    return isinstance(flags, int) and bool(flags & WRITES) and not isinstance(path, int) and path not in UNCHANGED


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(MAX_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
