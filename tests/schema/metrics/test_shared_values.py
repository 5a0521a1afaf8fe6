"""Values that processes share, with real processes that are killed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schema.metrics import shared_values
from schema.metrics.exposition import read_families
from schema.metrics.shared_values import Slot, list_slots, share_values
from tests.fork_server import ROOT

COUNTING = """
import sys, os
from pathlib import Path
from schema.metrics import shared_values
shared_values.MEMORY = Path(sys.argv[1])
from schema.metrics.catalog import JOB_RUN, JOBS_ACCEPTED, JOBS_RUNNING
slot = shared_values.share_values("here", sys.argv[2], os.environ)
JOBS_RUNNING.of("chat").set(1)
for _ in range(int(sys.argv[3])):
    JOBS_ACCEPTED.of("chat").inc()
    JOB_RUN.of("chat", "succeeded").observe(0.3)
print(slot.name if slot else "alone", flush=True)
sys.stdin.read()
"""


class Counting:
    """A process that counts so many jobs, and lives until it is killed."""

    def __init__(self, memory: Path, role: str, jobs: int) -> None:
        command = [sys.executable, "-c", COUNTING, str(memory), role, str(jobs)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.slot = self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    place = tmp_path / "memory"
    place.mkdir()
    return place


def counting(memory: Path, role: str = "chat", jobs: int = 3) -> Counting:
    return Counting(memory, role, jobs)


def read(memory: Path) -> dict[str, Any]:
    """Return what a scrape shows, by name and labels."""
    (folder,) = memory.iterdir()
    with open(os.devnull) as lock:
        families = read_families(Slot(folder, "test.0", lock), "test")
    return {f"{s.name}{s.labels}": s.value for family in families for s in family.samples}


ACCEPTED = "jobs_accepted_total{'kind': 'chat'}"
RAN = "job_run_seconds_count{'kind': 'chat', 'outcome': 'succeeded'}"
RUNNING = "jobs_running{'queue': 'chat'}"


def test_counters_survive_a_killed_process_and_its_gauges_do_not(memory: Path) -> None:
    one, two = counting(memory), counting(memory)
    assert {"chat.0", "chat.1"} == {one.slot, two.slot}
    assert (6, 6, 2) == tuple(read(memory)[name] for name in (ACCEPTED, RAN, RUNNING))
    one.kill()
    assert (6, 6, 1) == tuple(read(memory)[name] for name in (ACCEPTED, RAN, RUNNING))
    again = counting(memory)
    assert one.slot == again.slot
    assert (9, 9, 2) == tuple(read(memory)[name] for name in (ACCEPTED, RAN, RUNNING))
    for each in (two, again):
        each.kill()
    shown = read(memory)
    assert (9, 9) == (shown[ACCEPTED], shown[RAN])
    assert RUNNING not in shown


def test_processes_are_shown_while_they_live(memory: Path) -> None:
    one, other = counting(memory, "chat"), counting(memory, "api")
    names = {f"process_resident_memory_bytes{{'process': '{name}'}}" for name in ("chat.0", "api.0")}
    assert names <= set(read(memory))
    one.kill()
    assert names & set(read(memory)) == {"process_resident_memory_bytes{'process': 'api.0'}"}
    other.kill()


def test_files_that_were_damaged_are_begun_anew(memory: Path) -> None:
    counting(memory).kill()
    (folder,) = memory.iterdir()
    (folder / "counter_chat.0.db").write_bytes(b"\x90\x01\x00\x00" + b"\xff" * 1000)
    again = counting(memory, jobs=2)
    assert ("chat.0", 2) == (again.slot, read(memory)[ACCEPTED])
    again.kill()


def test_what_other_installations_left_is_removed_and_what_they_use_is_not(memory: Path) -> None:
    living = counting(memory)
    (theirs,) = memory.iterdir()
    left = memory / theirs.name.replace(theirs.name[-4:], "left")
    left.mkdir()
    (left / "api.0.lock").touch()
    other = memory / theirs.name.replace(theirs.name[-4:], "used")
    theirs.rename(other)
    newer = counting(memory)
    assert not left.exists()
    assert (other / "chat.0.lock").exists()
    for each in (living, newer):
        each.kill()


@pytest.mark.parametrize("trouble", ["nothing fits", "not ours"])
def test_without_a_place_a_process_counts_alone(monkeypatch: pytest.MonkeyPatch, memory: Path, trouble: str) -> None:
    monkeypatch.setattr(shared_values, "MEMORY", memory)
    if trouble == "not ours":
        shared_values.shared_folder("here").mkdir(mode=0o777)
        shared_values.shared_folder("here").chmod(0o777)
    else:

        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert share_values("here", "chat", {}) is None


def test_a_scrape_takes_no_slot(memory: Path) -> None:
    one = counting(memory)
    (folder,) = memory.iterdir()
    assert [("chat.0", one.process.pid)] == [(slot.name, slot.pid) for slot in list_slots(folder)]
    one.kill()
    assert [("chat.0", None)] == [(slot.name, slot.pid) for slot in list_slots(folder)]
