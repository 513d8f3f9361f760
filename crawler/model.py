"""The values that travel through the pipeline: frozen, without I/O, cheap to send to another process.

Array indices are in array order, ``(slice, row, column)``, and patient coordinates are LPS in mm
(PS3.3 C.7.6.2.1.1) everywhere in the package.
"""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from crawler.paths import portable

if TYPE_CHECKING:
    import numpy.typing as npt

Vector = tuple[float, float, float]
Affine = tuple[tuple[float, ...], ...]
"""4 x 4, row-major: ``affine @ (slice, row, column, 1) = (x, y, z, 1)`` in LPS mm."""

# What may tell two planes at one position apart (`layout/repeats.py`).
TRAITS = (
    *("EchoTime", "EchoNumbers", "InversionTime", "FlipAngle", "DiffusionBValue", "DiffusionGradientOrientation"),
    *("TemporalPositionIdentifier", "FrameReferenceTime", "TriggerTime", "NominalPercentageOfCardiacPhase"),
    *("ImageType", "DimensionIndexValues", "KVP", "ConvolutionKernel", "AcquisitionNumber", "AcquisitionTime"),
)


class File(NamedTuple):
    """One file of the input.

    Attributes
    ----------
    root
        Native absolute path of the folder that ``path`` is relative to.
    path
        Native relative path; undecodable bytes as surrogates (``os.fsdecode``).
    size, mtime_ns
        Bytes, and nanoseconds since the epoch, as listed.
    prefix
        Name of the root in outputs; empty with a single root.
    member
        Path inside the archive ``path``, with forward slashes; None for a file on disk. It has the size and time.
    start
        Offset of a member that lies in its archive as it is (plain tar); -1 otherwise.
    spooled
        Native path of a temporary copy of the member (compressed tar); empty otherwise.
    public
        Under the section `privacy`: the native relative path that outputs have in place of the true one.
    """

    root: str
    path: str
    size: int
    mtime_ns: int
    prefix: str = ""
    member: str | None = None
    start: int = -1
    spooled: str = ""
    public: str = ""

    @property
    def native(self) -> str:
        """Absolute path of the file on disk (of the archive, for a member)."""
        return os.path.join(self.root, self.path)

    @property
    def mirror(self) -> str:
        """Native relative path that outputs mirror: prefix, path, member; under privacy what stands for them."""
        return self.public or self.true

    @property
    def true(self) -> str:
        """Native relative path as it is: prefix, path, member."""
        path = f"{self.prefix}{os.sep}{self.path}" if self.prefix else self.path
        return path if self.member is None else os.path.join(path, *self.member.split("/"))

    @property
    def key(self) -> str:
        """The file's name in every output (`dicom_file`): valid Unicode, forward slashes, unique in a run."""
        return portable(self.mirror)

    @property
    def name(self) -> str:
        """Last component of `key`."""
        return posixpath.basename(self.key)


class Plane(NamedTuple):
    """Geometry and rescale of one frame, in patient LPS.

    Attributes
    ----------
    position
        (0020,0032) *Image Position (Patient)*, mm: centre of the first pixel.
    orientation
        (0020,0037) *Image Orientation (Patient)*: direction of increasing column index (along a row), then of
        increasing row index.
    spacing
        (0028,0030) *Pixel Spacing*, mm: between rows, between columns.
    thickness
        (0018,0050) *Slice Thickness*, mm.
    slope, intercept
        (0028,1053) and (0028,1052); 1 and 0 when absent.
    traits
        Values of `TRAITS`, in that order; None where absent. Times in ms, *Acquisition Time* in s since midnight,
        the direction of the gradient in patient LPS, *Dimension Index Values* without those of stack and position.
    component
        What the voxels are (`instance/component.py`): PHASE, a derived map, LOCALIZER ...; empty for the common case.
    stack
        (0020,9056) *Stack ID*; empty when absent.
    custom
        Value of the element that `volume.order` names.
    of_volume
        Position and orientation, (0020,9301) and (0020,9302), are in an ultrasound volume's own frame of reference.
    """

    position: Vector | None = None
    orientation: tuple[float, ...] | None = None
    spacing: tuple[float, float] | None = None
    thickness: float | None = None
    slope: float = 1.0
    intercept: float = 0.0
    traits: tuple[Any, ...] = (None,) * len(TRAITS)
    component: str = ""
    stack: str = ""
    custom: Any = None
    of_volume: bool = False

    def trait(self, keyword: str) -> Any:
        """Value of one of `TRAITS`."""
        return self.traits[TRAITS.index(keyword)]


class Mosaic(NamedTuple):
    """A single-frame image that holds the slices of a volume side by side (Siemens), from left to right, then down.

    Attributes
    ----------
    tiles
        Number of slices; places behind the last one are empty.
    across
        Tiles in a row.
    rows, columns
        Of a tile.
    """

    tiles: int
    across: int
    rows: int
    columns: int


class Mask(NamedTuple):
    """Rectangles (top, bottom, left, right; ends behind) that are blacked out; `search`: more is to be looked for."""

    keep: tuple[tuple[int, int, int, int], ...] = ()  # with any, all outside of them is black
    blank: tuple[tuple[int, int, int, int], ...] = ()
    search: bool = False
    told: bool = False  # the header says that there is writing


class Pixels(NamedTuple):
    """The Image Pixel description (PS3.3 C.7.6.3) and where the pixel data lie; no pixel is read for it.

    A field that the header lacks is 0 or empty; `pixels/frames.py` names it in the error.

    Attributes
    ----------
    keyword
        "PixelData", "FloatPixelData" or "DoubleFloatPixelData"; empty when the header describes an image but
        no pixel element follows.
    offset
        Position of the element's value: in the file, or for a deflated data set in the inflated stream.
    length
        Bytes of the value; None for undefined length (encapsulated).
    has_luts
        Palette, Modality LUT or VOI LUT tables exist: `display/` reads them when it needs them.
    """

    rows: int = 0
    columns: int = 0
    frames: int = 1
    samples: int = 1
    photometric: str = ""
    bits_allocated: int = 0
    bits_stored: int = 0
    high_bit: int = 0
    signed: bool = False
    planar: int = 0
    keyword: str = ""
    vr: str = ""
    offset: int = 0
    length: int | None = None
    big_endian: bool = False
    has_luts: bool = False


class Instance(NamedTuple):
    """One DICOM instance, header only.

    Attributes
    ----------
    record
        Every element as a JSON value, in file order (`dicom/record.py`). To be read only: lists and objects in it may
        be shared by the instances of a series.
    planes
        One a frame (of a mosaic: one a tile), or a single one that all frames share.
    mosaic
        How the only frame is cut into slices, if it is. A `Place` then counts tiles as frames.
    held, mask
        Under privacy: why the file has its row and no other output, if so; what of its frames is blacked out.
    header_fault, header_notes
        Why the header ends too early, if it does; what in it the standard does not allow, and was understood.
    """

    file: File
    record: dict[str, Any]
    transfer_syntax: str = ""
    sop_class: str = ""
    sop_uid: str = ""
    study_uid: str = ""
    series_uid: str = ""
    frame_of_reference: str = ""
    modality: str = ""
    series_number: int | None = None
    instance_number: int | None = None
    windows: tuple[tuple[float, float], ...] = ()
    window_function: str = "LINEAR"
    inverse: bool = False
    frame_rate: float | None = None
    pixels: Pixels | None = None  # of an object without image
    planes: tuple[Plane, ...] = (Plane(),)
    mosaic: Mosaic | None = None
    is_index: bool = False  # a DICOMDIR
    header_fault: Outcome | None = None
    header_notes: tuple[str, ...] = ()
    held: str = ""
    mask: Mask | None = None

    def plane(self, frame: int) -> Plane:
        """Geometry of a frame (0-based)."""
        return self.planes[frame] if len(self.planes) > 1 else self.planes[0]


class Scan(NamedTuple):
    """The instances of one SeriesInstanceUID in one folder, in order of their file names.

    ``scan_id`` is ``<folder>/s<SeriesNumber>-<8 hex digits of the UID>``.
    """

    scan_id: str
    series_uid: str
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Which frame of which instance lands at which index of a layout (leading axes, without row and column)."""

    instance: int
    frame: int
    index: tuple[int, ...]


class Verdict(NamedTuple):
    """What was found about a layout's geometry; one of them, joined over layouts, is a row of series.csv."""

    single_orientation: bool | None = None
    obliquity_degrees: float | None = None
    unique_positions: bool | None = None
    uniform_spacing: bool | None = None
    spacing: float | None = None
    largest_gap: float | None = None
    missing_positions: int | None = None
    duplicate_positions: int | None = None
    tilt_degrees: float | None = None
    consistent_size: bool | None = None
    regular_volume: bool = False
    policy: str = ""
    reason: str = ""


class Coordinates(NamedTuple):
    """Values of the steps of an axis other than slice, row and column.

    Attributes
    ----------
    axis
        Its name in `Layout.axes`.
    values
        One a step; numbers in `unit`, or None where the header tells none.
    keyword
        The element that they come from; empty when they count repetitions in the order of acquisition.
    unit
        "s", "ms", "s/mm2", "degree", "%" or empty.
    directions
        Of the axis "b": unit vector of the diffusion gradient in patient LPS, one a step, None for no direction.
    """

    axis: str
    values: tuple[Any, ...]
    keyword: str = ""
    unit: str = ""
    directions: tuple[Vector | None, ...] = ()


class Layout(NamedTuple):
    """How the frames of a scan fill one array. Headers alone decide it.

    Attributes
    ----------
    name
        Empty for a scan's only layout, else its number from "1".
    shape
        Array shape; ends in (rows, columns) or, in colour, (rows, columns, samples).
    axes
        A name an axis: "slice", "frame", "row", "column", "sample", and before the slices any of "te", "echo", "ti",
        "fa", "b", "phase", "trigger_time", "time" or a keyword, time last.
    affine
        Index to LPS, or None where the header does not give a true one.
    placement
        In array order.
    refused
        Reason why the policy builds no volume from it; empty otherwise.
    coordinates
        Of the axes beyond slice, row and column, in their order, where something is known of them.
    """

    name: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    placement: tuple[Place, ...]
    affine: Affine | None = None
    verdict: Verdict = Verdict()
    refused: str = ""
    coordinates: tuple[Coordinates, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One decoded frame of stored values.

    Attributes
    ----------
    values
        Shape (rows, columns) or (rows, columns, samples); the stored dtype.
    photometric
        (0028,0004) of `values` as they are now, after what the decoder did to colour.
    decoder
        Name of the decoder used, "native" for uncompressed data.
    table
        Modality LUT (PS3.3 C.11.1), which takes the place of slope and intercept; only where volumes need it.
    within
        Two integers beyond which no value lies, where that is known without a look at them.
    """

    number: int
    values: npt.NDArray[Any]
    photometric: str
    slope: float = 1.0
    intercept: float = 0.0
    decoder: str = "native"
    table: Any = None
    within: tuple[int, int] | None = None

    @property
    def nbytes(self) -> int:
        """Size of `values` in memory."""
        return int(self.values.nbytes)


class Product(NamedTuple):
    """A finished output file.

    ``path`` is absolute and native. ``kind`` is "image", "video", "document", "waveform" or "text" in the folder of
    media, "volume" or "sidecar" in that of volumes, "preview" in its own; ``layout`` is that of the last three.
    ``checksum`` is XXH3-128 of the bytes.
    """

    path: str
    kind: str
    size: int
    checksum: str
    layout: str = ""


OutcomeName = Literal["exported", "skipped", "failed"]


class Outcome(NamedTuple):
    """What became of a file. Every file of a run has exactly one."""

    outcome: OutcomeName
    stage: str = ""
    reason: str = ""
    detail: str = ""
