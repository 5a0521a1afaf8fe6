"""Whom clients trust: the usual certificate authorities, and those of the operator's file."""

import os
import ssl
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx2

SETTING = "HEADRACE_CA_FILE"


def ca_file_from(env: Mapping[str, str]) -> str | None:
    """Return HEADRACE_CA_FILE, None if it is not set. Raises ValueError if it isn't a file of certificates."""
    path = env.get(SETTING, "").strip()
    if not path:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError(
            f"{SETTING}: {path} holds no certificate in PEM; it must hold those of your authority."
        ) from None
    except OSError as error:
        raise ValueError(f"{SETTING}: {path} can't be read ({error.strerror}). It must be a file of PEM.") from None
    return path


def new_client_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context of clients, which trusts the usual authorities and those in `ca_file`."""
    context = httpx2.create_ssl_context(trust_env=False)
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


@cache
def client_context(ca_file: str | None) -> ssl.SSLContext:
    """Return the same, one for the whole process, which must not be changed: to load it takes longer than most requests."""
    return new_client_context(ca_file)


@contextmanager
def as_file(text: str) -> Generator[str]:
    """A path with this text, for OpenSSL and libpq, which read nothing else: in memory alone where the system can."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "certificate"
            path.touch(0o600)
            path.write_text(text)
            yield str(path)
