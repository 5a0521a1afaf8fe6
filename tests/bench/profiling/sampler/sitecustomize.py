"""Looks a thousand times a second what every thread of this process does, and keeps counts in `HEADRACE_SAMPLES`-PID.

Python loads it by its name before the program, because `--profile` puts this folder on PYTHONPATH: no code of ours knows
of it. A file and no report at the end, because processes are killed. It needs the GIL like everyone, so it sees Python
code well and waits for the kernel not at all, and it slows the process down by a tenth: read shares, not times.
"""

import json
import os
import sys
import threading
import time
from collections import Counter

EVERY_S = 0.001
WRITE_S = 1.0
DEEP = 60
IDLE = frozenset(
    ("wait", "_wait", "select", "poll", "accept", "sleep", "_worker", "run_forever", "run_until_complete", "can_read")
)
LOOPS = ("asyncio/runners.py", "workers/celery/pool.py", "uvloop/__init__.py")
"""Where Python code stands while uvloop, which is no Python code, waits."""
STARTING = "<frozen importlib"


def _stack(frame):
    names = []
    while frame is not None and len(names) < DEEP:
        code = frame.f_code
        names.append(
            f"{code.co_filename}:{code.co_firstlineno}:{code.co_qualname if sys.version_info >= (3, 11) else code.co_name}"
        )
        frame = frame.f_back
    return names


def _sample(folder):
    own, alone, within, seen = threading.get_ident(), Counter(), Counter(), 0
    write_at = time.monotonic() + WRITE_S
    while True:
        time.sleep(EVERY_S)
        for ident, frame in sys._current_frames().items():
            if ident == own or frame.f_code.co_name in IDLE or frame.f_code.co_filename.endswith(LOOPS):
                continue
            stack = _stack(frame)
            if any(place.startswith(STARTING) for place in stack):
                continue
            seen += 1
            alone[stack[0]] += 1
            within.update(set(stack))
        if time.monotonic() > write_at:
            write_at = time.monotonic() + WRITE_S
            _write(folder, {"argv": sys.orig_argv[1:], "seen": seen, "alone": alone, "within": within})


def _write(folder, counts):
    path = f"{folder}-{os.getpid()}.json"
    with open(f"{path}.new", "w") as file:
        json.dump(counts, file)
    os.replace(f"{path}.new", path)


if os.environ.get("HEADRACE_SAMPLES"):
    sys.setswitchinterval(0.0005)
    threading.Thread(target=_sample, args=(os.environ["HEADRACE_SAMPLES"],), name="sampler", daemon=True).start()
