"""What each `dme image` command does."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from crawler.cli.common import logging_to
from crawler.errors import ConfigError
from crawler.ledger.summary import EXIT_OK
from crawler.pacs.address import is_address
from crawler.paths import printable
from crawler.series.calculator import LETTERS, evaluate
from crawler.series.places import find_files
from crawler.series.read_dicom import read_headers
from crawler.series.series import Series
from crawler.series.sorting import sort_files
from crawler.series.statistics import statistics

_TYPES = {"int": "int32", "float": "float32", "double": "float64"}
_COUNTED = (
    "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesTime", "Modality", "SequenceName",
    "AcquisitionNumber", "ImageType", "EchoNumbers", "ImageOrientationPatient",
)  # fmt: skip


def execute(options: argparse.Namespace) -> int:
    """Run a command; return its exit code."""
    commands = {
        "convert": convert, "list": list_series, "statistics": print_statistics, "calculator": calculate,
        "timeline": timeline, "show": show, "dump": dump, "sort": sort, "send": convert,
    }  # fmt: skip
    with logging_to(None, (), options):
        return commands[options.command](options)


def convert(options: argparse.Namespace) -> int:
    """Read, and write or send."""
    if options.command == "send" and not is_address(options.out):
        raise ConfigError("a PACS is dicom://host:port/AET")
    series = _read(options, options.inputs)
    _write(series, options)
    return EXIT_OK


def calculate(options: argparse.Namespace) -> int:
    """Compute an expression over the inputs, and write what comes out."""
    if len(options.inputs) > len(LETTERS):
        raise ConfigError(f"{len(options.inputs)} inputs: there are {len(LETTERS)} letters")
    names = {letter: _read(options, [place]) for letter, place in zip(LETTERS, options.inputs, strict=False)}
    result = evaluate(options.expression, names)
    if not isinstance(result, Series):
        if np.ndim(result) == 0 and names:
            print(result)
            return EXIT_OK
        template = next(iter(names.values()), None)
        result = Series(
            result, template=template if template is not None and template.shape == np.shape(result) else None
        )
    _say(options, f"{options.out} = {options.expression} {result.shape} {result.dtype}")
    _write(result, options)
    return EXIT_OK


def list_series(options: argparse.Namespace) -> int:
    """Say what a place holds."""
    for place in options.inputs:
        if is_address(place):
            from crawler.cli import pacs, pacs_commands

            level = "series" if options.recursive else "study"
            pacs_commands.execute(pacs.build_parser().parse_args(["find", place, "--level", level]))
            continue
        for series in _all(options, place):
            print(_line(series))
    return EXIT_OK


def print_statistics(options: argparse.Namespace) -> int:
    """Numbers about the values of each series."""
    mask = None if options.mask is None else Series(options.mask)
    for place in options.inputs:
        for series in _all(options, place):
            found = statistics(series, mask)
            if options.bash:
                print(f"min={found.minimum}\nmax={found.maximum}\nmean={found.mean}\nstd={found.std}")
                print(f"median={found.median}\nexport min max mean std median")
                continue
            print(_line(series))
            print(
                f"  min: {found.minimum}, max: {found.maximum}, mean: {found.mean} +/- {found.std}, "
                f"median: {found.median}, values: {found.count}"
            )
    return EXIT_OK


def timeline(options: argparse.Namespace) -> int:
    """Times from the first step, in seconds."""
    order = options.order if options.order not in ("auto", "none") else "time"
    options.order = order
    series = _read(options, options.inputs, lazy=True)
    if options.one:
        print("t [s]")
        print("\n".join(f"{time:g}" for time in series.timeline))
    else:
        print("Timeline:")
        print(series.timeline)
    return EXIT_OK


def show(options: argparse.Namespace) -> int:
    """Open a window, or write the picture of one."""
    first, *others = [series for place in options.inputs for series in _all(options, place)]
    figure = first.view(*others, block=options.save is None)
    if options.save is not None:
        figure.savefig(options.save)
    return EXIT_OK


def dump(options: argparse.Namespace) -> int:
    """Count values of some elements; identifiers of patients are none of them."""
    notes: list[str] = []
    instances, others = read_headers(find_files(options.inputs).files, notes, every=True)
    print(f"{len(instances)} images, {len(others)} other files, {len(notes)} that cannot be used")
    for keyword in _COUNTED:
        counts = Counter(_text(instance.record.get(keyword)) for instance in instances)
        print(f"{keyword}: {len(counts)}")
        for value, count in sorted(counts.items())[:20]:
            print(f"  {count:>6}  {printable(value)}")
    return EXIT_OK


def sort(options: argparse.Namespace) -> int:
    """Copy files into folders."""
    copied = sort_files(options.inputs, options.out)
    _say(options, f"{len(copied)} files in {options.out}")
    return EXIT_OK


def _read(options: argparse.Namespace, places: list[str], lazy: bool = False) -> Series:
    given = _reading(options)
    make: Any = Series.open if lazy else Series
    read: Series = make(places if len(places) > 1 else places[0], options.order, **given)
    return read


def _reading(options: argparse.Namespace) -> dict[str, Any]:
    names = (
        "template",
        "geometry",
        "input_serinsuid",
        "input_acquisition",
        "input_echo",
        "layout",
        "strict",
        "psopt",
        "calling_aet",
    )
    given = {name: getattr(options, name) for name in names if getattr(options, name)}
    for pair in options.input_options:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--input_options {pair}: expected NAME=VALUE")
        given[name] = {"True": True, "False": False}.get(value, value)
    return given


def _write(series: Series, options: argparse.Namespace) -> None:
    settings: dict[str, Any] = {
        "sort": options.sort,
        "folders": options.odir,
        "frame": options.frame,
        "SOPClassUID": options.SOPClassUID,
        "sernum": options.sernum,
        "serdes": options.serdes,
        "imagetype": None if options.imagetype is None else options.imagetype.split(","),
        "nan": options.nan,
        "replace": options.replace,
        "dtype": None if options.dtype is None else _TYPES.get(options.dtype, options.dtype),
        "calling_aet": options.calling_aet,
    }
    report = series.write(options.out, formats=options.output_format, **settings)
    told = f", rounded by {report.rounding:.3g} at most" if report.rounding else ""
    _say(options, f"{len(report.files)} files in {report.target}{told}")


def _all(options: argparse.Namespace, place: str) -> Iterator[Series]:
    given = {name: value for name, value in _reading(options).items() if name not in ("template", "geometry")}
    if options.order == "auto" and "layout" not in given and os.path.exists(place):
        yield from Series.read_all(place, **given)
    else:
        yield Series.open(place, options.order, **given)


def _line(series: Series) -> str:
    number = series.getDicomAttribute("SeriesNumber")
    shape = "x".join(map(str, series.shape))
    kind = series.getDicomAttribute("Modality") or series.input_format
    text = f"Series [{'-' if number is None else number}] {kind}: shape: {shape}, dtype: {series.dtype}, "
    text += f"input order: {series.input_order}"
    reason = series.verdict.reason if series.verdict is not None else ""
    return printable(text + (f", {reason}" if reason else ""))


def _text(value: Any) -> str:
    return "\\".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def _say(options: argparse.Namespace, text: str) -> None:
    if not options.quiet:
        print(printable(text), file=sys.stdout)
