"""Whether a password is among the first that are guessed, by the word lists and patterns of zxcvbn, which need no network.

zxcvbn estimates how many guesses it takes: lists of common passwords, names and words, with the usual capitals, digits and
years added, keyboard rows, dates, repeats. Wheeler, "zxcvbn: Low-Budget Password Strength Estimation", USENIX Security 2016.
"""

from importlib import import_module
from threading import Lock

MIN_GUESSES = 1_000_000
"""What zxcvbn's authors ask for where guessing is slowed down, as it is here."""

MAX_LENGTH = 72
"""zxcvbn takes no more, since its time grows with the square. Whatever follows makes a password only harder to guess."""

ALSO_COMMON = ("headrace", "matkhau", "anhyeuem", "emyeuanh", "changeme", "correcthorsebatterystaple")
"""Words that zxcvbn's English lists don't have."""

_LOCK = Lock()  # zxcvbn keeps the words of a call in a global dictionary


def is_common(password: str, *, email: str) -> bool:
    """Whether a password takes fewer than `MIN_GUESSES` guesses for somebody who knows the email address. Takes milliseconds;
    the first call reads the word lists."""
    words = [*ALSO_COMMON, email, *email.replace("@", ".").split(".")]
    with _LOCK:
        zxcvbn = import_module("zxcvbn")  # 10 MB that only a process in which passwords are set needs
        return zxcvbn.zxcvbn(password[:MAX_LENGTH], user_inputs=words)["guesses"] < MIN_GUESSES
