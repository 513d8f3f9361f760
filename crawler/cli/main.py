"""The command line: arguments, log, progress, the closing table, exit codes. All that is printed is printed here."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace

# One thread a process: the workers are the parallelism, and a process without threads forks safely. These libraries
# read their limits when they are first imported.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
gc.disable()  # modules that load make no garbage, and looking for some costs a tenth of the start

from crawler.cli.common import account_lines, add_common, count, guarded, logging_to, shown  # noqa: E402
from crawler.cli.terminal import preflight_table, size_text, status_table  # noqa: E402
from crawler.config.loader import Config, load_config  # noqa: E402
from crawler.engine.progress import make_progress  # noqa: E402
from crawler.engine.run import run  # noqa: E402
from crawler.errors import StopError  # noqa: E402
from crawler.ledger.summary import EXIT_OK, Summary  # noqa: E402

gc.freeze()  # nor will they ever be garbage: workers that are forked share them
gc.set_threshold(20_000)  # records are no circles: looking every 700 takes 3 % of 200,000 headers, this 10 MB
gc.enable()

log = logging.getLogger("dme")

EPILOG = """\
examples:
  python dme.py config.yml                   export what the file describes; run it again to go on or to update
  python dme.py config.yml --dry-run         what there is, what would go wrong, how long it would take; writes nothing
  python dme.py status config.yml            what is done, as the ledger has it; changes nothing
  python dme.py schema > dme.schema.json     the configuration as a JSON Schema, for editors
  python dme.py config.yml --workers 0       without worker processes, for debugging
  python dme.py config.yml --retry-failed    try files again that failed before
  python dme.py config.yml --rebuild         forget what was done and make everything anew
  python dme.py convert scan.dcm -o out      pictures, videos and texts of a file or a folder; no configuration needed
  python dme.py sample demo --broken         write a small sample tree with damaged files into demo/

exit codes:
  0  all well    1  could not run    3  finished, but some files failed (see unreadable_files.csv)    130  interrupted
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme.py CONFIG`."""
    parser = argparse.ArgumentParser(
        prog="dme.py",
        description="Turn folders of DICOM files into tables, media and volumes, with every file accounted for.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", metavar="CONFIG", help="YAML file that says what to do: config.yml explains each key")
    parser.add_argument("--workers", type=count, metavar="N", help="worker processes, in place of num_workers")
    parser.add_argument("--dry-run", action="store_true", help="say what a run would find and do, and write nothing")
    parser.add_argument("--rebuild", action="store_true", help="delete what earlier runs made, and make it anew")
    parser.add_argument("--retry-failed", action="store_true", help="try files again that failed and did not change")
    add_common(parser)
    return parser


def build_sample_parser() -> argparse.ArgumentParser:
    """The parser of `dme.py sample DIR`."""
    parser = argparse.ArgumentParser(prog="dme.py sample", description="Write a small synthetic tree of DICOM files.")
    parser.add_argument("dir", metavar="DIR", help="folder to write; made when absent")
    parser.add_argument("--broken", action="store_true", help="add damaged files, to try out the failure log")
    add_common(parser)
    return parser


def build_status_parser() -> argparse.ArgumentParser:
    """The parser of `dme.py status CONFIG`."""
    parser = argparse.ArgumentParser(prog="dme.py status", description="Say what is done; change nothing.")
    parser.add_argument("config", metavar="CONFIG", help="the YAML file of the run")
    return parser


def build_schema_parser() -> argparse.ArgumentParser:
    """The parser of `dme.py schema`."""
    return argparse.ArgumentParser(
        prog="dme.py schema", description="Print a JSON Schema (draft 2020-12) of the configuration, for editors."
    )


def build_convert_parser() -> argparse.ArgumentParser:
    """The parser of `dme.py convert PATH`."""
    from crawler.cli import convert

    parser = convert.build_parser()
    parser.add_argument("--workers", type=count, metavar="N", help="worker processes (default: 4)")
    add_common(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: _command(given))


def _command(given: list[str]) -> int:
    if given[:1] == ["sample"]:
        return _sample(build_sample_parser().parse_args(given[1:]))
    if given[:1] == ["convert"]:
        return _convert(build_convert_parser().parse_args(given[1:]))
    if given[:1] == ["status"]:
        return _status(build_status_parser().parse_args(given[1:]))
    if given[:1] == ["schema"]:
        import json

        from crawler.config.schema import config_schema

        build_schema_parser().parse_args(given[1:])
        print(json.dumps(config_schema(), indent=2))
        return EXIT_OK
    return _run(build_parser().parse_args(given))


def _sample(options: argparse.Namespace) -> int:
    from pathlib import Path

    from crawler.sample import write_sample  # slow to load, as `preflight` is

    try:
        files = write_sample(Path(options.dir), broken=options.broken)
    except OSError as error:
        raise StopError(f"{options.dir} cannot be written: {error.strerror}") from None
    if not options.quiet:
        size = sum(path.stat().st_size for path in files)
        print(f"{len(files)} files, {size_text(size)}, written to {options.dir}")
    return EXIT_OK


def _convert(options: argparse.Namespace) -> int:
    from crawler.cli import convert

    request = convert.request_of(options)
    config = request.config()
    if options.workers is not None:
        config = replace(config, num_workers=options.workers)
    with logging_to(config.output_dir, config.roots, options):
        summary = run(config, rebuild=options.rebuild, progress=make_progress(sys.stderr, quiet=options.quiet))
    if not options.quiet:
        last = "Interrupted: what is done is kept. To go on, run the same command again"
        if not summary.interrupted:
            last = convert.closing_line(request, sum(summary.failed.values()), shown(request.out))
        print("\n".join([*account_lines(summary), last]))
    return summary.exit_code


def _run(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    if options.workers is not None:
        config = replace(config, num_workers=options.workers)
    if options.dry_run:
        return _dry_run(config, options.config)
    if not (config.metadata or config.media or config.volume or config.preview):
        log.warning("no section switches an output on: files are only read and counted")
    with logging_to(config.output_dir, config.roots, options):
        progress = make_progress(sys.stderr, quiet=options.quiet)
        summary = run(config, rebuild=options.rebuild, retry_failed=options.retry_failed, progress=progress)
    if not options.quiet:
        print(closing_table(summary, config, options.config))
    return summary.exit_code


def _dry_run(config: Config, config_name: str) -> int:
    """Print the table; the trial run has no log, since it is no run of the user's."""
    from crawler.dryrun.preflight import preflight

    warnings.simplefilter("ignore")
    silence = logging.NullHandler()
    log.addHandler(silence)  # without any handler, logging prints warnings itself
    try:
        print(preflight_table(preflight(config), config_name))
    finally:
        log.removeHandler(silence)
    return EXIT_OK


def _status(options: argparse.Namespace) -> int:
    from crawler.ledger.status import read_status

    print(status_table(read_status(load_config(options.config)), options.config))
    return EXIT_OK


def closing_table(summary: Summary, config: Config, config_name: str) -> str:
    """What a run did, and what to do next."""
    lines = account_lines(summary)
    out = shown(config.output_dir)
    if summary.interrupted:
        lines.append(f"Interrupted: what is done is kept. To go on: python dme.py {config_name}")
    elif summary.listed != summary.found:
        lines.append(f"The input changed during the run: python dme.py {config_name} brings the outputs up to date")
    elif summary.failed:
        lines.append(f"Next: see {out}/unreadable_files.csv; mend the files, then run the same command again")
    elif not summary.found:
        lines.append("Nothing was found: check dicom.dir and dicom.recursive")
    elif config.metadata is not None and config.metadata_path:
        lines.append(f"Next: pandas.read_json({shown(config.metadata_path)!r}, lines=True), or {out}/series.csv")
    return "\n".join(lines)
