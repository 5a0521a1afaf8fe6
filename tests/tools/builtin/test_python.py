"""Python that a model wrote: useful programs run, hostile ones reach nothing, in both ways of running it."""

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.tools.egress_servers import ConnectionTrap
from tests.tools.hostile.python import CANARY, ENDLESS, EXHAUSTION, PROGRAMS, REACHING
from tests.tools.tool_contexts import call, failure, make_context
from tests.waiting import PATIENCE_S
from tools.builtin import python
from tools.errors import ToolFailed
from tools.execution import call_tool
from tools.sandbox import unsupported_reason

MONTY = make_context()
SANDBOXED = make_context(settings={"PYTHON_MODE": "jail"})
NO_SANDBOX = unsupported_reason()
SANDBOX_EXHAUSTION = [
    text for text in EXHAUSTION if text.startswith(("x = [0]", "def f", "while True", "raise", "\x00", "\ud800"))
]
WAYS = [
    pytest.param(MONTY, id="monty"),
    pytest.param(
        SANDBOXED,
        id="sandbox",
        marks=pytest.mark.skipif(bool(NO_SANDBOX), reason=NO_SANDBOX),
    ),
]


@pytest.mark.parametrize("context", WAYS)
@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("print('a')\n1 + 1", "a\n2"),
        ("sum(range(101))", "5050"),
        ("import json, math\nprint(json.dumps({'r': math.floor(2.7)}))", '{"r": 2}'),
        ("sorted({'b': 1, 'a': 2}.items())", "[('a', 2), ('b', 1)]"),
        ("x = 1", "The program finished and printed nothing; print what you want to see."),
        ("print('Tiếng Việt')", "Tiếng Việt"),
    ],
)
async def test_a_program_gives_what_it_prints_and_its_last_value(context, code: str, text: str) -> None:
    assert text == (await call(python.build(), context, code=code)).text


@pytest.mark.parametrize("context", WAYS)
async def test_a_programs_own_error_comes_back_to_the_model(context) -> None:
    error = await failure(python.build(), context, code="def f(x):\n    return 1 / x\nf(0)")
    assert ("tool_bad_arguments", "code", True) == (error.code, error.field, "ZeroDivisionError" in error.message)


async def test_what_monty_does_not_have_is_said_with_what_to_do() -> None:
    error = await failure(python.build(), MONTY, code="import statistics")
    assert error.message.startswith("ModuleNotFoundError")
    assert error.message.endswith("Write it without that.")


@pytest.mark.skipif(bool(NO_SANDBOX), reason=NO_SANDBOX)
async def test_the_sandbox_has_the_whole_standard_library_and_no_packages() -> None:
    threads = "import threading\nt = threading.Thread(target=print, args=('t',))\nt.start()\nt.join()\n"
    assert (
        "t\n2"
        == (await call(python.build(), SANDBOXED, code=f"{threads}import statistics\nstatistics.mean([1, 3])")).text
    )
    assert "ModuleNotFoundError" in (await failure(python.build(), SANDBOXED, code="import sympy")).message
    assert "ModuleNotFoundError" in (await failure(python.build(), SANDBOXED, code="import schema")).message


async def test_without_a_sandbox_the_opt_in_is_refused_and_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "unsupported_reason", lambda: "The Python sandbox needs Linux on x86-64.")
    error = await failure(python.build(), SANDBOXED, code="print(1)")
    assert ("tool_refused", True) == (error.code, error.message.startswith("The Python sandbox needs Linux"))


async def test_a_mode_that_does_not_exist_is_refused() -> None:
    error = await failure(python.build(), make_context(settings={"PYTHON_MODE": "plain"}), code="1")
    assert "ToolUnavailable" == type(error).__name__


@dataclass
class Surroundings:
    """What no program may reach."""

    folder: Path
    canary: Path

    def state(self) -> tuple[list[str], str]:
        return sorted(os.listdir(self.folder)), self.canary.read_text()


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    canary = tmp_path / "canary.txt"
    canary.write_text(CANARY)
    canary.chmod(0o666)
    (tmp_path / "folder").mkdir(mode=0o777)
    monkeypatch.setenv("HEADRACE_CANARY", CANARY)
    return Surroundings(tmp_path / "folder", canary)


async def outcomes(context, programs: list[str], around: Surroundings, port: int, time_s: float) -> list[str]:
    """The code of each program's error, or what it printed; a few run at a time."""
    few = asyncio.Semaphore(3)

    async def run(program: str) -> str:
        code = program.replace("{canary}", str(around.canary)).replace("{folder}", str(around.folder))
        async with few:
            try:
                arguments = {"code": code.replace("{port}", str(port))}
                return (await call_tool(python.build(time_s), arguments, context)).text
            except ToolFailed as error:
                return f"{error.code}: {error.message}"

    return await asyncio.gather(*map(run, programs))


@pytest.mark.parametrize("context", WAYS)
async def test_hostile_programs_reach_nothing(context, surroundings: Surroundings) -> None:
    before = surroundings.state()
    programs = [*REACHING, *(EXHAUSTION if context is MONTY else SANDBOX_EXHAUSTION)]
    async with ConnectionTrap().listening() as trap:
        found = await outcomes(context, programs, surroundings, trap.port, 1.0)
        connections = trap.connections
    assert (before, 0) == (surroundings.state(), connections)
    assert [] == [program for program, text in zip(programs, found, strict=True) if CANARY in text or "root:" in text]
    assert [] == [text for text in found if "failed unexpectedly" in text]
    assert "2" == (await call(python.build(), context, code="1 + 1")).text


async def test_programs_that_never_end_are_ended(surroundings: Surroundings) -> None:
    found = await outcomes(MONTY, ENDLESS, surroundings, 1, 0.3)
    ended = ("tool_timeout", "tool_too_large", "tool_bad_arguments: ", "None", "The program finished")
    assert [] == [text for text in found if not text.startswith(ended)]  # sleep takes no time, and a pattern is bounded
    assert sum(text.startswith("tool_timeout") for text in found) >= 4


@pytest.mark.skipif(bool(NO_SANDBOX), reason=NO_SANDBOX)
async def test_programs_that_never_end_are_ended_in_the_sandbox(surroundings: Surroundings) -> None:
    found = await outcomes(SANDBOXED, [ENDLESS[0], ENDLESS[-1]], surroundings, 1, 0.3)
    assert ["tool_timeout"] * 2 == [text.partition(":")[0] for text in found]


BARRED = [
    "os.fork()",
    "os.execv('/bin/sh', ['sh'])",
    "os.posix_spawn('/bin/true', ['true'], {})",
    "os.kill(os.getppid(), 0)",
    "os.killpg(0, 0)",
    "os.open('.', os.O_TMPFILE | os.O_RDWR)",
    "os.open('made', os.O_CREAT | os.O_RDWR)",
    "os.mkdir('made')",
    "os.listdir('.')",
    "os.memfd_create('x')",
    "os.chmod('.', 0o777)",
    "os.utime('.')",
    "os.unshare(0) if hasattr(os, 'unshare') else os.fork()",
    "socket.socket()",
    "socket.socket(socket.AF_UNIX)",
    "socket.socketpair()",
    "resource.setrlimit(resource.RLIMIT_CPU, (60, 60))",
    "resource.prlimit(os.getppid(), resource.RLIMIT_CPU)",
    "os.nice(-20)",
    "os.nice(5)",
    "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "os.setpriority(os.PRIO_USER, 0, 19)",
    "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))",
    "os.sched_setparam(0, os.sched_param(0))",
    "os.sched_setaffinity(os.getppid(), {0})",
    "open('/proc/self/oom_score_adj', 'w')",
    "resource.setrlimit(resource.RLIMIT_NICE, (40, 40))",
    "os.setuid(65534)",
]

CAPABILITIES = """
import sys
sys.path.insert(0, {root!r})
from tools.sandbox import enter_sandbox
enter_sandbox(["/proc", "/usr", "/lib"], megabytes=512, cpu_s=5)
import ctypes
libc = ctypes.CDLL(None)
held = [line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")]
print({{int(text, 16) for text in held}}, libc.syscall(251, 1, 0, 1 << 13), libc.syscall(314, 0, 0, 0))
"""


@pytest.mark.skipif(bool(NO_SANDBOX), reason=NO_SANDBOX)
def test_a_sandboxed_process_has_no_capability_and_sets_no_priority_of_its_input_and_output() -> None:
    program = CAPABILITIES.format(root=str(Path(__file__).parents[3]))
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "{0} -1 -1" == ran.stdout.strip()


@pytest.mark.skipif(bool(NO_SANDBOX), reason=NO_SANDBOX)
async def test_the_kernel_says_no_to_each_of_what_is_barred() -> None:
    lines = [
        f"try:\n    {line}\n    print({line!r})\nexcept (PermissionError, ValueError):\n    pass" for line in BARRED
    ]
    result = await call(
        python.build(), SANDBOXED, code="\n".join(["import os, socket, resource", *lines, "print('end')"])
    )
    assert "end" == result.text


@pytest.mark.skipif(bool(NO_SANDBOX), reason=NO_SANDBOX)
async def test_a_cancelled_program_leaves_no_process_behind() -> None:
    run = asyncio.ensure_future(call(python.build(30.0), SANDBOXED, code="while True: pass"))
    async with asyncio.timeout(PATIENCE_S):
        while not (children := _children()):
            await asyncio.sleep(0.01)
    run.cancel()
    await asyncio.wait({run})
    assert run.cancelled()
    assert set() == children & _children()


def _children() -> set[str]:
    """Processes of ours that run the sandbox."""
    found = set()
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{number}/cmdline").read_bytes()
            parent = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if b"sandbox.py" in words and parent == str(os.getpid()):
            found.add(number)
    return found


def test_the_corpus_is_as_large_as_was_asked_for() -> None:
    assert len(set(PROGRAMS)) >= 30
