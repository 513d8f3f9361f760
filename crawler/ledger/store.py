"""Ledger and JSONL as one: opened, checked against each other and the configuration, recovered, committed together.

Whatever a killed run left behind is put right here, before any work; what cannot be trusted stops the run with the way
out. Nothing that is not ours is cut, deleted or written over.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Iterator

from crawler.config.loader import Config
from crawler.errors import ConfigError, LedgerError, OutputError
from crawler.ledger.database import PRODUCT_KINDS, Ledger, ledger_path
from crawler.ledger.rows import Rows
from crawler.paths import TEMP, portable

log = logging.getLogger("dme")

SHARD = "main"


class Store:
    """The state of one output: `ledger`, and `rows` when metadata are on."""

    def __init__(self, config: Config, ledger: Ledger, rows: Rows | None) -> None:
        self.config, self.ledger, self.rows = config, ledger, rows

    def commit(self) -> None:
        """Make rows and ledger permanent, in this order: a row that no ledger knows is cut at the next start."""
        try:
            if self.rows is not None:
                self.rows.flush()
                self.ledger.put("rows", self.rows.length)
        except OSError as error:
            raise disk_error(error, self.rows.path if self.rows else "") from None
        self.ledger.commit()

    def compact(self) -> None:
        """Free the JSONL of dead rows. A kill at any point leaves the old file or the new one, and either is known."""
        if self.rows is None:
            return
        spans = self.ledger.spans()
        if sum(stop - start for start, stop in spans) == self.rows.length:
            return
        path = _compacted(self.rows.path)
        try:
            length = self.rows.write_compacted(path, spans)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise disk_error(error, self.rows.path) from None
        self.ledger.plan_spans()
        self.ledger.put("compacting", length)
        self.ledger.commit()
        self.rows.replace(path)
        self._compacted(length)

    def _compacted(self, length: int) -> None:
        self.ledger.move_spans()
        self.ledger.put("compacting", None)
        self.ledger.put("rows", length)
        self.ledger.commit()

    def empty_trash(self) -> None:
        """Delete products that nothing names any more, and folders that this leaves empty."""
        for kind, path in self.ledger.trash():
            root = output_root(self.config, kind)
            native = os.path.join(root, os.fsdecode(path))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(native)
            parent = os.path.dirname(native)
            while parent != root and parent.startswith(root):
                try:
                    os.rmdir(parent)
                except OSError:
                    break
                parent = os.path.dirname(parent)
        self.ledger.empty_trash()
        self.ledger.commit()

    def recover(self) -> None:
        """Bring the JSONL to what the ledger vouches for."""
        rows, ledger = self.rows, self.ledger
        if rows is None:
            return
        pending = ledger.get("compacting")
        path = _compacted(rows.path)
        if os.path.exists(path):
            os.unlink(path)  # written, but never put in place
            ledger.put("compacting", None)
        elif pending is not None:
            self._compacted(pending)  # put in place, but never noted
        length = ledger.get("rows", 0)
        name = portable(rows.path)
        if rows.length > length:
            log.info("%s: cut back by %d bytes that an interrupted run had not recorded", name, rows.length - length)
            rows.cut(length)
        elif rows.length < length:
            lost = ledger.lose_rows(rows.length)
            last = max((stop for _, stop in ledger.spans()), default=0)
            rows.cut(last)
            log.warning("%s is shorter than recorded (or missing): %d scans are exported again", name, lost)
        if not rows.whole(rows.length):
            raise LedgerError(f"{name} was changed by another program; rerun with --rebuild to make it anew")
        self.commit()

    def sweep(self) -> None:
        """Remove unfinished files of this shard."""
        for root in output_roots(self.config):
            shutil.rmtree(os.path.join(root, TEMP, SHARD), ignore_errors=True)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(root, TEMP))

    def close(self) -> None:
        """Let go of everything; what was not committed is forgotten."""
        if self.rows is not None:
            with contextlib.suppress(OSError):  # a full disk was reported when it was met
                self.rows.close()
        self.ledger.close()


@contextlib.contextmanager
def open_store(config: Config, rebuild: bool = False) -> Iterator[Store]:
    """Open the state of an output, recovered and checked.

    Raises
    ------
    LedgerError
        A JSONL that no ledger names, a damaged ledger, a second run.
    ConfigError
        A key that shapes outputs differs from the run before.
    OutputError
        The output cannot be written.
    """
    rows_path, path = config.metadata_path, ledger_of(config)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.makedirs(config.output_dir, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{portable(os.path.dirname(path))} cannot be made: {error.strerror}") from None
    if rebuild:
        _forget(config, path, rows_path)
    known = os.path.exists(path) and os.path.getsize(path) > 0
    if rows_path and not known and os.path.exists(rows_path) and os.path.getsize(rows_path):
        raise LedgerError(
            f"{portable(rows_path)} exists, but no ledger of ours names it: it is not touched; move it away,"
            " choose another metadata.file, or set it aside and begin anew with --rebuild"
        )
    ledger = Ledger(path)
    try:
        if rows_path and not known and os.path.exists(rows_path):
            ledger.put("rows", 0)
        _check_config(config, ledger)
        ledger.put("roots", {kind: output_root(config, kind) for kind in PRODUCT_KINDS})
        if config.metadata is not None and not config.metadata.append and ledger.get("finished", False):
            raise LedgerError(
                f"{portable(rows_path or '')} is finished and metadata.append is false;"
                " set it to true to resume, or use --rebuild to begin anew"
            )
        store = Store(config, ledger, Rows(rows_path) if rows_path else None)
    except BaseException:
        ledger.close()
        raise
    try:
        store.sweep()
        store.recover()
        store.empty_trash()
        yield store
    finally:
        store.close()


def ledger_of(config: Config) -> str:
    """Where the ledger of a configuration lies: beside its JSONL, or in the output folder when there is none."""
    return ledger_path(config.metadata_path or os.path.join(config.output_dir, "dme"))


def output_root(config: Config, kind: str) -> str:
    """The folder that products of a kind lie in."""
    folders = {"volume": config.volume_dir, "sidecar": config.volume_dir, "preview": config.preview_dir}
    return folders.get(kind, config.media_dir) or config.output_dir


def output_roots(config: Config) -> list[str]:
    """Every folder that this configuration writes products or unfinished files in."""
    roots = [config.output_dir, config.media_dir, config.volume_dir, config.preview_dir]
    return list(dict.fromkeys(root for root in roots if root))


def disk_error(error: OSError, path: str) -> OutputError:
    """What a failed write means to the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError("the disk is full; all that was committed is kept: free space and run again")
    return OutputError(f"{portable(path)} cannot be written: {error.strerror}")


def _compacted(path: str) -> str:
    return path + ".compacted"


def _check_config(config: Config, ledger: Ledger) -> None:
    """Refuse a changed output; have a new one made for what is there."""
    shaping, before = config.shaping(), ledger.get("config")
    if before is not None:
        changed = sorted(key for key in before if before[key] != shaping.get(key))
        if changed:
            key = changed[0]
            more = f" (and {', '.join(changed[1:])})" if len(changed) > 1 else ""
            now = repr(shaping[key]) if key in shaping else "switched off"
            raise ConfigError(
                f"{key} was {before[key]!r} when this output was made and is {now} now{more};"
                " set it back, choose another output, or use --rebuild to make all outputs anew"
            )
        added = sorted({key.split(".")[0] for key in shaping if key not in before})
        if added:
            log.info("%s: new in the configuration; made for all files that are there", ", ".join(added))
            ledger.forget_digests()
    ledger.put("config", shaping)


def _forget(config: Config, path: str, rows_path: str | None) -> None:
    """Begin anew: delete our products and rows. What cannot be told to be ours is set aside, not deleted."""
    products: list[tuple[str, bytes]] | None = None
    roots: dict[str, str] = {}
    if os.path.exists(path) and os.path.getsize(path):
        try:
            ledger = Ledger(path)
            try:
                products, roots = ledger.all_products(), ledger.get("roots", {})
            finally:
                ledger.close()
        except LedgerError as error:
            if "in use" in str(error):
                raise
    if products is None:
        for old in (path, rows_path):
            if old and os.path.exists(old):
                aside = _aside(old)
                os.replace(old, aside)
                log.warning("%s is set aside as %s", portable(old), portable(aside))
        return
    for kind, name in products:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(roots.get(kind) or output_root(config, kind), os.fsdecode(name)))
    if rows_path and os.path.exists(rows_path):
        os.unlink(rows_path)
    os.unlink(path)


def _aside(path: str) -> str:
    number = 1
    while os.path.exists(f"{path}.set-aside-{number}"):
        number += 1
    return f"{path}.set-aside-{number}"
