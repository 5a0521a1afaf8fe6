"""`rotate-keys` as a person meets it: a fresh key, the file that holds it, and the stack that it is for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from api.local.errors import LocalError
from api.local.keys import secret_keys_file
from api.local.ports import StackPorts
from api.local.stack import RunningStack, child_environment, running_database_url
from api.local.stack_settings import settings_from
from api.local.stores.local_stores import Stores, open_stores
from schema.installation.migrate import migrate
from schema.vault import Vault, new_secret_key, read_keys_file
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[3]
ELSEWHERE = Stores(database_url="postgresql://elsewhere", redis_url="redis://elsewhere")
RUNNING = RunningStack(pid=1, url="http://127.0.0.1:1", flower_url="", key="hr_x")


def rotate_keys(*arguments: str, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return subprocess.run(
        [sys.executable, "-m", "api", "rotate-keys", *arguments],
        env=own | {"HEADRACE_HOME": str(home)} | environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def told(home: Path, **environ: str) -> dict[str, str]:
    """What the processes of a stack on `home` are told about keys."""
    settings = settings_from({"HEADRACE_HOME": str(home)})
    env = child_environment(environ, settings, ELSEWHERE, RUNNING, StackPorts(1, 2, 3))
    return {name: value for name, value in env.items() if "SECRET" in name}


def test_a_stack_makes_its_key_once_and_keeps_it_private(tmp_path: Path) -> None:
    assert {"HEADRACE_SECRET_KEYS_FILE": str(tmp_path / "secret.keys")} == told(tmp_path)
    first = read_keys_file(tmp_path / "secret.keys")
    assert "600" == oct((tmp_path / "secret.keys").stat().st_mode)[-3:]
    assert {**told(tmp_path), "HEADRACE_SECRET_KEYS": ""} == told(tmp_path, HEADRACE_SECRET_KEYS="")
    assert first == read_keys_file(secret_keys_file(tmp_path))


@pytest.mark.parametrize("name", ["HEADRACE_SECRET_KEYS", "HEADRACE_SECRET_KEYS_FILE"])
def test_a_stack_takes_the_keys_that_the_environment_names(name: str, tmp_path: Path) -> None:
    assert {name: "mine"} == told(tmp_path, **{name: "mine"})
    assert not (tmp_path / "secret.keys").exists()


def test_a_fresh_key_comes_first_in_the_file_and_the_rest_stays(tmp_path: Path) -> None:
    file, old = tmp_path / "keys", new_secret_key()
    file.write_text(f"# ours\n{old}  # of last year\n")
    file.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(file)
    done = rotate_keys("--new", home=tmp_path, HEADRACE_SECRET_KEYS_FILE=str(link))
    key = done.stdout.strip()
    assert [key, old] == read_keys_file(file)
    assert file.read_text().endswith(f"\n# ours\n{old}  # of last year\n")
    assert "640" == oct(file.stat().st_mode)[-3:]
    assert link.is_symlink()
    assert 0 == done.returncode
    assert ["check the file", "./headrace rotate-keys", "Remove the old key"] == [
        step
        for step in ("check the file", "Restart all", "./headrace rotate-keys", "Remove the old key")
        if step in done.stderr
    ]
    assert [] == [secret for secret in (key, old) if secret in done.stderr]


def test_a_fresh_key_goes_into_the_data_folder_of_a_stack(tmp_path: Path) -> None:
    old = read_keys_file(secret_keys_file(tmp_path))
    done = rotate_keys("--new", home=tmp_path)
    assert [done.stdout.strip(), *old] == read_keys_file(tmp_path / "secret.keys")
    assert "600" == oct((tmp_path / "secret.keys").stat().st_mode)[-3:]


def test_a_file_that_is_named_but_missing_is_made(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    done = rotate_keys("--new", home=tmp_path, HEADRACE_SECRET_KEYS_FILE=str(file))
    assert [done.stdout.strip()] == read_keys_file(file)
    assert "600" == oct(file.stat().st_mode)[-3:]


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({}, "Set HEADRACE_SECRET_KEYS to the key above"),
        ({"HEADRACE_SECRET_KEYS": new_secret_key()}, "Put the key above at the front of HEADRACE_SECRET_KEYS"),
    ],
)
def test_without_a_file_a_fresh_key_is_only_shown(environ: dict[str, str], sentence: str, tmp_path: Path) -> None:
    done = rotate_keys("--new", home=tmp_path, **environ)
    assert 12 == len(Vault([done.stdout.strip()]).newest)
    assert sentence in done.stderr
    assert [] == list(tmp_path.iterdir())


def test_a_file_that_holds_no_keys_is_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("hunter2\n")
    done = rotate_keys("--new", home=tmp_path, HEADRACE_SECRET_KEYS_FILE=str(file))
    assert (1, "", "hunter2\n") == (done.returncode, done.stdout, file.read_text())
    assert f"{file}: key 1 is not a valid key" in done.stderr
    assert "hunter2" not in done.stderr


def test_without_keys_nothing_is_rotated_and_no_key_is_made(tmp_path: Path) -> None:
    done = rotate_keys(home=tmp_path, HEADRACE_DATABASE_URL="postgresql://127.0.0.1:9/x")
    assert 1 == done.returncode
    assert "Neither HEADRACE_SECRET_KEYS nor HEADRACE_SECRET_KEYS_FILE is set" in done.stderr
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({}, "headrace is not running here"),
        ({"HEADRACE_DATABASE_URL": "postgresql://u:hush@127.0.0.1:9/x"}, "Can't use Postgres"),
    ],
)
def test_a_database_that_is_away_is_told(environ: dict[str, str], sentence: str, tmp_path: Path) -> None:
    secret_keys_file(tmp_path)
    done = rotate_keys(home=tmp_path, **environ)
    assert 1 == done.returncode
    assert sentence in done.stderr
    assert "hush" not in done.stderr


def test_the_embedded_database_of_a_running_stack_is_found_and_left_running(tmp_path: Path) -> None:
    settings = settings_from({"HEADRACE_HOME": str(tmp_path)})
    with open_stores(tmp_path, durable=False) as running:
        with pytest.raises(LocalError, match="headrace is not running here"):
            running_database_url(settings)
        state = {"pid": os.getpid(), "url": "http://x", "flower_url": "http://y"}
        (tmp_path / "state.json").write_text(json.dumps(state))
        assert running.database_url == running_database_url(settings)
        secret_keys_file(tmp_path)
        done = rotate_keys(home=tmp_path)
        assert "Run ./headrace migrate first" in done.stderr
        migrate(running.database_url)
        done = rotate_keys(home=tmp_path)
        assert (0, "") == (done.returncode, done.stderr)
        with psycopg.connect(running.database_url) as db:
            assert (1,) == db.execute("SELECT 1").fetchone()
