"""Every error that the package raises on purpose.

::

    CrawlerError
    |-- StopError             the run cannot go on: one line for the user, exit code 1
    |   |-- ConfigError       the configuration cannot be used
    |   |-- SourceError       the input is missing or cannot be opened
    |   |-- LedgerError       the record of what is done, or its JSONL, cannot be trusted
    |   |-- OutputError       the output cannot be written (disk full, no permission)
    |   `-- PacsError         the PACS cannot be used as it is configured
    |-- RequestError          one request to a PACS failed: the others go on
    `-- FileError             one file: one row in unreadable_files.csv, the run goes on
        |-- NotDicom          the file is not DICOM: skipped, not failed
        |-- HeaderError       stage "header"
        |-- LayoutError       stage "layout"
        |-- PixelError        stage "pixels"
        `-- SinkError         stage "write"

No message names a patient: texts hold tags, UIDs of the standard, counts and paths, never values of
patient elements.
"""

from __future__ import annotations

from typing import ClassVar


class CrawlerError(Exception):
    """Root of all errors raised by this package."""


class StopError(CrawlerError):
    """The run cannot start or cannot go on; its first line says why, and what to do."""


class ConfigError(StopError):
    """The configuration is not usable."""


class SourceError(StopError):
    """The input does not exist or cannot be opened."""


class LedgerError(StopError):
    """The ledger or the JSONL is not ours, is damaged, or is in use."""


class OutputError(StopError):
    """An output folder or file cannot be written."""


class PacsError(StopError):
    """The PACS cannot be used as it is configured: no such host, a wrong certificate, a key that is no attribute."""


class RequestError(CrawlerError):
    """A PACS answered one request with a failure, with nonsense, or not at all; other requests may do well.

    Parameters
    ----------
    reason
        A short sentence without identifiers ("the server did not answer for 60 s").
    outcome
        An `OutcomeOfRequest` of `pacs/model.py`: "dropped", "silent", "busy", "refused", ...
    status
        Status of the DIMSE response (PS3.7 annex C) or HTTP status, when there was one.
    wait
        Seconds that the server asks to be left alone (Retry-After); 0 when it does not say.
    """

    def __init__(self, reason: str, outcome: str = "failed", status: int | None = None, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.outcome = outcome
        self.status = status
        self.wait = wait


class FileError(CrawlerError):
    """One file could not be handled.

    Parameters
    ----------
    reason
        A short phrase out of a small set, so that reasons can be counted ("truncated pixel data").
    detail
        What a person needs to act on it ("holds 1,024 of 32,768 bytes").
    """

    stage: ClassVar[str] = "find"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[FileError], tuple[str, str]]:
        """Pickle by the two arguments: errors cross process borders."""
        return type(self), (self.reason, self.detail)


class NotDicom(FileError):
    """The content is not DICOM."""

    stage = "header"


class HeaderError(FileError):
    """The content is DICOM, but its header cannot be read."""

    stage = "header"


class LayoutError(FileError):
    """The policy refuses to build a volume from this file's scan."""

    stage = "layout"


class PixelError(FileError):
    """The pixel data cannot be decoded."""

    stage = "pixels"


class SinkError(FileError):
    """An output made from this file cannot be written."""

    stage = "write"


class FormatLimit(SinkError):
    """A format cannot hold a volume, whatever is done; another may, and then this one is left out, which is said."""
