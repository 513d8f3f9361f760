"""Series to a PACS by C-STORE: limits of time, retries, and what became of each instance."""

from __future__ import annotations

import os
import tempfile
import threading
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO

from crawler.errors import PacsError
from crawler.pacs.address import parse_address
from crawler.pacs.model import Server
from crawler.pacs.send import Sent, outgoing, send
from crawler.pacs.store import StoreScu
from crawler.series.description import Description
from crawler.series.report import WriteOptions, WriteReport
from crawler.series.retrieve import timeouts_of


def send_array(values: Any, description: Description, address: str, options: WriteOptions) -> WriteReport:
    """Write an array as DICOM into a temporary folder and send it.

    Raises
    ------
    PacsError
        The address is none, or not every instance was stored; the message says how many, and why the first was not.
    """
    with tempfile.TemporaryDirectory(prefix="dme-send-") as folder:
        if options.kind == "image":
            from crawler.series.write_dicom import DicomWriter

            report = DicomWriter(values, description, options).write(folder)
        else:
            from crawler.series.write_highdicom import write_special  # needs highdicom

            report = write_special(folder, values, description, options)
        paths = [os.path.join(folder, name) for name in report.files]
        results = send_files(paths, address, options.calling_aet, options.timeout)
    failed = [sent for sent in results if sent.outcome not in ("stored", "warning")]
    if failed:
        raise PacsError(
            f"{len(failed)} of {len(results)} instances were not stored; the first: {failed[0].outcome}, "
            f"{failed[0].reason or failed[0].status}"
        )
    warned = Counter(sent.reason for sent in results if sent.outcome == "warning")
    notes = [f"{count} instances were stored with a warning: {reason}" for reason, count in warned.items()]
    uids = tuple(sent.sop_uid for sent in results)
    return replace(report, target=address, files=uids, notes=(*report.notes, *notes))


def _opened(path: str) -> BinaryIO:
    return open(path, "rb")


def send_files(paths: list[str], address: str, calling_aet: str = "DME", timeout: float | None = None) -> list[Sent]:
    """Send files; one result each.

    Parameters
    ----------
    timeout
        Seconds that the server may take for any one answer; None for the limits of `pacs.model.Timeouts`.

    Raises
    ------
    PacsError
        The address is none.
    """
    try:
        place = parse_address(address)
    except ValueError as error:
        raise PacsError(f"{address}: {error}") from None
    server = Server(place.host, place.port, place.called_aet, calling_aet, timeouts=timeouts_of(timeout))
    channel = StoreScu(server)
    try:
        files = (outgoing(os.path.basename(path), partial(_opened, path)) for path in paths)
        return list(send(files, channel, threading.Event()))
    finally:
        channel.close()
