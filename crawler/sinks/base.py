"""What all sinks share: the contract, where an output goes, and how an unfinished file gets its final name.

Knows no file format, opens no DICOM, decides no name, and never asks whether a target may be replaced: the
ledger has settled that before a sink is opened.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np

from crawler.disk import delete_published, fingerprint, is_journaled, journal_target, make_folders, put_new
from crawler.display.renderer import Renderer
from crawler.errors import CrawlerError, OutputError, SinkError, StopError
from crawler.model import Frame, Instance, Layout, Product, Scan

Json = str | int | float | bool | None
Per = Literal["file", "layout"]
Order = Literal["any", "sequential"]

# Ends the run: the next file would meet it too.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
REASONS = {
    errno.EISDIR: "a folder lies at the target",
    errno.EEXIST: "a file lies where a folder is needed",
    errno.ENOTDIR: "a file lies where a folder is needed",
    errno.ENAMETOOLONG: "name too long",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "no permission",
}
MEANWHILE = (
    "a file was put there",
    "while the run was at work, and by somebody else: it is left as it is; move it away, and run with --retry-failed",
)
# Packages whose module is not called like what pip installs.
MODULES = {"pillow": "PIL"}


def write_error(error: OSError, detail: str = "") -> CrawlerError:
    """What a failed write means: for this file, or for the run when the disk is full.

    Parameters
    ----------
    error
        As the system raised it. Its file names (of unfinished files) are left out.
    detail
        Stands in for the system's text when the error carries no number.

    Returns
    -------
    OutputError or SinkError
        To be raised by the caller.
    """
    code = error.errno or 0
    text = os.strerror(code) if code else detail
    if code in DISK_FULL:
        return OutputError(f"disk full: {text}; free some space and run again, finished files are kept")
    return SinkError(REASONS.get(code, "cannot write"), text)


@contextmanager
def writing() -> Iterator[None]:
    """Turn an OSError raised inside into what `write_error` makes of it."""
    try:
        yield
    except OSError as error:
        raise write_error(error) from error


def discard(path: str) -> None:
    """Remove an unfinished file, there or not; what cannot be removed goes when the engine empties the folder."""
    with suppress(OSError):
        os.unlink(path)


@dataclass(frozen=True, slots=True)
class Target:
    """Where an output goes.

    Attributes
    ----------
    path
        Final native absolute path, without the extension: each format adds its own.
    temp
        An existing folder on the same file system, for unfinished files.
    may_replace
        Whether what lies at the path with an extension is ours to be written over.
    """

    path: str
    temp: str
    may_replace: Callable[[str], bool] = lambda extension: True

    def scratch(self, extension: str) -> str:
        """Path of a new unfinished file; nothing is created.

        Drawn at random, for the final name may be at the limit of the file system already. It ends in `extension`, by
        which writers choose their format.
        """
        return os.path.join(self.temp, secrets.token_hex(16) + extension)

    def publish(self, scratch: str, extension: str, kind: str, layout: str = "") -> Product:
        """Rename a finished file into place, in one step, with the folders that it needs.

        Parameters
        ----------
        scratch
            The file, complete and closed. It is gone afterwards, also after a failure.
        extension
            With its dot(s), as in ".nii.gz".
        kind, layout
            As in `Product`.

        Raises
        ------
        SinkError
            A folder, or a file that is not ours, lies at the target, the name is too long, permission is missing.
        OutputError
            The disk is full.
        """
        final = self.path + extension
        try:
            size, checksum = fingerprint(scratch)
            journal_target(self.temp, final, kind, size, checksum)
            try:
                self._put(scratch, final, extension)
            except FileNotFoundError:  # mostly the folder is there
                make_folders(os.path.dirname(final))
                self._put(scratch, final, extension)
        except OSError as error:
            discard(scratch)
            if os.path.isdir(final):  # Windows reports this as a lack of permission
                raise SinkError(REASONS[errno.EISDIR]) from error
            if isinstance(error, FileExistsError) and os.path.lexists(final):
                raise SinkError(*MEANWHILE) from error
            raise write_error(error) from error
        return Product(path=final, kind=kind, size=size, checksum=checksum, layout=layout)

    def take_back(self, products: Iterable[Product]) -> None:
        """Delete what was put in place; what cannot be deleted is left to the engine, which knows that it is ours."""
        for product in products:
            delete_published(product.path, self.temp)

    def _put(self, scratch: str, final: str, extension: str) -> None:
        """Rename a file into place. Raises FileExistsError where a file of somebody else lies."""
        if self.may_replace(extension):
            os.replace(scratch, final)
            return
        try:
            put_new(scratch, final)
        except FileExistsError:
            if not is_journaled(self.temp, final):
                raise
            os.replace(scratch, final)


class FileSubject(NamedTuple):
    """What a medium is made of: one instance, and how its frames are shown."""

    instance: Instance
    display: Renderer


@dataclass(frozen=True, slots=True)
class LayoutSubject:
    """What a volume is made of.

    Attributes
    ----------
    dtype
        Type of the voxels, as the frames come and as they go into the file (`values.value_type`).
    values
        "modality" or "stored": which of them the frames hold by now; to be noted, not to be applied.
    photometric
        (0028,0004) *Photometric Interpretation* of the frames as they come.
    attributes
        Further fields to note, for formats that can: values that all frames share, by DICOM keyword.
    by_frame
        Values of elements that differ between frames, by keyword: one a frame, in the order of the placement.
    vendor
        What private elements say of the acquisition (`instance/vendor_acquisition.py`); opens a file.
    """

    scan: Scan
    layout: Layout
    dtype: np.dtype[Any]
    values: str
    photometric: str
    attributes: Mapping[str, Any]
    by_frame: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    vendor: Callable[[], Mapping[str, Any]] = dict


class Sink(Protocol):
    """Writes one output: ``open``, one ``put`` a frame, then ``close``, or ``abort`` at any time.

    An object serves once. Until ``close`` returns, nothing lies at the target. An ``open`` that raises has left nothing
    behind.

    Attributes
    ----------
    per
        "file": opened with a `FileSubject`. "layout": opened with a `LayoutSubject`.
    order
        "sequential" wants its frames by ascending index.
    needs
        Packages, by the names that pip knows; imported only when a file is opened.
    Options
        Frozen dataclass; constructing it checks what can be checked without files (ConfigError).
    extension
        Of the (first) product, with its dot.
    """

    per: ClassVar[Per]
    order: ClassVar[Order]
    needs: ClassVar[tuple[str, ...]]
    Options: ClassVar[type[Any]]

    def __init__(self, options: Any = None) -> None: ...

    @property
    def extension(self) -> str:
        """As above."""
        ...

    def open(self, target: Target, subject: Any) -> None:
        """Begin. May raise SinkError, OutputError, and StopError for a program that is missing."""
        ...

    def put(self, index: tuple[int, ...], frame: Frame) -> None:
        """Take a frame at its index: in the layout, or (frame number from 0,) in the file.

        Media get stored values, which their display renders; volumes get the values that they are to hold.

        Raises
        ------
        SinkError
            The frame does not fit, or the writer refuses it. ``abort`` is the caller's next step.
        OutputError
            The disk is full.
        """
        ...

    def close(self) -> list[Product]:
        """Finish the file and put it in place. Raises like `put`; nothing is in place then."""
        ...

    def abort(self) -> None:
        """Give up and leave nothing behind. Never raises; after ``close``, or a second time, it does nothing."""
        ...


def require(sink: type[Sink] | Sink) -> None:
    """Check that the packages of a sink are there, without importing them.

    Raises
    ------
    StopError
        Names the missing packages and the line that installs them.
    """
    missing = [name for name in sink.needs if not _installed(name)]
    if missing:
        packages = " ".join(missing)
        raise StopError(f"this output needs {', '.join(missing)}: install with `pip install {packages}`")


def _installed(package: str) -> bool:
    return importlib.util.find_spec(MODULES.get(package, package.replace("-", "_"))) is not None
