"""What becomes of an instance that arrives: judged by its dataset, put in place, noted in the manifest.

It talks to no server. A file is never put over one that the manifest does not know as its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from crawler.errors import OutputError
from crawler.pacs.identify import Identity, holds, identify, place
from crawler.pacs.manifest import Manifest
from crawler.pacs.model import Received
from crawler.pacs.schedule import Throttle
from crawler.pacs.wanted import Arrival, Series
from crawler.paths import portable


class Intake:
    """Takes the arrivals of one request; `arrived` is told of each instance that is new here, with its bytes.

    Parameters
    ----------
    series
        Those that the request asks for, all of one study.
    """

    def __init__(
        self,
        manifest: Manifest,
        series: Sequence[Series],
        transport: str,
        throttle: Throttle,
        arrived: Callable[[int], None],
    ) -> None:
        self._manifest, self._transport, self._throttle, self._arrived = manifest, transport, throttle, arrived
        self._series = {one.uid: one for one in series}
        self.new = 0

    def deliver(self, received: Received) -> None:
        """Take one instance; called by transports, in any thread.

        Raises
        ------
        OutputError
            It cannot be put in place.
        """
        identity = identify(received.path)
        try:
            with self._manifest.lock:
                self._judge(received, identity)
        finally:
            received.path.unlink(missing_ok=True)
        self._throttle.spend(received.size)

    def _judge(self, received: Received, identity: Identity) -> None:
        announced, uid = received.sop_uid, identity.instance
        series = self._series_of(uid or announced, identity)
        if series is None:
            self._stray(
                self._series_of(announced, identity), announced, "it belongs to a series that was not asked for"
            )
        elif not uid:
            self._stray(series, announced, "its dataset has no SOP Instance UID that can be read")
        else:
            if announced != uid:
                self._misnamed(announced)
            if uid in series.here:
                self._again(series, received, uid)
            else:
                outcome = "received" if uid in series.wanted or not series.listed else "extra"
                self._keep(series, received, uid, outcome)

    def _misnamed(self, announced: str) -> None:
        """The dataset is another instance than the one announced: it counts as what it is, and the other is wanted."""
        series = next((one for one in self._series.values() if announced in one.wanted), None)
        if series is not None:
            self._stray(series, announced, "another instance came in its place")

    def _stray(self, series: Series | None, uid: str, reason: str) -> None:
        series = series or next(iter(self._series.values()))
        self._manifest.came_astray(series, uid, reason)
        series.notes[uid] = f"wrong UID: {reason}"

    def _series_of(self, uid: str, identity: Identity) -> Series | None:
        """Whose it is: of the series that wants this instance, even where a server coerced the UID of the series."""
        for series in self._series.values():
            if uid in series.wanted or uid in series.here:
                return series
        return self._series.get(identity.series)

    def _again(self, series: Series, received: Received, uid: str) -> None:
        known = self._manifest.checksum_of(series, uid)
        same = known in (None, received.xxh3)
        self._manifest.came_again(series, uid, "" if same else "came again with other bytes")

    def _keep(self, series: Series, received: Received, uid: str, outcome: str) -> None:
        manifest = self._manifest
        path = manifest.root / place(series.study, series.uid, uid)
        arrival = Arrival(
            uid,
            outcome,
            received.sop_class,
            received.transfer_syntax,
            received.size,
            received.xxh3,
            self._transport,
            round(received.seconds, 4),
        )
        foreign = os.path.lexists(path) and manifest.checksum_of(series, uid) is None
        if foreign and not _same(path, received):
            series.notes[uid] = "another file lies in its place, and is not written over"
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            manifest.announce(series.id, arrival)
            os.replace(received.path, path)
        except OSError as error:
            raise OutputError(f"{portable(str(path.parent))} cannot be written: {error.strerror}") from None
        manifest.arrived(series, arrival)
        self.new += 1
        self._arrived(received.size)


def _same(path: Path, received: Received) -> bool:
    """Whether a file that lies in the way holds the same bytes."""
    try:
        return holds(path, received.size, received.xxh3)
    except OSError:  # a folder, or what we may not read
        return False
