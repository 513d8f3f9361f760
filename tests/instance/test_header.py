from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from support.factories import ct_series, multiframe, quick_dataset, save

from crawler.archives.streams import BLOCK
from crawler.dicom.elements import EXPLICIT_LITTLE
from crawler.dicom.walk import is_header_end, walk
from crawler.errors import FileError, HeaderError, NotDicom
from crawler.instance import header
from crawler.instance.header import read_instance
from crawler.model import TRAITS, File, Instance, Pixels, Plane

CT_SMALL = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()


def file_of(path: Path) -> File:
    info = path.stat()
    return File(str(path.parent), path.name, info.st_size, info.st_mtime_ns)


def read(path: Path, keys: Any = "keyword") -> Instance:
    return read_instance(file_of(path), keys)


def read_bundled(name: str) -> Instance:
    return read(Path(str(get_testdata_file(name))))


def read_bytes(folder: Path, data: bytes) -> Instance:
    path = folder / "x"
    path.write_bytes(data)
    return read(path)


def pixels_of(instance: Instance) -> Pixels:
    assert instance.pixels is not None
    return instance.pixels


def trait(plane: Plane, keyword: str) -> Any:
    return plane.traits[TRAITS.index(keyword)]


# The fields of one known file


@pytest.mark.parametrize("keys", ["keyword", "name", "tag"])
def test_fields_of_a_ct_do_not_depend_on_the_style_of_keys(keys: str) -> None:
    path = Path(str(get_testdata_file("CT_small.dcm")))
    instance = read(path, keys)
    dataset = dcmread(path)
    assert instance.transfer_syntax == "1.2.840.10008.1.2.1"
    assert instance.sop_class == "1.2.840.10008.5.1.4.1.1.2"
    assert instance.sop_uid == dataset.SOPInstanceUID
    assert instance.study_uid == dataset.StudyInstanceUID
    assert instance.series_uid == dataset.SeriesInstanceUID
    assert instance.frame_of_reference == dataset.FrameOfReferenceUID
    assert (instance.modality, instance.series_number, instance.instance_number) == ("CT", 1, 1)
    assert not instance.inverse
    assert not instance.is_index
    pixels = pixels_of(instance)
    assert pixels == Pixels(
        rows=128, columns=128, photometric="MONOCHROME2", bits_allocated=16, bits_stored=16, high_bit=15,
        signed=True, keyword="PixelData", vr="OW", offset=len(CT_SMALL) - 32768 - 138, length=32768,
    )  # fmt: skip
    assert CT_SMALL[pixels.offset : pixels.offset + 32768] == dataset.PixelData
    assert instance.planes == (
        Plane(
            position=(-158.135803, -179.035797, -75.699997),
            orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
            spacing=(0.661468, 0.661468),
            thickness=5.0,
            slope=1.0,
            intercept=-1024.0,
            traits=tuple(
                {
                    "ImageType": ("ORIGINAL", "PRIMARY", "AXIAL"),
                    "KVP": 120,
                    "ConvolutionKernel": "STANDARD",
                    "AcquisitionNumber": 2,
                    "AcquisitionTime": 41376.0,
                }.get(name)
                for name in TRAITS
            ),
        ),
    )
    first, *_, last = instance.record
    names = {
        "keyword": ("FileMetaInformationGroupLength", "PixelData"),
        "name": ("File Meta Information Group Length", "Pixel Data"),
        "tag": ("(0002,0000)", "(7FE0,0010)"),
    }
    assert (first, last) == names[keys]
    assert instance.record[last] == {"vr": "OW", "length": 32768}


def test_instance_travels_to_another_process() -> None:
    instance = read_bundled("CT_small.dcm")
    assert pickle.loads(pickle.dumps(instance)) == instance


@pytest.mark.parametrize(
    ("name", "syntax", "big_endian"),
    [
        ("MR_small_implicit.dcm", ImplicitVRLittleEndian, False),
        ("MR_small_bigendian.dcm", ExplicitVRBigEndian, True),
        ("image_dfl.dcm", DeflatedExplicitVRLittleEndian, False),
        ("JPEG2000.dcm", "1.2.840.10008.1.2.4.91", False),
        ("meta_missing_tsyntax.dcm", ImplicitVRLittleEndian, False),
        ("ExplVR_BigEndNoMeta.dcm", ExplicitVRBigEndian, False),
        ("ExplVR_LitEndNoMeta.dcm", "1.2.840.10008.1.2.1", False),
        ("rtstruct.dcm", ImplicitVRLittleEndian, False),
    ],
)
def test_transfer_syntaxes(name: str, syntax: str, big_endian: bool) -> None:
    instance = read_bundled(name)
    assert instance.transfer_syntax == syntax
    assert len(instance.record) > 3
    assert (instance.pixels is not None and instance.pixels.big_endian) == big_endian


def test_encapsulated_pixels_have_no_length_and_their_fragments_begin_at_the_offset() -> None:
    path = Path(str(get_testdata_file("JPEG2000.dcm")))
    pixels = pixels_of(read(path))
    assert (pixels.length, pixels.vr) == (None, "OB")
    assert path.read_bytes()[pixels.offset :].startswith(b"\xfe\xff\x00\xe0")


def test_declared_explicit_but_written_implicit(tmp_path: Path) -> None:
    path = save(quick_dataset(TransferSyntaxUID=ImplicitVRLittleEndian), tmp_path / "a.dcm")
    data = path.read_bytes().replace(b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2.1")
    start = data.index(b"UI\x12\x001.2.840.10008.1.2.1") + 2
    instance = read_bytes(tmp_path, data[:start] + b"\x14\0" + data[start + 2 :].replace(b".1.2.1", b".1.2.1\0", 1))
    assert instance.transfer_syntax == "1.2.840.10008.1.2.1"
    assert (pixels_of(instance).rows, pixels_of(instance).length) == (4, 24)


@pytest.mark.parametrize("keep", [132, 0])
def test_without_preamble_or_without_meta(tmp_path: Path, keep: int) -> None:
    data = CT_SMALL[128:] if keep else CT_SMALL[132:]
    assert read_bytes(tmp_path, data).sop_uid == read_bundled("CT_small.dcm").sop_uid


def test_float_pixels(tmp_path: Path) -> None:
    pixels = pixels_of(read(multiframe(tmp_path / "a.dcm", 2, 3, 4, np.float32)))
    assert (pixels.keyword, pixels.vr, pixels.frames, pixels.length) == ("FloatPixelData", "OF", 2, 96)


def test_directory_is_an_index() -> None:
    path = next(Path(str(get_testdata_file("DICOMDIR"))).parent.rglob("DICOMDIR"))
    instance = read(path)
    assert instance.is_index
    assert instance.pixels is None
    assert len(instance.record["DirectoryRecordSequence"]) > 3


@pytest.mark.parametrize(
    ("keywords", "field", "expected"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, "inverse", True),
        ({"PresentationLUTShape": "INVERSE"}, "inverse", True),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, "inverse", True),
        ({"PresentationLUTShape": "IDENTITY"}, "inverse", False),
        ({"WindowCenter": 40, "WindowWidth": 400}, "windows", ((40.0, 400.0),)),
        ({"WindowCenter": [40, 50, 9], "WindowWidth": [400, 0]}, "windows", ((40.0, 400.0),)),
        ({"WindowCenter": "abc", "WindowWidth": 3}, "windows", ()),
        ({"VOILUTFunction": "SIGMOID"}, "window_function", "SIGMOID"),
        ({}, "window_function", "LINEAR"),
        ({"RecommendedDisplayFrameRate": 7, "CineRate": 8}, "frame_rate", 7.0),
        ({"RecommendedDisplayFrameRate": 0, "CineRate": 8}, "frame_rate", 8.0),
        ({"FrameTime": 40}, "frame_rate", 25.0),
        ({"FrameTimeVector": [0, 20, 30]}, "frame_rate", 40.0),
        ({"FrameTimeVector": 0}, "frame_rate", None),
        ({"SeriesNumber": None}, "series_number", None),
        ({"InstanceNumber": "x7"}, "instance_number", None),
        ({"StudyInstanceUID": ["1.2", "1.3"]}, "study_uid", ""),
    ],
)
def test_field(tmp_path: Path, keywords: dict[str, Any], field: str, expected: Any) -> None:
    instance = read(save(quick_dataset(**keywords), tmp_path / "a.dcm"))
    assert getattr(instance, field) == expected


@pytest.mark.parametrize(
    ("keywords", "field", "expected"),
    [
        ({"NumberOfFrames": 0}, "frames", 1),
        ({"NumberOfFrames": -2}, "frames", 1),
        ({"NumberOfFrames": "x"}, "frames", 1),
        ({"NumberOfFrames": 3}, "frames", 3),
        ({"Rows": [4, 5]}, "rows", 0),
        ({"Rows": None}, "rows", 0),
        ({"SamplesPerPixel": None}, "samples", 1),
        ({"RedPaletteColorLookupTableData": b"\0\0"}, "has_luts", True),
        ({"VOILUTSequence": Sequence([Dataset()])}, "has_luts", True),
        ({"ModalityLUTSequence": Sequence([])}, "has_luts", False),
        ({}, "has_luts", False),
    ],
)
def test_pixels_field(tmp_path: Path, keywords: dict[str, Any], field: str, expected: Any) -> None:
    assert getattr(pixels_of(read(save(quick_dataset(**keywords), tmp_path / "a.dcm"))), field) == expected


@pytest.mark.parametrize(
    ("keywords", "field", "expected"),
    [
        ({"ImagePositionPatient": [1, 2]}, "position", None),
        ({"ImagePositionPatient": [1, 2, 3]}, "position", (1.0, 2.0, 3.0)),
        ({"ImageOrientationPatient": [1, 0, 0]}, "orientation", None),
        ({"PixelSpacing": [0, 1]}, "spacing", None),
        ({"SliceThickness": "thin"}, "thickness", None),
        ({"RescaleSlope": "two"}, "slope", 1.0),
        ({"RescaleIntercept": -5}, "intercept", -5.0),
    ],
)
def test_plane_field(tmp_path: Path, keywords: dict[str, Any], field: str, expected: Any) -> None:
    (plane,) = read(save(quick_dataset(**keywords), tmp_path / "a.dcm")).planes
    assert getattr(plane, field) == expected


@pytest.mark.parametrize(
    ("sop_class", "keywords", "is_image"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", {}, True),  # CT
        ("1.2.840.10008.5.1.4.1.1.66.4", {}, True),  # segmentation
        ("1.2.840.10008.5.1.4.1.1.66", {}, False),  # raw data
        ("1.2.840.10008.5.1.4.1.1.88.11", {}, False),  # structured report
        ("1.2.840.10008.5.1.4.1.1.4.2", {}, False),  # spectroscopy counts spectra in Rows
        ("1.2.840.10008.5.1.4.1.1.481.2", {}, True),  # dose
        ("1.2.840.10008.5.1.4.1.1.481.2", {"Rows": None, "BitsAllocated": None}, False),  # histograms only
        ("1.2.840.10008.5.1.4.1.1.481.3", {}, False),  # structure set
    ],
)
def test_header_without_pixels_describes_an_image_or_not(
    tmp_path: Path, sop_class: str, keywords: dict[str, Any], is_image: bool
) -> None:
    dataset = quick_dataset(PixelData=None, SOPClassUID=sop_class, **keywords)
    pixels = read(save(dataset, tmp_path / "a.dcm")).pixels
    assert (pixels is not None) == is_image
    assert pixels is None or (pixels.keyword, pixels.length) == ("", None)


# Frames of enhanced objects


def item(**keywords: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in keywords.items():
        setattr(dataset, keyword, value)
    return dataset


def per_frame(z: float) -> Dataset:
    return item(
        PlanePositionSequence=[item(ImagePositionPatient=[0, 0, z])],
        FrameContentSequence=[item(TemporalPositionIndex=int(z) + 1)],
        MREchoSequence=[item(EffectiveEchoTime=10.0 + z)],
        PixelValueTransformationSequence=[item(RescaleSlope=1 + z, RescaleIntercept=-z)],
        MRDiffusionSequence=[item(DiffusionBValue=100.0 * z)],
        CardiacSynchronizationSequence=[item(NominalCardiacTriggerDelayTime=5.0)],
        MRImageFrameTypeSequence=[item(FrameType=["ORIGINAL", "PRIMARY"])],
    )


def enhanced(path: Path, frames: int, items: int) -> Path:
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[item(PixelSpacing=[2, 3], SliceThickness=4)],
        MRTimingAndRelatedParametersSequence=[item(FlipAngle=30)],
        FrameVOILUTSequence=[item(WindowCenter=40, WindowWidth=80)],
    )
    dataset = quick_dataset(
        np.zeros((frames, 4, 4), np.uint16),
        SOPClassUID="1.2.840.10008.5.1.4.1.1.4.1",
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[per_frame(float(k)) for k in range(items)],
    )
    return save(dataset, path)


@pytest.mark.parametrize("keys", ["keyword", "tag"])
@pytest.mark.parametrize("slope", [0, 2])
def test_a_slope_of_zero_is_noted(tmp_path: Path, keys: Any, slope: int) -> None:
    macro = [item(RescaleSlope=slope, RescaleIntercept=5)]
    found = [
        read(save(quick_dataset(RescaleSlope=slope, RescaleIntercept=5), tmp_path / "a.dcm"), keys=keys),
        read(
            save(
                quick_dataset(
                    SharedFunctionalGroupsSequence=[item(PixelValueTransformationSequence=macro)],
                    PerFrameFunctionalGroupsSequence=[item()],
                ),
                tmp_path / "b.dcm",
            ),
            keys=keys,
        ),
    ]
    for instance in found:
        noted = any("Rescale Slope of 0 is no transformation" in note for note in instance.header_notes)
        assert noted is (slope == 0)
        assert (instance.plane(0).slope, instance.plane(0).intercept) == ((2, 5) if slope else (1, 0))


def test_each_frame_has_its_plane(tmp_path: Path) -> None:
    instance = read(enhanced(tmp_path / "a.dcm", 3, 3), keys="name")
    assert instance.windows == ((40.0, 80.0),)
    assert len(instance.planes) == 3
    plane = instance.plane(2)
    assert (plane.position, plane.orientation) == ((0, 0, 2), (1, 0, 0, 0, 1, 0))
    assert (plane.spacing, plane.thickness, plane.slope, plane.intercept) == ((2, 3), 4, 3, -2)
    assert {name: value for name, value in zip(TRAITS, plane.traits, strict=True) if value is not None} == {
        "EchoTime": 12.0,
        "ImageType": ("ORIGINAL", "PRIMARY"),
        "TemporalPositionIdentifier": 3,
        "DiffusionBValue": 200.0,
        "FlipAngle": 30.0,
        "TriggerTime": 5.0,
    }


def test_too_few_items_give_no_frame_a_position(tmp_path: Path) -> None:
    (plane,) = read(enhanced(tmp_path / "a.dcm", 3, 2)).planes
    assert plane.position is None
    assert plane.spacing == (2, 3)


def test_classic_multi_frame_shares_one_plane(tmp_path: Path) -> None:
    instance = read(multiframe(tmp_path / "a.dcm", 5, 4, 4, ImagePositionPatient=[1, 2, 3]))
    assert len(instance.planes) == 1
    assert instance.plane(4).position == (1, 2, 3)


# What is not DICOM


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(stream, kind)
    return stream.getvalue()


def archive(kind: str) -> bytes:
    stream = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(stream, "w") as packed:
            packed.writestr("a.dcm", CT_SMALL)
    else:
        with tarfile.open(fileobj=stream, mode="w:gz") as packed_tar:
            info = tarfile.TarInfo("a.dcm")
            info.size = len(CT_SMALL)
            packed_tar.addfile(info, io.BytesIO(CT_SMALL))
    return stream.getvalue()


def foreign() -> dict[str, bytes]:
    """A hundred kinds of files that lie beside DICOM."""
    rng = random.Random(0)
    found = {
        "one byte": b"\0",
        "zeros": bytes(1000),
        "ones": b"\xff" * 1000,
        "text": b"File Meta Information Group Length: 218\n" * 30,
        "utf-16 text": "Report".encode("utf-16") * 50,
        "csv": b"PatientID,StudyDate\n1,2\n" * 20,
        "json": json.dumps({"00080016": {"vr": "UI"}}).encode() * 20,
        "xml": b"<?xml version='1.0'?><NativeDicomModel/>" * 10,
        "html": b"<!doctype html><html></html>" * 10,
        "zip": archive("zip"),
        "tar.gz": archive("tar"),
        "nifti": struct.pack("<i", 348) + bytes(344) + b"n+1\0",
        "nrrd": b"NRRD0004\ntype: short\n",
        "analyze, big endian": struct.pack(">i", 348) + bytes(344),
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(500),
        "numpy": b"\x93NUMPY\x01\x00" + bytes(500),
        "pdf": b"%PDF-1.7\n" + bytes(500),
        "sqlite": b"SQLite format 3\0" + bytes(500),
        "elf": Path(os.path.realpath(sys.executable)).read_bytes()[:100_000],
        "exe": b"MZ\x90\0" + bytes(500),
        "thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        ".DS_Store": b"\0\0\0\x01Bud1" + bytes(600),
        "pickle": pickle.dumps(list(range(1000))),
        "mp4": b"\0\0\0\x18ftypmp42" + bytes(600),
        "jpeg in pieces": picture("JPEG")[20:],
        "ends in the prefix": bytes(128) + b"DIC",
        "prefix elsewhere": bytes(200) + b"DICM" + bytes(100),
        "lower-case prefix": bytes(128) + b"dicm" + bytes(100),
        "prefix alone": b"DICM",
        "group 8, nothing known": struct.pack("<HHL", 8, 3, 4) + bytes(400),
        "group 8, too long": struct.pack("<HHL", 8, 0x16, 0x10000) + bytes(0x20000),
        "group 8, odd length": struct.pack("<HHL", 8, 0x16, 5) + b"1.2.3" + bytes(100),
        "group 8, no UID": struct.pack("<HHL", 8, 0x16, 6) + b"abcdef",
        "group 8, falling": struct.pack("<HHL2sHHL2s", 8, 0x60, 2, b"CT", 8, 0x20, 2, b"20"),
        "group 8, wrong VR": struct.pack("<HH2sH", 8, 0x16, b"US", 6) + b"1.2.30",
        "data set off by one": CT_SMALL[335:],
    }
    found |= {kind: picture(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP", "ICO", "TGA")}
    found |= {f"random {n}": rng.randbytes(2000) for n in range(35)}
    found |= {f"random in group 8, {n}": b"\x08\0" + rng.randbytes(2000) for n in range(20)}
    return found


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in foreign().items()])
def test_foreign_file_is_not_dicom(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(NotDicom, match="not DICOM"):
        read_bytes(tmp_path, data)


def test_there_are_a_hundred_kinds() -> None:
    assert len(foreign()) >= 100


def test_empty_file(tmp_path: Path) -> None:
    with pytest.raises(NotDicom, match="empty file"):
        read_bytes(tmp_path, b"")


def test_name_is_not_asked(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_bytes(CT_SMALL)
    assert read(path).modality == "CT"


# Damage


@pytest.mark.parametrize(
    ("rest", "reason", "detail"),
    [
        (b"", "damaged header", "offset 132"),
        (bytes(500), "damaged header", "offset 132"),
        (b"\x01\x02\x03", "truncated header", "offset 132"),
        (random.Random(5).randbytes(500), "header", "offset"),
        (CT_SMALL[132:336], "truncated header", "no data set"),
        (CT_SMALL[132:350], "truncated header", "offset 336 declares 10 bytes, 6 are left"),
    ],
)
def test_prefix_with_nothing_behind_it(tmp_path: Path, rest: bytes, reason: str, detail: str) -> None:
    with pytest.raises(HeaderError) as caught:
        read_bytes(tmp_path, bytes(128) + b"DICM" + rest)
    assert reason in caught.value.reason
    assert detail in caught.value.detail


def test_cut_header_keeps_its_row_once_it_tells_what_it_is(tmp_path: Path) -> None:
    instance = read_bytes(tmp_path, CT_SMALL[:1400])
    assert instance.sop_class == "1.2.840.10008.5.1.4.1.1.2"
    assert pixels_of(instance).keyword == ""


def boundaries() -> set[int]:
    """Offsets in CT_small at which an element ends."""
    elements = walk(io.BytesIO(CT_SMALL[336:]), EXPLICIT_LITTLE, len(CT_SMALL) - 336, stop=is_header_end)
    return {336 + element.offset + (element.length or 0) for element in elements}


@pytest.mark.parametrize("length", range(1, len(CT_SMALL) - 33_000, 97))
def test_cut_inside_an_element_is_never_taken_for_an_object_without_image(tmp_path: Path, length: int) -> None:
    if length in boundaries():
        length += 1
    try:
        instance = read_bytes(tmp_path, CT_SMALL[:length])
    except FileError:
        assert length < 520  # the SOP class ends there
    else:
        assert pixels_of(instance).keyword == ""


def test_cut_pixels_keep_their_declared_length(tmp_path: Path) -> None:
    assert pixels_of(read_bytes(tmp_path, CT_SMALL[:-20_000])).length == 32768


def test_zeros_behind_the_data_set_are_padding(tmp_path: Path) -> None:
    path = save(quick_dataset(PixelData=None, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"), tmp_path / "a.dcm")
    record = read(path).record
    assert read_bytes(tmp_path, path.read_bytes() + bytes(100_000)).record == record


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(HeaderError, match="cannot be read: No such file"):
        read_instance(File(str(tmp_path), "gone", 1, 1))
    with pytest.raises(HeaderError, match="cannot be read: Is a directory"):
        read_instance(File(str(tmp_path), "", 1, 1))


def test_rows_twice_are_both_kept_and_the_first_one_counts(tmp_path: Path) -> None:
    dataset = quick_dataset()
    data = save(dataset, tmp_path / "a.dcm").read_bytes()
    rows = b"\x28\0\x10\0US\x02\0\x04\0"
    at = data.index(rows)
    instance = read_bytes(tmp_path, data[:at] + rows + rows[:-2] + b"\x09\0" + data[at + len(rows) :])
    assert (instance.record["Rows"], instance.record["Rows#2"]) == (4, 9)
    assert pixels_of(instance).rows == 4


def test_pixels_right_behind_the_meta_are_named_once(tmp_path: Path) -> None:
    instance = read_bytes(tmp_path, CT_SMALL[:336] + b"\xe0\x7f\x10\0OW\0\0\x04\0\0\0abcd")
    assert list(instance.record)[-1] == "PixelData"
    assert "PixelData#2" not in instance.record
    assert pixels_of(instance).offset == 348


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutants")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.lists(
        st.tuples(st.integers(128, len(CT_SMALL) - 32768), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6
    ),
    cut=st.integers(0, len(CT_SMALL) * 3),
)
def test_mutants_raise_nothing_but_file_errors(scratch: Path, changes: list[tuple[int, bytes]], cut: int) -> None:
    data = bytearray(CT_SMALL)
    for at, new in changes:
        data[at : at + len(new)] = new
    try:
        instance = read_bytes(scratch, bytes(data[:cut]))
    except FileError:
        return
    orjson.dumps(instance.record)


# What it costs


class Counting(io.RawIOBase):
    """A file that knows how far it was read."""

    def __init__(self, path: str) -> None:
        self.file = open(path, "rb", buffering=0)  # noqa: SIM115
        self.total = self.furthest = 0

    def readinto(self, buffer: Any) -> int:
        count = self.file.readinto(buffer)
        self.total += count
        self.furthest = max(self.furthest, self.file.tell())
        return count

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self.file.close()
        super().close()


def test_opened_once_and_not_read_beyond_the_block_that_ends_the_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Counting] = []

    def door(file: File) -> BinaryIO:
        opened.append(Counting(file.native))
        return io.BufferedReader(opened[-1], BLOCK)  # type: ignore[return-value]

    monkeypatch.setattr(header, "open_file", door)
    path = multiframe(tmp_path / "a.dcm", 100, 100, 100)
    pixels = pixels_of(read(path))
    assert len(opened) == 1
    assert opened[0].furthest <= pixels.offset + BLOCK
    assert opened[0].total <= pixels.offset + 2 * BLOCK


def test_pydicom_stays_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        for name in ("badVR.dcm", "UN_sequence.dcm", "meta_missing_tsyntax.dcm"):
            read_bundled(name)
        read_bytes(tmp_path, CT_SMALL.replace(b"ISO_IR 100", b"ISO_IR 999").replace(b"CompressedSamples", b"\xff" * 17))
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_folder_of_slices(tmp_path: Path) -> None:
    instances = [read(path) for path in ct_series(tmp_path, 3)]
    assert [instance.planes[0].position for instance in instances] == [
        (-10.0, -20.0, -30.0), (-10.0, -20.0, -28.0), (-10.0, -20.0, -26.0),
    ]  # fmt: skip


# Real files


def test_files_of_pydicom_give_a_row_or_a_reason(dicom_files: list[Path]) -> None:
    read_count = 0
    for path in dicom_files:
        try:
            instance = read(path)
        except (NotDicom, HeaderError):
            continue
        orjson.dumps(instance.record)
        read_count += 1
    assert read_count > 190


def test_every_real_file_is_told_apart(shared_data: Path) -> None:
    """999 with the prefix, 3 without preamble or meta that validate, 24 that are not DICOM."""
    counts = {"prefix": 0, "validated": 0, "foreign": 0}
    for path in (shared_data / "in").rglob("*"):
        if not path.is_file():
            continue
        try:
            instance = read(path)
        except NotDicom:
            counts["foreign"] += 1
        else:
            with path.open("rb") as stream:
                counts["prefix" if stream.read(132)[128:] == b"DICM" else "validated"] += 1
            orjson.dumps(instance.record)
            frames = instance.mosaic.tiles if instance.mosaic else instance.pixels.frames if instance.pixels else 1
            assert len(instance.planes) in {1, frames}
    assert counts == {"prefix": 999, "validated": 3, "foreign": 24}
