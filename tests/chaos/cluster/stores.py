"""Postgres and Valkey on a host of their own, reached by other hosts: the embedded ones, with the passwords of a deployment."""

from pathlib import Path

from api.local.home import Home, write_private
from api.local.stores.postgres import EmbeddedPostgres
from api.local.stores.valkey import EmbeddedValkey
from workers.storage.private_files import make_private_folder

OTHER_HOSTS = "host all all samenet scram-sha-256\n"


class NetworkPostgres(EmbeddedPostgres):
    """Postgres at port 5432 of every address of its host."""

    def __init__(self, home: Home, password: str) -> None:
        make_private_folder(home.path)
        write_private(home.path / "postgres.password", password)
        super().__init__(home, durable=False)
        self.port = 5432

    def prepare(self) -> None:
        super().prepare()
        rules = self.data / "pg_hba.conf"
        if OTHER_HOSTS not in rules.read_text():
            with rules.open("a") as file:
                file.write(OTHER_HOSTS)

    def command(self) -> list[str]:
        return [*super().command(), "-c", "listen_addresses=*", "-c", "max_connections=300"]


class NetworkValkey(EmbeddedValkey):
    """Valkey with the `valkey.conf` of a deployment, but for the folder."""

    def __init__(self, home: Home, secrets: Path) -> None:
        super().__init__(home, durable=False)
        self.port, self._secrets = 6379, secrets
        self._password = (secrets / "valkey_password").read_text().strip()

    def prepare(self) -> None:
        make_private_folder(self.data)
        text = (self._secrets / "valkey.conf").read_text()
        write_private(self.config, text.replace("dir /data\n", f'dir "{self.data}"\n'))
