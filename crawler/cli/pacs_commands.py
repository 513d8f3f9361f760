"""What each `dme pacs` command does: ask, retrieve, send, receive, and say what became of every instance."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from crawler.cli.common import account_lines, logging_to, program, retrieval_lines, shown
from crawler.cli.pacs_source import Source, source_of
from crawler.cli.terminal import SHOWN, reasons
from crawler.config.sizes import size_text
from crawler.engine.interrupts import interrupts
from crawler.engine.progress import make_progress
from crawler.engine.retrieving import retrieve, server_of
from crawler.errors import ConfigError, RequestError, StopError
from crawler.ledger.summary import EXIT_FAILED_FILES, EXIT_INTERRUPTED, EXIT_OK
from crawler.pacs.accounts import Failure
from crawler.pacs.contexts import VERIFICATION
from crawler.pacs.manifest import open_manifest
from crawler.pacs.model import Match
from crawler.pacs.transports import open_channel, open_finder

# What is listed at each level, beside the keys of the query.
COLUMNS = {
    "patient": ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    "study": (
        *("StudyDate", "ModalitiesInStudy", "PatientID", "AccessionNumber", "StudyDescription"),
        *("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "StudyInstanceUID"),
    ),
    "series": (
        *("Modality", "SeriesNumber", "SeriesDescription", "NumberOfSeriesRelatedInstances"),
        *("SeriesInstanceUID", "StudyInstanceUID"),
    ),
    "image": ("InstanceNumber", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"),
}
_WORKS = {True: "yes", False: "NO", None: "-"}
_WIDTH = 40  # of a column on a terminal; UIDs are never cut


def execute(options: argparse.Namespace) -> int:
    """Run the command; what a server answers in place of what was asked is one line."""
    commands = {"echo": echo, "find": find, "get": get, "send": send, "check": check, "receive": receive}
    try:
        return commands[options.command](options)
    except RequestError as error:
        raise StopError(error.reason) from None


def echo(options: argparse.Namespace) -> int:
    """C-ECHO, five times: the first one opens the association."""
    import pynetdicom  # noqa: F401 - 0.3 s that are no part of what is measured

    from crawler.pacs.scu import Scu

    source = source_of(options)
    began = time.monotonic()
    with Scu(server_of(source.config), [VERIFICATION]) as scu:
        opened = time.monotonic() - began
        times = []
        for _ in range(5):
            began = time.monotonic()
            scu.echo()
            times.append(time.monotonic() - began)
    milliseconds = 1000 * sorted(times)[2]
    if options.json:
        print(json.dumps({"ok": True, "associate_ms": round(1000 * opened, 2), "echo_ms": round(milliseconds, 2)}))
    elif not options.quiet:
        print(f"The server answers: {1000 * opened:.0f} ms to associate, {milliseconds:.1f} ms an echo")
    return EXIT_OK


def find(options: argparse.Namespace) -> int:
    """List what matches."""
    source = source_of(options)
    _no_rest(source)
    columns = tuple(dict.fromkeys([*COLUMNS[options.level], *source.keys]))
    finder = open_finder(server_of(source.config), web=options.web)
    note = None if options.quiet else _remark
    try:
        asked = {**dict.fromkeys(columns, ""), **source.keys}
        matches = finder.find(options.level, asked, note)
        _print_rows(_rows(islice(matches, options.limit), columns), columns, options)
    finally:
        finder.close()
    return EXIT_OK


def get(options: argparse.Namespace) -> int:
    """Retrieve, and say what became of every instance."""
    source = source_of(options)
    _no_rest(source)
    section = source.config.pacs
    assert section is not None, "source_of sees to it"
    if not source.keys and section.list is None:
        raise ConfigError("nothing is asked for: give conditions (PatientID=A1), or --list: not the whole archive")
    config = replace(source.config, pacs=replace(section, query=source.keys))
    folder = config.pacs_dir or ""
    with logging_to(None, [folder], options), interrupts() as stop:  # a log would lie among what was received
        counts, _ = retrieve(config, make_progress(sys.stderr, quiet=options.quiet), stop.is_set)
        interrupted = stop.is_set()
    with open_manifest(Path(folder)) as manifest:
        if options.csv or options.json:
            rows = list(manifest.outcomes())
            failures = [failure._asdict() for failure in manifest.failures()]
            if options.csv:
                _print_csv(rows, tuple(rows[0]) if rows else ("study", "series", "instance", "outcome"))
            else:
                print(json.dumps({"counts": counts.to_json(), "failures": failures, "instances": rows}, indent=1))
        elif not options.quiet:
            named = [failure for failure in manifest.failures() if failure.path.startswith("pacs.")]
            print("\n".join([*retrieval_lines(counts), *_requests(named), f"In {shown(folder)}"]))
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_OK if counts.all_well else EXIT_FAILED_FILES


def _requests(failures: Sequence[Failure]) -> list[str]:
    """Which requests nothing came of: by their lines in the list, since what they ask for names patients."""
    lines = [f"{failure.path}: {failure.reason.removeprefix('request: ')}; {failure.detail}" for failure in failures]
    beyond = len(lines) - SHOWN
    return lines[:SHOWN] + ([f"and {beyond:,} more: see --json"] if beyond > 0 else [])


def send(options: argparse.Namespace) -> int:
    """Store, and say what became of every instance."""
    from crawler.engine.sending import Skipped, send_paths, survey

    source = source_of(options)
    if not source.rest:
        raise ConfigError("nothing to send: give files, folders or archives")
    files, size = survey(source.rest)
    progress = make_progress(sys.stderr, quiet=options.quiet)
    progress.survey(0, files, size)
    progress.start(files, size)
    outcomes: Counter[str] = Counter()
    why: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    channels = [open_channel(server_of(source.config), web=options.web) for _ in range(options.associations)]
    began = time.monotonic()
    stored = 0
    try:
        with interrupts() as stop:
            for sent in send_paths(source.rest, channels, stop):
                if isinstance(sent, Skipped):
                    outcome = "failed" if sent.failed else "skipped"
                    row: dict[str, Any] = {"name": sent.name, "outcome": outcome, "reason": sent.reason}
                else:
                    row = asdict(sent)
                    stored += sent.size if sent.outcome in ("stored", "warning") else 0
                bad = row["outcome"] in ("failed", "refused", "unsent")
                progress.advance(1, 0 if isinstance(sent, Skipped) else sent.size, bad)
                outcomes[row["outcome"]] += 1
                if bad or row["outcome"] == "skipped":
                    why[f"{row['outcome']}: {row['reason']}"] += 1
                rows.append(row)
            interrupted = stop.is_set()
    finally:
        progress.finish()
        for channel in channels:
            channel.close()
    rows.sort(key=lambda row: str(row["name"]))  # several associations end in any order
    columns = ("name", "sop_uid", "outcome", "status", "attempts", "size", "seconds", "reason")
    if options.csv:
        _print_csv(rows, columns)
    elif options.json:
        print(json.dumps(rows, indent=1))
    elif not options.quiet:
        seconds = max(time.monotonic() - began, 1e-6)
        done = outcomes["stored"] + outcomes["warning"]
        print(f"{'sent':<10}{done:>10,}   {size_text(stored)}, {stored / 1e6 / seconds:,.1f} MB/s")
        print(f"{'not sent':<10}{sum(why.values()):>10,}" + reasons(why))
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_FAILED_FILES if outcomes["failed"] + outcomes["refused"] + outcomes["unsent"] else EXIT_OK


def check(options: argparse.Namespace) -> int:
    """Print one page about what the server supports; exit code 3 when nothing of it works."""
    from crawler.pacs.check import check as trials  # loads every transport

    source = source_of(options)
    found = []
    with interrupts() as stop:
        for finding in trials(server_of(source.config), stop):
            found.append(finding)
            if not options.json and not options.quiet:
                print(f"{_WORKS[finding.works]:<4} {finding.name:<32} {finding.detail}".rstrip(), flush=True)
        interrupted = stop.is_set()
    if options.json:
        print(json.dumps([asdict(finding) for finding in found], indent=1))
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_OK if any(finding.works for finding in found) else EXIT_FAILED_FILES


def receive(options: argparse.Namespace) -> int:
    """Listen until Ctrl-C."""
    from crawler.engine.receiving import receive as listen

    source = source_of(options, needs_server=False)
    config = source.config
    section = config.pacs
    if section is None or section.calling_port is None:
        raise ConfigError("no port to listen on: set pacs.calling_port, CALLING_PORT, or --calling-port")
    code = EXIT_OK
    with logging_to(config.own_path("run.log"), [config.pacs_dir or ""], options):
        if not options.quiet:
            print(f"Listening on port {section.calling_port} as {server_of(config).calling_aet}; Ctrl-C ends it")
        for summary in listen(config, server_of(config), make_progress(sys.stderr, quiet=options.quiet)):
            code = summary.exit_code if not summary.interrupted else EXIT_INTERRUPTED
            if not options.quiet:
                print("\n".join(account_lines(summary)))
    return code


def _remark(text: str) -> None:
    print(f"{program()}: {text}", file=sys.stderr)


def _no_rest(source: Source) -> None:
    if source.rest:
        raise ConfigError(f"{source.rest[0]!r} is neither a server nor a condition such as PatientID=A1")


def _rows(matches: Iterable[Match], columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    for match in matches:
        values = ((name, match.get(name, "")) for name in columns)
        yield {name: value if isinstance(value, str) else "\\".join(value) for name, value in values}


def _print_rows(rows: Iterator[dict[str, str]], columns: tuple[str, ...], options: argparse.Namespace) -> None:
    if options.csv:
        _print_csv(rows, columns)
        return
    found = list(rows)
    if options.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    cells = [{name: _cell(name, row[name]) for name in columns} for row in found]
    widths = {name: max([len(name), *(len(row[name]) for row in cells)]) for name in columns}
    for row in ({name: name for name in columns}, *cells) if cells else ():
        print("  ".join(f"{row[name]:<{widths[name]}}" for name in columns).rstrip())
    print(f"{len(found):,} {options.level if len(found) == 1 or options.level == 'series' else _plural(options.level)}")


def _plural(level: str) -> str:
    return {"study": "studies", "patient": "patients", "image": "images"}[level]


def _cell(name: str, value: str) -> str:
    text = value if value.isprintable() else ascii(value)[1:-1]
    return text if name.endswith("UID") or len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _print_csv(rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...]) -> None:
    writer = csv.DictWriter(sys.stdout, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
