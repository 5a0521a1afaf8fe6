"""Kinds of numbers and paths that the command line takes. argparse names the argument before what is said here."""

import argparse
import math
import os
from pathlib import Path

MAX_PORT = 65_535
STARTED_IN = "HEADRACE_STARTED_IN"
"""The folder in which `./headrace` was called, which itself changes to the project's."""


def path_here(text: str) -> Path:
    """Return a file or folder; a relative one is seen from where the caller stands, as with every other tool."""
    return Path(os.environ.get(STARTED_IN) or os.getcwd(), text)


def positive(text: str) -> int:
    """Return a whole number from 1 on."""
    return _whole(text, 1, None, "a whole number of at least 1")


def port(text: str) -> int:
    """Return a TCP port."""
    return _whole(text, 1, MAX_PORT, f"a port from 1 to {MAX_PORT:,}")


def seconds(text: str) -> float:
    """Return a time in seconds, which may be 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number >= 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, such as 30")
    return number


def _whole(text: str, least: int, most: int | None, what: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least or (most is not None and number > most):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return number
