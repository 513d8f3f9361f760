"""Ledger and JSONL as one: opened, checked against each other and the configuration, recovered, committed together.

Whatever a killed run left behind is put right here, before any work; what cannot be trusted stops the run with the way
out. Nothing that is not ours is cut, deleted or written over.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
from collections.abc import Callable, Collection, Iterator, Sequence

from crawler.config.loader import Config
from crawler.config.parts import parts_of
from crawler.disk import is_as_recorded, is_below, is_local, is_there, require_regular, sync_file_systems
from crawler.error_boundary import stop_of
from crawler.errors import LedgerError, OutputError
from crawler.ledger import temporary
from crawler.ledger.cells import CellSpool
from crawler.ledger.changed_config import bring_up
from crawler.ledger.database import Ledger, ledger_path
from crawler.ledger.own_files import OwnFiles, delete_product, put_aside
from crawler.ledger.products import PRODUCT_KINDS, TrashRow
from crawler.ledger.recovery import compact, compacted_path, recover, require_unchanged
from crawler.ledger.rows import BEGIN, BEGIN_COMPAT, Rows
from crawler.paths import portable

log = logging.getLogger("dme")


class Store:
    """The state of one output: `ledger`, `rows` when metadata are on, `own` for the run's own files.

    Attributes
    ----------
    parts
        What is made of each scan (`config/parts.py`).
    cells
        Those of metadata.csv that workers made in this run.
    temp
        Name of this output's folders for unfinished files: ``<output folder>/.dme-tmp/<temp>``.
    commit_hooks
        Called when a commit is done.
    """

    def __init__(self, config: Config, ledger: Ledger, rows: Rows | None) -> None:
        self.config, self.ledger, self.rows = config, ledger, rows
        self.parts = frozenset(parts_of(config.shaping()))
        self.own = OwnFiles(ledger)
        self.temp = ""
        self.cells = CellSpool(ledger, config.output_dir)
        durable = config.output.durable
        self._durable = is_local(config.output_dir) if durable == "auto" else durable
        self._unsynced = False
        self.commit_hooks: list[Callable[[], None]] = []

    def products_written(self) -> None:
        """Products were put in place: the next commit vouches for them."""
        self._unsynced = self._durable

    def commit(self) -> None:
        """Make products, rows and ledger permanent, in this order: what no ledger knows is put right at the next start.

        With `output.durable` the products are on the disk, names and all, before the ledger vouches for them.
        """
        try:
            if self._unsynced:
                sync_file_systems(output_roots(self.config))
                self._unsynced = False
            if self.rows is not None:
                self.rows.flush()
                self.ledger.put("rows", self.rows.length)
                self.ledger.put("rows modified", self.rows.modified())
        except OSError as error:
            raise disk_error(error, self.rows.path if self.rows else "") from None
        self.ledger.commit()
        for hook in list(self.commit_hooks):
            hook()

    def seal(self) -> None:
        """Note that all is done, and the checksum of the rows, for `verify`."""
        if self.rows is not None:
            try:
                self.ledger.put("rows checksum", self.rows.sealed(self.ledger.get("rows checksum")))
            except OSError as error:
                raise disk_error(error, self.rows.path) from None
        self.ledger.put("finished", True)

    def compact(self) -> None:
        """Free the JSONL of dead rows."""
        if self.rows is None:
            return
        try:
            compact(self.rows, self.ledger)
        except OSError as error:
            raise disk_error(error, self.rows.path) from None

    def empty_trash(self) -> None:
        """Delete products that nothing names any more; what cannot be deleted now is tried again by the next run."""
        trash = self.ledger.trash()
        kept: list[TrashRow] = []
        for row in trash:
            kind, path, size, checksum = row
            if not delete_product(output_root(self.config, kind), os.fsdecode(path), size, checksum):
                kept.append(row)
        self.ledger.forget_trash(kept)
        self.ledger.commit()

    def make_room(self, gone: Sequence[tuple[int, str]]) -> None:
        """Delete outputs of folders that are gone: another file's output may be named like a folder of these.

        Parameters
        ----------
        gone
            Number and path of each. In a tree they are known until its scans are.
        """
        if self.config.dicom.group == "tree":
            changed = self.ledger.clear_vanished(gone)
        else:
            changed = self.ledger.forget_vanished(gone)
        if changed:
            self.ledger.touch()
            self.commit()
            self.empty_trash()

    def recover(self) -> None:
        """Put right what a killed run left: the JSONL, and files that were put in place and never recorded."""
        if self.rows is not None:
            try:
                recover(self.rows, self.ledger)
            except OSError as error:
                raise disk_error(error, self.rows.path) from None
        roots = output_roots(self.config)
        for root in roots:
            temporary.require_real(root)
        self.temp, left = temporary.take_name(self.ledger, roots)
        for root, name in left:
            self._take_published(root, name)
        self.commit()
        self.empty_trash()
        for root, name in left:
            temporary.sweep(root, name)

    def take_published(self) -> None:
        """Have what workers put in place and could not tell of, because they died, deleted or recorded anew."""
        for root in output_roots(self.config):
            self._take_published(root, self.temp)

    def some_left(self) -> bool:
        """Whether a worker could not take back what it had put in place."""
        return any(temporary.some_left(root, self.temp) for root in output_roots(self.config))

    def sweep(self) -> None:
        """Remove unfinished files of this output."""
        for root in output_roots(self.config):
            temporary.sweep(root, self.temp)

    def close(self) -> None:
        """Let go of everything; what was not committed is forgotten."""
        self.cells.close()
        if self.rows is not None:
            with contextlib.suppress(OSError):  # a full disk was reported when it was met
                self.rows.close()
        self.ledger.close()

    def _take_published(self, root: str, name: str) -> None:
        for kind, path, size, checksum in temporary.published(root, name):
            if output_root(self.config, kind) != root:
                continue
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # it never got there
                if is_below(os.path.dirname(os.path.join(root, path)), root) and is_as_recorded(
                    os.path.join(root, path), size, checksum
                ):
                    self.ledger.take_published(kind, os.fsencode(path), size, checksum)


@contextlib.contextmanager
def open_store(config: Config, rebuild: bool | Collection[str] = False) -> Iterator[Store]:
    """Open the state of an output, recovered and checked; with `rebuild`, to be made anew, whole or some sections.

    An error of the system or of SQLite that nobody inside made an outcome of ends the run with one line.

    Raises
    ------
    LedgerError
        A JSONL that no ledger names, a damaged ledger, a second run.
    ConfigError
        A key that shapes outputs differs from the run before.
    OutputError
        The output cannot be written.
    """
    try:
        with _opened(config, rebuild) as store:
            try:
                yield store
            except sqlite3.Error as error:
                raise store.ledger.translate(error) from None
    except BrokenPipeError:  # the reader of the terminal's lines left
        raise
    except OSError as error:
        path = error.filename if isinstance(error.filename, str) else config.output_dir
        text = f"{portable(path)}: {error.strerror}; all that was committed is kept: run again when that is mended"
        raise stop_of(error) or OutputError(text) from error


@contextlib.contextmanager
def _opened(config: Config, sections: bool | Collection[str]) -> Iterator[Store]:
    rebuild = sections is True
    rows_path, path = config.metadata_path, ledger_of(config)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.makedirs(config.output_dir, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{portable(os.path.dirname(path))} cannot be made: {error.strerror}") from None
    require_regular(path)
    if rows_path and os.path.islink(rows_path):
        require_regular(rows_path)
    ledger = _open_ledger(path, rows_path, rebuild)
    try:
        if rebuild:
            _begin_anew(config, ledger, rows_path)
        bring_up(config, ledger, frozenset(sections) if isinstance(sections, Collection) else frozenset())
        ledger.put("roots", {kind: output_root(config, kind) for kind in PRODUCT_KINDS})
        if config.metadata is not None and not config.metadata.append and ledger.get("finished", False):
            raise LedgerError(
                f"{portable(rows_path or '')} is finished and metadata.append is false;"
                " set it to true to resume, or use --rebuild to begin anew"
            )
        store = Store(config, ledger, _rows(config, rows_path) if rows_path else None)
    except BaseException:
        ledger.close()
        raise
    try:
        store.own.claim([compacted_path(rows_path)] if rows_path else [], set_aside=rebuild, more=True)
        store.recover()
        yield store
    finally:
        store.close()


def ledger_of(config: Config) -> str:
    """Where the ledger of a configuration lies: beside its JSONL, or in the output folder; under privacy in private.

    The section `metadata` may come to an output that was made without it, or go: the ledger that is there stays then.
    """
    rows = config.metadata_path or os.path.join(config.output_dir, "dme")
    if config.private_dir is not None:
        return ledger_path(os.path.join(config.private_dir, os.path.basename(rows)))
    path, without = ledger_path(rows), ledger_path(os.path.join(config.output_dir, "dme"))
    if not config.output.dir or is_there(path) or os.path.dirname(path) != config.output_dir:
        return path
    if config.metadata_path:
        return without if is_there(without) else path
    with contextlib.suppress(OSError):
        beside = [name for name in sorted(os.listdir(config.output_dir)) if name.endswith(ledger_path(".jsonl"))]
        return os.path.join(config.output_dir, beside[0]) if len(beside) == 1 else path
    return path


def output_root(config: Config, kind: str) -> str:
    """The folder that products of a kind lie in."""
    folders = {"volume": config.volume_dir, "sidecar": config.volume_dir, "preview": config.preview_dir}
    return folders.get(kind, config.media_dir) or config.output_dir


def output_roots(config: Config) -> list[str]:
    """Every folder that this configuration writes products or unfinished files in."""
    roots = [config.output_dir, config.media_dir, config.volume_dir, config.preview_dir, config.private_dir]
    return list(dict.fromkeys(root for root in roots if root))


def disk_error(error: OSError, path: str) -> OutputError:
    """What a failed write means to the user."""
    return stop_of(error) or OutputError(f"{portable(path)} cannot be written: {error.strerror}")


def _open_ledger(path: str, rows_path: str | None, rebuild: bool) -> Ledger:
    """Open or make the ledger; with `rebuild`, one that cannot be used is set aside with its JSONL."""
    if is_there(path) and os.path.getsize(path):
        try:
            return Ledger(path)
        except LedgerError as error:
            if not rebuild or "in use" in str(error):
                raise
        for old in (f"{path}-journal", path, rows_path):  # a journal without its ledger is of no use to anybody
            if old and is_there(old):
                put_aside(old)
    if rows_path and is_there(rows_path) and (os.path.isdir(rows_path) or os.path.getsize(rows_path)):
        if not rebuild:
            raise LedgerError(
                f"{portable(rows_path)} exists, but no ledger of ours names it: it is not touched; move it away,"
                " choose another metadata.file, or set it aside and begin anew with --rebuild"
            )
        put_aside(rows_path)
    return Ledger(path)


def _rows(config: Config, path: str) -> Rows:
    return Rows(path, BEGIN_COMPAT if config.metadata and config.metadata.compat else BEGIN)


def _begin_anew(config: Config, ledger: Ledger, rows_path: str | None) -> None:
    """Forget all that was done, in one transaction: products go to the trash, and the JSONL will be cut to nothing.

    Only what lies under the output folders of this configuration as recorded is deleted then.
    """
    if rows_path and is_there(rows_path):
        if not stat.S_ISREG(os.lstat(rows_path).st_mode):
            put_aside(rows_path)
        else:
            rows = _rows(config, rows_path)
            try:
                require_unchanged(rows, ledger)
            except LedgerError:
                put_aside(rows_path)
            finally:
                rows.close()
    for root in {*ledger.get("roots", {}).values()} - {output_root(config, kind) for kind in PRODUCT_KINDS}:
        log.warning("outputs that an earlier run left below %s stay there", portable(root))
    ledger.forget_all()
    ledger.commit()
