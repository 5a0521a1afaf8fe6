"""What may stand in a log line."""

import pytest

from workers.logs import MASK, redact


@pytest.mark.parametrize("name", ["api_key", "authorization", "password", "webhook_secret", "refresh_token"])
def test_what_has_a_secrets_name_is_masked(name: str) -> None:
    assert {name: MASK} == redact(None, "info", {name: "anything"})


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("key hr_0123456789abcdefABCDEF was sent", "key *** was sent"),
        ("sk-abcdefghijkl", "***"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("postgresql://me:pass@host/db", "postgresql://***@host/db"),
    ],
)
def test_what_looks_like_a_key_is_masked_anywhere(text: str, masked: str) -> None:
    assert {"error": masked, "deep": [{"said": masked}]} == redact(
        None, "info", {"error": text, "deep": [{"said": text}]}
    )


def test_ids_and_counts_stay_as_they_are() -> None:
    event = {"event": "job_ended", "job_id": "01a1fd7b", "output_tokens": 5, "request_id": "abc"}
    assert dict(event) == redact(None, "info", event)
