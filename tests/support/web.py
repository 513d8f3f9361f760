"""A web server of ours in a thread, and a client that says exactly what it is told: any Host, any header."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from crawler.web.access import cookie_of, read_token
from crawler.web.server import listen, prepare
from crawler.web.settings import Settings

ROOT = Path(__file__).parents[2]


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Web:
    """A server, and requests to it as this user's browser would send them."""

    port: int
    token: str
    workspace: Path

    @property
    def cookie(self) -> str:
        return f"dme-web-{self.port}={cookie_of(self.token)}"

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str | None] | None = None) -> Answer:
        """A request with cookie and origin; a header of None is left out."""
        told: dict[str, str | None] = {"Cookie": self.cookie, "Host": f"127.0.0.1:{self.port}"}
        if method not in ("GET", "HEAD"):
            told |= {"Origin": self.origin, "Sec-Fetch-Site": "same-origin", "Content-Length": str(len(body))}
        told |= headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in told.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str | None) -> Answer:
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, headers: dict[str, str | None] | None = None, **fields: str) -> Answer:
        return self.ask("POST", path, urlencode(fields).encode(), headers)

    def send(self, path: str, given: Any) -> Answer:
        return self.ask("POST", path, json.dumps(given).encode())

    def new_job(self, source: Path | None = None, goal: str = "tables") -> str:
        """Make a job; its name."""
        fields = {"source": "folder", "folder": str(source)} if source else {"source": "upload"}
        answer = self.post("/new", goal=goal, title="a job", **fields)
        assert answer.status == 303, answer.text
        return answer.headers["location"].split("/")[2]

    def state(self, job: str) -> dict[str, Any]:
        return next(one for one in self.get(f"/jobs.json?job={job}").json if one["id"] == job)

    def wait(self, job: str, *states: str, seconds: float = 60) -> dict[str, Any]:
        """The facts of a job, when it is in one of these states."""
        end = time.monotonic() + seconds
        while (told := self.state(job))["state"] not in states:
            assert time.monotonic() < end, told
            time.sleep(0.05)
        return told

    def wait_log(self, job: str, text: str, seconds: float = 60) -> str:
        """The log of a job, when it has a text."""
        end = time.monotonic() + seconds
        while text not in (log := self.get(f"/jobs/{job}/log/run").text):
            assert time.monotonic() < end, log
            time.sleep(0.05)
        return log


@contextmanager
def serving(workspace: Path, *roots: Path, **settings: Any) -> Iterator[Web]:
    """A server on a free port until the end."""
    workspace.mkdir(exist_ok=True)
    command = (sys.executable, str(ROOT / "dme.py"))
    values = {"workspace": str(workspace.resolve()), "roots": tuple(str(root.resolve()) for root in roots)}
    made = Settings(**{**values, "port": 0, "command": command, **settings})
    token = read_token(made.workspace)
    listening = listen(made)
    port = int(listening.getsockname()[1])
    server, ended, queue = prepare(replace(made, port=port), token)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    queue.start()
    try:
        yield Web(port, token, Path(made.workspace))
    finally:
        server.should_exit = True
        ended.set()
        thread.join()
        queue.join()
        listening.close()
