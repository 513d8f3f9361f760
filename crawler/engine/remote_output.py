"""`output.dir` as an address: outputs are made in a folder of this machine, and finished files are uploaded.

Ledger and rows stay here while the run goes on. Now and then, and at the end, a copy of both goes up, after the
products that they name: a machine that is lost (a spot instance) is replaced by another, which begins with that copy.
Uploads run in threads beside the work.

What lies at an address is ours when the copy there says so; a folder that holds anything else is refused.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
import uuid
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from crawler.config.loader import Config
from crawler.disk import make_folders
from crawler.errors import LedgerError, OutputError
from crawler.ledger.store import Store, ledger_of
from crawler.ledger.uploads import Upload, Uploads
from crawler.paths import portable
from crawler.stores.remote import RemoteStore, stores

log = logging.getLogger("dme")

STATE = ".dme-state"  # folder of the copies of ledger and rows
CURRENT = "current.json"  # which copy holds; written last
TOKENS = "upload tokens"  # in the ledger: the names of its last copies
THREADS = 8
EVERY = 10.0  # seconds between two looks for what is finished
# A copy of the state is made after this many times what the last one took: so it costs a twentieth of the run at most.
SELDOM = 20


class RemoteOutput:
    """The remote side of one output. `begin` before the ledger is opened, `attach` then, `finish` at the end."""

    def __init__(self, config: Config) -> None:
        self._config, self._address = config, config.output_address or ""
        self._store: RemoteStore = stores.of(self._address)
        self._threads = ThreadPoolExecutor(THREADS)
        self._threads.submit(int).result()  # with a thread here, workers are spawned: a fork could catch its locks
        self._uploading: deque[tuple[Upload, Future[None]]] = deque()
        self._begun: dict[str, tuple[int, str]] = {}
        self._last_look = self._last_state = time.monotonic()
        self._state_took = 0.0

    def begin(self) -> None:
        """Take the state from there when there is none here.

        Raises
        ------
        LedgerError
            The state there is not a copy of that here, or there is something that is none.
        OutputError
            The store does not answer.
        """
        current = self._current()
        ledger = ledger_of(self._config)
        if current is None:
            self._require_empty()
            return
        if os.path.exists(ledger):
            return
        rows = self._config.metadata_path
        log.warning("%s: the state of an earlier run is taken from there", self._address)
        try:
            make_folders(os.path.dirname(ledger))
            if rows and current.get("rows"):
                self._store.download(self._at(current["rows"]), rows)
                modified = int(current["modified"])
                os.utime(rows, ns=(modified, modified))
            self._store.download(self._at(current["ledger"]), f"{ledger}.part")
            os.rename(f"{ledger}.part", ledger)
        except OSError as error:
            raise self._unreachable(error) from None

    def attach(self, store: Store) -> None:
        """The ledger is open: upload with its commits from now on.

        Raises
        ------
        LedgerError
            Another machine wrote there since.
        """
        current = self._current()
        if current is not None and current["token"] not in store.ledger.get(TOKENS, []):
            raise LedgerError(
                f"{self._address} was written by another machine since the outputs in"
                f" {portable(self._config.output_dir)} were made; move that folder away to go on from what is there"
            )
        self._uploads = Uploads(self._config, store.ledger)
        named = any(one is not None and one.name for one in (self._config.volume, self._config.media))
        if self._config.output.pack is None and (named or self._config.output.layout == "bids"):
            self._fetch_products()
        store.commit_hooks.append(lambda: self._commit(store))

    def finish(self, store: Store) -> None:
        """Upload all that is missing, delete what is obsolete, and leave the state in its place.

        Raises
        ------
        OutputError
            Something cannot be uploaded; what was is recorded.
        """
        store.commit_hooks.clear()
        self._begin_uploads(store)
        self._drain(store, wait=True)
        for upload in list(self._uploads.missing_own_files()):
            self._submit(upload)
        self._drain(store, wait=True)
        obsolete = self._uploads.obsolete()
        if obsolete:  # a copy of the state that names them must not outlive them
            self._put_state(store)
        try:
            for path in obsolete:
                self._store.delete(self._at(path))
                self._uploads.forget(path)
        except OSError as error:
            raise self._unreachable(error) from None
        self._put_state(store, final=True)

    def fetch(self, path: str) -> None:
        """Have a file of the output here that another machine made; it must have been uploaded.

        Raises
        ------
        OutputError
            It cannot be had.
        """
        try:
            make_folders(os.path.dirname(path))
            self._store.download(self._at(os.path.relpath(path, self._config.output_dir)), path)
        except OSError as error:
            raise self._unreachable(error) from None

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    # -- while the run goes on -------------------------------------------------------------------------------------

    def _commit(self, store: Store) -> None:
        now = time.monotonic()
        if now - self._last_look < EVERY:
            return
        self._last_look = now
        self._drain(store)
        self._begin_uploads(store)
        if now - self._last_state > max(EVERY, SELDOM * self._state_took):
            self._drain(store, wait=True)
            self._put_state(store)
            self._last_state = time.monotonic()
            self._state_took = self._last_state - now

    def _begin_uploads(self, store: Store) -> None:
        for upload in list(self._uploads.missing()):
            if self._begun.get(upload[0]) != upload[1:]:
                self._submit(upload)

    def _submit(self, upload: Upload) -> None:
        path = os.path.join(self._config.output_dir, upload[0])
        if os.path.exists(path):  # else it was deleted by hand: the next run makes it again
            self._begun[upload[0]] = upload[1:]
            self._uploading.append((upload, self._threads.submit(self._store.upload, path, self._at(upload[0]))))

    def _drain(self, store: Store, wait: bool = False) -> None:
        """Record what is uploaded by now; with `wait`, all that was begun."""
        while self._uploading and (wait or self._uploading[0][1].done()):
            upload, future = self._uploading.popleft()
            self._begun.pop(upload[0], None)
            try:
                future.result()
            except OSError as error:
                raise self._unreachable(error) from None
            self._uploads.note(upload)
        store.ledger.commit()

    def _put_state(self, store: Store, final: bool = False) -> None:
        """Upload ledger and rows as they are committed: beside the last copy, and then have this one hold."""
        token = uuid.uuid4().hex
        before = store.ledger.get(TOKENS, [])
        store.ledger.put(TOKENS, [*before[-3:], token])
        store.ledger.commit()
        rows = store.rows
        names = {"ledger": f"{STATE}/{token}/ledger", "rows": f"{STATE}/{token}/rows" if rows else ""}
        if final:  # in their own places
            names["ledger"] = os.path.relpath(store.ledger.path, self._config.output_dir)
            names["rows"] = os.path.relpath(rows.path, self._config.output_dir) if rows else ""
        current = {"token": token, **names, "modified": rows.modified() if rows else 0}
        try:
            with tempfile.TemporaryDirectory(dir=self._config.output_dir, prefix=".dme-upload-") as folder:
                copy = os.path.join(folder, "ledger")
                store.ledger.snapshot(copy)
                if rows:
                    self._store.upload(rows.path, self._at(names["rows"]))
                self._store.upload(copy, self._at(names["ledger"]))
                with open(copy, "w", encoding="utf-8") as file:
                    json.dump(current, file)
                self._store.upload(copy, self._at(f"{STATE}/{CURRENT}"))
            for old in before:
                for name in ("ledger", "rows"):
                    self._store.delete(self._at(f"{STATE}/{old}/{name}"))
        except OSError as error:
            raise self._unreachable(error) from None

    # -- what is there ---------------------------------------------------------------------------------------------

    def _current(self) -> dict[str, Any] | None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, CURRENT)
            try:
                self._store.download(self._at(f"{STATE}/{CURRENT}"), path)
                with open(path, encoding="utf-8") as file:
                    found: dict[str, Any] = json.load(file)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise self._unreachable(error) from None
            return found

    def _require_empty(self) -> None:
        try:
            first = next(self._store.entries(self._address), None)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unreachable(error) from None
        if first is not None and not os.path.exists(ledger_of(self._config)):
            raise LedgerError(
                f"{self._address} is not empty, and holds no output of dme: nothing is written there; choose another"
                " output.dir"
            )

    def _fetch_products(self) -> None:
        """Links are made to products: those that a lost machine made are fetched."""
        for path, _, _ in self._uploads.all():
            place = os.path.join(self._config.output_dir, path)
            if not os.path.exists(place):
                self.fetch(place)

    def _at(self, path: object) -> str:
        return f"{self._address}/{str(path).replace(os.sep, '/')}"

    def _unreachable(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self._address}: {error.strerror or type(error).__name__}; what is done is kept in"
            f" {portable(self._config.output_dir)}: run again to go on"
        )
