"""What views share: what they are made from, and how a file is put in place whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from crawler.config.loader import Config
from crawler.ledger import temporary
from crawler.ledger.cells import CellSpool
from crawler.ledger.database import Ledger
from crawler.ledger.own_files import UNFINISHED
from crawler.ledger.store import disk_error
from crawler.ledger.summary import Summary

if TYPE_CHECKING:
    from crawler.privacy.policy import Policy
    from crawler.tables.table import RowReader  # only runs that make tables need it


class Context(NamedTuple):
    """Everything that a view may read."""

    config: Config
    ledger: Ledger
    summary: Summary
    cells: CellSpool | None = None
    views: tuple[str, ...] = ()
    """Paths of all views of the configuration."""
    policy: Policy | None = None
    """Of the section `privacy`."""

    @property
    def temp(self) -> str:
        """Folder for unfinished files beside the one that is written; the next start empties it. To be made."""
        return temporary.folder(self.config.output_dir, self.ledger)


class View(NamedTuple):
    """A file made from ledger and JSONL alone.

    Attributes
    ----------
    path
        Where it lies under a configuration, or None when it is not wanted.
    build
        Writes it, streaming, to the path it is given; or writes nothing, and there is no file.
    shape
        JSON value of what shapes it beside ledger and JSONL: it is made anew when that changes.
    """

    name: str
    path: Callable[[Config], str | None]
    build: Callable[[Context, str], None]
    shape: Callable[[Config], Any] = lambda config: None


def rows_of(config: Config) -> RowReader:
    """The JSONL of a configuration that has one."""
    if config.metadata is None or config.metadata_path is None:
        raise ValueError("the configuration has no metadata")
    from crawler.tables.table import RowReader  # only runs that make tables need it

    return RowReader(config.metadata_path, config.metadata.keys, config.metadata.compat is not None)


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Give a path to write to; rename it into place at the end, so that a reader never sees half a file.

    Where nothing was written, the file that an earlier run made goes.

    Raises
    ------
    OutputError
        The disk is full, or the folder cannot be written.
    """
    scratch = path + UNFINISHED
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        yield scratch
        try:
            os.replace(scratch, path)
        except FileNotFoundError:  # nothing was written
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    except OSError as error:
        raise disk_error(error, path) from None
    finally:
        with contextlib.suppress(OSError):  # the next one writes over it
            os.unlink(scratch)
