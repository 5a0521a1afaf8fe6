"""What calls carry through a client comes back whole, or not at all."""

import pytest

from api.anthropic.signatures import ATTACHED, MAX_ATTACHED, attach, detach, sign, signer

EXTRA = {"extra_content": {"google": {"thought_signature": "c2ln+/="}}}


def test_what_is_attached_comes_back() -> None:
    assert ("call_1", "google", EXTRA) == detach(attach("call_1", EXTRA, "google"))
    assert ("call_1", "", {}) == detach(attach("call_1", {}, "google"))


def test_what_is_too_long_is_left_out() -> None:
    assert "call_1" == attach("call_1", {"x": "a" * MAX_ATTACHED}, "google")


@pytest.mark.parametrize("packed", ["", "%%%", "bm90IGpzb24", "W10", "eyJhIjoxfQ", "e30", "\u00e9"])
def test_an_attachment_that_was_damaged_is_dropped(packed: str) -> None:
    plain, _, extra = detach(f"call_1{ATTACHED}{packed}")
    assert ("call_1", {}) == (plain, extra)


def test_a_call_never_loses_its_id() -> None:
    assert (f"{ATTACHED}e30", "", {}) == detach(f"{ATTACHED}e30")


def test_only_our_own_signatures_name_a_maker() -> None:
    assert "openai" == signer(sign("openai"))
    assert signer("c2lnbmVk") is None
