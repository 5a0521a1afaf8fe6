"""Numbers of things, for sentences."""


def pluralize(number: int, noun: str) -> str:
    """Return `1 file`, or `2,000 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
