"""Waveforms (PS3.3 C.10.9): the samples of each multiplex group, and what turns them into physical units.

Writes nothing and draws nothing. *Channel Time Skew* and *Channel Offset*, delays of single channels against their
group, are not applied: a sample stays in the row in which it was stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crawler.dicom.attributes import Attributes
from crawler.dicom.bulk import DataSet, open_bulk
from crawler.dicom.elements import Element
from crawler.dicom.record import make_record
from crawler.errors import PixelError
from crawler.model import Instance

_WAVEFORM_SEQUENCE = 0x54000100
_WAVEFORM_DATA = 0x54001010
_PADDING = 0x5400100A

_PREFIX = "1.2.840.10008.5.1.4.1.1.9."
_ECG = _PREFIX + "1."
_AUDIO = _PREFIX + "4."
_STATES = _PREFIX + "100."  # presentation states of waveforms, which hold none

# (5400,1006) *Waveform Sample Interpretation* -> NumPy type, by (5400,1004) *Waveform Bits Allocated*
# (PS3.3 C.10.9.1.5). MB and AB are companded by the mu-law and the A-law of ITU-T G.711.
_TYPES = {
    ("SB", 8): "i1", ("UB", 8): "u1", ("MB", 8): "u1", ("AB", 8): "u1",
    ("SS", 16): "i2", ("US", 16): "u2", ("SL", 32): "i4", ("UL", 32): "u4", ("SV", 64): "i8", ("UV", 64): "u8",
}  # fmt: skip

_SLOWEST, _FASTEST = 1e-6, 1e9  # Hz; one sample in eleven days, and far above any recorder of a body's signals


def is_waveform(sop_class: str) -> bool:
    """Whether objects of a SOP class (PS3.4 B.5) hold waveforms."""
    return sop_class.startswith(_PREFIX) and not sop_class.startswith(_STATES)


def is_ecg(sop_class: str) -> bool:
    """Whether they are electrocardiograms."""
    return sop_class.startswith(_ECG)


def is_audio(sop_class: str) -> bool:
    """Whether they are to be heard."""
    return sop_class.startswith(_AUDIO)


class Channel(NamedTuple):
    """One channel of a group: ``physical = sample * scale + baseline``, in `unit`.

    Attributes
    ----------
    name
        Meaning of its source's code, else its label, else its number.
    unit
        Code of the unit, in UCUM ("uV", "mm[Hg]"); empty for samples without a defined unit.
    scale
        (003A,0210) *Channel Sensitivity* times (003A,0212) *Channel Sensitivity Correction Factor*.
    baseline
        (003A,0213) *Channel Baseline*.
    """

    name: str
    unit: str = ""
    scale: float = 1.0
    baseline: float = 0.0


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """One multiplex group: channels that were sampled together.

    Attributes
    ----------
    number
        From 1, in the order of the file.
    rate
        Samples a second and channel.
    start
        Time of the first sample in s: (0018,1068) *Multiplex Group Time Offset*, else 0.
    values
        Shape (samples, channels), integers as stored; companded ones are expanded to int16.
    padding
        Value of samples that were not recorded; None when there are none.
    """

    number: int
    rate: float
    start: float
    channels: tuple[Channel, ...]
    values: npt.NDArray[Any]
    padding: int | None = None

    def times(self, first: int, last: int) -> npt.NDArray[np.float64]:
        """Times of samples in s, shape (last - first,)."""
        return np.arange(first, last) / self.rate + self.start

    def physical(self, first: int, last: int) -> npt.NDArray[np.float64]:
        """Samples in physical units, shape (last - first, channels); NaN where none was recorded."""
        stored = self.values[first:last]
        scales = np.array([channel.scale for channel in self.channels])
        baselines = np.array([channel.baseline for channel in self.channels])
        values: npt.NDArray[np.float64] = stored * scales + baselines
        if self.padding is not None:
            values[stored == self.padding] = np.nan
        return values


def multiplex_groups(instance: Instance) -> Iterator[Group]:
    """Read the groups of a waveform object, one in memory at a time.

    Raises
    ------
    PixelError
        There is none, its description is incomplete, or its samples are cut short.
    """
    with open_bulk(instance) as data:
        items = data.items(_WAVEFORM_SEQUENCE)
        if not items:
            raise PixelError("missing value", "no item in WaveformSequence")
        for number, item in enumerate(items, 1):
            yield _group(number, data, item)


def _group(number: int, data: DataSet, item: list[Element]) -> Group:
    fields = Attributes(make_record(item), "keyword")
    kind = (fields.text("WaveformSampleInterpretation"), fields.integer("WaveformBitsAllocated") or 0)
    if kind not in _TYPES:
        raise PixelError("unsupported waveform", f"samples of {kind[1]} bits, or their interpretation")
    found = {element.tag: element for element in item}
    if _WAVEFORM_DATA not in found:
        raise PixelError("missing value", "no WaveformData")
    element = found[_WAVEFORM_DATA]
    stored = np.dtype(_TYPES[kind]).newbyteorder("<" if element.coding.little else ">")
    values = np.frombuffer(data.value(element), stored, count=_count(fields, element, stored))
    values = values.reshape(-1, _positive(fields, "NumberOfWaveformChannels"))
    values = values.astype(stored.newbyteorder("="))
    padding = _padding(data, found.get(_PADDING), stored)
    if kind[0] in ("MB", "AB"):
        linear = MU_LAW if kind[0] == "MB" else A_LAW
        values, padding = linear[values], None if padding is None else int(linear[padding])
    rate = fields.number("SamplingFrequency") or 0.0
    if not _SLOWEST <= rate <= _FASTEST:
        raise PixelError("missing value", "no usable SamplingFrequency")
    start = (fields.number("MultiplexGroupTimeOffset") or 0.0) / 1000  # ms
    return Group(number, rate, start, _channels(fields, values.shape[1]), values, padding)


def _count(fields: Attributes, element: Element, stored: np.dtype[Any]) -> int:
    """Values in a group, after a check that the element holds them."""
    count = _positive(fields, "NumberOfWaveformChannels") * _positive(fields, "NumberOfWaveformSamples")
    held = (element.length or 0) // stored.itemsize
    if held < count:
        raise PixelError("truncated value", f"WaveformData holds {held:,} of {count:,} samples")
    return count


def _positive(fields: Attributes, keyword: str) -> int:
    number = fields.integer(keyword) or 0
    if number <= 0:
        raise PixelError("missing value", f"no {keyword}")
    return number


def _padding(data: DataSet, element: Element | None, stored: np.dtype[Any]) -> int | None:
    """(5400,100A) *Waveform Padding Value*, which is stored like a sample (PS3.5 8.3)."""
    value = data.value(element) if element is not None and element.length else b""
    return int(np.frombuffer(value, stored, count=1)[0]) if len(value) >= stored.itemsize else None


def _channels(fields: Attributes, count: int) -> tuple[Channel, ...]:
    """Channels of a group, with names that differ."""
    definitions = [*fields.items("ChannelDefinitionSequence")][:count]
    channels: list[Channel] = []
    names: dict[str, int] = {}
    for number in range(1, count + 1):
        definition = definitions[number - 1] if number <= len(definitions) else Attributes({}, "keyword")
        name = _name(definition) or f"channel {number}"
        names[name] = names.get(name, 0) + 1
        if names[name] > 1:
            name += f" #{names[name]}"
        sensitivity = definition.number("ChannelSensitivity")
        if sensitivity is None:  # its samples are in arbitrary units
            channels.append(Channel(name))
            continue
        correction = definition.number("ChannelSensitivityCorrectionFactor")
        units = definition.item("ChannelSensitivityUnitsSequence")
        channels.append(
            Channel(
                name,
                units.text("CodeValue") if units is not None else "",
                sensitivity * (1.0 if correction is None else correction),
                definition.number("ChannelBaseline") or 0.0,
            )
        )
    return tuple(channels)


def _name(definition: Attributes) -> str:
    source = definition.item("ChannelSourceSequence")
    meaning = source.text("CodeMeaning") if source is not None else ""
    if not meaning:
        return definition.text("ChannelLabel")
    # The side of a gradient, what of a pressure: without them several channels of one source would share a name.
    modifiers = [one.text("CodeMeaning") for one in definition.items("ChannelSourceModifiersSequence")]
    return ", ".join([meaning, *filter(None, modifiers)])


def _mu_law() -> npt.NDArray[np.int16]:
    """Linear value of each of the 256 codes, ITU-T G.711 Table 2, scaled from 14 bits to 16."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _a_law() -> npt.NDArray[np.int16]:
    """Linear value of each of the 256 codes, ITU-T G.711 Table 1, scaled from 13 bits to 16."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code & 0x70) >> 4
    step = ((code & 0x0F) << 4) + 8
    magnitude = np.where(segment == 0, step, (step + 0x100) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


MU_LAW = _mu_law()
A_LAW = _a_law()
