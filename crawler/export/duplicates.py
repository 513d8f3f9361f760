"""Files of a scan that are the same instance: one SOP Instance UID is one object (PS3.3 C.12.1.1.1).

A second file of one UID at one place is a duplicate, whether its bytes are equal, a header element differs or its
pixels were compressed anew. Files that claim one UID and lie at different places are different images, whose exporter
erred: all of them stay. Reads the bytes of files with equal UIDs only, and decodes only those whose bytes differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from crawler.dicom.files import open_file
from crawler.error_boundary import ErrorBoundary
from crawler.model import Frame, Instance, Outcome

IDENTICAL = Outcome("skipped", "", "duplicate", "byte-identical to another file of its scan: row and media, no volume")
SAME_INSTANCE = Outcome(
    "skipped", "", "duplicate", "same SOP Instance UID and place as another file of its scan: row and media, no volume"
)
OTHER_PIXELS = Outcome(
    "skipped",
    "",
    "duplicate",
    "same SOP Instance UID and place as another file of its scan, with other pixels: row and media, no volume",
)

PIXELS_DIFFER = "one SOP Instance UID for files whose pixels differ"
SEVERAL_PLACES = "one SOP Instance UID for files at several places"
"""Reasons of a scan in series.csv."""


class Duplicates(NamedTuple):
    """Finds them.

    Attributes
    ----------
    advance
        Told of each file and stage, before it is read.
    exclude
        Told of the outcome of each duplicate, and of each file that cannot be read.
    decode
        Yields the frames of a file; None where no pixel is to be read.
    """

    advance: Callable[[int, str], None]
    exclude: Callable[[int, Outcome], None]
    decode: Callable[[Instance], Iterator[Frame]] | None

    def find(self, instances: Mapping[int, Instance]) -> list[str]:
        """Name the duplicates among the instances of a scan, by their numbers, in order of file names.

        Returns
        -------
        list of str
            Reasons for series.csv: what is wrong with UIDs that several files claim.
        """
        reasons: dict[str, None] = {}
        claims: dict[str, dict[Any, list[int]]] = {}
        for number, instance in instances.items():
            if instance.sop_uid:
                claims.setdefault(instance.sop_uid, {}).setdefault(_place(instance), []).append(number)
        for places in claims.values():
            if len(places) > 1:
                reasons[SEVERAL_PLACES] = None
            for numbers in places.values():
                if len(numbers) > 1 and self._settle(numbers, instances):
                    reasons[PIXELS_DIFFER] = None
        return list(reasons)

    def _settle(self, numbers: list[int], instances: Mapping[int, Instance]) -> bool:
        """Exclude all files of one instance but the first that can be decoded; whether any has other pixels."""
        seen: dict[bytes, int] = {}
        for number in numbers:
            self.advance(number, "header")
            with (
                ErrorBoundary("header", lambda outcome, number=number: self.exclude(number, outcome)),  # type: ignore[misc]
                open_file(instances[number].file) as stream,
            ):
                digest = hashlib.file_digest(stream, "blake2b").digest()  # type: ignore[arg-type]
                if digest in seen:
                    self.exclude(number, IDENTICAL)
                else:
                    seen[digest] = number
        differ = False
        first, *others = seen.values() if seen else [-1]
        for number in others:
            outcome = self._compare(first, number, instances)
            differ = differ or outcome == OTHER_PIXELS
            if outcome is not None:
                self.exclude(number, outcome)
        return differ

    def _compare(self, first: int, second: int, instances: Mapping[int, Instance]) -> Outcome | None:
        """What the second of two files of one instance is; None where one of them cannot be decoded."""
        if self.decode is None or instances[first].pixels is None:
            return SAME_INSTANCE
        self.advance(second, "pixels")
        equal = True
        with ErrorBoundary("pixels", lambda outcome: None) as border:
            for one, other in zip_longest(self.decode(instances[first]), self.decode(instances[second])):
                self.advance(second, "pixels")
                equal = equal and one is not None and other is not None and np.array_equal(one.values, other.values)
        if border.failed:
            return None
        return SAME_INSTANCE if equal else OTHER_PIXELS


def _place(instance: Instance) -> tuple[Any, ...]:
    """What two files of one instance agree in: where and when each frame is, its number, its size."""
    pixels = instance.pixels
    size = (pixels.rows, pixels.columns, pixels.frames) if pixels is not None else ()
    planes = tuple(
        (plane.position, plane.orientation, repr(plane.traits), plane.component) for plane in instance.planes
    )
    return instance.instance_number, size, planes, repr(instance.mosaic)
