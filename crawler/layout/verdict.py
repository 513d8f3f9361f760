"""Verdicts in words and rows: the reasons that a verdict gives, and the row of a scan in series.csv.

Finds nothing out (`layouts.py` does). Holds no patient data and no free text of the header, where a *Series
Description* may hold a name: UIDs, coded values and sizes only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crawler.layout.planes import image
from crawler.model import Layout, Scan, Verdict

Cell = str | int | float | bool | None

# The reasons: a small set, so that they can be counted.
TILTED = "tilted"
UNEVEN = "uneven spacing"
MISSING = "missing positions"
OFF_LINE = "positions off one line"
NO_IMAGES = "no images"
NO_GEOMETRY = "no position or orientation"
MONTAGE = "mosaic without its header: kept as a montage"
UNDIRECTED = "mosaic without the direction or distance of its slices"
SHARED_PLANE = "frames without positions of their own"
NO_SPACING = "no pixel spacing"
THICKNESS_STEP = "single slice: step is the slice thickness"
ASSUMED_STEP = "single slice: step of 1 mm is assumed"
REPEATED = "repeated positions told apart by "  # and the traits, or
IN_ORDER = "order of acquisition"
PARTS = "told apart by "  # and the traits
ONE_POSITION = "one position for all slices"
UNEQUAL = "repeated positions in unequal numbers"
ONE_REFERENCE = "a Frame of Reference UID for each file: taken as one"
BY_LOCATION = "slices in the order of their locations"
BY_NUMBER = "slices in the order of their numbers"
VOLUME_SPACE = "positions in the frame of reference of the volume, not of the patient"
NOT_TOLD = "repeated positions that nothing tells apart"
IN_DOUBT = "the first of several planes that nothing tells apart"
COUNTED = "only the numbers of the instances tell it, slice by slice"
INCOMPLETE = "incomplete: other volumes of the series have more positions"
UNTOLD = "repeated positions in one object"


def join_reasons(*texts: str) -> str:
    """Join reasons, or joined reasons, into one text: each once, in order of appearance; empty ones vanish."""
    return "; ".join(dict.fromkeys(reason for text in texts for reason in text.split("; ") if reason))


def scan_verdict(layouts: Sequence[Layout], scan: Scan) -> dict[str, Cell]:
    """Join the verdicts of a scan's layouts into one row.

    Every column of `Verdict` gives the worst of the layouts: a property holds when it holds for all; angles, gaps and
    counts are the largest. ``spacing`` is that of the layout with most planes; ``regular_volume`` says that every
    layout is a regular volume and no policy had to cut one out. A column that no layout could tell is None.

    Parameters
    ----------
    layouts
        Of this scan, as `layout.layouts` made them.
    scan
        The scan.

    Returns
    -------
    dict
        Column -> JSON value: ``scan_id``, ``series_uid``, ``modality``, ``sop_class``, ``transfer_syntax`` (distinct
        values joined by "|"), ``rows``, ``columns`` (None when they differ), ``n_files``, ``n_images`` (files with an
        image), ``n_layouts``, ``n_planes`` (frames that are placed), ``n_refused`` (layouts); then the fields of
        `Verdict`.
    """
    verdicts = [layout.verdict for layout in layouts]
    instances = scan.instances
    images = [pixels for instance in instances if (pixels := image(instance))]
    main = max(layouts, key=lambda layout: len(layout.placement), default=None)
    row: dict[str, Cell] = {
        "scan_id": scan.scan_id,
        "series_uid": scan.series_uid,
        "modality": _listed(instance.modality for instance in instances),
        "sop_class": _listed(instance.sop_class for instance in instances),
        "transfer_syntax": _listed(instance.transfer_syntax for instance in instances),
        "rows": _single(pixels.rows for pixels in images),
        "columns": _single(pixels.columns for pixels in images),
        "n_files": len(instances),
        "n_images": len(images),
        "n_layouts": len(layouts),
        "n_planes": sum(len(layout.placement) for layout in layouts),
        "n_refused": sum(bool(layout.refused) for layout in layouts),
    }
    return row | _joined(verdicts, main.verdict if main else Verdict(reason=NO_IMAGES))


def _joined(verdicts: Sequence[Verdict], main: Verdict) -> dict[str, Cell]:
    """Fields of `Verdict`, in its order."""
    return {
        "single_orientation": _every(verdict.single_orientation for verdict in verdicts),
        "obliquity_degrees": _largest(verdict.obliquity_degrees for verdict in verdicts),
        "unique_positions": _every(verdict.unique_positions for verdict in verdicts),
        "uniform_spacing": _every(verdict.uniform_spacing for verdict in verdicts),
        "spacing": main.spacing,
        "largest_gap": _largest(verdict.largest_gap for verdict in verdicts),
        "missing_positions": _largest(verdict.missing_positions for verdict in verdicts),
        "duplicate_positions": _largest(verdict.duplicate_positions for verdict in verdicts),
        "tilt_degrees": _largest(verdict.tilt_degrees for verdict in verdicts),
        "consistent_size": _every(verdict.consistent_size for verdict in verdicts),
        "regular_volume": all(verdict.regular_volume and not verdict.policy for verdict in verdicts or [main]),
        "policy": _listed(verdict.policy for verdict in verdicts),
        "reason": join_reasons(*([verdict.reason for verdict in verdicts] or [main.reason])),
    }


def _every(values: Iterable[bool | None]) -> bool | None:
    known = [value for value in values if value is not None]
    return all(known) if known else None


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _single(values: Iterable[int]) -> int | None:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def _listed(values: Iterable[str]) -> str:
    return "|".join(sorted(set(filter(None, values))))
