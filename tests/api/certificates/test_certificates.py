"""Platform admins manage the certificates of the installation; nobody else does, and no key comes back."""

import json
from typing import Any

import httpx
import psycopg
import pytest

from tests.api.conftest import calling
from tests.conftest import TestTenant
from tests.workers.certificates.authority import Authority

AUTHORITY = Authority()
PATH = "/api/admin/certificates"


@pytest.fixture(autouse=True)
def none_are_left(database_url: str) -> None:
    with psycopg.connect(database_url) as db:
        db.execute("DELETE FROM certificates")


async def upload(admin: httpx.AsyncClient, name: str, *names: str) -> dict[str, Any]:
    certificate, key = AUTHORITY.issue(*names)
    answer = await admin.post(PATH, json={"name": name, "certificate": certificate, "key": key})
    assert 201 == answer.status_code, answer.text
    return answer.json()


async def test_a_certificate_is_uploaded_replaced_and_deleted(admin: httpx.AsyncClient, database_url: str) -> None:
    certificate, key = AUTHORITY.issue("chat.example.com")
    given = {"certificate": certificate, "key": key}
    checked = (await admin.post(f"{PATH}/check", json=given)).json()
    assert (["chat.example.com"], []) == (checked["names"], checked["notes"])
    made = await admin.post(PATH, json=given | {"name": "public"})
    assert ("served", "uploaded", certificate) == tuple(made.json()[field] for field in ("state", "origin", "chain"))
    assert (f"{PATH}/public", 409) == (
        made.headers["location"],
        (await admin.post(PATH, json=given | {"name": "public"})).status_code,
    )

    renewed, new_key = AUTHORITY.issue("chat.example.com", "www.example.com")
    assert 400 == (await admin.put(f"{PATH}/public", json={"certificate": renewed})).status_code  # of another key
    replaced = (await admin.put(f"{PATH}/public", json={"certificate": renewed, "key": new_key})).json()
    assert ["chat.example.com", "www.example.com"] == replaced["names"]
    assert replaced["fingerprint"] != made.json()["fingerprint"]
    listed = await admin.get(PATH)
    assert [replaced] == listed.json()["items"]
    with psycopg.connect(database_url) as db:
        stored = db.execute(
            "SELECT array_agg(c::text) || (SELECT array_agg(a::text) FROM audit_log a) FROM certificates c"
        )
        everything = json.dumps(stored.fetchone()) + listed.text
    assert new_key[40:80] not in everything
    assert "certificate.replaced" in everything

    assert 204 == (await admin.delete(f"{PATH}/public")).status_code
    assert [404] * 3 == [
        (await admin.get(f"{PATH}/public")).status_code,
        (await admin.delete(f"{PATH}/public")).status_code,
        (await admin.put(f"{PATH}/%00", json={"certificate": renewed})).status_code,
    ]


async def test_a_mismatched_pair_is_refused_with_the_reason(admin: httpx.AsyncClient) -> None:
    certificate, key = AUTHORITY.issue("a.example")[0], AUTHORITY.issue("b.example")[1]
    for path, more in (("", {"name": "x"}), ("/check", {})):
        problem = (await admin.post(PATH + path, json={"certificate": certificate, "key": key} | more)).json()
        assert (400, "key") == (problem["status"], problem["errors"][0]["field"])
        assert "does not belong to the certificate for a.example" in problem["detail"]


async def test_a_requests_key_stays_here(admin: httpx.AsyncClient) -> None:
    made = (await admin.post(f"{PATH}/requests", json={"name": "csr", "names": ["A.example", "b.example"]})).json()
    assert ("waiting", None, ["a.example", "b.example"]) == (made["state"], made["chain"], made["names"])
    signed, _ = AUTHORITY.issue(csr=made["csr"])
    served = (await admin.put(f"{PATH}/csr", json={"certificate": signed})).json()
    assert ("served", "requested", made["csr"]) == (served["state"], served["origin"], served["csr"])
    assert 409 == (await admin.post(f"{PATH}/csr/renew")).status_code


async def test_a_self_signed_certificate_is_made_and_made_anew(admin: httpx.AsyncClient) -> None:
    wanted = {"name": "own", "names": ["chat.internal", "10.0.0.5"], "days": 30, "key_kind": "rsa_2048"}
    made = (await admin.post(f"{PATH}/self-signed", json=wanted)).json()
    assert ("self_signed", "rsa_2048", wanted["names"]) == (made["origin"], made["key_kind"], made["names"])
    anew = (await admin.post(f"{PATH}/own/renew")).json()
    assert (made["names"], made["key_kind"]) == (anew["names"], anew["key_kind"])
    assert made["fingerprint"] != anew["fingerprint"]


async def test_an_order_says_what_it_needs(admin: httpx.AsyncClient) -> None:
    order = {"name": "acme", "names": ["chat.example.com"]}
    for change, reason in (({}, "terms_accepted must be true"), ({"names": ["*.example.com"]}, "has a wildcard")):
        problem = (await admin.post(f"{PATH}/acme", json=order | change)).json()
        assert reason in problem["detail"]
    waiting = (await admin.post(f"{PATH}/acme", json=order | {"terms_accepted": True})).json()
    assert ("acme", "waiting", None) == (waiting["origin"], waiting["state"], waiting["error"])
    assert 200 == (await admin.post(f"{PATH}/acme/renew")).status_code


@pytest.mark.parametrize(
    "body",
    [
        {"name": "1x", "certificate": "c", "key": "k"},
        {"name": "x" * 65, "certificate": "c", "key": "k"},
        {"name": "x", "certificate": "c" * 70_000, "key": "k"},
        {"name": "x", "certificate": "\u0000", "key": "k"},
        {"name": "x", "certificate": "c", "key": None},
        {"name": "x", "certificate": "c", "key": "k", "serve": True},
        {"name": "x", "certificate": "-----BEGIN CERTIFICATE-----\n" * 999, "key": "k"},
    ],
)
async def test_hostile_uploads_are_refused(admin: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert 400 == (await admin.post(PATH, json=body)).status_code
    assert [] == (await admin.get(PATH)).json()["items"]


async def test_an_owner_may_not(application: httpx.AsyncClient, owner: TestTenant) -> None:
    async with calling(application, owner.key) as http:
        assert [403, 403] == [(await http.get(PATH)).status_code, (await http.delete(f"{PATH}/x")).status_code]


async def test_only_stored_challenges_are_answered(application: httpx.AsyncClient, database_url: str) -> None:
    path, token, over = "/.well-known/acme-challenge", "k" * 43, "o" * 43
    with psycopg.connect(database_url) as db:
        for name, lasts in ((token, "1 hour"), (over, "-1 hour")):
            db.execute(
                "INSERT INTO acme_challenges VALUES (%s, %s, now() + %s::interval)", (name, f"{name}.thumb", lasts)
            )
    answer = await application.get(f"{path}/{token}")
    assert (200, f"{token}.thumb") == (answer.status_code, answer.text)
    guesses = [over, "n" * 43, "short", "..%2Fx" * 9, "é" * 43, "k" * 199, "k" * 43 + "%00"]
    assert {404} == {(await application.get(f"{path}/{guess}")).status_code for guess in guesses}
    many = [(await application.get(f"{path}/{'m' * 43}")).status_code for _ in range(150)]
    assert 429 in many
