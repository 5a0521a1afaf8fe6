"""The whole stack's life, with a stub in the API's place; journeys test the real one."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api.local.errors import LocalError
from api.local.home import Home
from api.local.ports import choose_ports
from api.local.process_output import FileOutput
from api.local.stack import RunningStack, find_running, http_status, prepared_stores, running_stack
from api.local.stack_settings import settings_from, without_own_exports
from api.local.stores.local_stores import Stores
from api.local.supervisor import Supervisor

STUB = Path(__file__).with_name("stub_api.py")
ELSEWHERE = Stores(database_url="postgresql://elsewhere", redis_url="redis://elsewhere")


@asynccontextmanager
async def stack(
    home: Path, program: Path | str = STUB, **environ: str
) -> AsyncIterator[tuple[RunningStack, Supervisor]]:
    procfile = home / "Procfile"
    procfile.write_text(f"api: python {program}\n")
    settings = settings_from({"HEADRACE_HOME": str(home), **environ})
    async with running_stack(
        settings,
        ELSEWHERE,
        choose_ports(settings),
        output=FileOutput(home / "logs"),
        environ=os.environ,
        stop=asyncio.Event(),
        stop_now=asyncio.Event(),
        grace_s=5,
        procfile=procfile,
        with_erp=False,
    ) as both:
        yield both


async def test_a_running_stack_is_found_by_other_commands_and_gone_afterwards(tmp_path: Path) -> None:
    with Home(tmp_path).locked():
        async with stack(tmp_path) as (running, _):
            assert running == find_running(tmp_path)
            assert running.key.startswith("hr_")
            port = int(running.url.rpartition(":")[2])
            assert 200 == await asyncio.to_thread(http_status, "127.0.0.1", port, "/health/ready")
        assert find_running(tmp_path) is None
        assert 0 == http_status("127.0.0.1", port, "/health/ready")


async def test_a_second_up_names_the_address_of_the_first(tmp_path: Path) -> None:
    with Home(tmp_path).locked():
        async with stack(tmp_path) as (running, _):
            expected = f"headrace is already running at {running.url} "
            with (
                pytest.raises(LocalError, match=expected),
                prepared_stores(settings_from({"HEADRACE_HOME": str(tmp_path)})),
            ):
                pass


async def test_a_process_that_always_dies_ends_the_start_with_its_last_output(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('the table jobs is missing')\n")
    with pytest.raises(LocalError, match=r"process api keeps exiting as soon as it starts.*\n.*table jobs is missing"):
        async with stack(tmp_path, broken):
            pass


async def test_the_key_of_the_demo_tenant_is_made_once_and_private(tmp_path: Path) -> None:
    async with stack(tmp_path) as (first, _):
        pass
    async with stack(tmp_path) as (second, _):
        pass
    assert first.key == second.key
    assert "600" == oct((tmp_path / "demo.key").stat().st_mode)[-3:]


def test_a_stack_is_not_its_own_provider_of_models() -> None:
    evaluated = {"HEADRACE_URL": "http://x", "OPENAI_BASE_URL": "http://x/v1", "OPENAI_API_KEY": "hr_", "HOME": "/"}
    assert {"HEADRACE_URL": "http://x", "HOME": "/"} == without_own_exports(evaluated)
    elsewhere = {"HEADRACE_URL": "http://x", "OPENAI_BASE_URL": "http://y/v1", "OPENAI_API_KEY": "sk-"}
    assert elsewhere == without_own_exports(elsewhere)
    assert {"OPENAI_API_KEY": "sk-"} == without_own_exports({"OPENAI_API_KEY": "sk-"})
