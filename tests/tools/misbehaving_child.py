"""A function for a child process that does what it should not. It imports little, so that the child starts soon."""

from typing import Any


def misbehave(question: dict[str, Any], attached: bytes) -> Any:
    """Runs in a child."""
    if question["how"] == "memory":
        return "x" * (1 << 40)
    if question["how"] == "path":
        raise FileNotFoundError("/opt/secret/place")
    if question["how"] == "large":
        return "x" * (2 << 20)
    if question["how"] == "print":
        print("noise")
    return {"echo": attached.decode(), "how": question["how"]}
