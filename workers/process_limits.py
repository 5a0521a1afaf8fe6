"""What the operating system and the interpreter allow a process."""

import gc
import resource


def disable_core_dumps() -> None:
    """Keep the kernel from writing our memory to a file when we crash: keys and what was said are in it. The processes that
    we start inherit it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def raise_file_limit() -> None:
    """Raise the limit of open files to what the system lets us have: every open stream is one, and 1,024 is the default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def relax_garbage_collection() -> None:
    """Keep what was imported out of garbage collection, and collect less often: a full collection over LangGraph's and
    Celery's modules stops every stream of the process for 50 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
