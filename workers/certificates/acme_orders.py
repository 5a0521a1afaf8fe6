"""One order of a certificate by ACME (RFC 8555), through certbot's library: blocking, for a thread.

    account ─► order ─► answer of each host stored ─► "look now" ─► authority asks our API ─► finalize with the request ─► chain

Failures are AcmeFailed: a sentence for the operator, made of what the authority says. Nothing of a key is in it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import requests
from acme import challenges, errors, messages
from acme.client import ClientNetwork, ClientV2
from cryptography.hazmat.primitives.asymmetric import rsa
from josepy.jwk import JWKRSA
from josepy.util import ComparableRSAKey
from requests.adapters import HTTPAdapter

from tools.egress.trust import new_client_context
from workers.certificates.checking import write_key
from workers.certificates.issuing import load_key
from workers.certificates.settings import AcmeSettings

logging.getLogger("acme").setLevel(logging.WARNING)  # it logs what it sends, signed as our account

ACCOUNT_BITS = 2048
ORDER_S = 120.0
CALL_S = 20
USER_AGENT = "headrace"
MAX_SAID = 300
NONCES = 5


class AcmeFailed(Exception):
    """The authority issued no certificate. `forgotten`: it no longer knows our account."""

    def __init__(self, sentence: str, *, forgotten: bool = False) -> None:
        super().__init__(sentence)
        self.forgotten = forgotten


@dataclass(frozen=True)
class Account:
    """Our account at an authority: its key (PEM), and what the authority has registered; None before it has."""

    key: str = field(repr=False)
    registered: dict[str, Any] | None = None


StoreAnswer = Callable[[str, str], None]
"""Lets the API answer for a token; returns when it can."""


def new_account_key() -> str:
    """Return a key for an account, as PEM."""
    return write_key(rsa.generate_private_key(65537, ACCOUNT_BITS))


def register(settings: AcmeSettings, account: Account) -> Account:
    """Return the account with what the authority has registered for its key. Raises AcmeFailed."""
    with _told():
        client = _client(settings, account)
        contact = (f"mailto:{settings.email}",) if settings.email else ()
        wanted = messages.NewRegistration(contact=contact, terms_of_service_agreed=True)
        try:
            done = client.new_account(wanted)
        except errors.ConflictError as known:
            body = messages.Registration(contact=contact)
            done = messages.RegistrationResource(body=body, uri=known.location)
        return Account(account.key, done.to_json())


def order(settings: AcmeSettings, account: Account, csr: str, store_answer: StoreAnswer) -> str:
    """Return the certificate for a request (PEM) with its chain, after the authority has called each of its hosts. Raises
    AcmeFailed."""
    with _told():
        client = _client(settings, account)
        ordered: Any = client.new_order(csr.encode())
        for authorization in ordered.authorizations:
            if authorization.body.status == messages.STATUS_VALID:
                continue
            challenge = _http_challenge(authorization)
            answer, text = challenge.response_and_validation(client.net.key)
            store_answer(challenge.chall.encode("token"), text)
            client.answer_challenge(challenge, answer)
        done = client.poll_and_finalize(ordered, datetime.now() + timedelta(seconds=ORDER_S))
        return done.fullchain_pem


def _http_challenge(authorization: Any) -> Any:
    for one in authorization.body.challenges:
        if isinstance(one.chall, challenges.HTTP01):
            return one
    host = authorization.body.identifier.value
    raise AcmeFailed(f"The authority doesn't check {host} over HTTP (HTTP-01), which is all that is offered here.")


def _client(settings: AcmeSettings, account: Account) -> ClientV2:
    key = JWKRSA(key=ComparableRSAKey(load_key(account.key)))
    network = _Network(key, user_agent=USER_AGENT, timeout=CALL_S)
    network.session.mount("https://", _Trusting(settings.ca_file))
    if account.registered is not None:
        network.account = messages.RegistrationResource.from_json(account.registered)
    return ClientV2(ClientV2.get_directory(settings.directory, network), network)


class _Network(ClientNetwork):
    """Sends again what was refused for its nonce: another was valid by then, or an authority of many machines lost it. The
    library does that once."""

    def post(self, *arguments: Any, **options: Any) -> requests.Response:
        for left in reversed(range(NONCES)):
            try:
                return super().post(*arguments, **options)
            except messages.Error as error:
                if error.code != "badNonce" or not left:
                    raise
        raise AssertionError("the last try returns or raises")


class _Trusting(HTTPAdapter):
    """Trusts the operator's authorities besides the usual ones."""

    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, ssl_context=new_client_context(self._ca_file), **options)


class _told:
    """Turns the library's failures into AcmeFailed."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case errors.ValidationError():
                raise AcmeFailed(_of_hosts(error)) from None
            case messages.Error():
                forgotten = error.code in ("accountDoesNotExist", "unauthorized")
                raise AcmeFailed(f"The authority refused: {_said(error)}", forgotten=forgotten) from None
            case errors.IssuanceError():
                raise AcmeFailed(f"The authority issued nothing: {_said(error.error)}") from None
            case errors.TimeoutError():
                raise AcmeFailed(f"The authority did not finish within {ORDER_S:g} seconds.") from None
            case requests.exceptions.SSLError():
                raise AcmeFailed(
                    "The authority's own certificate is not trusted here; HEADRACE_CA_FILE can name whom to trust."
                ) from None
            case requests.exceptions.RequestException():
                raise AcmeFailed(f"The authority can't be reached ({type(error).__name__}).") from None
            case errors.Error():
                raise AcmeFailed(f"The authority answered what ACME doesn't know ({type(error).__name__}).") from None


def _of_hosts(error: errors.ValidationError) -> str:
    """Return why the authority could not check hosts."""
    failed: Any = error.failed_authzrs
    said = [
        f"{one.body.identifier.value}: {_said(challenge.error)}"
        for one in failed
        for challenge in one.body.challenges
        if challenge.error is not None
    ]
    return f"The authority could not check {'; '.join(said)}"[: 2 * MAX_SAID]


def _said(error: Any) -> str:
    """Return what an authority says of an error, in one line."""
    text = " ".join(str(error.detail or error.typ or error).split())
    return "".join(letter for letter in text if letter.isprintable())[:MAX_SAID]
