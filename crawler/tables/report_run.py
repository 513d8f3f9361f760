"""What report.html says of the run itself: when, with what, of what, how long; and a text for a methods section.

Every line that differs between equal runs has the class ``run``, so that two pages can be compared without them.
"""

from __future__ import annotations

import html
import os
import time

from crawler import __version__
from crawler.config.loader import Config
from crawler.paths import portable
from crawler.tables.base import Context

_VALUES = {
    "modality": "modality values (the rescale of each image applied, Hounsfield units in CT)",
    "stored": "stored values",
    "real_world": "real world values where each frame has one mapping, else modality values",
}
_IRREGULAR = {
    "split": "split into evenly spaced parts",
    "keep": "kept in one array without an affine",
    "refuse": "not written",
}


def about_run(context: Context) -> str:
    """One line: date, version, configuration, input, duration, rate."""
    config, summary = context.config, context.summary
    source = (
        os.path.basename(config.source) if config.source and config.privacy is None else "a configuration in Python"
    )
    roots = config.roots if config.privacy is None else ("(private)",)
    inputs = ", ".join(f"<code>{html.escape(portable(root))}</code>" for root in roots)
    rate = f", {summary.handled / summary.seconds:,.0f} files a second" if summary.handled and summary.seconds else ""
    done = (
        f"{summary.handled:,} of {summary.found:,} files read" if summary.handled < summary.found else "all files read"
    )
    return (
        f'<p class="run">{_now()} by dme {__version__}, {html.escape(source)}, from {inputs}: {done} in'
        f" {_duration(summary.seconds)}{rate}</p>"
    )


def methods(context: Context) -> str:
    """A paragraph that a person can paste: what was read, what was left out and why, how outputs were made."""
    summary, config = context.summary, context.config
    skipped, failed = sum(summary.skipped.values()), sum(summary.failed.values())
    words = [
        f"{summary.found:,} files ({summary.scans:,} series) were processed with dme {__version__}.",
        f"{summary.exported:,} files were exported, {skipped:,} skipped{_reasons(summary.skipped)} and {failed:,}"
        f" failed{_reasons(summary.failed)}.",
        *_volumes(config, summary.volumes),
    ]
    if config.select is not None:
        words.append("Files were selected by conditions on their headers, listed in the configuration.")
    if config.quality is not None:
        words.append("Image quality was measured frame by frame; no image was changed.")
    words.append("Files are identified by content; coordinates are patient coordinates (LPS, mm) of PS3.3 C.7.6.2.1.1.")
    text = html.escape(" ".join(words))
    return f'<details class="methods">\n<summary>Text for a methods section</summary>\n<p>{text}</p>\n</details>'


def _volumes(config: Config, count: int) -> list[str]:
    section = config.volume
    if section is None:
        return []
    return [
        f"{count:,} volumes of {_VALUES[section.values]} were written as {', '.join(section.formats)}: slices in the"
        " order of their positions along the normal, affines from Image Position and Image Orientation (Patient);"
        f" series with uneven spacing were {_IRREGULAR[section.irregular]}."
    ]


def _reasons(counts: dict[str, int]) -> str:
    told = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(counts.items()))
    return f" ({told})" if told else ""


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
