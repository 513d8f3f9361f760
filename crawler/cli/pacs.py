"""`dme pacs COMMAND`: ask a PACS what it holds, retrieve, send, check what it can, or receive what it sends.

Each command is a function of `pacs_commands.py`; here are their arguments.
"""

from __future__ import annotations

import argparse
from typing import Any

from crawler.cli.common import add_common, program
from crawler.cli.help_text import HelpText
from crawler.cli.pacs_source import add_server

COMMANDS = {
    "echo": "whether a server answers, and how fast",
    "find": "what a server holds",
    "get": "retrieve what a query or a list names, without exporting it",
    "send": "store files, folders and members of archives in a server",
    "check": "what a server supports, tried out, on one page",
    "receive": "take what servers send, and export each series when it is quiet",
}

EPILOG = """\
SERVER is a configuration with a section pacs (its name ends in .yml), or dicom://host:port/AET, or is left out and
said by flags, by the environment (PACS_IP, PACS_PORT, CALLED_AET, CALLING_AET, CALLING_PORT) or a file .env.

examples:
  {program} pacs echo --host 127.0.0.1 --port 4242 --called-aet ORTHANC
  {program} pacs find dicom://127.0.0.1:4242/ORTHANC StudyDate=20240101-20241231 ModalitiesInStudy=CT
  {program} pacs find config.yml StudyInstanceUID=1.2.3 --level series --csv > series.csv
  {program} pacs get config.yml PatientID=A1 -o incoming
  {program} pacs send dicom://127.0.0.1:4242/ORTHANC folder scan.dcm study.zip --csv > sent.csv
  {program} pacs check config.yml
  {program} pacs receive config.yml

exit codes:
  0    all well
  1    could not run, or the server did not answer
  2    wrong arguments
  3    some instances were not received, sent or exported
  130  interrupted
"""


class _Intermixed(argparse.ArgumentParser):
    """Takes conditions and paths before, between and behind flags."""

    _inside = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; `parse_known_intermixed_args` comes back here for each of its two passes."""
        if self._inside:
            return super().parse_known_args(args, namespace)
        self._inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme pacs COMMAND`."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} pacs",
        description="Find, retrieve, send and receive, with every instance accounted for.",
        epilog=EPILOG.format(program=program()),
        formatter_class=HelpText,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Intermixed)
    for name, line in COMMANDS.items():
        command = commands.add_parser(name, help=line, description=f"{line[0].upper()}{line[1:]}.")
        _add_arguments(command, name)
    return parser


def execute(options: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    from crawler.cli import pacs_commands  # loads what --help does not need

    return pacs_commands.execute(options)


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    words = {
        "find": ("[SERVER] [KEY=VALUE]", "a server; conditions, with the wildcards and ranges of DICOM"),
        "get": ("[SERVER] [KEY=VALUE]", "a server; conditions, with the wildcards and ranges of DICOM"),
        "send": ("[SERVER] PATH", "a server; files, folders and archives"),
        "receive": ("CONFIG", "the configuration that says where to receive, and what to export"),
    }
    metavar, text = words.get(name, ("SERVER", "a server"))
    parser.add_argument("words", nargs="*", metavar=metavar, help=text)
    add_server(parser)
    if name == "find":
        parser.add_argument(
            "--level",
            choices=("patient", "study", "series", "image"),
            default="study",
            help="what is listed (default: study)",
        )
        parser.add_argument("--limit", type=int, metavar="N", help="stop after N matches")
    if name == "get":
        parser.add_argument("--list", metavar="FILE", help="CSV file with one request a row, in place of conditions")
        parser.add_argument("-o", "--output", metavar="DIR", help="folder of received files (default: incoming)")
        parser.add_argument("--retrieve", choices=("auto", "get", "move", "web"), help="the way (default: auto)")
    if name == "send":
        parser.add_argument(
            "--associations", type=_at_least_one, default=1, metavar="N", help="send over N at a time (default: 1)"
        )
    if name in ("find", "send"):
        parser.add_argument("--web", action="store_true", help="over DICOMweb, where there is a DICOM port, too")
    if name != "receive":
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print JSON")
        if name in ("find", "get", "send"):
            form.add_argument("--csv", action="store_true", help="print CSV")
    add_common(parser)
