"""The settings of TLS in the API, and of the certificate authority that the scheduler asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from schema.installation.settings_check import read_choice
from tools.egress.trust import ca_file_from
from workers.certificates.contexts import VERSIONS

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
MAX_AGE_S = 63_072_000
PLAIN = ("redirect", "serve")


@dataclass(frozen=True)
class TlsSettings:
    """`port`: where TLS is served; None is nowhere. `minimum`: its oldest version. `plain`: whether the plain port sends
    clients to that one once there is a certificate, or goes on serving. `hsts_s`: how long browsers are told to come back
    by TLS alone; 0 is not at all."""

    port: int | None = None
    minimum: str = "1.2"
    plain: str = "redirect"
    hsts_s: int = 31_536_000

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "TlsSettings":
        """Read and check the settings. Raises ValueError, which names the setting and says what is right."""
        return cls(
            port=_whole(env, "HEADRACE_TLS_PORT", 1, 65_535) or None,
            minimum=read_choice(env, "HEADRACE_TLS_MIN_VERSION", tuple(VERSIONS)) or cls.minimum,
            plain=read_choice(env, "HEADRACE_PLAIN_HTTP", PLAIN) or cls.plain,
            hsts_s=cls.hsts_s if (given := _whole(env, "HEADRACE_HSTS_S", 0, MAX_AGE_S)) is None else given,
        )


@dataclass(frozen=True)
class AcmeSettings:
    """`directory`: the address of a certificate authority that speaks ACME (RFC 8555). `email`: whom it may write to.
    `ca_file`: certificates that its server's is checked with; None are the usual ones."""

    directory: str = LETS_ENCRYPT
    email: str | None = None
    ca_file: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "AcmeSettings":
        """Read and check the settings. Raises ValueError, which names the setting and says what is right."""
        directory = env.get("HEADRACE_ACME_DIRECTORY", "").strip() or cls.directory
        if urlsplit(directory).scheme != "https" or not urlsplit(directory).hostname:
            raise ValueError(f"HEADRACE_ACME_DIRECTORY is {directory[:80]!r}; it must be an address with https://.")
        email = env.get("HEADRACE_ACME_EMAIL", "").strip() or None
        if email is not None and not ("@" in email[1:-1] and email.isprintable() and " " not in email):
            raise ValueError(f"HEADRACE_ACME_EMAIL is {email[:80]!r}; it must be an address such as ops@example.com.")
        return cls(directory, email, ca_file_from(env))


def _whole(env: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    text = env.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ValueError(f"{name} is {text[:80]!r}; it must be a whole number from {least} to {most}.")
    return int(text)
