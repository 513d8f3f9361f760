"""The earlier converter (`dme convert PATH`) as a configuration: pictures, videos and texts of one file or a folder.

The engine does the work. Each input has a folder of records (rows, ledger, log) of its own in the output folder, so
that several inputs can go to one.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Any

from crawler.config.loader import Config
from crawler.pacs.address import is_address

RECORDS = "records"
RECEIVED = "received"  # what a PACS sent
RATE = 10  # frames a second where a file names none: that of the earlier converter


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be converted.

    Attributes
    ----------
    source, out
        Absolute native paths of the input and of the output folder.
    narrow
        Grey stills have 8 bits.
    fps
        Frames a second; None for the files' own rates.
    """

    source: str
    out: str
    narrow: bool = False
    mp4: bool = True
    fps: float | None = None

    @property
    def records(self) -> str:
        """Folder of the run's own files: of this input, wherever else one of its name lies."""
        digest = hashlib.blake2b(os.fsencode(self.source), digest_size=4).hexdigest()
        return os.path.join(self.out, RECORDS, f"{os.path.basename(self.source) or 'root'}-{digest}")

    def config(self) -> Config:
        """The configuration that the flags stand for.

        Raises
        ------
        ConfigError
            The output folder lies where the input does.
        """
        video: dict[str, Any] = {"extension": [".mp4", ".gif"] if self.mp4 else [".gif"], "default_fps": RATE}
        if self.fps is not None:
            video["fps"] = self.fps
        received = {"pacs": {"dir": os.path.join(self.records, RECEIVED)}} if is_address(self.source) else {}
        return Config.from_mapping(
            received
            | {
                "output": {"dir": self.records},
                "dicom": {"dir": self.source},
                "metadata": {"text": True},
                "media": {"dir": self.out},
                "image": {"bits": 8 if self.narrow else "auto"},
                "video": video,
            }
        )
