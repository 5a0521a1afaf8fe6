"""Log lines never contain secrets or what users said."""

import asyncio
import contextlib
import dataclasses
import importlib
import inspect
import json
import logging
import pkgutil
import re
import sys
import threading
from collections.abc import Iterator

import msgspec
import psycopg
import pytest
import structlog

import api
import graphs
import schema
import workers
from workers.logs import MASK, SECRET_NAME, RequestLog, configure_logging, describe_error, log_uncaught, redact

PRIVATE_TEXT = "the heron logged nobody"


@pytest.mark.parametrize(
    "name",
    ["api_key", "authorization", "password", "webhook_secret", "refresh_token", "X-API-Key", "secret_keys", "id_jwt"],
)
def test_values_with_the_name_of_a_secret_are_masked(name: str) -> None:
    assert {name: MASK} == redact(None, "info", {name: "anything"})


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("key hr_0123456789abcdefABCDEF was sent", "key *** was sent"),
        ("hrr_AZ-f_abcdefghijklmnopqrstuv", "***"),
        ("hrs_AZ-f_abcdefghijklmnopqrstuv hrc_AZ-f_abcdefghijklmnopqrstuv", "*** ***"),
        ("sk-abcdefghijkl", "***"),
        ("key=sk-ant-api03-a_b-c1234567", "key=***"),
        ("AIzaSyA-1234567890abcdefghijklmnop_qrs", "***"),
        ("gsk_abcdefghijkl, xai-abcdefghijkl, hf_abcdefghijkl", "***, ***, ***"),
        ("ghp_abcdefghijkl and AKIAABCDEFGHIJKLMNOP", "*** and ***"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("Basic YWRhOnNlY3JldC1wYXNz", "***"),
        ("got eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln_LW5h-dHVyZQ here", "got *** here"),
        ("cut eyJhbGciOiJSUzI1NiJ9.eyJzdWIi", "cut ***"),
        ("with cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4= sealed", "with *** sealed"),
        ("gAAAAABmZ2hqa2xxd2VydHl1aW9wYXNkZg==", "***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\n", "***\n"),
        ("postgresql://me:pass@host/db", "postgresql://***@host/db"),
        ("redis://:pa/ss@host:6379/0", "redis://***@host:6379/0"),
        ("GET https://host/v1?key=abc&n=1", "GET https://host/v1?***&n=1"),
        ("DETAIL:  Key (email)=(ada@example.com) already exists.", "DETAIL:  ***"),
        ("Failing row contains (1, Ada).\nmore", "***\nmore"),
        ("<Task finished exception=ValueError('Ada\nLove')>", "<Task finished exception=***>"),
    ],
)
def test_anything_that_looks_like_a_key_is_masked(text: str, masked: str) -> None:
    assert {"error": masked, "deep": [{"said": masked}]} == redact(
        None, "info", {"error": text, "deep": [{"said": text}]}
    )


def test_ids_and_counts_are_unchanged() -> None:
    event = {
        "event": "job_ended",
        "job_id": "01a1fd7b-8e1c-72c0-ba33-3adb722531a4",
        "output_tokens": 5,
        "kid": "a" * 64,
    }
    assert dict(event) == redact(None, "info", event)


def test_sentences_about_keys_are_unchanged() -> None:
    event = {
        "message": "Send `Authorization: Bearer hr_…` or a basic word; sk-… is OpenAI's, eyJ is how a token begins."
    }
    assert dict(event) == redact(None, "info", event)


def test_errors_of_libraries_that_quote_input_have_only_type_and_location() -> None:
    try:
        try:
            raise psycopg.errors.UniqueViolation(f"Key (email)=({PRIVATE_TEXT}) already exists")
        except psycopg.Error as error:
            raise msgspec.ValidationError(PRIVATE_TEXT) from error
    except msgspec.ValidationError as error:
        logged = describe_error((type(error), error, error.__traceback__))
    assert PRIVATE_TEXT not in logged
    for part in ("psycopg.errors.UniqueViolation: (sqlstate 23505)", "msgspec.ValidationError: (", "test_logs.py"):
        assert part in logged


def test_other_errors_have_their_messages_alone_and_in_groups() -> None:
    group = ExceptionGroup("two", [RuntimeError("the wheel is stuck"), psycopg.DataError(PRIVATE_TEXT)])
    logged = describe_error((type(group), group, None))
    assert "builtins.RuntimeError: the wheel is stuck" in logged
    assert "psycopg.DataError: (" in logged
    assert PRIVATE_TEXT not in logged


@contextlib.contextmanager
def logging_set_up(level: str | None = None) -> Iterator[None]:
    """Configure logging as in a real process, to the current stderr; restore it afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook)
    configure_logging("test", style="json", level=level)
    log_uncaught()
    try:
        yield
    finally:
        root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook = before
        structlog.reset_defaults()


def test_an_uncaught_error_is_a_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_set_up():
        sys.excepthook(psycopg.DataError, psycopg.DataError(PRIVATE_TEXT), None)
    line = json.loads(capsys.readouterr().err)
    assert ("error_uncaught", "critical") == (line["event"], line["level"])
    assert PRIVATE_TEXT not in str(line)


async def test_the_error_of_an_unawaited_task_does_not_show_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def fail() -> None:
        raise psycopg.DataError(PRIVATE_TEXT)

    task = asyncio.get_running_loop().create_task(fail())
    await asyncio.wait({task})
    context = {"message": "Task exception was never retrieved", "future": task, "exception": task.exception()}
    with logging_set_up():
        task.get_loop().default_exception_handler(context)
    logged = capsys.readouterr().err
    assert "never retrieved" in logged
    assert PRIVATE_TEXT not in logged


def classes() -> Iterator[type]:
    """Every class of this project, except in entry points and migrations."""
    for folder in (api, graphs, schema, workers):
        for found in pkgutil.walk_packages(folder.__path__, f"{folder.__name__}."):
            if not re.search(r"__main__$|\.migrations", found.name):
                module = importlib.import_module(found.name)
                named = inspect.getmembers(module, inspect.isclass)
                yield from (kind for _, kind in named if kind.__module__ == module.__name__)


def shown_fields(kind: type) -> list[str]:
    """The text fields that the `repr` of a dataclass or struct shows."""
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind) if field.repr]
    elif issubclass(kind, msgspec.Struct) and kind.__repr__ is msgspec.Struct.__repr__:
        names = list(kind.__struct_fields__)
    else:
        return []
    hints = {name: hint for base in reversed(kind.__mro__) for name, hint in inspect.get_annotations(base).items()}
    return [name for name in names if re.search(r"(?<!dict\[)\b(str|bytes|Password)\b", str(hints[name]))]


def test_no_repr_shows_a_secret() -> None:
    """Judged by field names. URLs of stores contain passwords."""
    secret = re.compile(rf"(database|redis)_url|{SECRET_NAME.pattern.removeprefix('(?i)')}", re.IGNORECASE)
    fields = [(kind, field) for kind in classes() for field in shown_fields(kind)]
    assert len(fields) > 100
    shown = [f"{kind.__qualname__}.{field}" for kind, field in fields if secret.search(field)]
    assert ["ToolOut.secrets"] == shown  # only the names of secrets


def test_less_than_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_set_up(level="warning"):
        structlog.get_logger().info("heron_seen")
        structlog.get_logger().warning("heron_gone")
        RequestLog().info("request_answered", request_id="0123456789abcdef", status=200)
    assert ["heron_gone"] == [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]


def test_a_key_that_is_sent_as_a_request_id_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_set_up():
        RequestLog().info("request_answered", request_id="hr_0123456789abcdefABCDEF", status=200)
    line = json.loads(capsys.readouterr().err)
    assert (MASK, 200) == (line["request_id"], line["status"])
