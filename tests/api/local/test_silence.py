"""Processes that live and do nothing are replaced; those that only seem to are not."""

import asyncio
import os
import signal

import pytest

from api.local import silence
from api.local.processes import is_stopped
from api.local.silence import LATE_S, Silences, replace_silent
from tests.api.local.test_supervisor import SLEEPER, supervising
from tests.waiting import wait_for
from workers.health.loop_lag import LoopLag
from workers.health.reports import Reporter
from workers.queue.leases import owner_name
from workers.redis.client import RedisClient
from workers.redis.connection import RedisAddress


def test_a_process_that_says_the_same_again_and_again_is_silent_since_then() -> None:
    silences = Silences()
    assert {7: 0, 8: 0} == silences.look(100, {7: 1.0, 8: 1.0})
    assert {7: 2, 8: 0} == silences.look(102, {7: 1.0, 8: 3.0})
    assert {7: 4, 9: 0} == silences.look(104, {7: 1.0, 9: 0.5})
    assert {7: 0} == silences.look(106, {7: 6.0})


def test_time_in_which_nobody_could_look_is_nobodys_silence() -> None:
    silences = Silences()
    silences.look(100, {7: 1.0})
    assert {7: 0} == silences.look(100 + LATE_S + 1, {7: 1.0}), "the machine slept, or stood still"
    silences.look(100 + LATE_S + 3, {7: 1.0})
    silences.forget()
    assert {7: 0} == silences.look(100 + LATE_S + 5, {7: 1.0}), "Redis was away"


async def test_a_stopped_process_is_killed_and_started_again_and_the_log_says_why() -> None:
    async with supervising(("chat", SLEEPER), ("api", SLEEPER)) as (supervisor, lines):
        await wait_for(lambda: len(lines.all) == 2, "both are ready")
        before = supervisor.pids
        os.kill(before["chat"], signal.SIGSTOP)
        await wait_for(lambda: is_stopped(before["chat"]), "it is stopped")
        supervisor.replace(os.getpid(), 31)  # nobody of ours
        supervisor.replace(before["chat"], 31)
        await wait_for(lambda: len(lines.of("chat")) == 2, "the next one is ready")
        assert [
            f"chat (process {before['chat']}) is stopped (SIGSTOP), and has said nothing for 31 s: killing it.",
            "chat was killed by SIGKILL; restarting now.",
        ] == lines.of("headrace")
        assert before["api"] == supervisor.pids["api"]


async def test_who_reports_no_more_is_told_with_the_time_and_who_never_did_is_not(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "REPORT_S", 0.05)
    monkeypatch.setattr(silence, "SILENT_S", 0.3)
    told: dict[int, float] = {}
    redis = RedisClient(RedisAddress.from_url(redis_url))
    watching = asyncio.create_task(replace_silent(redis_url, 0.3, told.__setitem__))
    await Reporter(redis, "chat", owner_name("chat"), LoopLag("chat")).report()
    await wait_for(lambda: told, "the silence is told")
    watching.cancel()
    await redis.close()
    assert [os.getpid()] == list(told)
    assert told[os.getpid()] >= 4 * 0.3, "it isn't stopped, so it may only be kept from its turn"
