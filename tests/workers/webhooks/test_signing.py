"""Signatures, against the independent package: what it accepts of ours, what we accept of it, and what both refuse."""

import base64
import json
import secrets
import time
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from schema.ids import new_id
from workers.webhooks.payload import message_name
from workers.webhooks.secrets import MAX_FORMER, EndpointSecrets
from workers.webhooks.signing import NotVerified, new_secret, secret_bytes, signed_headers, verify

BODY = b'{"type":"job.succeeded"}'


def message(*signing: str, body: bytes = BODY, at: float | None = None) -> dict[str, str]:
    return signed_headers(signing, message_name(new_id()), int(time.time() if at is None else at), body)


def test_a_thousand_messages_are_verified_by_the_independent_package() -> None:
    for number in range(1000):
        secret = new_secret()
        body = json.dumps({"number": number, "said": "Việt Nam ✓ " + secrets.token_hex(number % 50)}).encode()
        Webhook(secret).verify(body, message(secret, body=body))


def test_both_secrets_verify_while_rotating_and_only_the_new_one_after() -> None:
    before, now, day = EndpointSecrets(new_secret()), datetime.now(UTC), timedelta(hours=24)
    after = before.rotated(now=now)
    during = message(*after.signing(now + day - timedelta(seconds=1)))
    for secret in (before.secret, after.secret):
        Webhook(secret).verify(BODY, during)
        verify(secret, during, BODY, now=time.time())
    later = message(*after.signing(now + day))
    Webhook(after.secret).verify(BODY, later)
    with pytest.raises(WebhookVerificationError):
        Webhook(before.secret).verify(BODY, later)


def test_many_rotations_in_a_day_keep_a_bounded_number_of_secrets() -> None:
    held = EndpointSecrets(new_secret())
    for _ in range(20):
        held = held.rotated()
    assert MAX_FORMER + 1 == len(held.signing(datetime.now(UTC)))


@pytest.mark.parametrize("changed", ["body", "id", "timestamp", "signature", "secret"])
def test_what_was_tampered_with_is_refused_by_both(changed: str) -> None:
    secret = new_secret()
    headers, body, verifier = message(secret), BODY, secret
    match changed:
        case "body":
            body = BODY + b" "
        case "id":
            headers["webhook-id"] += "0"
        case "timestamp":
            headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) + 1)
        case "signature":
            headers["webhook-signature"] = "v1," + base64.b64encode(secrets.token_bytes(32)).decode()
        case _:
            verifier = new_secret()
    with pytest.raises(WebhookVerificationError):
        Webhook(verifier).verify(body, headers)
    with pytest.raises(NotVerified):
        verify(verifier, headers, body, now=time.time())


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_stale_message_is_refused_by_both(minutes: int) -> None:
    secret = new_secret()
    headers = message(secret, at=time.time() + 60 * minutes)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, headers)
    with pytest.raises(NotVerified, match="s ago"):
        verify(secret, headers, BODY, now=time.time())


def test_we_verify_what_the_package_signs() -> None:
    secret, message_id, now = new_secret(), "msg_1", datetime.now(UTC)
    signature = Webhook(secret).sign(message_id, now, BODY.decode())
    headers = {"webhook-id": message_id, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    assert message_id == verify(secret, headers, BODY, now=time.time())


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets_have_24_to_64_bytes(size: int) -> None:
    assert size == len(secret_bytes("whsec_" + base64.b64encode(b"x" * size).decode()))


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_!!", "whsec_" + "QUJD" * 7, "whsec_" + "QUJD" * 22, "QUJD" * 8])
def test_other_secrets_are_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 random bytes") as refused:
        secret_bytes(text)
    assert "QUJD" not in str(refused.value)


def test_nothing_prints_a_secret() -> None:
    held = EndpointSecrets("whsec_canary", headers={"X": "canary"}).rotated("whsec_canary2")
    assert "canary" not in f"{held!r} {held.former!r}"
