"""Access tokens of ours: what is accepted, and every known way to pass another one off as ours."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.jwk import RSAKey

from api.auth.tokens.access_tokens import AccessTokens
from schema.errors import Unauthenticated
from schema.postgres.connections import tenant_tx
from tests.api.people import Issuer, bearer, make_key, signed_in, status_of, trust
from tests.conftest import TestTenant
from tests.secret import VAULT
from tests.waiting import eventually
from workers.queue.job_core import JobCore
from workers.signing_keys import SigningKeys, rotate_signing_key

DAY = 24 * 3600


class Forge:
    """A token of ours taken apart, and our own key to sign the changed one with: what remains wrong is the change."""

    def __init__(self, token: str, key: RSAKey) -> None:
        self.token, self.key = token, key
        self.header, self.claims = (read_part(part) for part in token.split(".")[:2])

    def sign(self, key: RSAKey | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Sign by hand, so that no library refuses to; what is None is left out."""
        head = {name: value for name, value in (self.header | (header or {})).items() if value is not None}
        said = {name: value for name, value in (self.claims | claims).items() if value is not None}
        signed = f"{write_part(head)}.{write_part(said)}"
        signature = (key or self.key).private_key.sign(signed.encode(), PKCS1v15(), SHA256())
        return f"{signed}.{write_bytes(signature)}"

    def unsigned(self, alg: str, signature: str = "") -> str:
        return f"{write_part(self.header | {'alg': alg})}.{self.token.split('.')[1]}.{signature}"

    def hmac_with_the_public_key(self) -> str:
        signed = self.unsigned("HS256")[:-1]
        mac = hmac.digest(self.key.as_pem(private=False), signed.encode(), hashlib.sha256)
        return f"{signed}.{write_bytes(mac)}"


def read_part(part: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(part + "=="))


def write_part(value: Any) -> str:
    return write_bytes(json.dumps(value, separators=(",", ":")).encode())


def write_bytes(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@pytest.fixture
async def forge(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> Forge:
    token = (await signed_in(api, database_url, tenant))["access_token"]
    key = await api._transport.app.state.resources.signing.current()
    return Forge(token, key)


async def test_the_token_of_a_sign_in_is_accepted(api: httpx.AsyncClient, forge: Forge) -> None:
    assert 200 == await status_of(api, forge.token)
    assert 200 == await status_of(api, forge.sign())  # so that what fails below fails for its change


async def test_a_token_says_what_the_standard_wants(forge: Forge, tenant: TestTenant) -> None:
    assert ("at+jwt", "RS256") == (forge.header["typ"], forge.header["alg"])
    wanted = {"iss", "aud", "sub", "tenant_id", "sid", "role", "email", "iat", "exp", "jti"}
    assert wanted == set(forge.claims)
    assert (str(tenant.id), "headrace", DAY) == (
        forge.claims["tenant_id"],
        forge.claims["aud"],
        forge.claims["exp"] - forge.claims["iat"],
    )


ATTACKS: dict[str, Callable[[Forge], str]] = {
    "alg none": lambda forge: forge.unsigned("none"),
    "alg None": lambda forge: forge.unsigned("None"),
    "alg none with our signature": lambda forge: forge.unsigned("none", forge.token.split(".")[2]),
    "alg none, two parts": lambda forge: forge.unsigned("none")[:-1],
    "HS256 with our public key": Forge.hmac_with_the_public_key,
    "RS512 in the header": lambda forge: forge.sign(header={"alg": "RS512"}),
    "PS256 in the header": lambda forge: forge.sign(header={"alg": "PS256"}),
    "no alg": lambda forge: forge.sign(header={"alg": None}),
    "no signature": lambda forge: forge.token.rsplit(".", 1)[0] + ".",
    "another's signature": lambda forge: forge.sign(make_key(forge.header["kid"])),
    "changed claims": lambda forge: ".".join(
        [forge.token.split(".")[0], write_part(forge.claims | {"role": "admin"}), forge.token.split(".")[2]]
    ),
    "unknown kid": lambda forge: forge.sign(header={"kid": str(uuid4())}),
    "kid that is a path": lambda forge: forge.sign(header={"kid": "../../../dev/null"}),
    "kid that is SQL": lambda forge: forge.sign(header={"kid": "' OR 1=1 --"}),
    "kid that is a list": lambda forge: forge.sign(header={"kid": [forge.header["kid"]]}),
    "no kid": lambda forge: forge.sign(header={"kid": None}),
    "crit that we don't know": lambda forge: forge.sign(header={"crit": ["exp"], "exp": 1}),
    "empty crit": lambda forge: forge.sign(header={"crit": []}),
    "b64": lambda forge: forge.sign(header={"b64": False, "crit": ["b64"]}),
    "typ of another kind": lambda forge: forge.sign(header={"typ": "logout+jwt"}),
    "typ of an ID token": lambda forge: forge.sign(header={"typ": "JWT"}),
    "no typ": lambda forge: forge.sign(header={"typ": None}),
    "cty": lambda forge: forge.sign(header={"cty": "JWT"}),
    "embedded jwk": lambda forge: forge.sign(evil := make_key("evil"), {"kid": "evil", "jwk": evil.as_dict()}),
    "embedded jwk under our kid": lambda forge: forge.sign(
        evil := make_key(forge.header["kid"]), {"jwk": evil.as_dict(private=False)}
    ),
    "jku": lambda forge: forge.sign(make_key("evil"), {"kid": "evil", "jku": "https://evil.example.com/keys"}),
    "x5u": lambda forge: forge.sign(make_key("evil"), {"kid": "evil", "x5u": "https://evil.example.com/pem"}),
    "x5c": lambda forge: forge.sign(header={"x5c": ["MIIB"]}),
    "expired": lambda forge: forge.sign(iat=int(time.time()) - 7200, exp=int(time.time()) - 3600),
    "good for 48 hours": lambda forge: forge.sign(exp=int(time.time()) + 2 * DAY),
    "no exp": lambda forge: forge.sign(exp=None),
    "no iat": lambda forge: forge.sign(iat=None),
    "exp before iat": lambda forge: forge.sign(iat=int(time.time()) + 20, exp=int(time.time()) + 10),
    "exp that is text": lambda forge: forge.sign(exp="9999999999"),
    "exp that is true": lambda forge: forge.sign(exp=True),
    "exp that is no number": lambda forge: forge.sign(exp=float("nan")),
    "exp that is endless": lambda forge: forge.sign(exp=float("inf")),
    "exp beyond floats": lambda forge: forge.sign(exp=10**400, iat=0.5),
    "from the future": lambda forge: forge.sign(iat=int(time.time()) + 3600, exp=int(time.time()) + 7200),
    "not yet": lambda forge: forge.sign(nbf=int(time.time()) + 3600),
    "wrong audience": lambda forge: forge.sign(aud="another"),
    "one of several audiences": lambda forge: forge.sign(aud=["headrace", "another"]),
    "no audience": lambda forge: forge.sign(aud=None),
    "wrong issuer": lambda forge: forge.sign(iss="https://evil.example.com"),
    "our issuer with a slash": lambda forge: forge.sign(iss=forge.claims["iss"] + "/"),
    "issuer that is a list": lambda forge: forge.sign(iss=[forge.claims["iss"]]),
    "no issuer": lambda forge: forge.sign(iss=None),
    "tenant that is a list": lambda forge: forge.sign(tenant_id=[forge.claims["tenant_id"]]),
    "tenant that is an object": lambda forge: forge.sign(tenant_id={"$ne": None}),
    "tenant that is no id": lambda forge: forge.sign(tenant_id="' OR 1=1 --"),
    "no tenant": lambda forge: forge.sign(tenant_id=None),
    "user that is a list": lambda forge: forge.sign(sub=[forge.claims["sub"]]),
    "another user": lambda forge: forge.sign(sub=str(uuid4())),
    "sign-in that is a list": lambda forge: forge.sign(sid=[forge.claims["sid"]]),
    "unknown sign-in": lambda forge: forge.sign(sid=str(uuid4())),
    "no sign-in": lambda forge: forge.sign(sid=None),
    "oversized": lambda forge: forge.sign(padding="x" * 8192),
    "four parts": lambda forge: forge.token + ".x",
    "five parts, as if encrypted": lambda forge: forge.token + ".x.y",
    "spaces inside": lambda forge: forge.token.replace(".", " ."),
    "not base64": lambda forge: "$$$." + forge.token.split(".", 1)[1],
    "header that is a list": lambda forge: f"{write_part([1])}.{forge.token.split('.', 1)[1]}",
    "header that is nested deeply": lambda forge: f"{write_bytes(b'[' * 3000)}.{forge.token.split('.', 1)[1]}",
    "claims that are nested deeply": lambda forge: (
        f"{forge.token.split('.')[0]}.{write_bytes(b'[' * 3000)}.{forge.token.split('.')[2]}"
    ),
    "claims that are null": lambda forge: f"{forge.token.split('.')[0]}.{write_part(None)}.xxxx",
    "garbage": lambda forge: "gar.ba.ge",
    "dots": lambda forge: "..",
}


async def test_every_attack_is_refused_with_the_same_words(api: httpx.AsyncClient, forge: Forge) -> None:
    plain = (await api.get("/api/auth/me", headers=bearer("gar.ba.ge"))).json()["detail"]
    heard = {}
    for attack, make in ATTACKS.items():
        answer = await api.get("/api/auth/me", headers=bearer(make(forge)))
        heard[attack] = (answer.status_code, answer.json().get("code"), answer.json().get("detail"))
    assert heard == dict.fromkeys(ATTACKS, (401, "unauthenticated", plain))


async def test_the_tenant_of_another_is_refused(api: httpx.AsyncClient, forge: Forge, stranger: TestTenant) -> None:
    assert 401 == await status_of(api, forge.sign(tenant_id=str(stranger.id)))


async def test_an_issuer_is_not_us_because_it_says_so(api: httpx.AsyncClient, forge: Forge) -> None:
    issuer = Issuer()
    trust(api, issuer)
    assert 401 == await status_of(api, issuer.token(header={"typ": "at+jwt"}, **forge.claims))


async def test_clocks_may_differ_by_half_a_minute(api: httpx.AsyncClient, forge: Forge) -> None:
    now = int(time.time())
    assert 200 == await status_of(api, forge.sign(iat=now - 600, exp=now - 20))
    assert 200 == await status_of(api, forge.sign(iat=now + 20, exp=now + 600))


async def test_a_token_is_worthless_within_a_second_of_signing_out(api: httpx.AsyncClient, forge: Forge) -> None:
    assert 200 == await status_of(api, forge.token)
    assert 204 == (await api.post("/api/auth/logout", headers=bearer(forge.token))).status_code
    await eventually(lambda: status_of(api, forge.token), 401)


async def test_anybody_can_check_our_tokens_with_what_we_publish(api: httpx.AsyncClient, forge: Forge) -> None:
    answer = await api.get("/.well-known/jwks.json", headers={"Authorization": ""})
    assert (200, "public, max-age=300") == (answer.status_code, answer.headers["cache-control"])
    (jwk,) = [key for key in answer.json()["keys"] if key["kid"] == forge.header["kid"]]
    assert {"kty", "n", "e", "kid", "use", "alg"} == set(jwk)
    assert ("RSA", "sig", "RS256") == (jwk["kty"], jwk["use"], jwk["alg"])
    assert forge.claims == jwt.decode(forge.token, RSAKey.import_key(jwk), algorithms=["RS256"]).claims


async def test_a_rotated_key_is_published_before_it_signs_and_the_old_one_still_verifies(
    core: JobCore, database_url: str
) -> None:
    before = await SigningKeys(core.pool, VAULT).current()
    rotation = await rotate_signing_key(database_url, VAULT)
    after = SigningKeys(core.pool, VAULT)
    assert before.kid == (await after.current()).kid
    assert {before.kid, str(rotation.kid)} <= {key["kid"] for key in (await after.public_jwks())["keys"]}
    assert (600, 600 + DAY) == (rotation.signs_in.total_seconds(), rotation.retire_in.total_seconds())


async def test_a_key_that_got_known_is_worthless_at_once(core: JobCore, database_url: str) -> None:
    before = await SigningKeys(core.pool, VAULT).current()
    rotation = await rotate_signing_key(database_url, VAULT, immediately=True)
    after = SigningKeys(core.pool, VAULT)
    assert str(rotation.kid) == (await after.current()).kid
    assert await after.find(str(before.kid)) is None


async def test_a_process_learns_of_a_key_that_another_made(core: JobCore, database_url: str) -> None:
    keys = SigningKeys(core.pool, VAULT)
    await keys.current()
    rotation = await rotate_signing_key(database_url, VAULT)

    async def knows() -> bool:
        return await keys.find(str(rotation.kid)) is not None

    await eventually(knows, True)


async def test_processes_that_start_together_make_one_key(core: JobCore, database_url: str) -> None:
    with psycopg.connect(database_url) as db:
        db.execute("DELETE FROM signing_keys")
    made = await asyncio.gather(*(SigningKeys(core.pool, VAULT).current() for _ in range(6)))
    assert 1 == len({key.kid for key in made})


async def test_an_old_key_can_not_be_retired_by_a_process_that_serves(core: JobCore) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with tenant_tx(core.pool, uuid4()) as db:
            await db.execute("UPDATE signing_keys SET retires_at = NULL")


def test_a_token_lives_a_day_at_most() -> None:
    with pytest.raises(ValueError, match="must be 1 to 86400"):
        AccessTokens(None, None, None, issuer="x", lifetime_s=DAY + 1)


async def test_what_is_refused_is_not_repeated(core: JobCore) -> None:
    tokens = AccessTokens(core.pool, SigningKeys(core.pool, VAULT), Issuer(), issuer="https://here.example.com")
    with pytest.raises(Unauthenticated) as refused:
        await tokens.find_principal("eyJhbGciOiJub25lIn0.eyJzZWNyZXQiOiAxfQ.")
    assert "eyJ" not in str(refused.value)
