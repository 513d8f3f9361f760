"""What the commands share: flags, log, the lines of account, and how what stops a run becomes an exit code."""

from __future__ import annotations

import argparse
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from crawler import __version__
from crawler.cli.terminal import reasons
from crawler.config.sizes import size_text
from crawler.disk import require_regular
from crawler.errors import ConfigError, StopError
from crawler.ledger.summary import EXIT_INTERRUPTED, EXIT_STOPPED, Summary
from crawler.paths import printable, readable

if TYPE_CHECKING:
    from crawler.pacs.accounts import Counts

log = logging.getLogger("dme")


def guarded(command: Callable[[], int]) -> int:
    """Run a command; what stops it becomes one line and an exit code."""
    _write_messages_at_once()
    try:
        return command()
    except StopError as error:
        lines = str(error).split("\n") if isinstance(error, ConfigError) else [str(error)]  # a line a problem
        _tell("dme: " + "\n".join(map(printable, lines)))
        return EXIT_STOPPED
    except KeyboardInterrupt:
        _tell("dme: stopped at once; run the same command again to go on")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output left
        sys.stdout = None
        return EXIT_STOPPED


def _write_messages_at_once() -> None:
    """Take the buffer off stderr: what a full disk refuses would lie there, and fail whoever flushes it next.

    That is `multiprocessing`, which could start no worker, and Python's end, which would exit with 120.
    """
    stream = sys.stderr
    if isinstance(stream, io.TextIOWrapper) and isinstance(stream.buffer, io.BufferedWriter):
        raw: Any = io.FileIO(stream.fileno(), "w", closefd=False)  # as Python does itself with -u
        sys.stderr = io.TextIOWrapper(raw, stream.encoding, stream.errors, write_through=True)


def _tell(text: str) -> None:
    """Write a line to stderr, or not: a terminal that is gone changes no exit code."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr)


class OneLine(logging.Formatter):
    """A record on one line: names of files may hold line breaks and what steers a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """As `logging.Formatter.format`."""
        return printable(super().format(record))


def started_as(name: str) -> str:
    """How the user started a program, to be typed again: `dme` when installed, `python dme.py` from a checkout."""
    folder, started = os.path.split(sys.argv[0] if sys.argv else "")
    if started == "__main__.py" and os.path.basename(folder) == "crawler":
        return "python -m crawler"
    return name if started.lower() in (name, f"{name}.exe") else f"python {name}.py"


def program() -> str:
    """How the user started this command: `dme`, `python dme.py` or `python -m crawler`."""
    return started_as("dme")


def started_command() -> list[str]:
    """What starts this program on another machine, where the same folders are: program and first arguments."""
    started = os.path.abspath(sys.argv[0])
    if os.path.basename(started) == "__main__.py":
        return [sys.executable, "-m", "crawler"]
    return [sys.executable, started]


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every command has."""
    loud = parser.add_mutually_exclusive_group()
    loud.add_argument("-v", "--verbose", action="store_true", help="say more")
    loud.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    parser.add_argument("--version", action="version", version=f"dme {__version__}")


def count(text: str) -> int:
    """Read a number from 0 on."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return number


class Public(logging.Formatter):
    """A record without what it names: numbers stay, texts that were filled in do not, and whole texts do not either.

    For runs under the section `privacy`; the log in the private folder has all.
    """

    def format(self, record: logging.LogRecord) -> str:
        """As `logging.Formatter.format`."""
        given = record.args if isinstance(record.args, tuple) else ()
        if not given and ":" in str(record.msg):
            kept = "a message that only the log in privacy.private has"
        else:
            kept = str(record.msg)
        shown = tuple(one if isinstance(one, int | float) else "(private)" for one in given)
        hidden = {"msg": kept, "args": shown, "exc_info": None, "exc_text": None}
        public = logging.makeLogRecord({**record.__dict__, **hidden})
        return printable(super().format(public))


@contextmanager
def logging_to(
    path: str | None, inputs: Sequence[str], options: argparse.Namespace, private: str | None = None
) -> Iterator[None]:
    """Log to the terminal, and to a file (run.log) if one is given; no library warns on the terminal by itself.

    With a folder `private` both are without what they would name, and a run.log there has all.
    """
    warnings.simplefilter("ignore")  # they may quote values of elements; what matters is in the outcomes
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(logging.ERROR if options.quiet else logging.INFO if options.verbose else logging.WARNING)
    shape = OneLine if private is None else Public
    console.setFormatter(shape("dme: %(message)s"))
    handlers: list[logging.Handler] = [console]
    if private is not None:
        os.makedirs(private, mode=0o700, exist_ok=True)
        handlers.append(_log_file(os.path.join(private, "run.log"), OneLine))
    if path is not None:
        handlers.append(_log_file(path, shape))
    log.setLevel(logging.DEBUG)  # what the screen says by itself is for the file alone
    log.propagate = False
    for handler in handlers:
        log.addHandler(handler)
    log.info("dme %s on %s", __version__, ", ".join(map(readable, inputs)))
    try:
        with public_errors(private):
            yield
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


@contextmanager
def public_errors(private: str | None) -> Iterator[None]:
    """With a folder `private`, tell of an error without what it names; run.log there has all of it."""
    try:
        yield
    except StopError as error:
        if private is None:
            raise
        os.makedirs(private, mode=0o700, exist_ok=True)
        file = _log_file(os.path.join(private, "run.log"), OneLine)
        file.emit(logging.makeLogRecord({"levelname": "ERROR", "msg": "%s", "args": (str(error),)}))
        file.close()
        raise StopError(public_error(error)) from None


def public_error(error: StopError) -> str:
    """What stops a run under `privacy`, without paths and what is quoted: its kind, and its words."""
    words = re.sub(r"\S*[/\\\\]\S*|'[^']*'|\"[^\"]*\"", "(private)", str(error))
    return f"{words}; run.log in privacy.private has the whole message"


def _log_file(path: str, shape: type[logging.Formatter]) -> logging.Handler:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        require_regular(path)
        file = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{readable(path)} cannot be written: {error.strerror}") from None
    file.setFormatter(shape("%(asctime)s %(levelname)s %(message)s"))
    return file


def account_lines(summary: Summary) -> list[str]:
    """Lines that say what became of every file."""
    skipped, failed = sum(summary.skipped.values()), sum(summary.failed.values())
    lines = ["", *retrieval_lines(summary.retrieval)]
    pending = summary.pending
    size = summary.listed_bytes if pending else summary.bytes
    lines.append(f"{'found':<10}{summary.found + pending:>10,} files   {size_text(size)}")
    lines.append(f"{'exported':<10}{summary.exported:>10,}")
    lines.append(f"{'skipped':<10}{skipped:>10,}" + reasons(summary.skipped))
    lines.append(f"{'failed':<10}{failed:>10,}" + reasons(summary.failed))
    if pending:
        lines.append(f"{'not done':<10}{pending:>10,}")
    lines.append(
        f"{summary.scans:,} scans, {summary.volumes:,} volumes; {summary.handled:,} files handled now,"
        f" {max(0, summary.found - summary.handled):,} done before; {summary.seconds:.1f} s"
    )
    return lines


def retrieval_lines(counts: Counts | None) -> list[str]:
    """Lines that say what became of every instance that a PACS was asked for; none without one."""
    if counts is None:
        return []
    lines = [f"{'in PACS':<10}{counts.found:>10,} instances of {counts.series:,} series, {counts.requests:,} requests"]
    lines.append(f"{'received':<10}{counts.received:>10,}   {size_text(counts.bytes)}")
    lines.append(f"{'missing':<10}{counts.missing + counts.refused:>10,}" + reasons(counts.failed))
    for name, number in (("beyond the list", counts.extra), ("came twice", counts.duplicates), ("wrong", counts.wrong)):
        lines += [f"{'':<12}{number:>8,}  {name}"] if number else []
    return lines


def shown(path: str) -> str:
    """A path as a person would type it here: relative when it lies below the current folder."""
    here = os.getcwd()
    return readable(os.path.relpath(path, here) if os.path.join(path, "").startswith(os.path.join(here, "")) else path)
