"""One remote file system through `fsspec`: list a folder, ask for a file, fetch a range of bytes.

An instance belongs to the process that made it: the event loop of asynchronous file systems runs in a thread, which no
forked child has (fsspec/filesystem_spec#755). Listings are never cached: fsspec's cache would hold every name, and give
old ones. Credentials are found the way that each library does. Whatever a library raises becomes an OSError.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from crawler.errors import SourceError
from crawler.stores.address import PACKAGES, scheme_of
from crawler.stores.header_sizes import HeaderSizes

PAGE = 1000  # names of a listing taken at a time: what S3 gives in one answer
_ASKED = 16  # files that are asked for their size at a time, where a listing does not tell it (HTTP)
_PLAIN = 4096  # files known to be no compressed attachment
# Errors of the libraries' own that are no OSErrors, by module: looked for only when something was raised.
_FOREIGN = (
    ("botocore.exceptions", ("BotoCoreError", "ClientError")),
    ("aiohttp", ("ClientError",)),
    ("gcsfs.retry", ("HttpError",)),
    ("google.auth.exceptions", ("GoogleAuthError",)),
    ("azure.core.exceptions", ("AzureError",)),
    ("paramiko", ("SSHException",)),
)


class Entry(NamedTuple):
    """What is listed in a folder; `size` is -1 where nothing tells it.

    ``mark`` changes when the content does: made of the ETag where there is one, else the time in ns; 0 without both.
    """

    name: str
    is_folder: bool
    size: int
    mark: int


class RemoteStore:
    """The file system of an address.

    Attributes
    ----------
    headers
        What the headers of its files came to, so that the next one is fetched at once and little more.

    Raises
    ------
    SourceError
        A package is missing, or the library refuses the address.
    """

    def __init__(self, address: str) -> None:
        scheme = scheme_of(address)
        self._scheme = scheme
        # Threads that share a paramiko.SFTPClient take each other's answers, and wait for ever: one asks at a time.
        self._turn: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if scheme in ("sftp", "ssh"):
            self._turn = threading.RLock()
        try:
            from fsspec.core import url_to_fs

            # paramiko takes every option for one of its own (fsspec's SFTPFileSystem hands all on); it caches nothing.
            options = {} if scheme in ("sftp", "ssh") else {"use_listings_cache": False}
            with _as_os_errors():
                self._fs, _ = url_to_fs(address, skip_instance_cache=True, **options)
        except ImportError:
            wanted = " ".join(filter(None, ["fsspec", PACKAGES[scheme]]))
            raise SourceError(
                f"{scheme}:// needs {wanted}: install with `python -m pip install {wanted}`, or everything for remote"
                " folders with `python -m pip install -r requirements-remote.txt`"
            ) from None
        except (OSError, ValueError) as error:
            raise SourceError(f"{scheme}://: {type(error).__name__}: its library refuses the address") from error
        self.headers = HeaderSizes()
        self._plain: OrderedDict[str, None] = OrderedDict()

    def entries(self, address: str) -> Iterator[Entry]:
        """What lies directly in a folder, in any order.

        Raises
        ------
        OSError
            It cannot be listed.
        """
        path = self._path(address)
        infos = self._listed(path)
        while page := list(islice(infos, PAGE)):
            page = [info for info in page if self._path(str(info["name"])).rstrip("/") != path]
            yield from map(_entry, self._with_sizes(page))

    def find(self, address: str) -> Entry:
        """What lies at an address.

        Raises
        ------
        FileNotFoundError
            Nothing.
        OSError
            It cannot be told.
        """
        with self._turn, _as_os_errors():
            info = self._fs.info(self._path(address))
        # A web server has no folders; it answers for one from, or sends one on to, an address that ends with a slash.
        at = str(info.get("url") or address) if self._scheme in ("http", "https") else ""
        if info["type"] == "directory" or at.partition("?")[0].endswith("/"):
            return Entry(str(info["name"]), True, 0, 0)
        return _entry(info)

    def fetch(self, address: str, start: int, end: int, size: int) -> bytes:
        """Bytes of a file; `size` is what was listed.

        Raises
        ------
        OSError
            They cannot be had, or the file is another one now.
        """
        if end <= start:
            return b""
        with self._turn, _as_os_errors():
            data: bytes = self._fs.cat_file(self._path(address), start=start, end=end)
        if len(data) == size != end - start:  # a server without ranges gives all of it
            data = data[start:end]
        if len(data) != end - start:
            raise OSError(errno.EIO, "it is not as it was listed")
        return data

    def upload(self, path: str, address: str) -> None:
        """Put a file of this machine where the address says, over what lies there.

        Raises
        ------
        OSError
            It cannot be written.
        """
        with self._turn, _as_os_errors():
            target = self._path(address)
            self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._fs.put_file(path, target)

    def download(self, address: str, path: str) -> None:
        """Copy a file to this machine.

        Raises
        ------
        OSError
            It cannot be read or written.
        """
        with self._turn, _as_os_errors():
            self._fs.get_file(self._path(address), path)

    def delete(self, address: str) -> None:
        """Delete a file; one that is not there is as good.

        Raises
        ------
        OSError
            It cannot be deleted.
        """
        with contextlib.suppress(FileNotFoundError), self._turn, _as_os_errors():
            self._fs.rm_file(self._path(address))

    def is_plain(self, address: str) -> bool:
        """Whether a file was found to be no compressed attachment."""
        return address in self._plain

    def note_plain(self, address: str) -> None:
        """Note that it is none."""
        self._plain[address] = None
        with contextlib.suppress(KeyError):
            while len(self._plain) > _PLAIN:
                self._plain.popitem(last=False)

    def _path(self, address: str) -> str:
        return str(self._fs._strip_protocol(address))

    def _listed(self, path: str) -> Iterator[Mapping[str, Any]]:
        """What the library tells of a folder's content; of S3 page by page, as its `ls` would hold everything."""
        pages = getattr(self._fs, "_iterdir", None)
        if pages is None or not hasattr(self._fs, "split_path"):
            with self._turn, _as_os_errors():
                infos: list[Mapping[str, Any]] = self._fs.ls(path, detail=True)
            yield from infos
            return
        from fsspec.asyn import sync

        bucket, key, _ = self._fs.split_path(path)
        if not bucket:
            raise OSError(errno.EINVAL, "an address without a bucket")
        found = pages(bucket, prefix=f"{key}/" if key else "")

        async def page() -> list[Mapping[str, Any]]:
            some: list[Mapping[str, Any]] = []
            async for info in found:
                some.append(info)
                if len(some) == PAGE:
                    break
            return some

        while True:
            with _as_os_errors():
                infos = sync(self._fs.loop, page)
            yield from infos
            if len(infos) < PAGE:
                return

    def _with_sizes(self, page: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Ask for what a listing does not tell of its files, several at a time."""
        lacking = [info for info in page if info["type"] != "directory" and info.get("size") is None]
        if not lacking:
            return page
        from concurrent.futures import ThreadPoolExecutor  # plain HTTP alone needs it

        with ThreadPoolExecutor(_ASKED) as asking:
            told = {info["name"]: one for info, one in zip(lacking, asking.map(self._told, lacking), strict=True)}
        return [told.get(info["name"], info) for info in page]

    def _told(self, info: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            with _as_os_errors():
                return {**info, **self._fs.info(info["name"]), "name": info["name"]}
        except OSError:
            return info


class StoreCache:
    """The stores of this process, by scheme and host."""

    def __init__(self) -> None:
        self._stores: dict[tuple[int, str, str], RemoteStore] = {}
        self._lock = threading.Lock()

    def of(self, address: str) -> RemoteStore:
        """The store of an address.

        Raises
        ------
        SourceError
            As of `RemoteStore`.
        """
        host = address.partition("://")[2].partition("/")[0]
        key = os.getpid(), scheme_of(address), host
        store = self._stores.get(key)
        if store is None:
            with self._lock:
                store = self._stores.get(key) or RemoteStore(address)
                self._stores[key] = store
        return store


# A cache, whose content no result depends on.
stores = StoreCache()


def _entry(info: Mapping[str, Any]) -> Entry:
    size = info.get("size")
    name = str(info["name"]).rstrip("/").rpartition("/")[2]
    return Entry(name, info["type"] == "directory", -1 if size is None else int(size), _mark(info))


def _mark(info: Mapping[str, Any]) -> int:
    """A number that changes with the content: of a file's ETag, or its time."""
    for key in ("ETag", "etag", "md5Hash", "content_md5"):
        if info.get(key):
            return int.from_bytes(hashlib.blake2b(str(info[key]).encode(), digest_size=7).digest(), "little")
    for key in ("LastModified", "last_modified", "updated", "mtime", "modified", "created"):
        value = info.get(key)
        if isinstance(value, datetime):
            value = value.timestamp()
        if isinstance(value, int | float):
            return int(value * 10**9)
        if value:
            return int.from_bytes(hashlib.blake2b(str(value).encode(), digest_size=7).digest(), "little")
    return 0


def _foreign_errors() -> tuple[type[BaseException], ...]:
    """The libraries' own errors, of those that are loaded."""
    found: list[type[BaseException]] = []
    for module, names in _FOREIGN:
        if module in sys.modules:
            found += [getattr(sys.modules[module], name) for name in names if hasattr(sys.modules[module], name)]
    return tuple(found)


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    """Raise the libraries' own errors as OSErrors, without their text: it may quote addresses and credentials."""
    try:
        yield
    except OSError as error:
        if error.errno is None or not error.strerror:
            text = str(error).partition("\n")[0] if isinstance(error, FileNotFoundError | PermissionError) else ""
            kinds = {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES}
            number = next((number for kind, number in kinds.items() if isinstance(error, kind)), errno.EIO)
            what = os.strerror(number) if text else f"the remote store failed ({type(error).__name__})"
            raise type(error)(number, what) if text else OSError(number, what) from error
        raise
    except _foreign_errors() as error:
        raise OSError(errno.EIO, f"the remote store failed ({type(error).__name__})") from error
