"""What the operating system allows a process."""

import resource


def allow_many_files() -> None:
    """Raise the limit of open files to what the system lets us have: every open stream is one, and 1,024 is the default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
