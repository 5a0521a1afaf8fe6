"""The ports of a stack are chosen before anything is started."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from api.cli.doctor import ports
from api.local.errors import PortTaken
from api.local.home import free_port, is_free
from api.local.ports import API_PORT, ERP_PORT, FLOWER_PORT, choose_ports, require_free, why_taken
from api.local.stack_settings import ROOT, settings_from
from tests.secret import SECRET_KEY
from tests.waiting import PATIENCE_S
from workers.settings import settings_from as worker_settings_from


@pytest.mark.parametrize("name", ["HEADRACE_PORT", "HEADRACE_FLOWER_PORT", "HEADRACE_TLS_PORT"])
def test_a_taken_port_that_was_asked_for_is_refused_with_who_has_it(name: str) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken) as raised:
            choose_ports(settings_from({name: str(port)}))
    sentence = raised.value.message
    assert sentence.startswith(f"{name}={port} is in use by ")
    assert f"(process {os.getpid()})" in sentence
    assert f"set {name} to another port, such as " in sentence


def test_a_port_that_is_taken_at_the_address_to_listen_on_is_taken() -> None:
    with socket.create_server(("127.0.0.2", free_port())) as other:
        port = other.getsockname()[1]
        assert is_free(port)
        assert not is_free(port, "127.0.0.2")
        assert not is_free(port, "0.0.0.0")
        with pytest.raises(PortTaken):
            choose_ports(settings_from({"HEADRACE_PORT": str(port), "HEADRACE_HOST": "0.0.0.0"}))


@pytest.mark.parametrize(
    ("one", "other"), [("HEADRACE_PORT", "HEADRACE_FLOWER_PORT"), ("HEADRACE_TLS_PORT", "HEADRACE_FLOWER_PORT")]
)
def test_one_port_for_both_is_refused(one: str, other: str) -> None:
    port = str(free_port())
    with pytest.raises(PortTaken, match=f"{one} and {other} are both {port}"):
        choose_ports(settings_from({one: port, other: port}))


@pytest.mark.parametrize("name", ["HEADRACE_TLS_PORT", "HEADRACE_METRICS_PORT"])
def test_the_api_refuses_to_listen_twice_at_one_port(name: str) -> None:
    done = serve(HEADRACE_PORT="8123", **{name: "8123"})
    said = f"headrace: HEADRACE_PORT and {name} are both 8123. Set one of them to another port.\n"
    assert (2, said) == (done.returncode, done.stderr)


@pytest.mark.parametrize("name", ["HEADRACE_PORT", "HEADRACE_TLS_PORT"])
def test_the_api_says_who_has_its_port_and_is_not_started_again(name: str) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = str(other.getsockname()[1])
        done = serve(**{"HEADRACE_PORT": str(free_port()), name: port})
    assert 2 == done.returncode, done.stderr
    assert done.stderr.startswith(f"headrace: {name}={port} is in use by ")
    assert 1 == len(done.stderr.splitlines())


def test_a_port_that_this_user_may_not_have_is_no_port_of_another_program() -> None:
    error = OSError(errno.EACCES, "Permission denied")
    assert "CAP_NET_BIND_SERVICE" in why_taken(error, 443, "127.0.0.1")
    with pytest.raises(PortTaken, match=r"can't be listened to at 192\.0\.2\.1"):
        require_free("HEADRACE_PORT", free_port(), "192.0.2.1")


def test_doctor_looks_at_all_ports_that_were_named() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = other.getsockname()[1]
        named = {"HEADRACE_TLS_PORT": str(port), "HEADRACE_FLOWER_PORT": str(port)}
        found = [str(finding) for finding in ports(settings_from(named), None) if finding.advice and not finding.hint]
    assert 3 == len(found)
    assert "HEADRACE_TLS_PORT and HEADRACE_FLOWER_PORT are both" in found[0]
    assert f"{port} is in use by " in found[1]


def serve(**settings: str) -> subprocess.CompletedProcess[str]:
    """Start the API alone; what it is told to use doesn't exist."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("HEADRACE_", "OPENAI_"))}
    stores = {"HEADRACE_DATABASE_URL": "postgresql://h@127.0.0.1:1/d", "HEADRACE_REDIS_URL": "redis://127.0.0.1:1/0"}
    return subprocess.run(
        [sys.executable, "-m", "api", "serve"],
        env=own | stores | {"HEADRACE_SECRET_KEYS": SECRET_KEY} | settings,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_a_default_port_that_is_taken_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = (API_PORT, FLOWER_PORT, ERP_PORT)
    monkeypatch.setattr("api.local.ports.is_free", lambda port, host: port not in taken)
    ports = choose_ports(settings_from({}))
    assert not {ports.api, ports.flower, ports.erp} & {*taken}
    assert 3 == len({ports.api, ports.flower, ports.erp})


def test_two_stacks_that_start_at_once_choose_different_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.local.ports.is_free", lambda port, host: True)  # neither listens yet
    settings = settings_from({})
    first, second = choose_ports(settings), choose_ports(settings)
    assert not {first.api, first.flower, first.erp} & {second.api, second.flower, second.erp}


@pytest.mark.parametrize(
    ("name", "port"), [("HEADRACE_PORT", FLOWER_PORT), ("HEADRACE_FLOWER_PORT", API_PORT), ("HEADRACE_PORT", ERP_PORT)]
)
def test_a_default_gives_way_to_a_port_that_was_asked_for(
    name: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.local.ports.is_free", lambda port, host: True)
    ports = choose_ports(settings_from({name: str(port)}))
    assert port == (ports.api if name == "HEADRACE_PORT" else ports.flower)
    assert 3 == len({ports.api, ports.flower, ports.erp})


@pytest.mark.parametrize("command", ["up", "demo"])
@pytest.mark.parametrize("name", ["HEADRACE_PORT", "HEADRACE_TLS_PORT"])
def test_a_command_starts_nothing_when_a_port_is_taken(command: str, name: str, tmp_path: Path) -> None:
    own = {key: value for key, value in os.environ.items() if not key.startswith(("HEADRACE_", "OPENAI_"))}
    home = tmp_path / "home"
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = str(other.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "api", command],
            env=own | {"HEADRACE_HOME": str(home), name: port},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith(f"headrace: {name}={port} is in use by ")
    assert 1 == len(done.stderr.splitlines())
    assert not home.exists()


def test_flower_says_that_its_port_is_taken_and_is_not_started_again(redis_url: str) -> None:
    own = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = str(other.getsockname()[1])
        settings = {
            "HEADRACE_FLOWER_PORT": port,
            "HEADRACE_REDIS_URL": redis_url,
            "HEADRACE_SECRET_KEYS": SECRET_KEY,
        }
        done = subprocess.run(
            [sys.executable, "-m", "workers", "flower"],
            env=own | settings | {"HEADRACE_DATABASE_URL": "postgresql://h/d"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert 2 == done.returncode, done.stderr
    assert f"HEADRACE_FLOWER_PORT={port} is in use at 127.0.0.1." in done.stderr
    assert "Traceback" not in done.stderr


def test_flower_is_not_open_to_others_without_a_sign_in() -> None:
    own = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    settings = {
        "HEADRACE_FLOWER_HOST": "0.0.0.0",
        "HEADRACE_REDIS_URL": "redis://127.0.0.1:1/0",
        "HEADRACE_SECRET_KEYS": SECRET_KEY,
        "HEADRACE_DATABASE_URL": "postgresql://h/d",
    }
    done = subprocess.run(
        [sys.executable, "-m", "workers", "flower"],
        env=own | settings,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert 2 == done.returncode, done.stderr
    assert "Set HEADRACE_FLOWER_SIGN_IN=name:password" in done.stderr


@pytest.mark.parametrize("wrong", ["flower", "flower:short", ":a long password", "flower:with,a comma in it"])
def test_a_sign_in_for_flower_is_a_name_and_a_password(wrong: str) -> None:
    required = {"HEADRACE_REDIS_URL": "redis://h/0", "HEADRACE_DATABASE_URL": "postgresql://h/d"}
    env = required | {"HEADRACE_SECRET_KEYS": SECRET_KEY, "HEADRACE_FLOWER_SIGN_IN": wrong}
    with pytest.raises(ValueError, match="HEADRACE_FLOWER_SIGN_IN must be name:password") as raised:
        worker_settings_from(env)
    assert wrong not in str(raised.value)
