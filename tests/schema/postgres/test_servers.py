"""A URL of Postgres may name a primary and its standbys, if it asks for the one that takes writes."""

import pytest

from api.cli.doctor import stores
from api.local.stack_settings import settings_from as stack_settings
from api.settings import ApiSettings
from schema.errors import InputError
from schema.postgres.logins import login_conninfo, url_from
from schema.postgres.servers import check_primary_wanted, list_servers
from tests.secret import SECRET_KEY
from tests.system import free_port
from workers.settings import settings_from as worker_settings

BOTH = "postgresql://headrace:hunter2@db1:5433,db2/headrace"
ASKS = f"{BOTH}?target_session_attrs=read-write"
ENV = {"HEADRACE_REDIS_URL": "redis://127.0.0.1/0", "HEADRACE_SECRET_KEYS": SECRET_KEY}


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        (BOTH, [("db1", 5433), ("db2", 5432)]),
        ("postgresql://headrace@db1/headrace", [("db1", 5432)]),
        ("postgresql://headrace@[::1]:1,[::2]:2/headrace", [("::1", 1), ("::2", 2)]),
        ("postgresql://headrace@/headrace?host=db1,db2&port=6000", [("db1", 6000), ("db2", 6000)]),
        ("postgresql:///headrace", [("", 5432)]),
    ],
)
def test_the_servers_of_a_url_are_known(url: str, servers: list[tuple[str, int]]) -> None:
    assert servers == list_servers(url)


@pytest.mark.parametrize("read", [ApiSettings.from_env, worker_settings, stack_settings])
def test_a_url_that_would_be_content_with_a_standby_is_refused_with_the_reason(read) -> None:
    for url in (BOTH, f"{BOTH}?target_session_attrs=prefer-standby"):
        with pytest.raises((ValueError, InputError)) as refused:
            read({**ENV, "HEADRACE_DATABASE_URL": url})
        said = getattr(refused.value, "message", str(refused.value))
        assert "HEADRACE_DATABASE_URL names several servers" in said
        assert "target_session_attrs=read-write" in said
        assert "hunter2" not in said
    assert ASKS == read({**ENV, "HEADRACE_DATABASE_URL": ASKS}).database_url


def test_the_users_of_processes_come_to_the_same_servers() -> None:
    there = login_conninfo(ASKS, "headrace_app")
    assert list_servers(ASKS) == list_servers(there)
    check_primary_wanted("the URL", there)
    own = BOTH.replace("headrace:hunter2", "headrace_app:hunter2")
    with pytest.raises(ValueError, match="HEADRACE_APP_DATABASE_URL names several servers"):
        url_from({"HEADRACE_APP_DATABASE_URL": own}, "headrace_app", "")


def test_what_is_no_url_is_said_without_its_password() -> None:
    with pytest.raises(ValueError, match="is no URL of Postgres") as refused:
        check_primary_wanted("HEADRACE_DATABASE_URL", "postgresql://headrace:hunter2@[db1/headrace")
    assert "hunter2" not in str(refused.value)


def test_the_doctor_tries_each_server() -> None:
    ports = free_port(), free_port()
    both = ",".join(f"127.0.0.1:{port}" for port in ports)
    url = f"postgresql://headrace:hunter2@{both}/headrace?target_session_attrs=read-write"
    found = [
        each for each in stores(stack_settings({**ENV, "HEADRACE_DATABASE_URL": url})) if each.subject == "postgres"
    ]
    assert [f"127.0.0.1:{port} can't be reached" in one.state for port, one in zip(ports, found, strict=True)] == [
        True,
        True,
    ]
