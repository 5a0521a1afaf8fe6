"""The last step before a child's program: tie its life to its parent's, leave root, keep its files private, then
become the program.

Run as a script (`python -I -S launch.py PARENT SIGNAL MODE program args…`), not imported by the stack. A script and not
a `preexec_fn`, because code between fork and exec can deadlock in a process with threads, and Python 3.12 warns of it.
`exec` keeps the process id, so the parent sees one child.

MODE: `same` keeps the user; `userns` maps root to an ordinary user inside a user namespace, so that Postgres accepts to
run while files stay root's; `nobody` becomes uid 65534, for containers that forbid user namespaces.
"""

# ruff: noqa: S606 (the commands are ours, never a user's text)

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
NOBODY = 65534
INNER_UID = 1000
"""Who root is inside the namespace: any number but 0 will do."""


def main(argv: list[str]) -> None:
    parent, signal_number, mode, *command = argv
    if mode == "userns":
        enter_user_namespace()
    elif mode == "nobody":
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    os.umask(0o077)  # what stores and processes create is for their own user only
    # After the change of user, because that change clears the setting.
    tie_to_parent(int(parent), int(signal_number))
    if not command:
        return
    try:
        os.execvpe(command[0], command, os.environ)
    except OSError as error:
        sys.exit(f"{command[0]} can't be run: {error.strerror}")


def enter_user_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER):
        sys.exit(f"user namespaces are forbidden here: {os.strerror(ctypes.get_errno())}")
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{INNER_UID} {uid} 1"),
        ("gid_map", f"{INNER_UID} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)


def tie_to_parent(parent: int, signal_number: int) -> None:
    """Ask Linux for a signal when the parent dies; elsewhere there is no such thing and nothing is done."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        sys.exit("the parent was gone before its child began")


if __name__ == "__main__":
    main(sys.argv[1:])
