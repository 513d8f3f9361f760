"""`dme convert PATH`: pictures, videos and texts of one file or a folder, by flags."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace

from crawler.cli.common import account_lines, add_common, count, logging_to, program, shown
from crawler.cli.help_text import HelpText
from crawler.compat.convert import Request
from crawler.disk import created_as
from crawler.engine.progress import make_progress
from crawler.engine.run import run
from crawler.pacs.address import is_address
from crawler.paths import portable
from crawler.stores.address import is_remote

DEFAULT = "dicom_data"  # as the earlier converter has it
EPILOG = """\
examples:
  {program} convert scan.dcm                     output/scan.png or, of several frames, output/scan.mp4 and .gif
  {program} convert dicom_data -o pictures       a folder with all that lies below it; pictures/ mirrors it
  {program} convert dicom_data --8bit --no-mp4   grey stills of 8 bits, GIFs only
  {program} convert dicom_data --fps 10          10 frames a second, whatever the files say

Beside each picture lies its header as a text. Run it again to convert what is new. The rows of all headers, the log and
the list of failures are in output/records/.

exit codes:
  0    all well
  1    could not run
  2    wrong arguments
  3    finished, but some files failed (see unreadable_files.csv)
  130  interrupted
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme convert PATH`."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} convert",
        description="Convert a DICOM file, or all below a folder, to PNG, MP4, GIF and a text of the header.",
        epilog=EPILOG.format(program=program()),
        formatter_class=HelpText,
    )
    parser.add_argument(
        "path", metavar="PATH", nargs="?", default=DEFAULT, help=f"file, archive or folder (default: {DEFAULT})"
    )
    parser.add_argument("-o", "--output", default="output", metavar="OUT", help="folder to write to (default: output)")
    parser.add_argument("--8bit", dest="narrow", action="store_true", help="grey stills of 8 bits in place of 16")
    parser.add_argument("--no-mp4", dest="mp4", action="store_false", help="write GIFs only")
    parser.add_argument("--fps", type=_rate, metavar="N", help="frames a second, in place of the files' own rates")
    parser.add_argument(
        "--rebuild", action="store_true", help="delete what earlier runs made of PATH, and make it anew"
    )
    parser.add_argument("--workers", type=count, metavar="N", help="worker processes (default: 4)")
    add_common(parser)
    return parser


def execute(options: argparse.Namespace) -> int:
    """Convert; return the exit code."""
    request = request_of(options)
    config = request.config()
    if options.workers is not None:
        config = replace(config, num_workers=options.workers)
    with created_as(config.output.mode), logging_to(config.own_path("run.log"), config.roots, options):
        summary = run(config, rebuild=options.rebuild, progress=make_progress(sys.stderr, quiet=options.quiet))
    if not options.quiet:
        last = "Interrupted: what is done is kept. To go on, run the same command again"
        if not summary.interrupted:
            last = closing_line(request, sum(summary.failed.values()), shown(request.out))
        print("\n".join([*account_lines(summary), last]))
    return summary.exit_code


def request_of(options: argparse.Namespace) -> Request:
    """What the arguments ask for."""
    source, out = (_absolute(path) for path in (options.path, options.output))
    return Request(source, out, options.narrow, options.mp4, options.fps)


def _absolute(path: str) -> str:
    """A path from here on; an address, of a PACS or of remote storage, as it stands."""
    return path if is_address(path) or is_remote(path) else os.path.abspath(os.path.expanduser(path))


def closing_line(request: Request, failed: int, shown: str) -> str:
    """What to look at next; `shown` is the output folder as a person types it."""
    if failed:
        return f"{failed:,} files failed: see {shown}/{portable(os.path.relpath(request.records, request.out))}"
    return f"Converted to {shown}"


def _rate(text: str) -> float:
    """Read a number above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return number
