"""A certificate authority for tests: a root, an intermediate, and what it issues."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from workers.certificates.checking import write_key
from workers.certificates.names import alternative_names

DAY = timedelta(days=1)


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority:
    """`root` is what clients trust, `chain` what a server sends behind its own certificate."""

    def __init__(self) -> None:
        self._root_key, self._key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root = self._build("Test root", "Test root", self._root_key.public_key(), self._root_key, ca=True)
        chain = self._build("Test intermediate", "Test root", self._key.public_key(), self._root_key, ca=True)
        self.root, self.chain = pem(root), pem(chain)

    def trusted(self, folder: Path) -> str:
        """Return the path of a file with the root."""
        path = folder / f"root-{id(self)}-ca.pem"
        path.write_text(self.root)
        return str(path)

    def issue(self, *names: str, key: Any = None, csr: str | None = None, **options: Any) -> tuple[str, str]:
        """Return a certificate with its chain, and its key; of a request, the certificate for it. `options`: `begins` and
        `ends` (days from now), `use`, `bare` for one without names."""
        if csr is not None:
            request = x509.load_pem_x509_csr(csr.encode())
            names_in = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names = tuple(str(name.value) for name in names_in)
            public, key_pem = request.public_key(), ""
        else:
            key = key or ec.generate_private_key(ec.SECP256R1())
            public, key_pem = key.public_key(), write_key(key)
        built = self._build(names[0], "Test intermediate", public, self._key, names=names, **options)
        return pem(built) + self.chain, key_pem

    def _build(
        self,
        subject: str,
        issuer: str,
        public: Any,
        key: Any,
        *,
        names: Sequence[str] = (),
        ca: bool = False,
        begins: float = -1,
        ends: float = 90,
        use: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
        bare: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(named(issuer), named(subject), public, x509.random_serial_number())
        builder = builder.not_valid_before(now + begins * DAY).not_valid_after(now + ends * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        if ca:
            usage = dict.fromkeys(
                (
                    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
                    *("key_agreement", "encipher_only", "decipher_only"),
                ),
                False,
            )
            builder = builder.add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
        else:
            builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        if names and not bare:
            builder = builder.add_extension(alternative_names(names), critical=False)
        return builder.sign(key, hashes.SHA256())
