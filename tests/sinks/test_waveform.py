"""Waveforms: samples, units, tables, sound and pictures, against pydicom, ffmpeg, pandas and the wave module."""

from __future__ import annotations

import subprocess
import wave
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pandas
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from support.factories import quick_dataset, save

from crawler.dicom.waveforms import Channel, Group, is_waveform, multiplex_groups
from crawler.errors import PixelError, SinkError
from crawler.instance.header import read_instance
from crawler.model import File, Instance
from crawler.sinks.base import Target
from crawler.sinks.chart import DPI, draw_ecg, draw_lanes
from crawler.sinks.waveform import write_waveform

ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"
HEMODYNAMIC = "1.2.840.10008.5.1.4.1.1.9.2.1"
VOICE = "1.2.840.10008.5.1.4.1.1.9.4.1"
SAMPLES = np.arange(-12, 12, dtype=np.int16).reshape(8, 3) * 1000


def instance_of(path: Path) -> Instance:
    status = path.stat()
    return read_instance(File(str(path.parent), path.name, status.st_size, status.st_mtime_ns))


def code(meaning: str, value: str = "1") -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "UCUM", meaning
    return [item]


def channel(meaning: str = "", unit: str = "", **keywords: Any) -> Dataset:
    item = Dataset()
    if meaning:
        item.ChannelSourceSequence = code(meaning)
    if unit:
        item.ChannelSensitivityUnitsSequence = code("a unit", unit)
    for keyword, value in keywords.items():
        setattr(item, keyword, value)
    return item


def group(values: np.ndarray, kind: str, channels: list[Dataset] | None = None, **keywords: Any) -> Dataset:
    """One item of *Waveform Sequence*; `values` as stored, shape (samples, channels)."""
    item = Dataset()
    item.NumberOfWaveformChannels, item.NumberOfWaveformSamples = values.shape[1], values.shape[0]
    item.SamplingFrequency = 100
    item.ChannelDefinitionSequence = [channel() for _ in range(values.shape[1])] if channels is None else channels
    item.WaveformBitsAllocated = 8 * values.itemsize
    item.WaveformSampleInterpretation = kind
    data = values.tobytes()
    item.add_new(0x54001010, "OB" if values.itemsize == 1 else "OW", data + b"\0" * (len(data) % 2))
    for keyword, value in keywords.items():
        if value is None:
            delattr(item, keyword)
        else:
            setattr(item, keyword, value)
    return item


def waveform(path: Path, *groups: Dataset, sop_class: str = HEMODYNAMIC, **keywords: Any) -> Path:
    dataset = quick_dataset(SOPClassUID=sop_class, WaveformSequence=list(groups), **keywords)
    for keyword in [element.keyword for element in dataset if element.tag.group in (0x28, 0x7FE0)]:
        delattr(dataset, keyword)
    return save(dataset, path)


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "temp").mkdir()
    return Target(str(tmp_path / "out" / "name"), str(tmp_path / "temp"))


def left(target: Target) -> list[str]:
    """Names of all files in place or unfinished."""
    folders = Path(target.path).parent, Path(target.temp)
    return sorted(path.name for folder in folders for path in folder.glob("*") if path.is_file())


# -- samples ---------------------------------------------------------------------------------------------------------


def test_groups_equal_pydicom() -> None:
    path = Path(get_testdata_file("waveform_ecg.dcm"))
    dataset = dcmread(path)
    found = [one.physical(0, len(one.values)) for one in multiplex_groups(instance_of(path))]
    assert [values.shape for values in found] == [(10_000, 12), (1_200, 12)]
    for number, values in enumerate(found):
        np.testing.assert_array_equal(values, dataset.waveform_array(number))


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_every_encoding_gives_the_samples(tmp_path: Path, syntax: str, undefined: bool) -> None:
    large = np.tile(SAMPLES, (500, 1))  # longer than what a header's reader keeps
    order = ">i2" if syntax == ExplicitVRBigEndian else "<i2"
    dataset = quick_dataset(SOPClassUID=HEMODYNAMIC, TransferSyntaxUID=syntax)
    dataset.WaveformSequence = [group(large.astype(order), "SS"), group(SAMPLES.astype(order), "SS")]
    dataset["WaveformSequence"].is_undefined_length = undefined
    for item in dataset.WaveformSequence:
        item.is_undefined_length_sequence_item = undefined
    del dataset.PixelData
    first, second = multiplex_groups(instance_of(save(dataset, tmp_path / "a.dcm")))
    np.testing.assert_array_equal(first.values, large)
    np.testing.assert_array_equal(second.values, SAMPLES)
    assert (first.number, second.number) == (1, 2)
    assert first.values.dtype.isnative


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("SB", "i1"), ("UB", "u1"), ("SS", "i2"), ("US", "u2"), ("SL", "i4"), ("UL", "u4"), ("SV", "i8"), ("UV", "u8")],
)
def test_every_sample_interpretation(tmp_path: Path, kind: str, dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.array([[limits.min], [0], [limits.max]], dtype)
    [one] = multiplex_groups(instance_of(waveform(tmp_path / "a.dcm", group(values, kind))))
    np.testing.assert_array_equal(one.values, values)
    assert one.values.dtype == np.dtype(dtype)


@pytest.mark.parametrize(("kind", "name"), [("MB", "mulaw"), ("AB", "alaw")])
def test_companded_samples_equal_ffmpeg(tmp_path: Path, kind: str, name: str) -> None:
    codes = np.arange(256, dtype=np.uint8)
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", name, "-ar", "8000", "-i", "-", "-f", "s16le", "-"]
    expected = np.frombuffer(
        subprocess.run(ffmpeg, input=codes.tobytes(), capture_output=True, check=True).stdout, "<i2"
    )
    path = waveform(tmp_path / "a.dcm", group(codes[:, None], kind), sop_class=VOICE)
    [one] = multiplex_groups(instance_of(path))
    np.testing.assert_array_equal(one.values[:, 0], expected)


def test_units_baseline_padding_and_time(tmp_path: Path) -> None:
    channels = [
        channel(
            "Pressure", "mm[Hg]", ChannelSensitivity=0.5, ChannelSensitivityCorrectionFactor=1.1, ChannelBaseline=7
        ),
        channel("Pressure", ChannelLabel="not used"),
        channel(ChannelLabel="Ramp"),
    ]
    values = np.array([[100, 1, 2], [-999, -999, 3]], np.int16)
    item = group(values, "SS", channels, MultiplexGroupTimeOffset=250)
    item.add_new(0x5400100A, "OW", np.int16(-999).tobytes())
    [one] = multiplex_groups(instance_of(waveform(tmp_path / "a.dcm", item)))
    assert [(c.name, c.unit) for c in one.channels] == [("Pressure", "mm[Hg]"), ("Pressure #2", ""), ("Ramp", "")]
    np.testing.assert_allclose(one.physical(0, 2), [[100 * 0.5 * 1.1 + 7, 1, 2], [np.nan, np.nan, 3]])
    np.testing.assert_allclose(one.times(0, 2), [0.25, 0.26])


def test_names_follow_the_character_set_of_the_data_set(tmp_path: Path) -> None:
    item = group(SAMPLES, "SS", [channel("Ableitung größer"), channel(), channel()])
    path = waveform(tmp_path / "a.dcm", item, SpecificCharacterSet="ISO_IR 192")
    [one] = multiplex_groups(instance_of(path))
    assert [c.name for c in one.channels] == ["Ableitung größer", "channel 2", "channel 3"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"NumberOfWaveformSamples": 2_000_000_000}, "truncated value"),
        ({"NumberOfWaveformChannels": 0}, "missing value"),
        ({"SamplingFrequency": None}, "missing value"),
        ({"SamplingFrequency": 1e300}, "missing value"),
        ({"WaveformData": None}, "missing value"),
        ({"WaveformSampleInterpretation": "XX"}, "unsupported waveform"),
        ({"WaveformBitsAllocated": 32}, "unsupported waveform"),
    ],
)
def test_faults_are_named_and_leave_nothing(
    tmp_path: Path, target: Target, change: dict[str, Any], reason: str
) -> None:
    path = waveform(tmp_path / "a.dcm", group(SAMPLES, "SS"), group(SAMPLES, "SS", **change))
    with pytest.raises(PixelError) as caught:
        write_waveform(instance_of(path), target)
    assert caught.value.reason == reason
    assert left(target) == []


@pytest.mark.parametrize("cut", [10, 100, 400])
def test_a_file_that_breaks_off_leaves_nothing(tmp_path: Path, target: Target, cut: int) -> None:
    path = waveform(tmp_path / "a.dcm", group(np.tile(SAMPLES, (500, 1)), "SS"))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(PixelError, match="truncated value"):
        write_waveform(instance_of(path), target)
    assert left(target) == []


def test_which_objects_are_waveforms() -> None:
    assert is_waveform(ECG)
    assert not is_waveform("1.2.840.10008.5.1.4.1.1.9.100.1")  # Waveform Presentation State Storage
    assert not is_waveform("1.2.840.10008.5.1.4.1.1.2")


# -- files -----------------------------------------------------------------------------------------------------------


def test_tables_equal_pydicom(target: Target) -> None:
    path = Path(get_testdata_file("waveform_ecg.dcm"))
    dataset = dcmread(path)
    products = write_waveform(instance_of(path), target)
    assert [Path(product.path).name for product in products] == [
        "name.csv",
        "name.png",
        "name-group2.csv",
        "name-group2.png",
    ]
    assert left(target) == sorted(Path(product.path).name for product in products)
    for number, product in enumerate(products[::2]):
        table = pandas.read_csv(product.path)
        leads = dataset.WaveformSequence[number].ChannelDefinitionSequence
        names = [f"{lead.ChannelSourceSequence[0].CodeMeaning} [uV]" for lead in leads]
        assert list(table.columns) == ["time [s]", *names]
        np.testing.assert_allclose(table.iloc[:, 1:], dataset.waveform_array(number), rtol=1e-9)
        np.testing.assert_allclose(table["time [s]"], np.arange(len(table)) / 1000)


def test_a_table_says_where_nothing_was_recorded(tmp_path: Path, target: Target) -> None:
    item = group(np.array([[5], [-1]], np.int16), "SS", [channel('of "A", left')])
    item.add_new(0x5400100A, "OW", b"\xff\xff")
    write_waveform(instance_of(waveform(tmp_path / "a.dcm", item)), target)
    assert Path(target.path + ".csv").read_text() == 'time [s],"of ""A"", left"\n0,5\n0.01,nan\n'


@pytest.mark.parametrize(
    ("kind", "values", "width", "expected"),
    [
        ("UB", np.array([[0, 128], [255, 1]], np.uint8), 1, [[0, 128], [255, 1]]),
        ("SB", np.array([[-128, 0], [127, 1]], np.int8), 1, [[0, 128], [255, 129]]),
        ("SS", np.array([[-32768, 0], [32767, 1]], np.int16), 2, [[-32768, 0], [32767, 1]]),
        ("US", np.array([[0, 32768], [65535, 1]], np.uint16), 2, [[-32768, 0], [32767, -32767]]),
        ("SL", np.array([[-(2**31), 0], [2**31 - 1, 1]], np.int32), 4, [[-(2**31), 0], [2**31 - 1, 1]]),
    ],
)
def test_sound(
    tmp_path: Path, target: Target, kind: str, values: np.ndarray, width: int, expected: list[list[int]]
) -> None:
    item = group(values, kind, SamplingFrequency=8000)
    [product] = write_waveform(instance_of(waveform(tmp_path / "a.dcm", item, sop_class=VOICE)), target)
    assert (product.path, product.kind) == (target.path + ".wav", "waveform")
    with wave.open(product.path) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (2, width, 8000)
        read = np.frombuffer(sound.readframes(9), {1: "u1", 2: "<i2", 4: "<i4"}[width])
    assert read.reshape(2, 2).tolist() == expected


def test_sound_that_wav_cannot_hold(tmp_path: Path, target: Target) -> None:
    path = waveform(tmp_path / "a.dcm", group(np.zeros((2, 1), np.int64), "SV"), sop_class=VOICE)
    with pytest.raises(SinkError, match="no WAV"):
        write_waveform(instance_of(path), target)
    assert left(target) == []


def test_a_target_that_cannot_be_written_leaves_nothing(tmp_path: Path, target: Target) -> None:
    path = waveform(tmp_path / "a.dcm", group(SAMPLES, "SS"))
    Path(target.path + ".png").mkdir(parents=True)  # the second of the two
    with pytest.raises(SinkError, match="a folder lies at the target"):
        write_waveform(instance_of(path), target)
    assert left(target) == []


# -- pictures --------------------------------------------------------------------------------------------------------


def made(values: np.ndarray, unit: str, rate: float = 500.0, padding: int | None = None) -> Group:
    channels = tuple(Channel(f"c{number}", unit) for number in range(values.shape[1]))
    return Group(1, rate, 0.0, channels, values, padding)


def test_paper_of_an_ecg_is_25_mm_a_second_and_10_mm_a_millivolt(tmp_path: Path, target: Target) -> None:
    values = np.zeros((5000, 1), np.int16)
    values[2000:2500] = 1000  # 1 mV from 4 s to 5 s
    microvolt = [channel("Lead I", "uV", ChannelSensitivity=1)]
    item = group(values, "SS", microvolt, SamplingFrequency=500)
    write_waveform(instance_of(waveform(tmp_path / "a.dcm", item, sop_class=ECG)), target)
    with Image.open(target.path + ".png") as picture:
        assert picture.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
        dark = np.asarray(picture.convert("L")) < 150  # the strongest line of the paper has 192
    mm = DPI / 25.4
    from_here, to_here = ((10 + seconds * 25) * mm for seconds in (4, 5))
    inside = dark[:, int(from_here) + 3 : int(to_here) - 3]
    high, low = (np.flatnonzero(part.all(axis=1)).mean() for part in (inside, dark[:, int(to_here) + 6 : -60]))
    assert low - high == pytest.approx(10 * mm, abs=1)
    edges = np.flatnonzero(dark[int(high) + 12 : int(low) - 12].all(axis=0))
    assert edges[edges > 60 * mm].min() == pytest.approx(from_here, abs=2)
    assert edges.max() == pytest.approx(to_here, abs=2)


def test_what_is_no_voltage_is_not_drawn_on_that_paper() -> None:
    assert draw_ecg(made(SAMPLES, "mm[Hg]")) is None


@pytest.mark.parametrize("draw", [draw_ecg, draw_lanes])
@pytest.mark.parametrize(
    "values",
    [
        np.zeros((1, 1), np.int16),
        np.full((40, 2), 7, np.int16),
        np.full((40, 2), -1, np.int16),  # nothing recorded
        np.array([[-1], [3], [-1], [4], [5]], np.int16),  # single samples between gaps
        np.zeros((3, 300), np.int8),
        np.arange(100_000, dtype=np.int32)[:, None],
    ],
)
def test_any_signal_can_be_drawn(draw: Any, values: np.ndarray) -> None:
    picture = draw(made(values, "mV", padding=-1))
    assert min(picture.size) > 100
    assert max(picture.size) < 16_000
    left_of_traces = 60 if draw is draw_ecg else 190
    inked, blank = (
        np.count_nonzero(np.asarray(shown.convert("L"))[:, left_of_traces:] < 150)
        for shown in (picture, draw(made(np.full_like(values, -1), "mV", padding=-1)))
    )
    assert inked > blank or (values == -1).all()


def test_lanes_show_every_extreme() -> None:
    values = np.zeros((1_000_000, 1), np.int16)
    values[654_321] = 100  # one sample among 700 of its column of pixels
    dark = np.asarray(draw_lanes(made(values, "uV")).convert("L"))[42:149, 190:1590] < 150
    assert dark.any(axis=0).all()
    peak = np.flatnonzero(dark[10:60].any(axis=0))
    assert peak.mean() == pytest.approx(0.654321 * 1400, abs=2)
