"""Planes to DICOM files, one a plane, each read back before it counts as written.

Positions come from the grid, one a slice; nothing of the template's place is kept. Values are stored as `quantize.py`
says. Sends nothing, and decides no name outside its folder.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from crawler.dicom import uids
from crawler.dicom.elements import quiet_pydicom
from crawler.dicom.unique import new_uid
from crawler.errors import FileError, OutputError
from crawler.instance.header import read_instance
from crawler.model import File
from crawler.pacs.pdu import IMPLEMENTATION_UID
from crawler.pixels.frames import frames
from crawler.series.copying import is_copy, lies_at, original, set_changed, set_missing, set_pixels, stored_in
from crawler.series.description import Description
from crawler.series.dicom_elements import (
    CT,
    MR,
    PET,
    Base,
    changes_of,
    class_of,
    complete,
    image_type,
    set_element,
    source_items,
)
from crawler.series.display_fields import window_of
from crawler.series.element_values import keyword_of, plain_value
from crawler.series.errors import WriteNotImplemented
from crawler.series.file_names import numbered
from crawler.series.grid import NOT_PLACED, Grid
from crawler.series.headers import FrameHeader, uid_below
from crawler.series.planes import PlaneStack, plane_stack, step_indices
from crawler.series.quantize import Stored, converted, stored_as, stored_values
from crawler.series.report import WriteOptions, WriteReport
from crawler.series.steps import step_elements
from crawler.series.written_places import UNEVEN, WrittenPlaces

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

VERSION_NAME = "DME_SERIES"
_PLACE_TOLERANCE = 1e-3
"""mm: what a DS of 16 characters keeps of any position inside a scanner, many times over."""
_DIRECTION_TOLERANCE = 1e-6
"""Of direction cosines: what a DS of 16 characters keeps of them."""
_SAME_STEP = 1e-6
"""Of the slope: a stored value that is off by less is the same, computed with other roundings of float64."""


class DicomWriter:
    """Writes one array as a series.

    Parameters
    ----------
    values, description
        The array.
    """

    def __init__(self, values: Any, description: Description, options: WriteOptions) -> None:
        self.options, self.description = options, description
        self.meta = description.meta
        values = converted(values, options.dtype)
        self.stack: PlaneStack = plane_stack(values, description)
        self.places = WrittenPlaces.of(self.stack)
        self.grid: Grid = self.places.grid
        self.template = self.meta.template.dataset if self.meta.template is not None else None
        told = options.sop_class or self.meta.changes.get("SOPClassUID")
        told = told or (None if self.template is None else self.template.get("SOPClassUID"))
        self.colour = self.stack.colour
        if self.colour and (self.stack.values.shape[-1] != 3 or self.stack.values.dtype != np.uint8):
            raise WriteNotImplemented("colour is written as three samples of uint8")
        self.sop_class = class_of(None if told is None else str(told), self.colour)
        self.stored = Stored(self.stack.values) if self.colour else self._stored()
        kept = options.keep_uid
        self.series_uid = self._own_uid() if kept else new_uid()
        told_study = self.element("StudyInstanceUID")
        self.study_uid = str(told_study or uid_below(self.meta.series_uid or new_uid(), ("study",)))
        self.reference = options.frame_of_reference or self.grid.frame_of_reference or new_uid()
        with quiet_pydicom():
            self.base = Base(self.template, options.keep_private, self.sop_class)
        self.window = self._window()

    def write(self, folder: str) -> WriteReport:
        """Write all planes below a folder, which exists, and read each back.

        Raises
        ------
        OutputError
            A file cannot be written, or reads back as something else.
        """
        shape = self.stack.frames.shape
        names: list[str] = []
        for number, index in enumerate(step_indices(shape, self.options.sort)):
            name = self._name(index, number, self.stack.frames.size)
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                with quiet_pydicom():  # a template may hold values that the standard does not allow: they stay
                    made = self.dataset(index, number + 1)
                    made.save_as(path, enforce_file_format=True)
            except OSError as error:
                raise OutputError(f"an image cannot be written: {error.strerror}") from error
            except (ValueError, TypeError, AttributeError, KeyError, NotImplementedError) as error:
                # pydicom cannot encode a value of the template; its message may quote it.
                raise OutputError(f"an element of the template cannot be written ({type(error).__name__})") from error
            self._check(path, index, made)
            names.append(name)
        notes = [] if self.places.placed else [NOT_PLACED]
        notes += [UNEVEN] if self.places.own is not None else []
        return WriteReport(folder, tuple(names), self.stored.rounding, self.stored.replaced, tuple(notes))

    def _stored(self) -> Stored:
        found = stored_values(self.stack.values, self.options.nan, through_zero=self.sop_class == PET)
        if found.rounding:  # as they were stored where they come from, perhaps nothing is lost
            rescale = [self.element(keyword) for keyword in ("RescaleSlope", "RescaleIntercept")]
            if all(isinstance(one, (int, float)) for one in rescale) and (self.sop_class != PET or not rescale[1]):
                found = stored_as(self.stack.values, *rescale) or found
        if found.values.dtype.itemsize == 1 and self.sop_class in (
            CT,
            MR,
            PET,
        ):
            # 16 bits allocated: PS3.3 C.8.2, C.8.3, C.8.9
            wide = np.uint16 if found.values.dtype.kind == "u" else np.int16
            found = replace(found, values=found.values.astype(wide))
        return found

    def _own_uid(self) -> str:
        changed = self.meta.changes.get("SeriesInstanceUID") or self.meta.series_uid
        return str(changed or self.element("SeriesInstanceUID") or new_uid())

    def element(self, keyword: str) -> Any:
        """An element that was set, or that the template has; None for none."""
        if keyword in self.meta.changes:
            return self.meta.changes[keyword]
        if self.template is not None and keyword in self.template:
            return plain_value(self.template[keyword].value)
        return None

    def _window(self) -> tuple[float, float] | None:
        if self.colour:
            return None
        if self.options.window is not None:
            return self.options.window
        shown = self.meta.display
        center, width = (_first(self.element(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
        if self.meta.is_derived or not isinstance(center, (int, float)) or not isinstance(width, (int, float)):
            center, width = window_of(self.stack.values)
            width = max(width, 1.0)
        return float(shown.get("window_center", center)), float(shown.get("window_width", width))

    def _name(self, index: tuple[int, ...], number: int, count: int) -> str:
        pattern = self.options.names or "Image_{:05d}.dcm"
        if self.options.folders != "multi" or not self.stack.steps:
            return numbered(pattern, number, count, _extension_in(pattern))
        within = int(np.ravel_multi_index(index[1:], self.stack.frames.shape[1:]))
        own = numbered(pattern, within, int(np.prod(self.stack.frames.shape[1:])), _extension_in(pattern))
        return os.path.join(f"{self.stack.steps[0].name}{index[0]:02d}", own)

    def dataset(self, index: tuple[int, ...], number: int) -> FileDataset:
        """The data set of the plane at an index, as file number `number`."""
        header: FrameHeader | None = self.stack.frames[index]
        copied = self._copy(index, header)
        if copied is not None:
            return self._file(copied)
        plain = self.base.image(header)
        self._identity(plain, index, number, header)
        self._place(plain, index)
        for place, axis in enumerate(self.stack.steps):
            first = self.stack.frames[(*index[:-1], 0)]
            for keyword, value in step_elements(axis, index[place], header, first).items():
                if value is None and keyword in plain:
                    del plain[keyword]
                elif value is not None:
                    set_element(plain, keyword, value)
        self._pixels(plain, self.stored.values[index])
        for keyword, value in changes_of(self.meta.changes, header).items():
            if keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "WindowCenter", "WindowWidth"):
                continue
            if value is not None:
                set_element(plain, keyword, value)
            elif keyword in plain:
                del plain[keyword]
        self._asked(plain)
        complete(plain, self.sop_class)
        return self._file(plain)

    def _file(self, plain: Dataset) -> FileDataset:
        """A data set with its file meta information."""
        from pydicom.dataset import FileDataset, FileMetaDataset

        meta: Any = FileMetaDataset()
        for keyword in ("SOPClassUID", "SOPInstanceUID"):
            set_element(meta, f"MediaStorage{keyword}", str(plain[keyword].value))
        meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian
        meta.ImplementationClassUID = IMPLEMENTATION_UID
        meta.ImplementationVersionName = VERSION_NAME
        return FileDataset("", plain, file_meta=meta, preamble=bytes(128))

    def _copy(self, index: tuple[int, ...], header: FrameHeader | None) -> Dataset | None:
        """The data set that a frame was read from, with the values of the array, where it keeps its UID."""
        if not self.options.keep_uid or self.meta.is_derived or header is None or header.origin is None:
            return None
        plain = original(header.origin)
        told = self.options.sop_class or self.meta.changes.get("SOPClassUID")
        if (
            plain is None
            or (told and told != plain.get("SOPClassUID"))
            or not set_pixels(plain, self.stack.values[index])
        ):
            return None
        if not lies_at(plain, self.places.position(index), self.grid):
            self._place(plain, index)
        for place, axis in enumerate(self.stack.steps):
            first = self.stack.frames[(*index[:-1], 0)]
            set_missing(plain, step_elements(axis, index[place], header, first))
        set_changed(plain, {**changes_of(self.meta.changes, header), "SeriesInstanceUID": self.series_uid})
        shown = self.meta.display
        if self.options.window is not None or "window_center" in shown or "window_width" in shown:
            self._set_window(plain)
        if self.options.frame_of_reference:
            plain.FrameOfReferenceUID = self.options.frame_of_reference
        self._asked(plain)
        return plain

    def _identity(self, plain: Dataset, index: tuple[int, ...], number: int, header: FrameHeader | None) -> None:
        own = None if header is None else header.record.get("SOPInstanceUID")
        if own and self.options.keep_uid and not self.meta.is_derived and not (header and header.sources[0].frame):
            uid = str(own)
        else:
            uid = uid_below(self.series_uid, index)
        for keyword, value in (
            ("SOPClassUID", self.sop_class),
            ("SOPInstanceUID", uid),
            ("SeriesInstanceUID", self.series_uid),
            ("StudyInstanceUID", self.study_uid),
        ):
            set_element(plain, keyword, value)
        plain.InstanceNumber = number
        now = datetime.datetime.now()
        plain.InstanceCreationDate, plain.InstanceCreationTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S.%f")
        told = plain.get("ImageType")
        told = None if told is None else plain_value(told)
        if self.options.keep_uid and not self.meta.is_derived and told:
            return
        told = [told] if isinstance(told, str) else told
        copied = bool(told) and self._is_copy
        plain.ImageType = told if copied else image_type(told, self.sop_class)
        items = source_items([header])
        if items:
            plain.SourceImageSequence = items
        if not copied and (header is not None or self.meta.history):
            steps = ", ".join(self.meta.history) or "copied, cut or put in another order"
            plain.DerivationDescription = f"dme series: {steps}"[:1024]

    @cached_property
    def _is_copy(self) -> bool:
        """Whether all images have pixels and place of the files they were read from (PS3.3 C.7.6.1.1.2)."""
        lost = self.stored.rounding > _SAME_STEP * abs(self.stored.slope) or self.stored.replaced
        if self.meta.is_derived or lost:
            return False
        for index in np.ndindex(self.stack.frames.shape):
            header: Any = self.stack.frames[index]
            place = self.places.position(index) if self.places.placed else None
            if header is None or header.record.get("SOPClassUID") != self.sop_class:
                return False
            if not is_copy(header, self.stack.values[index], place, self.grid):
                return False
        return True

    def _place(self, plain: Dataset, index: tuple[int, ...]) -> None:
        grid, place = self.grid, self.places.position(index)
        spacing = grid.spacing
        set_element(plain, "ImagePositionPatient", (place + 0.0).tolist())
        set_element(plain, "ImageOrientationPatient", (grid.orientation + 0.0).tolist())
        set_element(plain, "PixelSpacing", spacing[1:].tolist())
        step = self.places.step
        count = self.stack.frames.shape[-1]
        if not plain.get("SliceThickness"):
            set_element(plain, "SliceThickness", step or (None if step is None else 1.0))
        if count > 1 and self.sop_class != PET and step is not None:
            set_element(plain, "SpacingBetweenSlices", step)
        set_element(plain, "SliceLocation", float(place @ grid.normal))
        plain.FrameOfReferenceUID = self.reference
        if not self.places.placed:
            plain.ImageComments = NOT_PLACED

    def _pixels(self, plain: Dataset, values: Any) -> None:
        bits = 8 * values.dtype.itemsize
        plain.Rows, plain.Columns = values.shape[:2]
        plain.SamplesPerPixel = 3 if self.colour else 1
        inverse = self.element("PhotometricInterpretation") == "MONOCHROME1"
        plain.PhotometricInterpretation = "RGB" if self.colour else f"MONOCHROME{1 if inverse else 2}"
        if self.colour:
            plain.PlanarConfiguration = 0
        plain.BitsAllocated = plain.BitsStored = bits
        plain.HighBit = bits - 1
        plain.PixelRepresentation = int(values.dtype.kind == "i")
        scaled = (self.stored.slope, self.stored.intercept) != (1.0, 0.0)
        if not self.colour and (scaled or self.sop_class in (CT, PET)):
            set_element(plain, "RescaleSlope", self.stored.slope)
            set_element(plain, "RescaleIntercept", self.stored.intercept)
            if self.sop_class == CT or scaled:
                plain.RescaleType = self._rescale_type()
        self._set_window(plain)
        data = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
        plain.PixelData = data + b"\0" * (len(data) % 2)
        plain["PixelData"].VR = "OB" if bits == 8 else "OW"

    def _set_window(self, plain: Dataset) -> None:
        if self.window is not None:
            set_element(plain, "WindowCenter", self.window[0])
            set_element(plain, "WindowWidth", self.window[1])

    def _rescale_type(self) -> str:
        told = self.element("RescaleType")
        if told and not self.meta.is_derived:
            return str(told)
        return "HU" if self.sop_class == CT and not self.meta.is_derived else "US"

    def _asked(self, plain: Dataset) -> None:
        options = self.options
        if options.series_number is not None:
            plain.SeriesNumber = int(options.series_number)
        if options.series_description is not None:
            plain.SeriesDescription = str(options.series_description)
        if options.image_type is not None:
            asked = options.image_type
            plain.ImageType = asked.split("\\") if isinstance(asked, str) else list(asked)
        for keyword, value in options.further:
            if keyword[:1].isupper():
                set_element(plain, keyword_of(keyword), value)

    def _check(self, path: str, index: tuple[int, ...], made: Dataset) -> None:
        """Read a file back with the pipeline's own reader, and compare voxels and place."""
        info = os.stat(path)
        file = File(os.path.dirname(path), os.path.basename(path), info.st_size, info.st_mtime_ns)
        try:
            instance = read_instance(file)
            (frame,) = frames(instance, [0])
        except FileError as error:
            raise OutputError(f"a written image cannot be read back: {error}") from error
        plane = instance.plane(0)
        slope, intercept = (
            float(made.get(name, other)) for name, other in (("RescaleSlope", 1), ("RescaleIntercept", 0))
        )
        place, orientation, spacing = plane.position, plane.orientation, plane.spacing
        right = {
            "values": np.array_equal(frame.values, stored_in(made)),
            "position": place is not None
            and np.abs(np.subtract(place, self.places.position(index))).max() < _PLACE_TOLERANCE,
            "orientation": orientation is not None
            and np.abs(np.subtract(orientation, self.grid.orientation)).max() < _DIRECTION_TOLERANCE,
            "spacing": spacing is not None and np.allclose(spacing, self.grid.spacing[1:], rtol=1e-6),
            "rescale": self.colour or (plane.slope, plane.intercept) == (slope, intercept),
        }
        wrong = [name for name, same in right.items() if not same]
        if wrong:
            raise OutputError(f"a written image reads back with another {', '.join(wrong)}: nothing was put in place")


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _extension_in(pattern: str) -> str:
    return ".ima" if pattern.lower().endswith(".ima") else ".dcm"


def is_ours(path: str) -> bool:
    """Whether a DICOM file was written by this module."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(1024)  # the file meta information
    except OSError:
        return False
    return VERSION_NAME.encode() in head and IMPLEMENTATION_UID.encode() in head
