"""`dme web`: search, start, watch and look in a browser."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from importlib.util import find_spec

from crawler.cli.common import add_common, program, started_command
from crawler.cli.help_text import HelpText
from crawler.errors import StopError
from crawler.ledger.summary import EXIT_OK
from crawler.paths import readable

NEEDS = ("starlette", "uvicorn", "jinja2", "polib")
PORT, LANGUAGES = 8765, ("en", "zh")
EPILOG = """\
It listens on 127.0.0.1 alone. From another computer: ssh -L 8765:127.0.0.1:8765 THIS_MACHINE, and open the same
address there. Jobs go on when the server ends; the next one finds them again.
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme web`."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} web",
        description="Serve pages in which jobs are made, started, watched and looked at; for one user.",
        epilog=EPILOG,
        formatter_class=HelpText,
    )
    parser.add_argument("--dir", default="dme-web", metavar="WORKSPACE", help="folder of the jobs (default: dme-web)")
    parser.add_argument(
        "--root", action="append", default=[], metavar="DIR", help="a further folder that jobs may read and write"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help=f"port (default: {PORT}; 0: a free one)")
    parser.add_argument("--name", action="append", default=[], help="a further name that browsers may call it by")
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="of browsers that ask for none of ours")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="jobs that run at a time (default: 1)")
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="serve HTTPS with these PEM files")
    parser.add_argument(
        "--unencrypted", action="store_true", help="listen on an address that others reach, without TLS"
    )
    add_common(parser)
    return parser


def execute(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise StopError(f"the web server needs {', '.join(missing)}: pip install 'dicom-dme[web]'")
    if sys.platform == "win32":
        raise StopError("the web server runs on Linux and macOS")
    from crawler.web.server import serve  # these load what only this command needs
    from crawler.web.settings import Settings, is_loopback

    if not 0 <= options.port < 1 << 16 or options.jobs < 1:
        raise StopError("--port is from 0 to 65535, --jobs from 1 on")
    if not is_loopback(options.host) and not options.tls and not options.unencrypted:
        raise StopError(
            f"{options.host} is reached by others: give --tls CERTIFICATE KEY, or --unencrypted; or leave --host out,"
            " and use ssh -L"
        )
    for folder in options.root:
        if not os.path.isdir(folder):
            raise StopError(f"--root {readable(folder)} is no folder")
    settings = Settings(
        workspace=os.path.realpath(os.path.expanduser(options.dir)),
        roots=tuple(os.path.realpath(folder) for folder in options.root),
        host=options.host,
        port=options.port,
        names=tuple(options.name),
        language=options.language,
        at_once=options.jobs,
        tls=tuple(options.tls) if options.tls else None,
        command=tuple(started_command()),
    )
    scheme = "https" if settings.tls else "http"

    def told(token: str, port: int) -> None:
        name = f"[{settings.host}]" if ":" in settings.host else settings.host
        print(f"dme: open {scheme}://{name}:{port}/open#{token}", flush=True)
        if settings.is_local and not options.quiet:
            print(f"dme: from another computer first: ssh -L {port}:127.0.0.1:{port} {os.uname().nodename}", flush=True)
        if not options.quiet:
            print("dme: Ctrl-C ends the server; jobs that run go on", flush=True)

    with contextlib.suppress(KeyboardInterrupt):  # how uvicorn tells of Ctrl-C when all is closed
        serve(settings, told)
    return EXIT_OK
