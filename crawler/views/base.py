"""What views share: what they are made from, and how a file is put in place whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crawler.config import Config
from crawler.ledger import Ledger
from crawler.store import disk_error
from crawler.summary import Summary


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that a view may read."""

    config: Config
    ledger: Ledger
    summary: Summary


@dataclass(frozen=True, slots=True)
class View:
    """A file made from ledger and JSONL alone.

    Attributes
    ----------
    path
        Where it lies under a configuration, or None when it is not wanted.
    build
        Writes it, streaming, to the path it is given.
    """

    name: str
    path: Callable[[Config], str | None]
    build: Callable[[Context, str], None]


@contextlib.contextmanager
def whole(path: str) -> Iterator[str]:
    """Give a path to write to; rename it into place at the end, so that a reader never sees half a file.

    Raises
    ------
    OutputError
        The disk is full, or the folder cannot be written.
    """
    scratch = f"{path}.building"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        yield scratch
        os.replace(scratch, path)
    except OSError as error:
        raise disk_error(error, path) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch)
