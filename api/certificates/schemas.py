"""Request and response structs of certificates. A private key is accepted, and never returned."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from api.http.fields import CreatedAt, NoNextCursor, UpdatedAt
from schema.queries.certificates.certificates import Certificate, Origin
from workers.certificates.issuing import KeyKind
from workers.certificates.names import MAX_NAMES

MAX_PEM = 65_536
State = Literal["served", "expired", "waiting"]

Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="Unique name: a letter, then up to 63 letters, digits, `_` or `-`. Can't be changed later.",
        examples=["public"],
    ),
]
Pem = Annotated[
    str,
    Meta(
        max_length=MAX_PEM,
        description="The certificate in PEM with its intermediates, in any order.",
        examples=["-----BEGIN CERTIFICATE-----\n…"],
    ),
]
# A plain string: a struct's validation error would quote the value.
Key = Annotated[
    str,
    Meta(
        max_length=MAX_PEM,
        description="The private key in PEM, without a passphrase. Stored encrypted, never returned.",
        examples=["-----BEGIN PRIVATE KEY-----\n…"],
    ),
]
Names = Annotated[
    list[Annotated[str, Meta(max_length=255)]],
    Meta(
        min_length=1,
        max_length=MAX_NAMES,
        description="The hosts and addresses that it is for, such as `chat.example.com`, `*.example.com`, `10.0.0.5`.",
        examples=[["chat.example.com"]],
    ),
]
NewKeyKind = Annotated[KeyKind, Meta(description="What kind of key is made. All clients take `ecdsa_p256`.")]
Days = Annotated[int, Meta(ge=1, le=3650, description="How long it is valid.")]
Organization = Annotated[str, Meta(min_length=1, max_length=64, description="The organization that the request names.")]
Terms = Annotated[
    bool, Meta(description="Whether you agree to the terms of the authority, which issues nothing without: send true.")
]


class _WithKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class CertificateIn(_WithKey, frozen=True, kw_only=True):
    """A certificate and its key, to be served."""

    name: Name
    certificate: Pem
    key: Key


class CheckIn(_WithKey, frozen=True, kw_only=True):
    """A certificate and its key, to be looked at."""

    certificate: Pem
    key: Key


class ReplacementIn(_WithKey, frozen=True, kw_only=True):
    """What takes the place of a certificate. Without a key, the stored one must belong to it."""

    certificate: Pem
    key: Key | None = None


class SelfSignedIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A self-signed certificate to make."""

    name: Name
    names: Names
    days: Days = 365
    key_kind: NewKeyKind = "ecdsa_p256"


class RequestIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for an authority to sign; its key is made and kept here."""

    name: Name
    names: Names
    key_kind: NewKeyKind = "ecdsa_p256"
    organization: Organization | None = None


class AcmeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate to be had from the authority in `HEADRACE_ACME_DIRECTORY`, and renewed."""

    name: Name
    names: Names
    terms_accepted: Terms = False


class FactsOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate says."""

    names: Annotated[list[str], Meta(description="The hosts and addresses that it is for.")]
    key_kind: Annotated[str, Meta(description="The kind of its key, such as `ecdsa_p256` or `rsa_2048`.")]
    issuer: Annotated[str | None, Meta(description="Who issued it.")]
    fingerprint: Annotated[str | None, Meta(description="SHA-256 of it, in hex.")]
    not_before: Annotated[datetime | None, Meta(description="From when on it is valid.")]
    not_after: Annotated[datetime | None, Meta(description="Until when it is valid.")]


class CheckOut(FactsOut, frozen=True, kw_only=True):
    """A certificate that can be served."""

    notes: Annotated[list[str], Meta(description="What is allowed and may surprise, as sentences.")]


class CertificateOut(FactsOut, frozen=True, kw_only=True):
    """A stored certificate, without its key."""

    name: Name
    origin: Annotated[
        Origin,
        Meta(description="`uploaded`; `self_signed` here; `requested` with a key made here; or had by `acme`."),
    ]
    state: Annotated[
        State, Meta(description="Whether it is `served`, has `expired`, or is `waiting` for an authority.")
    ]
    chain: Annotated[str | None, Meta(description="It and its intermediates in PEM; null while it is waited for.")]
    csr: Annotated[str | None, Meta(description="The request (PEM) that an authority is to sign, if there is one.")]
    next_try_at: Annotated[datetime | None, Meta(description="When the authority is asked next, of `acme`.")]
    error: Annotated[str | None, Meta(description="Why the authority issued none when it was last asked.")]
    created_at: CreatedAt
    updated_at: UpdatedAt


class CertificatesOut(msgspec.Struct, frozen=True):
    """The certificates of the installation."""

    items: Annotated[list[CertificateOut], Meta(description="The certificates, ordered by name.")]
    next_cursor: NoNextCursor = None


PEM_EXAMPLE = "-----BEGIN CERTIFICATE-----\nMIIBajCCARGgAwIBAgIU…\n-----END CERTIFICATE-----\n"
KEY_EXAMPLE = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49…\n-----END PRIVATE KEY-----\n"
FACTS_EXAMPLE: dict[str, Any] = {
    "names": ["chat.example.com"],
    "key_kind": "ecdsa_p256",
    "issuer": "Example CA R3",
    "fingerprint": "26219a702fc3b2a48eabce26eb22a4816d4af6480fe09df3f62ce854c3624440",
    "not_before": "2026-11-01T00:00:00Z",
    "not_after": "2027-01-30T00:00:00Z",
}
EXAMPLE: dict[str, Any] = {
    "name": "public",
    "origin": "uploaded",
    "state": "served",
    "chain": PEM_EXAMPLE,
    "csr": None,
    "next_try_at": None,
    "error": None,
    **FACTS_EXAMPLE,
    "created_at": "2026-11-02T08:15:30Z",
    "updated_at": "2026-11-02T08:15:30Z",
}
WAITING_EXAMPLE = EXAMPLE | dict.fromkeys(("chain", "issuer", "fingerprint", "not_before", "not_after"))
REQUEST_EXAMPLE = WAITING_EXAMPLE | {
    "origin": "requested",
    "state": "waiting",
    "csr": "-----BEGIN CERTIFICATE REQUEST-----\nMIHwMIGXAgEAMBsxGTAX…\n-----END CERTIFICATE REQUEST-----\n",
}


def state_of(row: Certificate, now: datetime) -> State:
    """Return whether a certificate is served."""
    if row.chain is None or row.not_after is None:
        return "waiting"
    return "served" if row.not_after > now else "expired"
