"""Files on their way to a browser: a piece of one (Range), or many as one ZIP that is made while it is sent."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from crawler.web.places import Places
from crawler.web.refusals import Refused

_BLOCK = 1 << 20
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
# What a browser may show in a page of ours; everything else is saved. SVG and HTML are programs, and not among them.
SHOWN = {".png": "image/png", ".jpg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp", ".mp4": "video/mp4"}


def send_file(request: Request, places: Places, path: str, *, inline: bool = False) -> Response:
    """A file, or the piece of it that the request asks for.

    Raises
    ------
    Refused
        It lies outside, or is gone.
    """
    file, state = places.open(path)
    size, name = state.st_size, os.path.basename(path)
    ending = os.path.splitext(name)[1].lower()
    shown = inline and ending in SHOWN
    headers = {
        "accept-ranges": "bytes",
        "content-type": SHOWN[ending] if shown else "application/octet-stream",
        "content-disposition": "inline" if shown else disposition(name),
    }
    start, stop, status = 0, size, 200
    asked = str(request.headers.get("range", ""))
    match = _RANGE.fullmatch(asked)
    if match and (match[1] or match[2]):
        if match[1]:
            start, stop = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        else:
            start = max(0, size - int(match[2]))
        if start >= stop:
            file.close()
            return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
        status, headers["content-range"] = 206, f"bytes {start}-{stop - 1}/{size}"
    headers["content-length"] = str(stop - start)
    if request.method == "HEAD":
        file.close()
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_pieces(file, start, stop), status, headers)


def send_zip(places: Places, members: Iterable[tuple[str, str]], name: str) -> Response:
    """Files as a ZIP.

    Parameters
    ----------
    members
        (path, name in the archive). A file that is gone is left out, and named in ``MISSING.txt`` in the archive.
    """
    headers = {"content-disposition": disposition(name), "content-type": "application/zip"}
    return StreamingResponse(_zip(places, members), headers=headers)


def disposition(name: str) -> str:
    """The header that has a file saved under a name, whatever letters it has (RFC 6266, RFC 5987)."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name) or "file"
    spelt = quote(name.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{spelt}"


def _pieces(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while start < stop:
            block = file.read(min(_BLOCK, stop - start))
            if not block:
                return  # it was cut meanwhile: the browser sees that bytes are missing
            start += len(block)
            yield block


class _Outgoing:
    """What `zipfile` writes to, when nothing can be sought: bytes that wait to be sent."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Take bytes."""
        self._blocks.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Nothing is held."""

    def take(self) -> bytes:
        """What waits."""
        found = b"".join(self._blocks)
        self._blocks.clear()
        return found


def _zip(places: Places, members: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    """Stored and not deflated: volumes and pictures are compressed already."""
    outgoing, missing = _Outgoing(), []
    with zipfile.ZipFile(outgoing, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path, name in members:
            try:
                file, _ = places.open(path)
            except Refused:
                missing.append(name)
                continue
            with file, archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                while block := file.read(_BLOCK):
                    member.write(block)
                    yield outgoing.take()
            yield outgoing.take()
        if missing:
            archive.writestr("MISSING.txt", "".join(f"{name}\n" for name in missing))
    yield outgoing.take()
