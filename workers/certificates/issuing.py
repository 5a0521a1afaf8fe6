"""Makes keys, self-signed certificates, and requests for a certificate authority to sign."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from workers.certificates.checking import PrivateKey, kind_of, write_key
from workers.certificates.names import alternative_names, is_address

KeyKind = Literal["ecdsa_p256", "ecdsa_p384", "rsa_2048", "rsa_4096"]
CLOCKS_DIFFER = timedelta(minutes=5)
MAX_COMMON_NAME = 64


@dataclass(frozen=True)
class Request:
    """A request for a certificate (PEM), with the key that it was made with."""

    csr: str
    key: str = field(repr=False)
    key_kind: str


def make_key(kind: KeyKind) -> PrivateKey:
    """Return a new key."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("rsa_")))
    return ec.generate_private_key(ec.SECP256R1() if kind == "ecdsa_p256" else ec.SECP384R1())


def make_self_signed(names: Sequence[str], *, days: int, kind: KeyKind) -> tuple[str, str]:
    """Return a certificate for these names and its key, as PEM."""
    key, now = make_key(kind), datetime.now(UTC)
    subject = _subject(names)
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(alternative_names(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(Encoding.PEM).decode(), write_key(key)


def make_request(names: Sequence[str], *, kind: KeyKind, organization: str | None = None) -> Request:
    """Return a request for these names with a new key."""
    key = make_key(kind)
    return Request(sign_request(names, key, organization=organization), write_key(key), kind_of(key))


def sign_request(names: Sequence[str], key: PrivateKey, *, organization: str | None = None) -> str:
    """Return a request for these names (PEM), signed with a key."""
    built = x509.CertificateSigningRequestBuilder(_subject(names, organization)).add_extension(
        alternative_names(names), critical=False
    )
    return built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def load_key(pem: str) -> PrivateKey:
    """Return a key that was made here."""
    return cast(PrivateKey, load_pem_private_key(pem.encode(), None))


def _subject(names: Sequence[str], organization: str | None = None) -> x509.Name:
    """Return a subject; a host that is too long for it, or an address, is among the names alone."""
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    common = next((name for name in names if len(name) <= MAX_COMMON_NAME and not is_address(name)), None)
    return x509.Name([*([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else []), *parts])
