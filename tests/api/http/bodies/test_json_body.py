"""Bodies that are made to be slow are refused for what is wrong with them, and others get their turn meanwhile."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from api.http.bodies.json_body import read_body
from api.openai.schemas import CompletionIn
from schema.errors import InputError

MB = 1024 * 1024
SIZE = 8 * MB
HEAD = b'{"model":"auto","messages":[{"role":"user","content":"hi"}],'


class FreeIn(msgspec.Struct, forbid_unknown_fields=True):
    """A body with a field of any shape, as large as those of the API."""

    free: Annotated[Any, Meta(extra={"max_bytes": 512 * 1024})] = None


def times(unit: bytes, size: int = SIZE) -> bytes:
    return b",".join([unit] * (size // (len(unit) + 1)))


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "objects": (lambda: b'"tools":[' + times(b"{}") + b"]}", "tools must not exceed 512 KB"),
    "nested lists": (
        lambda: b'"response_format":{"a":[' + times(b"[[[[]]]]") + b"]}}",
        "response_format must not exceed 256 KB",
    ),
    "many keys": (
        lambda: b'"metadata":{' + b",".join(b'"%x":0' % n for n in range(10**6)) + b"}}",
        "metadata must not exceed 128 KB",
    ),
    "repeated keys": (lambda: b'"metadata":{' + times(b'"a":0') + b"}}", "metadata must not exceed 128 KB"),
    "numbers that msgspec reads slowly": (
        lambda: b'"prediction":[' + times(b"1.5e300") + b"]}",
        "prediction must not exceed",
    ),
    "a number of many digits": (lambda: b'"seed":' + b"9" * SIZE + b"}", "seed is too large a number."),
    "depth": (lambda: b'"audio":' + b"[" * SIZE, "The body is nested too deeply."),
    "backslashes": (
        lambda: b'"user":"' + rb"\\" * (SIZE // 2) + b'"}',
        "user must be at most 512 characters long.",
    ),
    "half pairs": (
        lambda: b'"user":"' + rb"\ud800" * (SIZE // 6) + b'"}',
        r"The body contains \ud800, which is half of",
    ),
    "pairs without an end": (
        lambda: b'"user":"' + rb"\ud83d\ude00" * (SIZE // 12),
        "The body is not valid JSON: it ends too early.",
    ),
    "spaces": (lambda: b" " * SIZE, "The body is not valid JSON: it ends too early."),
    "texts that are too many": (
        lambda: b'"modalities":[' + times(b'""') + b"]}",
        "modalities must not exceed 16 KB",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_refused_for_what_is_wrong_with_it(name: str) -> None:
    make_rest, sentence = HOSTILE[name]
    with pytest.raises(InputError) as refused:
        read_body(HEAD + make_rest(), CompletionIn)
    assert sentence in refused.value.message
    assert len(refused.value.message) < 2000
    assert len(refused.value.field or "") <= 200


def test_a_name_that_looks_like_a_path_is_refused_at_once() -> None:
    with pytest.raises(InputError, match=r"Unknown field  - at `\$"):
        read_body(b'{"' + b" - at `$" * (SIZE // 8) + rb'\n":1}', FreeIn)


@pytest.mark.parametrize(
    ("body", "half"),
    [
        (rb'{"free":"\ud800"}', r"\ud800"),
        (rb'{"free":"x\ud800y"}', r"\ud800"),
        (rb'{"free":"\ud83d\ude00\udc00"}', r"\udc00"),
        (rb'{"free":"' + rb"\ud83d\ude00" * 50_000 + rb'\udc00 and more"}', r"\udc00"),
        (rb'{"free":"' + rb"\ud83d\ude00" * 50_000 + rb'\ud800"}', r"\ud800"),
    ],
)
def test_half_of_a_surrogate_pair_is_named_wherever_it_stands(body: bytes, half: str) -> None:
    with pytest.raises(InputError) as refused:
        read_body(body, FreeIn)
    assert f"The body contains {half}, which is half of a surrogate pair and no character. Remove it." == str(
        refused.value
    )


@pytest.mark.parametrize(
    ("free", "field"),
    [
        ("a\0", "free"),
        ({"a": [1, {"b": "\0"}]}, "free.a[1].b"),
        ({"a": {"\0": 1}}, "free.a"),
        ([[]] * 100_000 + ["\0"], "free[100000]"),
        ({**dict.fromkeys(map(str, range(20_000)), "x"), "y": ["z", "\0"]}, "free.y[1]"),
    ],
)
def test_a_character_that_cannot_be_stored_is_found_wherever_it_stands(free: Any, field: str) -> None:
    with pytest.raises(InputError) as refused:
        read_body(msgspec.json.encode({"free": free}), FreeIn)
    assert (refused.value.field, str(refused.value)) == (field, f"{field} contains the character U+0000. Remove it.")


def test_a_backslash_before_u0000_is_no_such_character() -> None:
    assert r"\u0000" == read_body(rb'{"free":"\\u0000"}', FreeIn).free


@pytest.mark.parametrize(
    ("number", "value"),
    [("1.5e300", 1.5e300), ("-0.0", -0.0), ("5e-324", 5e-324), ("1.7976931348623157e308", 1.7976931348623157e308)],
)
def test_numbers_without_a_type_are_exact(number: str, value: float) -> None:
    found = read_body(b'{"free":[%b]}' % number.encode(), FreeIn).free
    assert [value] == found
    assert str(value) == str(found[0])


@pytest.mark.parametrize("number", ["1e999999", "-1e400", "9" * 5000])
def test_a_number_that_is_too_large_is_refused(number: str) -> None:
    with pytest.raises(InputError, match="is too large a number"):
        read_body(b'{"free":{"a":%b}}' % number.encode(), FreeIn)


class Inner(msgspec.Struct):
    sizes: dict[str, dict[str, int]] | None = None


class Keyed(msgspec.Struct):
    """A body with objects whose keys are the client's."""

    metadata: dict[Annotated[str, Meta(max_length=8)], Annotated[str, Meta(max_length=4)]] | None = None
    items: list[Inner] = msgspec.field(default_factory=list)


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ('{"metadata":{"a":"b","budget":7}}', "metadata.budget", "metadata.budget must be a string, not an integer."),
        ('{"metadata":{"a b":"longer"}}', "metadata.a b", "metadata.a b must be at most 4 characters long."),
        (
            '{"metadata":{"department":"x"}}',
            "metadata",
            "The key 'department' of metadata must be at most 8 characters long.",
        ),
        (
            '{"items":[{},{"sizes":{"x":{"y":1,"z":"2"}}}]}',
            "items[1].sizes.x.z",
            "items[1].sizes.x.z must be an integer, not a string.",
        ),
    ],
)
def test_an_error_in_a_clients_own_object_names_the_key(body: str, field: str, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        read_body(body.encode(), Keyed)
    assert (field, sentence) == (refused.value.field, refused.value.message)
