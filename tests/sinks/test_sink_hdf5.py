"""What a volume file holds beside its voxels, for layouts of all kinds; memory; and a disk that fills up."""

import errno
import json
import math
import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from crawler.errors import ConfigError, OutputError, SinkError
from crawler.model import Coordinates, File, Frame, Instance, Layout, Place, Plane, Scan, Verdict
from crawler.sinks import hdf5
from crawler.sinks.base import LayoutSubject, Target
from crawler.sinks.deflate import shuffled

AFFINE = ((0.0, 0.0, 0.5, -10.0), (0.0, 0.75, 0.0, -20.0), (2.5, 0.0, 0.0, 30.0), (0.0, 0.0, 0.0, 1.0))


def instance(number, **fields):
    plane = Plane(position=(-10.0, -20.0, 30.0 + 2.5 * number), spacing=(0.75, 0.5), slope=2.0, intercept=-1024.0)
    known = {
        "transfer_syntax": "1.2.840.10008.1.2.1",
        "sop_class": "1.2.840.10008.5.1.4.1.1.2",
        "sop_uid": f"1.2.3.{number}",
        "study_uid": "1.2.1",
        "series_uid": "1.2.2",
        "frame_of_reference": "1.2.9",
        "modality": "CT",
        "windows": ((40.0, 400.0), (500.0, 2000.0)),
        "planes": (plane,),
    }
    return Instance(File("/in", f"säge/{number}.dcm", 1, 1), {}, **(known | fields))


def subject(instances, placement, shape, axes, **fields):
    verdict = Verdict(regular_volume=True, spacing=2.5, policy="split")
    known = {
        "scan": Scan("folder/s3-0a1b2c3d", "1.2.2", tuple(instances)),
        "layout": Layout("", shape, axes, tuple(placement), AFFINE, verdict),
        "dtype": np.dtype(np.int16),
        "values": "modality",
        "photometric": "MONOCHROME2",
        "attributes": {},
    }
    return LayoutSubject(**(known | fields))


def stack(count=3, rows=5, columns=7, **fields):
    places = [Place(count - 1 - n, 0, (n,)) for n in range(count)]  # array order is not the order of names
    shape, axes = (count, rows, columns), ("slice", "row", "column")
    return subject([instance(n) for n in range(count)], places, shape, axes, **fields)


def voxels(subject, index):
    """Voxels that tell their index."""
    shape = subject.layout.shape[len(index) :]
    first = sum(value * 100 ** (position + 1) for position, value in enumerate(index))
    return (np.arange(math.prod(shape)).reshape(shape) + first).astype(subject.dtype)


@pytest.fixture
def target(tmp_path):
    (tmp_path / "temp").mkdir()
    return Target(str(tmp_path / "out"), str(tmp_path / "temp"))


def write(target, subject):
    sink = hdf5.Hdf5Sink()
    try:
        sink.open(target, subject)
        for place in subject.layout.placement:
            sink.put(place.index, Frame(place.frame, voxels(subject, place.index), subject.photometric))
        (product,) = sink.close()
    finally:
        sink.abort()
        assert os.listdir(target.temp) == []
    return product.path


def test_the_image_dataset(target):
    with h5py.File(write(target, stack())) as file:
        image = file["image"]
        assert image.dtype == np.int16
        assert (image.chunks, image.compression, image.compression_opts, image.shuffle) == ((1, 5, 7), "gzip", 4, True)
        assert [axis.label for axis in image.dims] == ["slice", "row", "column"]
        for number in range(3):
            np.testing.assert_array_equal(image[number], voxels(stack(), (number,)))


def test_attributes(target):
    with h5py.File(write(target, stack(attributes={"Rows": 5, "SliceThickness": None}))) as file:
        found = dict(file["image"].attrs)
    np.testing.assert_array_equal(found.pop("affine"), AFFINE)
    np.testing.assert_allclose(found.pop("spacing"), (2.5, 0.75, 0.5))
    assert found.pop("axes").tolist() == ["slice", "row", "column"]
    assert isinstance(found["StudyInstanceUID"], str), "one for all files, and no array of one"
    assert {name: value for name, value in found.items() if name not in ("DIMENSION_LABELS",)} == {
        "Rows": 5,
        "scan_id": "folder/s3-0a1b2c3d",
        "layout": "",
        "values": "modality",
        "StudyInstanceUID": "1.2.1",
        "SeriesInstanceUID": "1.2.2",
        "FrameOfReferenceUID": "1.2.9",
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "TransferSyntaxUID": "1.2.840.10008.1.2.1",
        "Modality": "CT",
        "PhotometricInterpretation": "MONOCHROME2",
        "WindowCenter": 40.0,
        "WindowWidth": 400.0,
        "affine_convention": "index (slice,row,column) -> patient LPS, mm",
        "verdict_regular_volume": True,
        "verdict_spacing": 2.5,
        "verdict_policy": "split",
        "verdict_reason": "",
    }


ECHOES = Coordinates("te", (3.0, 5.0), "EchoTime", "ms")


def with_axes(*coordinates):
    axes = (*(one.axis for one in coordinates), "slice", "row", "column")
    shape = (*(len(one.values) for one in coordinates), 1, 5, 7)
    places = [Place(0, number, index) for number, index in enumerate(np.ndindex(shape[:-2]))]
    made = subject([instance(0)], places, shape, axes)
    return replace(made, layout=made.layout._replace(coordinates=coordinates))


def test_steps_that_are_numbers_are_a_dimension_scale(target):
    with h5py.File(write(target, with_axes(ECHOES, Coordinates("time", (0, 1))))) as file:
        image = file["image"]
        assert [axis.label for axis in image.dims] == ["te", "time", "slice", "row", "column"]
        assert list(image.dims[0].keys()) == ["te"]
        assert image.dims[0]["te"][()].tolist() == [3.0, 5.0]
        assert file["axis_te"].attrs["units"] == "ms"
        assert image.dims[1]["time"].dtype == np.int64
        assert [len(axis) for axis in image.dims] == [1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [((3.0, None), [3.0, math.nan]), (("M", "P"), ["M", "P"]), ((("A", 1), None), ['["A", 1]', ""])],
)
def test_other_steps_are_an_attribute_only(target, values, expected):
    with h5py.File(write(target, with_axes(Coordinates("ImageType", values)))) as file:
        np.testing.assert_array_equal(file["image"].attrs["axis_ImageType"], expected)
        assert "axis_ImageType" not in file
        assert len(file["image"].dims[0]) == 0


def test_provenance_is_in_array_order(target):
    with h5py.File(write(target, stack())) as file:
        rows = file["provenance"][()]
        utf8 = h5py.check_string_dtype(file["provenance"].dtype["source"]).encoding
    assert utf8 == "utf-8"
    assert rows["index_slice"].tolist() == [0, 1, 2]
    assert rows["SOPInstanceUID"].tolist() == [b"1.2.3.2", b"1.2.3.1", b"1.2.3.0"]
    assert [key.decode() for key in rows["source"]] == ["säge/2.dcm", "säge/1.dcm", "säge/0.dcm"]
    assert rows["frame_number"].tolist() == [1, 1, 1]
    np.testing.assert_array_equal(rows["position"][:, 2], [35.0, 32.5, 30.0])
    assert set(rows["slope"]) == {2.0}
    assert set(rows["intercept"]) == {-1024.0}


def test_the_affine_maps_indices_to_the_positions_of_the_provenance(target):
    plain = stack()
    places = tuple(Place(n, 0, (n,)) for n in range(3))
    with h5py.File(write(target, replace(plain, layout=plain.layout._replace(placement=places)))) as file:
        affine = file["image"].attrs["affine"]
        for row in file["provenance"]:
            np.testing.assert_allclose((affine @ (row["index_slice"], 0, 0, 1))[:3], row["position"])


def test_frames_of_one_file_in_colour_without_geometry(target):
    one = instance(0, planes=(Plane(),), windows=(), frame_of_reference="", study_uid="", sop_uid="", modality="US")
    axes = ("frame", "row", "column", "sample")
    cine = subject([one], [Place(0, n, (n,)) for n in range(4)], (4, 6, 8, 3), axes, dtype=np.dtype(np.uint8))
    cine = replace(cine, layout=cine.layout._replace(affine=None, verdict=Verdict(), name="2"), photometric="RGB")
    with h5py.File(write(target, cine)) as file:
        image, rows = file["image"], file["provenance"][()]
        assert image.shape == (4, 6, 8, 3)
        assert image.chunks == (1, 6, 8, 3)
        assert [axis.label for axis in image.dims] == list(axes)
        assert image.attrs["layout"] == "2"
        assert image.attrs["StudyInstanceUID"] == image.attrs["FrameOfReferenceUID"] == ""
        assert not {"affine", "affine_convention", "WindowCenter", "verdict_spacing"} & set(image.attrs)
        assert np.isnan(image.attrs["spacing"]).all()
        np.testing.assert_array_equal(image[3], voxels(cine, (3,)))
    assert rows["frame_number"].tolist() == [1, 2, 3, 4]
    assert rows["SOPInstanceUID"].tolist() == [b""] * 4
    assert np.isnan(rows["position"]).all()


def test_two_leading_axes_in_any_order(target):
    places = [Place(0, t * 3 + s, (t, s)) for t in range(2) for s in range(3)]
    axes = ("frame", "slice", "row", "column")
    series = subject([instance(0)], places, (2, 3, 4, 5), axes, dtype=np.dtype(np.float32))
    shuffled = replace(series, layout=series.layout._replace(placement=tuple(places[::-1])))
    with h5py.File(write(target, series)) as file:
        straight, rows = file["image"][()], file["provenance"][()]
    assert rows["index_frame"].tolist() == [0, 0, 0, 1, 1, 1]
    assert rows["index_slice"].tolist() == [0, 1, 2, 0, 1, 2]
    with h5py.File(write(target, shuffled)) as file:
        np.testing.assert_array_equal(file["image"][()], straight)


def test_a_single_plane(target):
    plane = subject([instance(0)], [Place(0, 0, ())], (4, 5), ("row", "column"))
    with h5py.File(write(target, plane)) as file:
        np.testing.assert_array_equal(file["image"][()], voxels(plane, ()))
        assert "index_slice" not in file["provenance"].dtype.names


KINDS = ["?", "u1", "i1", "<u2", ">u2", "<i2", ">i2", "<i4", "<i8", ">i8", "<u8", "<f4", "<f8", ">f8", "<c8"]


def through(target, values, dtype=None):
    """A single frame, written and read back by h5py's own filters; and the mask of its only chunk."""
    made = subject([instance(0)], [Place(0, 0, (0,))], (1, *values.shape), ("slice", "row", "column"))
    made = replace(made, dtype=np.dtype(dtype or values.dtype))
    sink = hdf5.Hdf5Sink()
    sink.open(target, made)
    sink.put((0,), Frame(0, values, "MONOCHROME2"))
    (product,) = sink.close()
    with h5py.File(product.path) as file:
        assert file["image"].id.get_num_chunks() == 1
        return file["image"][0], file["image"].id.get_chunk_info(0).filter_mask


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (3, 5), (64, 65)])
def test_h5py_reads_every_type_and_shape(target, kind, shape):
    drawn = np.random.default_rng(1).bytes(math.prod(shape) * np.dtype(kind).itemsize)
    values = np.frombuffer(drawn, kind.replace("?", "u1")).reshape(shape)
    values = values > 127 if kind == "?" else values  # random bytes: the largest values, NaN and infinity among them
    found, _ = through(target, values)
    assert found.dtype == values.dtype
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.arange(12, dtype="u1").reshape(3, 4), "<f8"),
        (np.arange(12, dtype=">i2").reshape(3, 4), "<i2"),
        (np.arange(12, dtype="<i2").reshape(3, 4), ">i4"),
        (np.asfortranarray(np.arange(12, dtype="<i2").reshape(3, 4)), None),
        (np.arange(24, dtype="<i2").reshape(6, 4)[::-2], None),
    ],
)
def test_frames_are_written_in_the_type_of_the_file(target, values, dtype):
    found, _ = through(target, values, dtype)
    np.testing.assert_array_equal(found, values)
    assert found.dtype == np.dtype(dtype or values.dtype)


def test_what_does_not_get_smaller_is_not_deflated(target):
    noise = np.frombuffer(np.random.default_rng(0).bytes(64 * 64 * 2), "<i2").reshape(64, 64)
    found, mask = through(target, noise)
    np.testing.assert_array_equal(found, noise)
    assert mask == 0b10
    assert through(target, np.zeros((64, 64), "<i2"))[1] == 0


def test_other_programs_may_change_a_chunk(target):
    path = write(target, stack())
    with h5py.File(path, "r+") as file:
        file["image"][1] = 7
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["image"][0], voxels(stack(), (0,)))
        np.testing.assert_array_equal(file["image"][1], np.full((5, 7), 7))


def test_equal_volumes_have_equal_bytes(target):
    files = [Path(write(target, stack(40, 64, 64))).read_bytes() for _ in range(2)]
    assert files[0] == files[1]


@pytest.mark.parametrize("level", [-1, 4])
def test_levels_are_those_of_isal(level):
    with pytest.raises(ConfigError, match=f"hdf5 level: {level} is not between 0 and 3"):
        hdf5.Hdf5Options(level)


def test_several_values_of_one_field_are_listed(target):
    mixed = stack()
    syntaxes = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2"]
    instances = tuple(instance(n, transfer_syntax=syntax) for n, syntax in enumerate(syntaxes))
    with h5py.File(write(target, replace(mixed, scan=mixed.scan._replace(instances=instances)))) as file:
        assert list(file["image"].attrs["TransferSyntaxUID"]) == syntaxes[:2]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ""),
        ("Größe\0", "Größe"),
        ("\udcff", "?"),
        ([], []),
        (["a", ""], ["a", ""]),
        ([1, 2], [1, 2]),
        ([1, 2.5], [1.0, 2.5]),
        (True, True),
        (2**63, 2**63),
        (-(2**70), str(-(2**70))),
        ([2**70], json.dumps([2**70])),
        ([1, None], "[1, null]"),
        ([True, False], "[true, false]"),
        ([[1], [2, 3]], "[[1], [2, 3]]"),
        ([float(n) for n in range(20_000)], [float(n) for n in range(20_000)]),  # past the 64 KB of old HDF5
    ],
)
def test_attributes_of_every_kind(target, value, expected):
    with h5py.File(write(target, stack(attributes={"field": value}))) as file:
        found = file["image"].attrs["field"]
    assert (found.tolist() if isinstance(found, np.ndarray) else found) == expected


def test_what_does_not_fit_is_refused(target):
    sink = hdf5.Hdf5Sink()
    sink.open(target, stack())
    good = voxels(stack(), (0,))
    for index, values in [
        ((3,), good),
        ((0, 0), good),
        ((0,), good[1:]),
        ((0,), good.astype(np.float32)),
        ((0,), good.astype(np.uint16)),
    ]:
        with pytest.raises(SinkError):
            sink.put(index, Frame(0, values, "MONOCHROME2"))
    sink.put((0,), Frame(0, good, "MONOCHROME2"))
    with pytest.raises(SinkError, match="out of place"):
        sink.put((0,), Frame(0, good, "MONOCHROME2"))
    with pytest.raises(SinkError, match="2 of 3"):
        sink.close()
    sink.abort()
    assert os.listdir(target.temp) == []


@pytest.mark.parametrize(
    "broken",
    [
        stack(dtype=np.dtype(object)),
        stack(attributes={"": 1}),
        replace(stack(), layout=stack().layout._replace(shape=(0, 5, 7))),
    ],
)
def test_an_open_that_fails_leaves_nothing(target, broken):
    sink = hdf5.Hdf5Sink()
    with pytest.raises(SinkError):
        sink.open(target, broken)
    assert os.listdir(target.temp) == []


def test_memory_stays_small_with_many_frames(target):
    count = 10_000
    one = instance(0)
    long = subject([one], [Place(0, n, (n,)) for n in range(count)], (count, 64, 64), ("frame", "row", "column"))
    sink = hdf5.Hdf5Sink()
    frame = Frame(0, np.zeros((64, 64), np.int16), "MONOCHROME2")
    tracemalloc.start()
    sink.open(target, long)
    for place in long.layout.placement:
        sink.put(place.index, frame)
    (product,) = sink.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 2**20  # the volume has 82 MB; the index of 10,000 frames and its provenance some 5
    with h5py.File(product.path) as file:
        assert file["provenance"]["frame_number"][-1] == count


# A limit on the size of files stands in for a full disk: the kernel refuses in the same place, with EFBIG. In a process
# of its own, because h5py without `_Stream` ends it by a segmentation fault.
FILLING = """
import os, resource, sys
sys.path[:0] = sys.argv[3:]
import numpy as np
from crawler.errors import SinkError
from crawler.model import Frame
from crawler.sinks import hdf5
from crawler.sinks.base import Target
from test_sink_hdf5 import stack
subject = stack(200, 64, 64)
noise = np.random.default_rng(0).integers(0, 999, (64, 64), dtype=np.int16)
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sink = hdf5.Hdf5Sink()
try:
    sink.open(Target(sys.argv[1] + "/out", sys.argv[1] + "/temp"), subject)
    for place in subject.layout.placement:
        sink.put(place.index, Frame(0, noise, "MONOCHROME2"))
    sink.close()
except SinkError as error:
    sink.abort()
    assert os.listdir(sys.argv[1] + "/temp") == []
    sys.exit(f"refused: {error}")
"""


@pytest.mark.system
@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
@pytest.mark.parametrize("limit", [200, 3_000, 60_000, 500_000, 1_000_000])
def test_a_disk_that_fills_up_costs_one_volume_and_no_process(target, tmp_path, limit):
    folders = [str(parent) for parent in Path(__file__).parents[:3]]
    command = [sys.executable, "-c", FILLING, str(tmp_path), str(limit), *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == f"refused: cannot write: {os.strerror(errno.EFBIG)}"
    assert done.returncode == 1


def test_a_full_disk_ends_the_run(target):
    sink = hdf5.Hdf5Sink()
    sink.open(target, stack())
    sink._stream.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OutputError, match="disk full"):
        sink.put((0,), Frame(0, voxels(stack(), (0,)), "MONOCHROME2"))
    sink.abort()
    assert os.listdir(target.temp) == []


def test_nothing_is_written_after_a_size_that_cannot_be_set(tmp_path):
    path = tmp_path / "file"
    stream = hdf5._Stream(str(path))
    stream.write(b"before")
    writable, stream._raw = stream._raw, open(path, "rb", buffering=0)  # noqa: SIM115
    assert stream.truncate(9) == 9
    stream._raw.close()
    stream._raw = writable
    assert stream.write(b"after") == 5
    stream.close()
    assert isinstance(stream.error, OSError)
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize("kind", ["u1", "<u2", ">u2", "<i2", "<i4", ">f4", "<f8", "c16"])
def test_shuffled_bytes_are_those_of_a_transposed_copy(kind: str) -> None:
    values = np.random.default_rng(1).integers(0, 200, (7, 31)).astype(kind)
    bytes_of = np.frombuffer(values.tobytes(), np.uint8).reshape(-1, values.itemsize)
    assert shuffled(values).tobytes() == bytes_of.T.tobytes()
