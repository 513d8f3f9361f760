"""The fields of an MR image in a BIDS sidecar that are made of several values: phase encoding, readout, timing, states.

What the vendors store is read by `instance/vendor_acquisition.py`; here it is related to the axes of the NIfTI image,
whose rows are in DICOM's order: *j* runs from the first row to the last. dcm2niix turns rows over, so that its sign of
*j* is the opposite for the same image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crawler.instance.vendor_acquisition import POSITIVE
from crawler.sinks.base import LayoutSubject
from crawler.sinks.provenance import is_number
from crawler.sinks.timing import slice_times

AXES = {"COL": "j", "ROW": "i"}
"""*In-plane Phase Encoding Direction* -> axis of the image, as NIfTI holds it."""

TAKEN = (
    "EffectiveEchoSpacing",
    "TotalReadoutTime",
    "EstimatedEffectiveEchoSpacing",
    "EstimatedTotalReadoutTime",
    "BandwidthPerPixelPhaseEncode",
    "DwellTime",
    "WaterFatShift",
    "ReceiveCoilActiveElements",
    "ReceiveCoilName",
    "MultibandAccelerationFactor",
    "ParallelReductionFactorInPlane",
    "ParallelReductionFactorOutOfPlane",
    "PartialFourier",
    "SequenceVariant",
    "ScanOptions",
)
"""Values of vendors that become fields of the same name."""

_SPOILING = {"RF": "RF", "GRADIENT": "GRADIENT", "RF_AND_GRADIENT": "COMBINED"}
"""(0018,9016) *Spoiling* -> *SpoilingType*; NONE is *SpoilingState* false."""


def mr_fields(subject: LayoutSubject) -> dict[str, Any]:
    """Fields of an MR image.

    Returns
    -------
    dict
        Times in s. *PhaseEncodingDirection* only where a sign is stored, else *PhaseEncodingAxis*, which dcm2niix
        writes, too.
    """
    told = subject.attributes
    vendor = subject.vendor()
    found: dict[str, Any] = _states(told)
    public = {name for name in TAKEN if told.get(name) not in (None, "")}
    for name in TAKEN:
        value = vendor.get(name)
        if value not in (None, "") and name not in public:
            found[name] = float(f"{value:.9g}") if isinstance(value, float) else value
    found |= _matrix(subject)
    axis = AXES.get(str(told.get("InPlanePhaseEncodingDirection")))
    if axis is not None and subject.layout.affine is not None:
        positive = vendor.get(POSITIVE)
        name = "PhaseEncodingAxis" if positive is None else "PhaseEncodingDirection"
        found[name] = axis if positive in (None, True) else f"{axis}-"
    times = slice_times(subject, vendor)
    if times is not None:
        found["SliceTiming"] = times
    return found


def _matrix(subject: LayoutSubject) -> dict[str, Any]:
    """Lines along the phase encoding, as acquired and in the image."""
    told, layout = subject.attributes, subject.layout
    direction, row = told.get("InPlanePhaseEncodingDirection"), layout.axes.index("row")
    if direction not in AXES:
        return {}
    found: dict[str, Any] = {"ReconMatrixPE": layout.shape[row + (direction == "ROW")]}
    # (0018,1310): frequency rows, frequency columns, phase rows, phase columns, two of them 0.
    matrix = told.get("AcquisitionMatrix")
    if isinstance(matrix, list) and len(matrix) == 4 and all(map(is_number, matrix)) and max(matrix[2:]) > 0:
        found["AcquisitionMatrixPE"] = max(matrix[2:])
    return found


def _states(told: Mapping[str, Any]) -> dict[str, Any]:
    """States of a sequence, which enhanced objects tell (PS3.3 C.8.13.5.4, C.8.13.5.14), and Siemens' corrections."""
    found: dict[str, Any] = {}
    transfer, spoiling = told.get("MagnetizationTransfer"), told.get("Spoiling")
    if transfer in ("NONE", "ON_RESONANCE", "OFF_RESONANCE"):
        found["MTState"] = transfer != "NONE"
    if spoiling == "NONE" or spoiling in _SPOILING:
        found["SpoilingState"] = spoiling != "NONE"
        if spoiling in _SPOILING:
            found["SpoilingType"] = _SPOILING[spoiling]
    variant = told.get("SequenceVariant")
    if "SpoilingState" not in found and "SP" in (variant if isinstance(variant, list) else [variant]):
        found["SpoilingState"] = True
    kind = told.get("ImageType")
    if isinstance(kind, list) and str(told.get("Manufacturer", "")).upper().startswith("SIEMENS"):
        if any(code.startswith(("DIS2D", "DIS3D")) for code in kind if isinstance(code, str)):
            found["NonlinearGradientCorrection"] = True
        elif "ND" in kind:
            found["NonlinearGradientCorrection"] = False
    return found
