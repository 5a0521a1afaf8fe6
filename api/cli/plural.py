"""Numbers of things, for sentences."""


def pluralize(number: int, noun: str, plural: str | None = None) -> str:
    """Return `1 file`, or `2,000 files`; `plural` is that of a noun which doesn't take an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
