"""RabbitMQ as Debian's package installs it, run privately: on loopback, with its own epmd, cookie, user and folder.

with RabbitMQ(folder) as rabbit:
    rabbit.url; rabbit.kill(); rabbit.start()
"""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from api.local.processes import kill_tree
from tests.system import free_port
from tests.waiting import wait_until

_INSTALLED = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
SERVER = str(_INSTALLED[-1]) if _INSTALLED else shutil.which("rabbitmq-server")
EPMD = shutil.which("epmd")
INSTALLED = bool(SERVER and EPMD)
MISSING = "RabbitMQ is not installed (apt-get install rabbitmq-server)"

CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{port}
default_user = headrace
default_pass = {password}
loopback_users = none
log.console = true
log.console.level = warning
log.file = false
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 10MB
{more}
"""


class RabbitMQ:
    """One node. `more` are lines for its configuration, `variables` those settings of it that no line has. Use as `with`."""

    def __init__(self, folder: Path, *, more: str = "", variables: Mapping[str, int] | None = None) -> None:
        self._folder, self._more = folder, more
        self._variables = "".join(f" -rabbit {name} {value}" for name, value in (variables or {}).items())
        self.port, self._password = free_port(), secrets.token_hex(16)
        self._epmd_port, self._distribution_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As HEADRACE_BROKER_URL names it."""
        return f"amqp://headrace:{self._password}@127.0.0.1:{self.port}/"

    def __enter__(self) -> "RabbitMQ":
        assert EPMD is not None, MISSING
        for name in ("mnesia", "log", "home"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        settings = CONFIG.format(port=self.port, password=self._password, more=self._more)
        (self._folder / "rabbitmq.conf").write_text(settings)
        (self._folder / "plugins").write_text("[].\n")
        with self._log() as log:
            command = [EPMD, "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            self._epmd = subprocess.Popen(command, stdout=log, stderr=log, env=self._env())
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        self._epmd.kill()
        self._epmd.wait()

    def start(self) -> None:
        """Start the node, and return when it takes connections."""
        assert SERVER is not None, MISSING
        with self._log() as log:
            self._process = subprocess.Popen(
                [SERVER], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._env()
            )
        process = self._process
        wait_until(lambda: self._answers() or process.poll() is not None, "RabbitMQ answers")
        assert process.poll() is None, (self._folder / "output").read_text()[-3000:]

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            kill_tree(self._process.pid)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it as its operator would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        import amqp

        try:
            with amqp.Connection(
                f"127.0.0.1:{self.port}", userid="headrace", password=self._password, connect_timeout=2
            ) as link:
                link.connect()
                return True
        except (OSError, amqp.AMQPError):
            return False

    def _log(self):
        return (self._folder / "output").open("ab")

    def _env(self) -> dict[str, str]:
        folder = self._folder
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "RABBITMQ_NODENAME": f"headrace{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none"
            + self._variables,
            "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
        }
