"""The command line of the earlier converter, `dme.py convert PATH`: pictures, videos and texts of one file or a folder.

It makes a configuration out of the flags; the engine does the work. Each input has a folder of records (rows, ledger,
log) of its own in the output folder, so that several inputs can go to one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from dataclasses import dataclass
from typing import Any

from crawler.config.loader import Config
from crawler.paths import portable

RECORDS = "records"
EPILOG = """\
examples:
  python dme.py convert scan.dcm                     output/scan.png or, of several frames, output/scan.mp4 and .gif
  python dme.py convert dicom_data -o pictures       a folder with all that lies below it; pictures/ mirrors it
  python dme.py convert dicom_data --8bit --no-mp4   grey stills of 8 bits, GIFs only
  python dme.py convert dicom_data --fps 10          10 frames a second, whatever the files say

Beside each picture lies its header as a text. Run it again to convert what is new. The rows of all headers, the log and
the list of failures are in output/records/.

exit codes:
  0  all well    1  could not run    3  finished, but some files failed (see unreadable_files.csv)    130  interrupted
"""


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
        video: dict[str, Any] = {"extension": [".mp4", ".gif"] if self.mp4 else [".gif"]}
        if self.fps is not None:
            video["fps"] = self.fps
        return Config.from_mapping(
            {
                "output": {"dir": self.records},
                "dicom": {"dir": self.source},
                "metadata": {"text": True},
                "media": {"dir": self.out},
                "image": {"bits": 8 if self.narrow else 16},
                "video": video,
            }
        )


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme.py convert PATH`, without the flags that all commands have."""
    parser = argparse.ArgumentParser(
        prog="dme.py convert",
        description="Convert a DICOM file, or all below a folder, to PNG, MP4, GIF and a text of the header.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", metavar="PATH", help="file, archive or folder")
    parser.add_argument("-o", "--output", default="output", metavar="OUT", help="folder to write to (default: output)")
    parser.add_argument("--8bit", dest="narrow", action="store_true", help="grey stills of 8 bits in place of 16")
    parser.add_argument("--no-mp4", dest="mp4", action="store_false", help="write GIFs only")
    parser.add_argument("--fps", type=rate, metavar="N", help="frames a second, in place of the files' own rates")
    parser.add_argument(
        "--rebuild", action="store_true", help="delete what earlier runs made of PATH, and make it anew"
    )
    return parser


def rate(text: str) -> float:
    """Read a number above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return number


def request_of(options: argparse.Namespace) -> Request:
    """What the arguments ask for."""
    source, out = (os.path.abspath(os.path.expanduser(path)) for path in (options.path, options.output))
    return Request(source, out, options.narrow, options.mp4, options.fps)


def closing_line(request: Request, failed: int, shown: str) -> str:
    """What to look at next; `shown` is the output folder as a person types it."""
    if failed:
        return f"{failed:,} files failed: see {shown}/{portable(os.path.relpath(request.records, request.out))}"
    return f"Converted to {shown}"
