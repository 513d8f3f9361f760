"""`dme sample DIR`: the synthetic tree."""

from __future__ import annotations

import argparse
from pathlib import Path

from crawler.cli.common import add_common, program, shown
from crawler.config.sizes import size_text
from crawler.errors import StopError
from crawler.ledger.summary import EXIT_OK
from crawler.sample import write_sample, write_single


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme sample DIR`."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} sample", description="Write a small synthetic tree of DICOM files."
    )
    parser.add_argument("dir", metavar="DIR", help="folder to write; made when absent")
    parser.add_argument("--broken", action="store_true", help="add damaged files, to try out the failure log")
    parser.add_argument(
        "--single", action="store_true", help="three files instead: SAMPLE_CT.dcm, SAMPLE_MR.dcm, SAMPLE_CINE.dcm"
    )
    add_common(parser)
    return parser


def execute(options: argparse.Namespace) -> int:
    """Write the tree."""
    try:
        folder = Path(options.dir)
        files = write_single(folder) if options.single else write_sample(folder, broken=options.broken)
    except OSError as error:
        raise StopError(f"{options.dir} cannot be written: {error.strerror}") from None
    if not options.quiet:
        size = sum(path.stat().st_size for path in files)
        print(f"{len(files)} files, {size_text(size)}, written to {shown(options.dir)}")
    return EXIT_OK
