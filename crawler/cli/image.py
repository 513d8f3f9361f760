"""`dme image COMMAND`: series of images converted, listed, computed with, shown and sent.

Each command is a function of `image_commands.py`; here are their arguments, which are those of seeds/002 (imagedata).
"""

from __future__ import annotations

import argparse

from crawler import __version__
from crawler.cli.common import add_common, program
from crawler.cli.help_text import HelpText
from crawler.errors import ConfigError

COMMANDS = {
    "convert": "read a series and write it in other formats, or as a new DICOM series",
    "list": "the series of a place: number, shape, type, order, what was found about their geometry",
    "statistics": "least, greatest, mean, deviation and median of the values of each series",
    "calculator": "compute with series: dme image calculator OUT '(a + b) / 2' A B",
    "timeline": "the times of a time series",
    "show": "look at series in a window",
    "dump": "count what DICOM files say of themselves: studies, series, echoes, image types",
    "sort": "copy DICOM files into folders by patient, study and series",
    "send": "send a series to a PACS: dme image send dicom://host:port/AET IN",
}
NEEDS_NO_READING = ("dump", "sort")
# Flags of seeds/002: of things that are done anyway, and of those that are not done, with the reason.
NOTHING_TO_DO = {
    "headers_only": "nothing to do: voxels are read when they are looked at",
    "input_sort": "nothing to do: files are sorted by what they say",
}
REFUSED = {
    "correct_acq": "times are taken as the files have them; correct them in the array (a.axes)",
    "input_shape": "the shape follows from the files; give --order the axes that are meant",
}
TYPES = ("uint8", "uint16", "int16", "int", "float", "float32", "float64", "double")

EPILOG = """\
examples:
  {program} image convert --of nifti niftiDir dicomDir
  {program} image convert --of dicom --template dicomDir dicomResult niftiResult
  {program} image convert --order time out.zip in.zip?dir_a
  {program} image calculator meanDir "mean(a, axis=0)" dirA --order time
  {program} image statistics --mask maskDir dirA
  {program} image send --sernum 1004 --serdes "Processed data" dicom://server:104/AETITLE dicomResult

exit codes:
  0    all well
  1    could not run
  2    wrong arguments
  3    some instances were not sent
  130  interrupted
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme image COMMAND`."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} image",
        description="Series of images: convert, list, compute, show, send.",
        epilog=EPILOG.format(program=program()),
        formatter_class=HelpText,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, line in COMMANDS.items():
        add_arguments(commands.add_parser(name, help=line, description=f"{line[0].upper()}{line[1:]}."), name)
    return parser


def execute(options: argparse.Namespace) -> int:
    """Run the command; return its exit code. Raises ConfigError for what is not offered."""
    for name, reason in REFUSED.items():
        if getattr(options, name, None):
            raise ConfigError(f"--{name} is not offered: {reason}")
    from crawler.cli import image_commands  # loads NumPy, which --help does not need

    return image_commands.execute(options)


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of one command."""
    if name in ("convert", "calculator", "sort", "send"):
        parser.add_argument("out", metavar="OUT", help="folder, file.zip, file, or dicom://host:port/AET")
    if name == "calculator":
        parser.add_argument("expression", help="arithmetic over a, b, c ... and functions of numpy")
    parser.add_argument(
        "inputs",
        nargs="*" if name == "calculator" else "+",
        metavar="IN",
        help="folders, files, globs, archives (file.zip?dir), dicom://host:port/AET/study/series",
    )
    if name == "statistics":
        parser.add_argument("--mask", metavar="PLACE", help="count values where the series of that place is not 0")
        parser.add_argument("--bash", action="store_true", help="print assignments for a shell")
    if name == "list":
        parser.add_argument("-r", "--recursive", action="store_true", help="on a PACS, list series and not studies")
    if name == "timeline":
        parser.add_argument("-1", "--one", action="store_true", dest="one", help="one time a line")
    if name == "show":
        parser.add_argument("--save", metavar="FILE", help="write a picture and open no window")
    if name not in NEEDS_NO_READING:
        add_series_options(parser)
    add_common(parser)
    parser.add_argument("-d", "--debug", action="store_true", dest="verbose", help="say more")
    parser.add_argument("-V", action="version", version=f"dme {__version__}", help=argparse.SUPPRESS)


def add_series_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags about reading and writing series."""
    reading = parser.add_argument_group("reading")
    reading.add_argument("--order", default="auto", help="auto, none, time, b, te, fa, ti, dti, a keyword, or several")
    reading.add_argument("--template", metavar="PLACE", help="take headers from this series")
    reading.add_argument("--geometry", metavar="PLACE", help="take the place in the patient from this series")
    reading.add_argument("--input_serinsuid", metavar="UID", help="only images of this Series Instance UID")
    reading.add_argument("--input_acquisition", metavar="N", help="only images of this acquisition number")
    reading.add_argument("--input_echo", metavar="N", help="only images of this echo number")
    reading.add_argument(
        "--input_options",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="as ti=InversionTime",
    )
    reading.add_argument(
        "--psopt", metavar="NAME=VALUE,...", help="PostScript: dpi=150, driver=png16m or pnggray, rotate=90"
    )
    reading.add_argument("--headers_only", action="store_true", help=NOTHING_TO_DO["headers_only"])
    reading.add_argument("--input_sort", choices=("slice", "tag"), help=NOTHING_TO_DO["input_sort"])
    reading.add_argument("--correct_acq", action="store_true", help=argparse.SUPPRESS)
    reading.add_argument("--input_shape", help=argparse.SUPPRESS)
    reading.add_argument("--layout", metavar="N", help="of a place with several arrays, the one of this number")
    reading.add_argument("--strict", action="store_true", help="refuse what is no regular volume")
    reading.add_argument("--dtype", choices=TYPES, help="type of the values")
    writing = parser.add_argument_group("writing")
    writing.add_argument(
        "--of", dest="output_format", action="append", metavar="FORMAT",
        help="dicom (default), nifti, metaimage (itk), mat, npz, hdf5, png, mp4; repeat for several, with %%p in OUT",
    )  # fmt: skip
    writing.add_argument("--sort", choices=("slice", "tag"), default="slice", help="what runs fastest in file numbers")
    writing.add_argument("--odir", choices=("single", "multi"), default="single", help="one folder, or one a step")
    writing.add_argument("--frame", metavar="UID", help="Frame of Reference UID")
    writing.add_argument("--SOPClassUID", metavar="UID", help="SOP Class UID")
    writing.add_argument("--sernum", type=int, metavar="N", help="series number")
    writing.add_argument("--serdes", metavar="TEXT", help="series description")
    writing.add_argument("--imagetype", metavar="A,B,C", help="image type")
    writing.add_argument("--nan", type=float, metavar="VALUE", help="what stands for values that are not finite")
    writing.add_argument("--replace", action="store_true", help="replace what an earlier write left")
    writing.add_argument("--calling_aet", default="DME", metavar="AET", help="our AE title")
