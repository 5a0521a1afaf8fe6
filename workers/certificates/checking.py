"""Checks a certificate with its chain and its key, before it is stored: each refusal says what is wrong and what is right."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from schema.errors import InputError
from workers.certificates.contexts import ContextRefused, server_context
from workers.certificates.names import names_in

MAX_CHAIN = 10
MIN_RSA_BITS = 2048
WEAK_HASHES = (hashes.MD5, hashes.SHA1)
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
KEYS = "an RSA key of 2048 bits or more, or an ECDSA key of the curve P-256, P-384 or P-521"


@dataclass(frozen=True)
class Checked:
    """A certificate that can be served: `chain` as PEM, itself first and without a root; `key` as PEM. `notes` are sentences
    about what is allowed and may surprise."""

    chain: str
    key: str = field(repr=False)
    names: list[str]
    key_kind: str
    issuer: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    notes: list[str]

    @property
    def columns(self) -> dict[str, Any]:
        """What is stored of it besides the key."""
        names = ("chain", "names", "key_kind", "issuer", "fingerprint", "not_before", "not_after")
        return {name: getattr(self, name) for name in names}


def check_pair(certificate: str, key: str, *, now: datetime | None = None) -> Checked:
    """Return the pair as it is served. `certificate` is PEM with its intermediates, in any order. Raises InputError."""
    private, certificates = read_key(key), read_certificates(certificate)
    leaf = _of_key(certificates, private)
    chain = _ordered(leaf, certificates)
    now = now or datetime.now(UTC)
    names = names_in(leaf)
    _check_leaf(leaf, names, now)
    for issuer in chain[1:]:
        _check_issuer(issuer, now)
    pem, key_pem = "".join(map(_pem, chain)), write_key(private)
    try:
        server_context(pem, key_pem)
    except ContextRefused as refused:
        raise InputError(f"certificate can't be served: OpenSSL refuses it ({refused}).", field="certificate") from None
    return Checked(
        chain=pem,
        key=key_pem,
        names=names,
        key_kind=kind_of(private),
        issuer=_name(leaf.issuer),
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        notes=_notes(chain, names, len(certificates)),
    )


def read_key(pem: str) -> PrivateKey:
    """Return a private key that is strong enough. Raises InputError, which doesn't quote it."""
    if "ENCRYPTED" in pem:
        raise InputError(
            "key is protected by a passphrase, which nobody could enter here. Remove it with `openssl pkey -in FILE` and send "
            "what that prints; it is stored encrypted.",
            field="key",
        )
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        what = "a certificate, not a key" if "BEGIN CERTIFICATE" in pem else "no private key in PEM"
        raise InputError(f"key holds {what}. It must begin with -----BEGIN PRIVATE KEY-----.", field="key") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= MIN_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, CURVES):
        return key
    size = f"has {key.key_size} bits" if isinstance(key, rsa.RSAPrivateKey) else "is of a kind that browsers don't take"
    raise InputError(f"key {size}. It must be {KEYS}; make a new one, with a new certificate.", field="key")


def read_certificates(pem: str, *, field: str = "certificate") -> list[x509.Certificate]:
    """Return the certificates of a PEM text. Raises InputError."""
    if "PRIVATE KEY-----" in pem:
        raise InputError(f"{field} contains a private key. Send the key as `key` alone.", field=field)
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        begins = "-----BEGIN CERTIFICATE-----"
        what = "can't be read as PEM" if begins in pem else "holds no certificate in PEM"
        raise InputError(f"{field} {what}. It must begin with {begins}.", field=field) from None
    if len(found) > MAX_CHAIN:
        raise InputError(
            f"{field} holds {len(found)} certificates; it must hold the server's and its intermediates, {MAX_CHAIN} at most.",
            field=field,
        )
    return found


def kind_of(key: PrivateKey) -> str:
    """Return what kind of key it is, such as `rsa_2048` or `ecdsa_p256`."""
    return f"rsa_{key.key_size}" if isinstance(key, rsa.RSAPrivateKey) else f"ecdsa_p{key.curve.key_size}"


def write_key(key: PrivateKey) -> str:
    """Return a key as PEM, unencrypted: for the vault and for OpenSSL."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def describe(certificate: x509.Certificate) -> str:
    """Return how sentences call a certificate: by its names, or its subject."""
    names = names_in(certificate)
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "") or _name(certificate.subject)


def day(moment: datetime) -> str:
    """Return a moment as sentences say it."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _of_key(certificates: Sequence[x509.Certificate], key: PrivateKey) -> x509.Certificate:
    """Return the certificate that the key belongs to. Raises InputError if there is none."""
    wanted = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for one in certificates:
        if one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == wanted:
            return one
    raise InputError(
        f"key does not belong to the certificate for {describe(certificates[0])}: their public keys differ. Send the key that "
        "the certificate was requested with.",
        field="key",
    )


def _ordered(leaf: x509.Certificate, certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Return a certificate and what issued it, as far as that is there, without a root. Raises InputError for others."""
    chain, left = [leaf], [one for one in dict.fromkeys(certificates) if one != leaf]
    while issuer := next((one for one in left if _issued(one, chain[-1])), None):
        chain.append(issuer)
        left.remove(issuer)
    if left:
        raise InputError(
            f"certificate holds {describe(left[0])}, which issued no {describe(chain[-1])} ({_name(chain[-1].issuer)} did). "
            "It must hold the server's certificate and its intermediates alone.",
            field="certificate",
        )
    return chain[:-1] if len(chain) > 1 and _issued(chain[-1], chain[-1]) else chain


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _check_leaf(leaf: x509.Certificate, names: Sequence[str], now: datetime) -> None:
    if not names:
        raise InputError(
            "certificate names no host (subject alternative names); clients don't look at its common name. Request one with "
            "the names that it is for.",
            field="certificate",
        )
    _check_time(leaf, f"certificate for {describe(leaf)}", now)
    _check_hash(leaf)
    try:
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}.intersection(uses):
        raise InputError(
            "certificate is not for servers (its extended key usage lacks serverAuth). Request one for a server.",
            field="certificate",
        )


def _check_issuer(issuer: x509.Certificate, now: datetime) -> None:
    _check_time(issuer, f"certificate of {describe(issuer)}, an intermediate,", now)
    _check_hash(issuer)


def _check_time(certificate: x509.Certificate, what: str, now: datetime) -> None:
    if certificate.not_valid_after_utc <= now:
        ended = day(certificate.not_valid_after_utc)
        raise InputError(f"The {what} expired on {ended}. Send one that is valid now.", field="certificate")
    if certificate.not_valid_before_utc > now:
        begins = day(certificate.not_valid_before_utc)
        raise InputError(
            f"The {what} is not valid before {begins}; here it is {day(now)}. Send it then, or set the clock right.",
            field="certificate",
        )


def _check_hash(certificate: x509.Certificate) -> None:
    used = certificate.signature_hash_algorithm
    if isinstance(used, WEAK_HASHES):
        raise InputError(
            f"certificate of {describe(certificate)} is signed with {used.name.upper()}, which clients refuse. Request one "
            "that is signed with SHA-256 or better.",
            field="certificate",
        )


def _notes(chain: Sequence[x509.Certificate], names: Sequence[str], given: int) -> list[str]:
    leaf, notes = chain[0], list[str]()
    if leaf.issuer == leaf.subject:
        notes.append("It is self-signed: clients trust it only if they are given it as an authority.")
    elif len(chain) == 1 and given == 1:
        notes.append(
            f"It comes without intermediates: clients that don't know its issuer, {_name(leaf.issuer)}, will refuse it. "
            "Authorities usually offer a file with the full chain."
        )
    if all("." not in name for name in names):
        notes.append("It is for names without a domain alone, which only this network knows.")
    return notes


def _name(name: x509.Name) -> str:
    """Return a distinguished name for people: its common name, or all of it."""
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string() or "an unnamed authority"


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
