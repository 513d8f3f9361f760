"""What the ledger of an output knows, asked without changing anything: not the ledger, not the outputs, not the input.

It opens the SQLite file read-only. What the input holds by now it cannot know: the walk of the next run finds out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crawler.config.loader import Config
from crawler.errors import LedgerError
from crawler.ledger.database import Ledger
from crawler.ledger.live import Live, live_path, read_live
from crawler.ledger.lost import lost_products
from crawler.ledger.schema import MIGRATIONS, VERSION
from crawler.ledger.store import ledger_of
from crawler.ledger.summary import Summary, summarise
from crawler.pacs.names import MANIFEST
from crawler.paths import portable

if TYPE_CHECKING:
    from crawler.pacs.accounts import Counts


@dataclass(frozen=True, slots=True)
class Status:
    """The state of an output.

    Attributes
    ----------
    ledger
        Native path of the ledger.
    changed
        When it was last written, seconds since the epoch.
    running
        A run is going on; only `live` is known then, for it holds the ledger's lock.
    finished
        The last run came to its end.
    unfinished
        Folders that the next run opens whatever their listing: their work was cut short, or is wanted anew.
    summary
        The accounts; None while a run is going on.
    lost
        Outputs that are gone, by a listing of the output folders: the next run makes them again.
    live
        How far a run is that goes on; None when there is none, or it tells nothing.
    """

    ledger: str
    changed: float
    running: bool = False
    finished: bool = False
    unfinished: int = 0
    summary: Summary | None = None
    lost: int = 0
    live: Live | None = None


def read_status(config: Config) -> Status:
    """Look up what is known of a configuration's output.

    Raises
    ------
    LedgerError
        There is no ledger, or it is damaged, or of another version.
    """
    path = ledger_of(config)
    try:
        changed = os.stat(path).st_mtime
    except OSError:
        raise LedgerError(f"{portable(path)} does not exist: nothing was exported here yet") from None
    with reading(path) as ledger:
        if ledger is None:
            return Status(path, changed, running=True, live=read_live(live_path(config)))
        finished = bool(ledger.get("finished", False))
        summary = summarise(
            ledger, handled=0, listed=0, seconds=0.0, interrupted=not finished, retrieval=_retrieval(config)
        )
        lost = sum(1 for _ in lost_products(config, ledger))
        return Status(path, changed, False, finished, ledger.unfinished(), summary, lost)


def _retrieval(config: Config) -> Counts | None:
    """What the manifest says; None without a section `pacs`, and before the first retrieval."""
    if config.pacs_dir is None:
        return None
    from crawler.pacs.accounts import Snapshot  # only configurations with a PACS need it

    path = Path(config.pacs_dir, MANIFEST)
    if not path.exists():
        return None
    with contextlib.closing(Snapshot(path)) as accounts:
        return accounts.counts()


class Reader(Ledger):
    """A ledger over a connection that is open already; of its methods those are of use that change nothing."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection
        try:
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise self.translate(error) from None
        if not tables:
            raise LedgerError(f"{portable(path)} is empty: a run was stopped before it began")
        if self.get("version") not in (*MIGRATIONS, VERSION):
            raise LedgerError(f"{portable(path)} was written by another version of dme")

    def unfinished(self) -> int:
        """Folders without a digest."""
        return int(self.execute("SELECT count(*) FROM folders WHERE digest = ''").fetchone()[0])


@contextlib.contextmanager
def reading(path: str) -> Iterator[Reader | None]:
    """The ledger as of one moment; None when a run holds it.

    A killed run leaves a journal from which SQLite restores the last committed state, in the file itself. Nothing here
    may be changed, so that is done to a copy.
    """
    with contextlib.ExitStack() as stack:
        uri = f"{Path(path).absolute().as_uri()}?mode=ro"
        connection = stack.enter_context(
            contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0.2))
        )
        try:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master")  # takes the shared lock, for all that follows
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                yield None
                return
            if not os.path.exists(f"{path}-journal"):
                raise LedgerError(f"{portable(path)} cannot be read: {error}") from None
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dme-"))
            copy = os.path.join(folder, "ledger")
            for ending in ("", "-journal"):
                shutil.copyfile(path + ending, copy + ending)
            connection = stack.enter_context(contextlib.closing(sqlite3.connect(copy, isolation_level=None)))
        except sqlite3.DatabaseError as error:
            raise LedgerError(f"{portable(path)} is damaged ({error})") from None
        yield Reader(path, connection)
