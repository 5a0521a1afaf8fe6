"""`doctor` for production: what is open, unencrypted or easily guessed, how the stores are, and how old the backups."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from api.cli.diagnosis.backups import newest_backup
from api.cli.diagnosis.findings import Finding
from api.cli.diagnosis.production import check_settings, is_production
from api.cli.diagnosis.servers import check_servers, clock
from api.cli.doctor import run_checks
from api.local.stack_settings import settings_from
from schema.installation.migrate import newest_migration

SAFE = "b7c1d6f09e3a4428a5"
OPEN = {
    "HEADRACE_HOST": "0.0.0.0",
    "HEADRACE_DATABASE_URL": "postgresql://headrace:headrace@db.example.com/headrace",
    "HEADRACE_REDIS_URL": "redis://redis.example.com",
    "HEADRACE_FLOWER_HOST": "0.0.0.0",
    "HEADRACE_METRICS_PORT": "9464",
    "HEADRACE_METRICS_HOST": "0.0.0.0",
    "HEADRACE_EGRESS_ALLOW": "erp.internal,0.0.0.0/0",
    "HEADRACE_ISSUER": "http://chat.example.com",
}
CLOSED = {
    "HEADRACE_HOST": "0.0.0.0",
    "HEADRACE_TLS_PORT": "443",
    "HEADRACE_DATABASE_URL": f"postgresql://owner:{SAFE}@db.example.com/headrace?sslmode=verify-full",
    "HEADRACE_REDIS_URL": f"rediss://:{SAFE}@redis.example.com",
    "HEADRACE_EGRESS_ALLOW": "erp.internal,10.1.0.0/16",
    "HEADRACE_ISSUER": "https://chat.example.com",
}


def found(environ: Mapping[str, str], home: Path) -> list[Finding]:
    settings = settings_from({**environ, "HEADRACE_HOME": str(home)})
    return list(check_settings({**environ, "HEADRACE_HOME": str(home)}, settings))


def test_open_and_weak_settings_are_wrong_and_no_password_is_shown(tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("hr_x")
    (tmp_path / "admin.key").chmod(0o644)
    findings = found(OPEN, tmp_path)
    wrong = {f"{each.subject}: {each.state}" for each in findings if each.advice and not each.hint}
    assert {
        "address: the API listens on 0.0.0.0 without TLS",
        "flower: listens on 0.0.0.0 without a sign-in",
        "secrets: no keys are named",
        f"keys: {tmp_path}/admin.key is open to every user of this machine (644)",
        "issuer: http://chat.example.com is not https",
        "egress: HEADRACE_EGRESS_ALLOW has 0.0.0.0/0",
        "password: that of HEADRACE_DATABASE_URL is easily guessed",
        "password: HEADRACE_REDIS_URL has none",
    } == wrong
    hints = {each.subject for each in findings if each.hint}
    assert {"metrics", "encryption"} == hints
    assert ":headrace@" not in "\n".join(map(str, findings))


def test_settings_as_they_should_be_are_all_well(tmp_path: Path) -> None:
    keys = tmp_path / "secret.keys"
    keys.write_text("x")
    keys.chmod(0o600)
    findings = found(CLOSED | {"HEADRACE_SECRET_KEYS_FILE": str(keys)}, tmp_path)
    assert [] == [str(each) for each in findings if each.advice and each.subject != "keys"]
    weak = [each for each in found(CLOSED | {"HEADRACE_FLOWER_SIGN_IN": "ops:password1234"}, tmp_path) if each.advice]
    assert "flower" in {each.subject for each in weak}
    assert SAFE not in "\n".join(map(str, findings))


def test_it_looks_when_it_is_told_or_the_settings_are_of_production(tmp_path: Path) -> None:
    ours = {"HEADRACE_HOME": str(tmp_path), "HEADRACE_PORT": "1"}
    for environ, expected in ((OPEN, True), (ours, False), ({**OPEN, "HEADRACE_HOST": "127.0.0.1"}, False)):
        assert expected == is_production(settings_from(environ))
    told = {each.subject for each in run_checks(ours, production=True)}
    assert {"address", "backups"} <= told
    assert "address" not in {each.subject for each in run_checks(ours)}


def test_the_stores_say_their_versions_clocks_and_as_whom_processes_come(database_url: str, redis_url: str) -> None:
    settings = settings_from({"HEADRACE_DATABASE_URL": database_url, "HEADRACE_REDIS_URL": redis_url})
    findings = list(check_servers(settings))
    assert {"postgres", "redis", "clock", "schema", "users", "archive"} <= {each.subject for each in findings}
    assert f"{newest_migration()}, the newest" in {each.state for each in findings}
    wrong = [each.state for each in findings if each.advice and not each.hint]
    assert ["HEADRACE_DATABASE_URL has a superuser's password"] == wrong
    own = {
        f"HEADRACE_{name}_DATABASE_URL": f"postgresql://headrace_{name.lower()}:x@127.0.0.1/x"
        for name in ("APP", "SYSTEM")
    }
    own |= {"HEADRACE_DATABASE_URL": database_url}
    assert [] == [each.state for each in check_servers(settings_from(own)) if each.advice and not each.hint]


def test_clocks_that_are_apart_are_told() -> None:
    assert ["", "Postgres' is 9 s ahead of this machine's", "Redis' is 60 s behind this machine's"] == [
        each.state if each.advice else "" for each in (clock("Redis", -1.5), clock("Postgres", 9), clock("Redis", -60))
    ]


@pytest.mark.parametrize(
    ("hours", "mode", "told"),
    [(3, 0o600, ""), (72, 0o600, "Look why no newer one was made."), (3, 0o644, "chmod 600 ")],
)
def test_old_and_open_backups_are_told(hours: int, mode: int, told: str, tmp_path: Path) -> None:
    assert "there are none in" in newest_backup(tmp_path).state
    (older := tmp_path / "a.tar").touch()
    os.utime(older, (0, 0))
    (file := tmp_path / "b.tar").touch()
    file.chmod(mode)
    at = file.stat().st_mtime - hours * 3600
    os.utime(file, (at, at))
    advice = newest_backup(tmp_path).advice
    assert advice.startswith(told) if told else not advice
