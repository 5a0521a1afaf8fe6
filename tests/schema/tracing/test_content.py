"""What was said, as attributes of spans have it."""

from typing import Any

import pytest

from schema.tracing.content import LONGEST, as_json


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        ("the heron", "the heron"),
        ({"gate": 1, "who": "hérons"}, '{"gate":1,"who":"hérons"}'),
        ("x" * (LONGEST + 1), "x" * LONGEST + "…"),
    ],
)
def test_texts_stay_texts_and_others_become_json(value: Any, attribute: str) -> None:
    assert attribute == as_json(value)


@pytest.mark.parametrize("value", ["half \ud800 a pair", {"half \udfff": ["\ud800", {"\ud800": None}]}])
def test_what_utf8_can_not_hold_is_replaced(value: Any) -> None:
    as_json(value).encode()
