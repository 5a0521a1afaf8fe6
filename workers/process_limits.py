"""Limits of a process that the operating system and the interpreter set."""

import ctypes
import gc
import os
import resource


def disable_core_dumps() -> None:
    """Disable core dumps of this process and its children, because memory holds keys, prompts and answers."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def keep_files_private() -> None:
    """Let only our own user read the files that this process and its children create, whatever umask it was started with."""
    os.umask(0o077)


def raise_file_limit() -> None:
    """Raise the limit of open files to the maximum allowed: every open stream is one, and the default is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def relax_garbage_collection() -> None:
    """Exclude imported modules from garbage collection, and collect less often: a full collection over LangGraph and
    Celery pauses every stream of the process for 50 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def return_free_memory() -> None:
    """Give the system what was freed: glibc keeps it, for instance 40 MB after a batch of documents was embedded. Takes a few
    milliseconds. Elsewhere than with glibc nothing happens."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
