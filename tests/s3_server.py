"""S3 for tests: moto's server (the wire protocol over a real socket, signatures checked), a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system import free_port
from tests.waiting import wait_until
from workers.storage.settings import S3Settings


@dataclass(frozen=True)
class Bucket:
    """An S3 server with a bucket, and the credentials for it."""

    url: str
    settings: S3Settings

    @property
    def port(self) -> int:
        """Where the server listens."""
        return int(self.url.rpartition(":")[2])

    def env(self, port: int) -> dict[str, str]:
        """The settings of processes that reach it at `port`."""
        s3 = self.settings
        return {
            "HEADRACE_STORAGE": f"s3://{s3.bucket}/{s3.prefix}",
            "HEADRACE_S3_ENDPOINT": f"http://127.0.0.1:{port}",
            "HEADRACE_S3_ACCESS_KEY": s3.access_key or "",
            "HEADRACE_S3_SECRET_KEY": s3.secret_key or "",
        }


@contextlib.contextmanager
def s3_server(folder: Path, *, also_at: int | None = None) -> Iterator[Bucket]:
    """Run the server; `also_at` is the port of a proxy before it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = folder / "moto.log"
    endpoints = ",".join([url, *([f"http://127.0.0.1:{also_at}"] if also_at else [])])
    # Signatures are checked from the fifth request on: the bucket, the user, what it may do, its keys come before.
    env = {"PATH": os.environ["PATH"], "INITIAL_NO_AUTH_ACTION_COUNT": "4", "MOTO_S3_CUSTOM_ENDPOINTS": endpoints}
    with log.open("wb") as out:
        command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out)
    try:
        wait_until(lambda: _is_up(url) or process.poll() is not None, "the S3 server answers")
        assert process.poll() is None, log.read_text()
        key, secret = _prepare(url)
        yield Bucket(
            url, S3Settings(bucket="acme", prefix="some/where", endpoint=url, access_key=key, secret_key=secret)
        )
    finally:
        process.kill()
        process.wait()


def _is_up(url: str) -> bool:
    with contextlib.suppress(OSError):
        return urllib.request.urlopen(f"{url}/moto-api/", timeout=1).status == 200
    return False


def _prepare(url: str) -> tuple[str, str]:
    """Create a bucket and a user with full access to it; return the user's keys."""
    import boto3

    options: Any = {
        "endpoint_url": url,
        "region_name": "us-east-1",
        "aws_access_key_id": "x",
        "aws_secret_access_key": "x",
    }
    boto3.client("s3", **options).create_bucket(Bucket="acme")
    iam = boto3.client("iam", **options)
    iam.create_user(UserName="headrace")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_user_policy(UserName="headrace", PolicyName="all", PolicyDocument=json.dumps(policy))
    access_key = iam.create_access_key(UserName="headrace")["AccessKey"]
    return access_key["AccessKeyId"], access_key["SecretAccessKey"]
