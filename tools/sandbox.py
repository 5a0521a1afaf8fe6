"""Puts the calling process into a sandbox that it can't leave: Landlock for files, seccomp for system calls, rlimits for
memory, time and file sizes. Needs no root, container or package, just Linux with Landlock (5.13) on x86-64.

Run as a program, it enters the sandbox and then executes the Python code on its standard input:

    python -I tools/sandbox.py READABLE:READABLE:… MEGABYTES CPU_SECONDS

So it imports none of our modules. Nothing can be written anywhere: a program that may write one file may fill the disk.
`forbid_changes` is for code that must import packages and call hosts: it only can't change files or start programs.
It does not hide that files exist (stat works), and it does not work without Landlock: callers must check
`unsupported_reason()` before running untrusted code.

Memory is limited per process, so it can't start others: `clone` is allowed for threads only. clone3 returns ENOSYS rather than
EPERM, or glibc would not fall back to clone for threads. RLIMIT_NPROC is no alternative: it does not apply to root.
"""

import ast
import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Mapping, Sequence

LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 24, 47, 4
CAPSET, CAPABILITY_VERSION_3, MAX_CAPABILITIES = 126, 0x20080522, 64
WRITE_FILE, READ_FILE, READ_DIRECTORY = 1 << 1, 1 << 2, 1 << 3

EPERM, ENOSYS = 1, 38
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
X86_64, X32_BIT, CLONE_THREAD = 0xC000003E, 0x40000000, 0x10000
CLONE, CLONE3 = 56, 435

DENIED_SYSCALLS = {
    "sockets": (41, 42, 43, 49, 50, 53, 288),
    "processes": (57, 58, 59, 101, 109, 112, 310, 311, 312, 322, 434, 438),
    "signals": (62, 129, 200, 234, 297, 424),
    "shared memory and queues, which no limit covers": (29, 30, 31, 64, 65, 66, 68, 69, 70, 71, 240, 319, 447),
    "mounts and namespaces": (155, 161, 165, 166, 272, 308, 428, 429, 430, 431, 432, 433, 442),
    "owners, modes, times and attributes, which Landlock does not cover": (
        *(90, 91, 92, 93, 94, 132, 188, 189, 190, 197, 198, 199, 235, 260, 261, 268, 280, 452),
    ),
    "limits: root could raise its own": (160, 302),
    "priorities, of itself and of others: root could put itself before the workers": (141, 142, 144, 203, 251, 314),
    "capabilities, and other processes' memory": (126, 440, 448),
    "keys, kernel, clocks, devices": (
        *(103, 133, 134, 153, 156, 159, 163, 164, 167, 168, 169, 170, 171, 172, 173, 175, 176, 179),
        *(227, 246, 248, 249, 250, 259, 298, 303, 304, 305, 313, 320, 321, 323, 425, 426, 427),
    ),
}
"""System calls of x86-64, by number, that return EPERM."""


class _LandlockRuleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scope", ctypes.c_uint64))


class _LandlockPathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("opened", ctypes.c_int32))


class _BpfProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def unsupported_reason() -> str:
    """Why the sandbox is not supported here, as a sentence; empty if it is."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "The Python sandbox needs Linux on x86-64."
    if _landlock_version() < 1:
        return "The Python sandbox needs a kernel with Landlock (5.13 or newer, switched on)."
    return ""


def enter_sandbox(readable: list[str], *, megabytes: int, cpu_s: int) -> None:
    """Sandbox this process for good. It may read below the folders `readable` and write to what is already open. Raises OSError
    if the kernel refuses; then untrusted code must not run."""
    set_resource_limits(megabytes, cpu_s)
    _drop_capabilities()
    _raise_on_error(_libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _restrict_files({path: READ_FILE | READ_DIRECTORY for path in readable if os.path.isdir(path)})
    _restrict_syscalls(DENIED_SYSCALLS)


def forbid_changes() -> None:
    """Let this process start no program and change no file but /dev/null, for good; it reads and connects as before. Call it
    before there are threads. Raises OSError if the kernel refuses."""
    _drop_capabilities()
    _raise_on_error(_libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _restrict_files({os.devnull: WRITE_FILE}, unrestricted=READ_FILE | READ_DIRECTORY, network=False)
    _restrict_syscalls({name: calls for name, calls in DENIED_SYSCALLS.items() if name != "sockets"})


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _raise_on_error(answer: int) -> int:
    if answer < 0:
        raise OSError(ctypes.get_errno(), "the kernel refused to sandbox this process")
    return answer


def _landlock_version() -> int:
    return _libc().syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)


def set_resource_limits(megabytes: int, cpu_s: int) -> None:
    """Limit this process's memory, CPU time, file sizes, open files and core dumps. Works without Landlock too."""
    for what, value in (
        (resource.RLIMIT_AS, megabytes << 20),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
        (getattr(resource, "RLIMIT_NICE", None), 0),  # these two exist on Linux only
        (getattr(resource, "RLIMIT_RTPRIO", None), 0),
    ):
        if what is None:
            continue
        resource.setrlimit(what, (value, value))


def _drop_capabilities() -> None:
    """Give up what root may do beyond others, such as to raise its own priority (CAP_SYS_NICE). What Landlock lets it read
    must then be readable by its user, as for everybody else."""
    libc = _libc()
    for capability in range(MAX_CAPABILITIES):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for those that don't exist, and unless root
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = ctypes.create_string_buffer(struct.pack("Ii", CAPABILITY_VERSION_3, 0))
    _raise_on_error(libc.syscall(CAPSET, header, ctypes.create_string_buffer(24)))


def _restrict_files(allowed: Mapping[str, int], *, unrestricted: int = 0, network: bool = True) -> None:
    """Apply every Landlock restriction that this kernel supports, including networks and signals. `allowed` are the accesses
    that stay at a path and below it, `unrestricted` those that stay everywhere."""
    version, libc = _landlock_version(), _libc()
    files = (1 << 13) - 1 | (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0)
    files |= 1 << 15 if version >= 5 else 0
    rules = _LandlockRuleset(files & ~unrestricted, 3 if version >= 4 and network else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _raise_on_error(libc.syscall(LANDLOCK_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0))
    for path, access in allowed.items():
        _allow_path(ruleset, path, access)
    _raise_on_error(libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _allow_path(ruleset: int, path: str, access: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _LandlockPathRule(access, opened)
        _raise_on_error(_libc().syscall(LANDLOCK_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0))
    finally:
        os.close(opened)


def _restrict_syscalls(denied: Mapping[str, Sequence[int]]) -> None:
    """Install a seccomp filter (BPF): load the architecture, load the call number, compare, return."""
    load, equal, at_least, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    steps = [(load, 0, 0, 4), (equal, 1, 0, X86_64), (answer, 0, 0, KILL)]
    steps += [(load, 0, 0, 0), (at_least, 0, 1, X32_BIT), (answer, 0, 0, KILL)]
    steps += [(equal, 0, 1, CLONE3), (answer, 0, 0, ERRNO | ENOSYS)]
    for number in sorted(number for numbers in denied.values() for number in numbers):
        steps += [(equal, 0, 1, number), (answer, 0, 0, ERRNO | EPERM)]
    steps += [(equal, 0, 3, CLONE), (load, 0, 0, 16), (any_bit, 1, 0, CLONE_THREAD), (answer, 0, 0, ERRNO | EPERM)]
    steps += [(answer, 0, 0, ALLOW)]
    packed = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = _BpfProgram(len(steps), ctypes.addressof(packed))
    _raise_on_error(_libc().prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))


def main() -> None:
    """Run the program on standard input in the sandbox; print the value of its last line, if any."""
    readable, megabytes, cpu_s = sys.argv[1:4]
    enter_sandbox(readable.split(":"), megabytes=int(megabytes), cpu_s=int(cpu_s))
    tree = ast.parse(sys.stdin.read(), "<code>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    names = {"__name__": "__main__"}
    exec(compile(tree, "<code>", "exec"), names)  # noqa: S102 - the purpose of this file
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "<code>", "eval"), names)  # noqa: S307
        if value is not None:
            print(repr(value))


if __name__ == "__main__":
    main()
