"""The command line of the earlier crawler, `run_crawler.py`: its flags, on the engine of `dme.py`.

It reads arguments and says what was done; the work is `crawl.py`'s.
"""

from __future__ import annotations

import argparse
import os
import sys

from crawler.cli.common import account_lines, add_common, count, logging_to, shown, started_as
from crawler.cli.help_text import HelpText
from crawler.compat.crawl import CrawlResult, Request, crawl
from crawler.compat.folders import parse_folders
from crawler.disk import created_as
from crawler.engine.progress import make_progress

_YES, _NO = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")

EPILOG = """\
examples:
  1. all metadata, without pixel data: metadata_example1.csv
     python run_crawler.py --dicom_folders "['storage/dicom_folder1','storage/dicom_folder2']" \
--output_id 'example1' --n_procs 1 --write_pixeldata False --eval_3d_scans False

  2. each file as a 2D image: one row a file in metadata_example2.csv, one image in pixel_data_example2.h5
     python run_crawler.py --dicom_folders "['storage/dicom_folder1','storage/dicom_folder2']" \
--output_id 'example2' --n_procs 1 --write_pixeldata True --eval_3d_scans False

  3. each series as a 3D volume: one row a series in metadata_example3.csv, one volume in pixel_data_example3.h5
     python run_crawler.py --dicom_folders "['storage/dicom_folder1','storage/dicom_folder2']" \
--output_id 'example3' --n_procs 20 --write_pixeldata True --eval_3d_scans True

Run it again, with the same folders or more, to add what is new.

exit codes:
  0    all well
  1    could not run
  2    wrong arguments
  3    finished, but some scans failed (see unreadable_files.csv)
  130  interrupted
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `run_crawler.py`."""
    parser = argparse.ArgumentParser(
        prog=started_as("run_crawler"),
        description="Collect the metadata and pixel data of DICOM folders in one CSV file and one HDF5 file.",
        epilog=EPILOG.replace("python run_crawler.py", started_as("run_crawler")),
        formatter_class=HelpText,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--dicom_folders",
        required=True,
        type=_folders,
        metavar="LIST",
        help="folders that hold DICOM files, as \"['folder1','folder2']\"; their subfolders are not looked into",
    )
    parser.add_argument(
        "--storage_folder", default=".", metavar="DIR", help="folder to write to; made when absent (default: this one)"
    )
    parser.add_argument(
        "--output_id",
        default="",
        type=_output_id,
        metavar="ID",
        help="added to the names of the files: metadata_ID.csv",
    )
    parser.add_argument("--n_procs", default=1, type=count, metavar="N", help="worker processes (default: 1)")
    _add_switch(parser, "--write_pixeldata", "store pixel data in pixel_data_ID.h5 (default: False)")
    _add_switch(
        parser, "--eval_3d_scans", "a scan is a series, stacked to a volume; else it is a file (default: False)"
    )
    _add_switch(
        parser, "--par_over_folder", "accepted and without effect: work is always spread over folders and series"
    )
    _add_switch(parser, "--retry_failed", "try scans again that failed and did not change (default: False)")
    _add_switch(parser, "--rebuild", "forget what was stored under this ID and make the files anew (default: False)")
    add_common(parser)
    return parser


def execute(options: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    request = Request(
        options.dicom_folders,
        os.path.abspath(os.path.expanduser(options.storage_folder)),
        options.output_id,
        options.n_procs,
        options.write_pixeldata,
        options.eval_3d_scans,
        options.retry_failed,
        options.rebuild,
    )
    with created_as("private"), logging_to(os.path.join(request.work, "run.log"), request.folders, options):
        crawled = crawl(request, make_progress(sys.stderr, quiet=options.quiet))
    if not options.quiet:
        print(closing_text(crawled, request))
    return crawled.exit_code


def closing_text(crawled: CrawlResult, request: Request) -> str:
    """What a run did, and what to do next."""
    lines = account_lines(crawled.summary)
    if crawled.summary.interrupted:
        lines.append("Interrupted: what is done is kept. To go on, run the same command again")
        return "\n".join(lines)
    lines.append(f"{crawled.stored:,} scans in {shown(request.metadata)}")
    if request.pixels:
        lines.append(f"Their pixel data in {shown(request.pixel_data)}")
    if crawled.failed:
        lines.append(f"{crawled.failed:,} scans failed: see {shown(request.unreadable)}")
    return "\n".join(lines)


def _add_switch(parser: argparse.ArgumentParser, flag: str, explanation: str) -> None:
    """A flag that takes yes or no; alone it says yes."""
    parser.add_argument(flag, nargs="?", const=True, default=False, type=_boolean, metavar="BOOL", help=explanation)


def _boolean(text: str) -> bool:
    if text.strip().lower() not in _YES + _NO:
        raise argparse.ArgumentTypeError(f"expected {', '.join(_YES)} or {', '.join(_NO)}")
    return text.strip().lower() in _YES


def _folders(text: str) -> tuple[str, ...]:
    try:
        return parse_folders(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _output_id(text: str) -> str:
    if any(mark in text for mark in "/\\:\0"):
        raise argparse.ArgumentTypeError("becomes part of file names and cannot hold / \\ or :")
    return text
