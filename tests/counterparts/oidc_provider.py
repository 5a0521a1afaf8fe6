"""An OpenID provider over real sockets: discovery, authorization with PKCE, tokens, keys that rotate, userinfo.

It is as strict as a good provider: codes work once, and only for their client, redirect URI and verifier. Misbehaviour is
selected by name (`behave`).
"""

import base64
import hashlib
import json
import secrets
import time
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from tests.counterparts.http_server import CounterpartServer, Exchange

Json = dict[str, Any]

CLIENT, SECRET = "headrace-web", "s3cret+with/odd=signs"

SAYS: dict[str, Json] = {
    "wrong nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "wrong audience": {"aud": "another-client"},
    "two audiences": {"aud": [CLIENT, "another-client"]},
    "two audiences, ours asked": {"aud": [CLIENT, "another-client"], "azp": CLIENT},
    "another asked": {"azp": "another-client"},
    "expired": {"iat": int(time.time()) - 7200, "exp": int(time.time()) - 3600},
    "other issuer": {"iss": "https://another.example.com"},
    "wrong at_hash": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "no subject": {"sub": None},
}
"""Behaviours that change claims of the ID token; None leaves a claim out."""


class OidcProvider(CounterpartServer):
    """`person` signs in without being asked; `redirect_uris` are those of its only client (empty: all are allowed)."""

    def __init__(self, *, secret: str | None = SECRET, methods: tuple[str, ...] = ("client_secret_basic",)) -> None:
        super().__init__()
        self.secret, self.methods = secret, methods
        self.person: Json = {"sub": "ada", "email": "ada@example.com", "email_verified": True, "name": "Ada"}
        self.behave = ""
        self.redirect_uris: list[str] = []
        self.keys = [make_key("first")]
        self.says_iss = False
        self._codes: dict[str, Json] = {}

    async def handle(self, exchange: Exchange) -> None:
        path, _, query = exchange.path.partition("?")
        if path == "/.well-known/openid-configuration":
            exchange.answer(200, self._configuration())
        elif path == "/authorize":
            self._authorize(exchange, dict(parse_qsl(query)))
        elif path == "/token":
            await self._token(exchange, exchange.record.body)
        elif path == "/jwks":
            exchange.answer(200, {"keys": [key.as_dict(private=False) for key in self.keys]})
        elif path == "/userinfo":
            person = {**self.person, "sub": "mallory"} if self.behave == "userinfo of another" else self.person
            exchange.answer(200 if exchange.record.headers.get("authorization") else 401, person)
        else:
            exchange.answer(404, {})

    def _configuration(self) -> Json:
        places = ("authorization_endpoint", "/authorize"), ("token_endpoint", "/token"), ("jwks_uri", "/jwks")
        return {
            "issuer": self.url,
            **{name: self.url + path for name, path in (*places, ("userinfo_endpoint", "/userinfo"))},
            "token_endpoint_auth_methods_supported": list(self.methods),
            "authorization_response_iss_parameter_supported": self.says_iss,
        }

    def _authorize(self, exchange: Exchange, asked: Json) -> None:
        wanted = {"client_id": CLIENT, "response_type": "code", "code_challenge_method": "S256"}
        wrong = [name for name, value in wanted.items() if asked.get(name) != value]
        wrong += [name for name in ("state", "nonce", "code_challenge") if not asked.get(name)]
        known = not self.redirect_uris or asked.get("redirect_uri") in self.redirect_uris
        if wrong or not known or "openid" not in asked.get("scope", "").split():
            exchange.answer(400, {"error": "invalid_request", "wrong": wrong})
            return
        said = {"state": asked["state"], **({"iss": self.url} if self.says_iss else {})}
        if self.behave == "access denied":
            said |= {"error": "access_denied", "error_description": "<b>No</b>\n" + "so " * 200}
        else:
            said["code"] = secrets.token_urlsafe(16)
            self._codes[said["code"]] = asked
        exchange.answer(302, {}, {"location": f"{asked['redirect_uri']}?{urlencode(said)}"})

    async def _token(self, exchange: Exchange, form: Json) -> None:
        if self.behave == "slow":
            await exchange.until_gone()
        elif self.behave == "garbage":
            data = b"<html>" + b"x" * 100
            exchange.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(data) + data)
            exchange.finish()
        elif self.behave == "broken":
            exchange.answer(500, {"error": "server_error"})
        elif self.behave == "redirects":
            exchange.answer(307, {}, {"location": f"{self.url}/token"})
        elif self.behave == "tells the secret":
            exchange.answer(400, {"error": f"bad secret {self.secret}", "error_description": json.dumps(form)})
        elif not self._knows_client(exchange, form):
            exchange.answer(401, {"error": "invalid_client"})
        else:
            self._redeem(exchange, form)

    def _knows_client(self, exchange: Exchange, form: Json) -> bool:
        if self.secret is None:
            return form.get("client_id") == CLIENT
        if "client_secret_post" in self.methods:
            return (form.get("client_id"), form.get("client_secret")) == (CLIENT, self.secret)
        scheme, _, pair = exchange.record.headers.get("authorization", "").partition(" ")
        client, _, secret = base64.b64decode(pair).decode().partition(":")
        return (scheme, unquote(client), unquote(secret)) == ("Basic", CLIENT, self.secret)

    def _redeem(self, exchange: Exchange, form: Json) -> None:
        asked = self._codes.pop(form.get("code", ""), None)
        verifier = form.get("code_verifier", "").encode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=").decode()
        same = asked is not None and asked["redirect_uri"] == form.get("redirect_uri")
        if asked is None or not same or asked["code_challenge"] != challenge:
            exchange.answer(400, {"error": "invalid_grant"})
            return
        if self.behave == "rotates":
            self.keys = [make_key("second"), *self.keys]
        access_token = secrets.token_urlsafe(16)
        said: Json = {"access_token": access_token, "token_type": "Bearer", "expires_in": 3600}
        if self.behave != "no ID token":
            said["id_token"] = self._id_token(asked["nonce"], access_token)
        exchange.answer(200, said)

    def _id_token(self, nonce: str, access_token: str) -> str:
        now, half = int(time.time()), hashlib.sha256(access_token.encode()).digest()[:16]
        said: Json = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 600, "nonce": nonce, **self.person}
        said["at_hash"] = base64.urlsafe_b64encode(half).rstrip(b"=").decode()
        if self.behave in ("thin", "userinfo of another"):
            said = {name: value for name, value in said.items() if not name.startswith("email")}
        said |= SAYS.get(self.behave, {})
        return self._sign({name: value for name, value in said.items() if value is not None})

    def _sign(self, said: Json) -> str:
        if self.behave == "unsigned":
            head = {"alg": "none", "kid": self.keys[0].kid}
            return ".".join([*(_part(each) for each in (head, said)), ""])
        if self.behave == "HS256":
            key = OctKey.import_key((self.secret or "") + "x" * 32, {"kid": self.keys[0].kid})
            return jwt.encode({"alg": "HS256", "kid": self.keys[0].kid}, said, key, algorithms=["HS256"])
        key = make_key(self.keys[0].kid, "forged") if self.behave == "another key" else self.keys[0]
        typ = {"typ": "at+jwt"} if self.behave == "access token" else {}
        return jwt.encode({"alg": "RS256", "kid": key.kid, **typ}, said, key, algorithms=["RS256"], default_type=None)


@cache
def make_key(kid: str | None, purpose: str = "signs") -> RSAKey:
    """Return the RSA key of this name, cached because generating one takes a while."""
    return RSAKey.generate_key(2048, {"kid": kid or "", "use": "sig", "alg": "RS256"})


def query_of(url: str) -> dict[str, str]:
    """Return the query parameters of a URL."""
    return dict(parse_qsl(urlsplit(url).query))


def _part(said: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()
