"""What vendors' private elements say of an MR acquisition: phase encoding, echo spacing, acceleration, coils, scales.

One function a vendor; each returns values under the names of BIDS (or of dcm2niix, where BIDS has none), in s, and
`POSITIVE`, the polarity of the phase encoding in the image as DICOM stores it. An element counts only under its private
creator. What no element states is left out: Philips and Canon store no polarity, and GE only from release 27 on.

Facts are from the vendors' conformance statements and the notes on vendors of rordenlab/dcm2niix (directories Siemens,
GE, Philips, UIH).
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from crawler.dicom.attributes import Attributes, Private
from crawler.dicom.csa import LazyEntries
from crawler.instance.private_values import private_values
from crawler.model import Instance

POSITIVE = "PhaseEncodingPositive"
"""Whether phase encoding runs towards higher row (or column) indices of the DICOM image."""
INTERLEAVED = "SliceOrderInterleaved"
"""Of GE's gradient-echo EPI: slices 1, 3, 5 ... first, in the order of the instances; False: one after the other."""

_SIEMENS = "SIEMENS MR HEADER"
_SIEMENS_CREATORS = ("SIEMENS CSA HEADER", "")  # some anonymisers leave the header without its creator
_CSA_MARK = b"SV10"
_XA = "SIEMENS MR SDI 02"  # in each functional group, or in the data set of a classic object
_XA_FRAME: Private = (0x002100FE, _XA)
_XA_DIRECTION, _XA_BANDWIDTH, _XA_DWELL, _XA_COIL = ((0x00210000 | number, _XA) for number in (0x1C, 0x53, 0x42, 0x4F))
_XA_SERIES: Private = (0x002100FE, "SIEMENS MR SDS 01")
_XA_CODES: dict[str, Private] = {
    "SequenceVariant": (0x0021005B, "SIEMENS MR SDS 01"),
    "ScanOptions": (0x0021005C, "SIEMENS MR SDS 01"),
}
# sKSpace.ucPhasePartialFourier of Siemens' protocol.
_PARTIAL_FOURIER = {0x1: 0.5, 0x2: 0.625, 0x4: 0.75, 0x8: 0.875}
_PARALLEL = re.compile(r"p([0-9]{1,2})(?:s[0-9]{1,2})?")  # (0051,xx11): p2, p2s4

_GE_PARAMETERS = "GEMS_PARM_01"
_GE_SPACING, _GE_ASSET, _GE_MULTIBAND, _GE_DELAY = (
    (0x00430000 | number, _GE_PARAMETERS) for number in (0x2C, 0x83, 0xB6, 0x7C)
)
_GE_SEQUENCE: Private = (0x0019009C, "GEMS_ACQU_01")
_GE_PROTOCOL: Private = (0x0025001B, "GEMS_SERS_01")
_GE_SEQUENCES = ("epi", "epirt")
"""Gradient-echo EPI of GE whose slices follow each other at equal times; those for diffusion have other patterns."""
_GE_LINE = re.compile(r'^(\w+) "([^"]*)"', re.MULTILINE)
_GE_REORDERING = {"LINEAR": True, "REVERSE_LINEAR": False}

_PHILIPS = "Philips Imaging DD 001"
_PHILIPS_EPI, _PHILIPS_SHIFT = (0x20010013, _PHILIPS), (0x20010022, _PHILIPS)
_PHILIPS_MR = "Philips MR Imaging DD 001"
_PHILIPS_INTERCEPT, _PHILIPS_SLOPE = (0x2005000D, _PHILIPS_MR), (0x2005000E, _PHILIPS_MR)
_PHILIPS_FRAME: Private = (0x2005000F, "Philips MR Imaging DD 005")
_WATER_FAT = 3.4e-6
"""Chemical shift between water and fat as Philips' scanners count it (3.4 ppm; dcm2niix, Philips)."""


class Image(NamedTuple):
    """What vendors' values are related to.

    Attributes
    ----------
    lines
        Pixels of a slice along the phase encoding; 0 when its axis is not told.
    acquired
        Lines of the acquisition matrix along it.
    public
        Values of public elements (`Acquisition.frame`).
    """

    lines: int
    acquired: int
    public: Mapping[str, Any]


def vendor_acquisition(
    dataset: Attributes, group: Attributes | None, instance: Instance, image: Image
) -> dict[str, Any]:
    """Return what the private elements of an MR image say.

    Parameters
    ----------
    dataset
        The whole record.
    group
        Functional group of the frame; None for a classic object.
    instance
        Whose file holds the binary elements, which are read from it.
    """
    manufacturer = dataset.text("Manufacturer").upper()
    if "SIEMENS" in manufacturer:
        return _siemens(dataset, group, instance, image)
    if manufacturer.startswith("GE"):
        return _ge(dataset, instance, image)
    if manufacturer.startswith("PHILIPS"):
        return _philips(dataset, image)
    return {}


def philips_scale(dataset: Attributes, group: Attributes | None) -> tuple[float | None, float | None]:
    """Scale slope and scale intercept of a Philips image, (2005,xx0E) and (2005,xx0D).

    The value that Philips calls precise is ``stored / slope`` where the intercept is 0; what rescaling by the public
    elements gives is fit for display (dcm2niix, Philips, "Image Scaling").
    """
    item = group.item(_PHILIPS_FRAME) if group is not None else dataset
    return (None, None) if item is None else (item.number(_PHILIPS_SLOPE), item.number(_PHILIPS_INTERCEPT))


def _siemens(dataset: Attributes, group: Attributes | None, instance: Instance, image: Image) -> dict[str, Any]:
    frame = (group.item(_XA_FRAME) if group is not None else None) or dataset
    found = _siemens_frame(
        frame.number(_XA_DIRECTION), frame.number(_XA_BANDWIDTH), frame.number(_XA_DWELL), frame.text(_XA_COIL), image
    )
    if group is not None:
        return found | _siemens_series(dataset)
    entries, series = _csa_headers(instance)
    found |= _siemens_frame(
        _csa_number(entries, "PhaseEncodingDirectionPositive"),
        dataset.number((0x00190028, _SIEMENS)) or _csa_number(entries, "BandwidthPerPixelPhaseEncode"),
        dataset.number((0x00190018, _SIEMENS)) or _csa_number(entries, "RealDwellTime"),
        dataset.text((0x0051000F, _SIEMENS)),
        image,
    )
    parallel = _PARALLEL.match(dataset.text((0x00510011, _SIEMENS)))
    if parallel is not None:
        found["ParallelReductionFactorInPlane"] = int(parallel[1])
    if "ReceiveCoilActiveElements" not in found and (coil := next(iter(series.get("CoilString", ())), "")):
        found["ReceiveCoilActiveElements"] = coil
    return found | _siemens_protocol(series)


def _siemens_series(dataset: Attributes) -> dict[str, Any]:
    """Codes of the sequence, which XA keeps in the shared group under the meaning of their public elements."""
    shared = dataset.item("SharedFunctionalGroupsSequence")
    item = shared.item(_XA_SERIES) if shared is not None else None
    codes = {name: item.value(element) for name, element in _XA_CODES.items()} if item is not None else {}
    return {name: value for name, value in codes.items() if value not in (None, [], "")}


def _csa_headers(instance: Instance) -> tuple[LazyEntries, LazyEntries]:
    """CSA headers of the image and of the series; one without a private creator counts if it begins with its mark."""
    names = [(tag, creator) for tag in (0x00290010, 0x00290020) for creator in _SIEMENS_CREATORS]
    binary = private_values(instance, names)
    found = {tag: data for (tag, creator), data in binary.items() if creator or data.startswith(_CSA_MARK)}
    return LazyEntries(found.get(0x00290010, b"")), LazyEntries(found.get(0x00290020, b""))


def _siemens_frame(
    direction: float | None, bandwidth: float | None, dwell: float | None, coil: str, image: Image
) -> dict[str, Any]:
    """Values of an image: polarity 0 or 1, bandwidth per pixel along the phase encoding in Hz, dwell time in ns."""
    found: dict[str, Any] = {}
    if direction in (0, 1):
        found[POSITIVE] = direction == 1
    if bandwidth is not None and bandwidth > 0:
        found["BandwidthPerPixelPhaseEncode"] = bandwidth
        if image.lines > 1:  # lines that are not acquired, or added by interpolation, count like others
            spacing = 1 / (bandwidth * image.lines)
            found |= {"EffectiveEchoSpacing": spacing, "TotalReadoutTime": spacing * (image.lines - 1)}
    if dwell is not None and dwell > 0:
        found["DwellTime"] = dwell * 1e-9
    if coil:
        found["ReceiveCoilActiveElements"] = coil
    return found


def _siemens_protocol(entries: LazyEntries) -> dict[str, Any]:
    """What the protocol in the series header says."""
    text = next((entries[name][0] for name in ("MrPhoenixProtocol", "MrProtocol") if entries.get(name)), "")
    found: dict[str, Any] = {}
    for name, parameter in (
        ("ParallelReductionFactorInPlane", "sPat.lAccelFactPE"),
        ("ParallelReductionFactorOutOfPlane", "sPat.lAccelFact3D"),
        ("MultibandAccelerationFactor", "sSliceAcceleration.lMultiBandFactor"),
    ):
        factor = _protocol_number(text, parameter)
        if factor is not None and factor >= 1 and (factor > 1 or name != "MultibandAccelerationFactor"):
            found[name] = factor
    partial = _PARTIAL_FOURIER.get(int(_protocol_number(text, "sKSpace.ucPhasePartialFourier") or 0))
    if partial is not None:
        found["PartialFourier"] = partial
    coil = re.search(r'sCoilElementID\.tCoilID[ \t]*=[ \t]*"{1,2}([^"\r\n]{1,64})"', text)
    if coil is not None:
        found["ReceiveCoilName"] = coil[1]
    return found


def _protocol_number(text: str, parameter: str) -> float | None:
    match = re.search(rf"^{re.escape(parameter)}[ \t]*=[ \t]*(0x[0-9A-Fa-f]{{1,8}}|[0-9]{{1,8}})\b", text, re.MULTILINE)
    return None if match is None else int(match[1], 0) if match[1].startswith("0x") else int(match[1])


def _csa_number(entries: LazyEntries, name: str) -> float | None:
    try:
        return float(entries[name][0])
    except (KeyError, IndexError, ValueError):
        return None


def _ge(dataset: Attributes, instance: Instance, image: Image) -> dict[str, Any]:
    found: dict[str, Any] = {}
    acceleration = [1 / part if part else 1.0 for part in dataset.each(_GE_ASSET)]
    for name, factor in zip(("ParallelReductionFactorInPlane", "ParallelReductionFactorOutOfPlane"), acceleration):  # noqa: B905
        found[name] = float(f"{factor:.6g}")  # its reciprocal is stored with six digits
    options = dataset.value("ScanOptions")
    options = options if isinstance(options, list) else [options]
    spacing = dataset.number(_GE_SPACING)
    if spacing is not None and spacing > 0 and image.acquired > 1 and image.lines > 1 and "EPI_GEMS" in options:
        step = 4 if "PFF" in options else 2
        in_plane = found.get("ParallelReductionFactorInPlane", 1.0)
        lines = math.ceil(image.acquired / in_plane / step) * step
        readout = (lines - 1) * spacing * 1e-6
        found |= {"TotalReadoutTime": readout, "EffectiveEchoSpacing": readout / (image.lines - 1)}
    reordering = _GE_REORDERING.get(dataset.text("RectilinearPhaseEncodeReordering"))
    if reordering is not None and "EPI_GEMS" in options:
        found[POSITIVE] = reordering
    bands = dataset.value(_GE_MULTIBAND)
    band = str(bands[0]) if isinstance(bands, list) and bands else ""
    multiband = int(band) if band.isdecimal() else 0
    if multiband > 1:
        found["MultibandAccelerationFactor"] = multiband
    timed = dataset.text(_GE_SEQUENCE).lower() in _GE_SEQUENCES and not dataset.number(_GE_DELAY) and multiband <= 1
    if timed and (order := _ge_protocol(instance).get("SLICEORDER")) in ("0", "1"):
        found[INTERLEAVED] = order == "1"
    return found


def _ge_protocol(instance: Instance) -> dict[str, str]:
    """Lines of GE's protocol: a length of four bytes, then a gzip stream of ``NAME "value"``."""
    block = private_values(instance, (_GE_PROTOCOL,)).get(_GE_PROTOCOL, b"")
    try:
        text = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(block[4:], 2**20).decode("latin-1")
    except zlib.error:
        return {}
    return dict(_GE_LINE.findall(text))


def _philips(dataset: Attributes, image: Image) -> dict[str, Any]:
    found: dict[str, Any] = {}
    shift, factor = dataset.number(_PHILIPS_SHIFT), dataset.number(_PHILIPS_EPI)
    frequency = image.public.get("ImagingFrequency")
    if shift is not None and shift > 0:
        found["WaterFatShift"] = shift
        if factor is not None and factor > 1 and isinstance(frequency, int | float) and frequency > 0:
            # MHz x ppm is Hz; one more echo than the factor is counted, as dcm2niix does.
            spacing = shift / (frequency * 1e6 * _WATER_FAT * (factor + 1))
            readout = spacing * factor
            found["EstimatedTotalReadoutTime"] = readout
            if image.lines > 1:
                found["EstimatedEffectiveEchoSpacing"] = readout / (image.lines - 1)
    return found
