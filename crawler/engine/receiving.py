"""Our receiver alone: what any PACS sends is put in the tree of received files, and exported once a series is quiet.

A series arrives in a folder that runs do not look at, and moves into the tree as a whole when nothing of it came for a
while. So no run sees half a series, and what comes late makes its series be exported again.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from crawler.config.loader import Config
from crawler.engine.interrupts import interrupts
from crawler.engine.progress import Progress
from crawler.engine.run import run
from crawler.ledger.summary import Summary
from crawler.pacs.identify import holds, identify, place
from crawler.pacs.model import Received, Server
from crawler.pacs.receiver import Receiver, Sender
from crawler.pacs.retrieval import Standing
from crawler.paths import TEMP

log = logging.getLogger("dme")

_TICK = 0.1


class Inbox:
    """Where instances arrive before they are part of the tree; safe from several threads.

    Parameters
    ----------
    root
        Folder of received files.
    clock
        Monotonic seconds.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root
        self.temp = root / TEMP / "arriving"
        self.waiting = root / TEMP / "received"
        self._clock = clock
        self._lock = threading.Lock()
        self.files = self.bytes = self.refused = 0
        for folder in (self.temp, self.waiting):
            folder.mkdir(parents=True, exist_ok=True)
        for left in self.temp.iterdir():  # torn by a kill; nobody was told that they arrived
            left.unlink(missing_ok=True)
        self._last = {self._series(path): clock() for path in self.waiting.glob("*/*/*.dcm")}

    def take(self, received: Received, sender: Sender) -> bool:
        """Keep an instance; False when it cannot be: the sender is told that it failed."""
        identity = identify(received.path)
        study, series, uid = identity.study, identity.series, identity.instance or received.sop_uid
        relative = place(study, series, uid)
        with self._lock:
            there = self.root / relative
            if there.exists():
                same = holds(there, received.size, received.xxh3)
                received.path.unlink(missing_ok=True)
                self.refused += not same
                if not same:
                    log.warning("an instance came that is here with other bytes: the first one stays")
                return same
            target = self.waiting / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(received.path, target)
            self._last[self._series(target)] = self._clock()
            self.files += 1
            self.bytes += received.size
        return True

    def settle(self, seconds: float) -> int:
        """Move series of which nothing came for so long into the tree; return how many."""
        with self._lock:
            quiet = [series for series, last in self._last.items() if self._clock() - last >= seconds]
            for series in quiet:
                for path in sorted((self.waiting / series).glob("*.dcm")):
                    target = self.root / series / path.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(path, target)
                del self._last[series]
            for folder in sorted(self.waiting.glob("*/*"), reverse=True):
                _remove_if_empty(folder)
                _remove_if_empty(folder.parent)
        return len(quiet)

    @property
    def arriving(self) -> int:
        """Series that are not quiet yet."""
        return len(self._last)

    def _series(self, path: Path) -> str:
        return path.parent.relative_to(self.waiting).as_posix()


def receive(config: Config, server: Server, progress: Progress) -> Iterator[Summary]:
    """Listen until Ctrl-C; yield the accounts of each export.

    Raises
    ------
    PacsError
        The port is taken.
    OutputError
        What comes cannot be kept.
    """
    assert config.pacs is not None, "only with a section pacs there is a folder of received files"
    inbox = Inbox(Path(config.pacs_dir or ""))
    began = time.monotonic()
    receiver = Receiver(server, lambda sender: inbox.temp, inbox.take, log.info, any_title=False)
    try:
        log.info("listening on port %d", receiver.port)
        while True:
            with interrupts() as stop:
                while not stop.wait(_TICK) and receiver.failure is None and not inbox.settle(config.pacs.settle):
                    progress.retrieving(
                        Standing(
                            series=inbox.arriving,
                            received=inbox.files,
                            wanted=inbox.files,
                            bytes=inbox.bytes,
                            seconds=time.monotonic() - began,
                        )
                    )
                ended = stop.is_set() or receiver.failure is not None
            if ended:
                break
            summary = run(config, retrieve=False, progress=progress)
            yield summary
            if summary.interrupted:
                return
    finally:
        receiver.close()
    if receiver.failure is not None:
        raise receiver.failure
    if inbox.settle(0.0):  # what was told to have arrived is exported, too
        yield run(config, retrieve=False, progress=progress)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
