"""A TLS context for a certificate and its key. Each is new and never changed: a context that serves already, and is given a
pair that doesn't match, would fail every later handshake."""

import ssl

from tools.egress.trust import as_file

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
PROTOCOLS = ["http/1.1"]


class ContextRefused(Exception):
    """OpenSSL takes no context of this; says its reason, which quotes nothing of the key."""


def server_context(chain: str, key: str, *, minimum: str = "1.2") -> ssl.SSLContext:
    """Return a context that serves with this pair (PEM), from TLS `minimum` on. Raises ContextRefused."""
    context = bare_context(minimum)
    try:
        with as_file(chain + key) as path:
            context.load_cert_chain(path)
    except ssl.SSLError as error:
        raise ContextRefused(error.reason or "no reason given") from None
    return context


def bare_context(minimum: str) -> ssl.SSLContext:
    """Return a context without a certificate. No tickets: whoever resumes by one isn't shown a certificate, and would go on
    with one that was renewed, or deleted because its key has leaked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[minimum]
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.set_alpn_protocols(PROTOCOLS)
    return context
