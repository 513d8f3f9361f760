"""A server of s3:// on loopback (moto), which counts the bytes of every object that it sends and takes."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

BUCKET = "bucket"


class S3Server:
    """The server's address, and its accounts: requests and bytes sent and taken by key."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sent: Counter[str] = Counter()
        self.gets: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self.on_get: Callable[[str], object] = lambda key: None

    @property
    def environ(self) -> dict[str, str]:
        """What tells a client of the server, the way that its library takes it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def forget(self) -> None:
        """Count from nothing."""
        for counter in (self.sent, self.gets, self.taken):
            counter.clear()

    def put_tree(self, folder: Path, prefix: str) -> None:
        """Have every file of a folder there."""
        import boto3

        client = boto3.client("s3", endpoint_url=self.url)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                client.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder).as_posix()}")


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a server with one empty bucket; the environment tells of it meanwhile."""
    import boto3
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    app = DomainDispatcherApplication(create_backend_app)
    server: S3Server

    def counting(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        key = environ["PATH_INFO"].removeprefix(f"/{BUCKET}/")
        if environ["REQUEST_METHOD"] == "PUT":
            server.taken[key] += int(environ.get("CONTENT_LENGTH") or 0)
        body = b"".join(app(environ, start))
        if environ["REQUEST_METHOD"] == "GET" and key and "list-type" not in environ["QUERY_STRING"]:
            server.on_get(key)
            server.gets[key] += 1
            server.sent[key] += len(body)
        return [body]

    http = make_server("127.0.0.1", 0, counting, threaded=True)
    server = S3Server(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    before = dict(os.environ)
    os.environ.update(server.environ)
    try:
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        server.forget()
        yield server
    finally:
        os.environ.clear()
        os.environ.update(before)
        http.shutdown()
        thread.join()
        http.server_close()
