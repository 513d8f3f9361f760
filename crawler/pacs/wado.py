"""WADO-RS (PS3.18 10.4): whole instances over HTTP, in the transfer syntax that they are stored in.

Each part of the answer is a file of PS3.10 already, and is kept byte for byte. It sends no queries but one: the series
of an instance, where a request does not name it.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from crawler.errors import RequestError
from crawler.pacs.http import Reader, WebClient, outcome_of, status_words, wait_of, whole
from crawler.pacs.model import Answer, Deliver, OutcomeOfRequest, Received, Refusal, Request, Server
from crawler.pacs.multipart import Parts, boundary_of
from crawler.pacs.part10 import Meta, Writer, read_meta
from crawler.pacs.qido import series_of
from crawler.pacs.storing import temporary_names

# Without the asterisk servers convert to Explicit VR Little Endian, and refuse what they cannot convert.
ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
# Group 2 fits by far; a longer one is read from the file.
_HEAD = 8192


class WebTransport:
    """Retrieves by WADO-RS.

    Raises
    ------
    PacsError
        `url` is no address.
    """

    name = "web"

    def __init__(self, server: Server) -> None:
        self._client = WebClient(server)
        self._names = temporary_names()

    def close(self) -> None:
        """Close the connections that are not in use; idempotent."""
        self._client.close()

    def fetch(self, request: Request, temp: Path, deliver: Deliver, stop: threading.Event) -> Answer:
        """Retrieve instances; see `Transport`."""
        fetch = _Fetch(self._client, self._names, temp, deliver, stop)
        outcome: OutcomeOfRequest = "complete"
        reason, wait = "", 0.0
        try:
            for path, uid in self._paths(request, stop):
                fetch.get(path, uid)
        except RequestError as error:
            if fetch.failure is not None:
                raise fetch.failure from error
            outcome, reason, wait = error.outcome, error.reason, error.wait  # type: ignore[assignment]  # see RequestError
            fetch.status = error.status if error.status is not None else fetch.status
        if outcome == "complete" and fetch.refused:
            outcome = "partial" if fetch.received else outcome_of(fetch.refused[0].code)
            reason = f"the server answers {status_words(fetch.refused[0].code)} for {len(fetch.refused)} instances"
        elif outcome == "complete" and not fetch.received:
            outcome, reason = "partial", "the server says success, and nothing arrived"
        return Answer(
            self.name,
            outcome,
            fetch.status,
            failed=len(fetch.refused) or None,
            received=fetch.received,
            refused=tuple(fetch.refused),
            reason=reason,
            wait=wait,
        )

    def _paths(self, request: Request, stop: threading.Event) -> Iterator[tuple[str, str]]:
        """What to get, and the instance that it is, when it is one."""
        study = f"/studies/{quote(request.study_uid)}"
        if not request.instance_uids:
            yield study + (f"/series/{quote(request.series_uid)}" if request.series_uid else ""), ""
            return
        for uid in request.instance_uids:
            series = request.series_uid or series_of(self._client, request.study_uid, uid, stop)
            yield f"{study}/series/{quote(series)}/instances/{quote(uid)}", uid


class _Fetch:
    """One fetch: several requests perhaps, and what came of them."""

    def __init__(
        self, client: WebClient, names: Iterator[str], temp: Path, deliver: Deliver, stop: threading.Event
    ) -> None:
        self._client, self._names, self._temp = client, names, temp
        self._deliver, self._stop = deliver, stop
        self.received = 0
        self.failure: BaseException | None = None
        self.status: int | None = None
        self.refused: list[Refusal] = []

    def get(self, path: str, uid: str) -> None:
        """Get one resource; an instance that is refused does not end the others."""
        with self._client.request("GET", path, self._stop, {"Accept": ACCEPT}) as response:
            self.status = response.status
            if response.status in {200, 206}:
                self._parts(response)
                return
            whole(response)
            outcome = outcome_of(response.status)
            if response.status == 204 or not uid or outcome == "busy" or response.status in {401, 403}:
                raise RequestError(
                    f"the server answers {status_words(response.status)}",
                    "failed" if outcome == "complete" else outcome,
                    response.status,
                    wait_of(response),
                )
            self.refused.append(Refusal("instance", uid, response.status))

    def _parts(self, response: http.client.HTTPResponse) -> None:
        kind, boundary = boundary_of(response.getheader("Content-Type", ""))
        if kind == "application/dicom":
            self._single(response)
            return
        if boundary is None or not kind.startswith("multipart/"):
            raise RequestError("the server's answer holds no instances: it is of another media type", "refused")
        reader = Reader(response)
        parts = Parts(reader, boundary)
        for header in parts.headers():
            with _Part(self._temp / next(self._names)) as part:
                parts.copy(header, part.write)
                self._finish(part)
        rest = memoryview(bytearray(1 << 16))
        while reader.readinto(rest):  # what follows the last boundary, so that the connection can be used again
            pass

    def _single(self, response: http.client.HTTPResponse) -> None:
        """One instance without a multipart envelope."""
        view = memoryview(bytearray(1 << 20))
        with _Part(self._temp / next(self._names)) as part:
            reader = Reader(response)
            while got := reader.readinto(view):
                part.write(view[:got])
            self._finish(part)

    def _finish(self, part: _Part) -> None:
        """Deliver a part that is an instance."""
        received = part.finish()
        if received is None:
            self.refused.append(Refusal("instance", "", self.status or 200))
            return
        try:
            self._deliver(received)
        except BaseException as error:
            self.failure = error  # an OSError of the taker's is none of the connection's
            raise
        part.delivered = True
        self.received += 1


class _Part:
    """The file of one part; removed unless it was delivered."""

    def __init__(self, path: Path) -> None:
        self.writer = Writer(path, "", "", "", b"")
        self.delivered = False
        self._head = b""

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.delivered:
            self.writer.discard()

    def write(self, data: memoryview) -> None:
        if len(self._head) < _HEAD:
            self._head += data[: _HEAD - len(self._head)]
        self.writer.write(data)

    def finish(self) -> Received | None:
        """The instance by its file meta information; None when it has none."""
        meta = read_meta(self._head) or self._long_meta()
        if meta is None or not meta.sop_uid or not meta.transfer_syntax:
            return None
        self.writer.sop_class, self.writer.sop_uid = meta.sop_class, meta.sop_uid
        self.writer.transfer_syntax = meta.transfer_syntax
        return self.writer.finish()

    def _long_meta(self) -> Meta | None:
        if self._head[128:132] != b"DICM":
            return None
        with self.writer.path.open("rb") as file:
            return read_meta(file.read(_HEAD * 128))
