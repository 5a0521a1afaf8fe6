"""Which storage is used. The API and all workers must have the same settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SETTING = "HEADRACE_STORAGE"
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PREFIX = re.compile(r"[A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*")
REGION = re.compile(r"[A-Za-z0-9-]{1,64}")
HOME = ".headrace"


@dataclass(frozen=True, kw_only=True)
class S3Settings:
    """A bucket and how to reach it. `endpoint` None is AWS; without keys, the machine's role is used."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class StorageSettings:
    """`folder` holds the files or, with `s3`, only staging."""

    folder: Path = Path(HOME, "files")
    s3: S3Settings | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "StorageSettings":
        """Read and validate. Raises ValueError with the setting's name and what it must be."""
        location = env.get(SETTING, "").strip()
        folder = Path(env.get("HEADRACE_HOME", "").strip() or HOME, "files")
        if location.startswith("s3://"):
            return cls(folder=folder, s3=_s3_settings(location, env))
        if "://" in location:
            raise ValueError(f"{SETTING} is {location!r}; it must be a folder, s3://bucket or s3://bucket/prefix.")
        return cls(folder=Path(location) if location else folder)


def _s3_settings(location: str, env: Mapping[str, str]) -> S3Settings:
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    if not BUCKET.fullmatch(bucket) or (prefix and (not PREFIX.fullmatch(prefix) or ".." in prefix)):
        raise ValueError(
            f"{SETTING} is {location!r}; it must be s3://bucket or s3://bucket/prefix, such as s3://acme/documents."
        )
    access_key = _first(env, "HEADRACE_S3_ACCESS_KEY", "AWS_ACCESS_KEY_ID")
    secret_key = _first(env, "HEADRACE_S3_SECRET_KEY", "AWS_SECRET_ACCESS_KEY")
    if (access_key is None) != (secret_key is None):
        missing = "HEADRACE_S3_SECRET_KEY" if secret_key is None else "HEADRACE_S3_ACCESS_KEY"
        raise ValueError(f"{missing} is not set. Set both keys, or neither if the machine has a role.")
    own_key = env.get("HEADRACE_S3_ACCESS_KEY", "").strip()
    return S3Settings(
        bucket=bucket,
        prefix=prefix,
        endpoint=_endpoint(env),
        region=_region(env),
        access_key=access_key,
        secret_key=secret_key,
        session_token=None if own_key else _first(env, "AWS_SESSION_TOKEN"),
    )


def _endpoint(env: Mapping[str, str]) -> str | None:
    url = _first(env, "HEADRACE_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    if url is not None and (not re.match(r"https?://[^/@\s]+", url) or "@" in url):
        raise ValueError(
            "HEADRACE_S3_ENDPOINT is invalid; it must be a URL without credentials, such as https://s3.example.com."
        )
    return url and url.rstrip("/")


def _region(env: Mapping[str, str]) -> str:
    region = _first(env, "HEADRACE_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION") or S3Settings.region
    if not REGION.fullmatch(region):
        raise ValueError(f"HEADRACE_S3_REGION is {region!r}; it must be the name of a region, such as eu-central-1.")
    return region


def _first(env: Mapping[str, str], *names: str) -> str | None:
    return next((value for name in names if (value := env.get(name, "").strip())), None)
