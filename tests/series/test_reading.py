"""Where series come from and in what order: places, archives, orders, several series, lazily and strictly."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from pydicom.dataset import Dataset
from support.factories import ct_series, multiframe
from support.indices import keys
from support.mr import mr_series

import crawler.series.lazy as lazy
from crawler import Cohort, Patient, Series, SourceError, Study
from crawler.series.axis import VariableAxis
from crawler.series.errors import (
    CannotSort,
    EmptyImageError,
    MultipleSeriesError,
    NotImageError,
    UnknownInputError,
    UnknownTag,
)


@pytest.fixture
def dynamic(tmp_path: Path) -> Path:
    mr_series(tmp_path / "in", times=3, slices=4)
    return tmp_path / "in"


def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files whose pixels are read from now on."""
    names: list[str] = []
    original = lazy.frames

    def counted(instance: Any, *args: Any) -> Any:
        names.append(instance.file.name)
        return original(instance, *args)

    monkeypatch.setattr(lazy, "frames", counted)
    return names


def test_lazy_reading_opens_what_is_looked_at(dynamic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = opened(monkeypatch)
    a = Series.open(dynamic)
    part = a[1, 2]
    flipped = a[:, ::-1][2]
    assert (a.shape, part.shape, names) == ((3, 4, 6, 5), (6, 5), [])
    assert part[0, 0] == 1200
    assert names == ["01_002.dcm"]
    assert flipped.values[0, 0, 0] == 2300
    assert len(names) == 5
    assert a.is_lazy
    assert "on disk" in repr(a)


@pytest.mark.parametrize(
    "key",
    [0, (0, 1), (slice(None), 2), (..., 3), (0, slice(1, 3), 2), (slice(None, None, -1), [2, 0]), (None, 0),
     ([0, 2], slice(None), 1), (slice(2, 0), ...), (slice(None), slice(None), [0, 1])],
)  # fmt: skip
def test_lazily_as_eagerly(dynamic: Path, key: Any) -> None:
    found, expected = Series.open(dynamic)[key], Series(dynamic)[key]
    assert np.array_equal(found, expected)
    assert np.shape(found) == np.shape(expected)
    if isinstance(expected, Series):
        assert found.axes == expected.axes
        assert (found.affine is None) == (expected.affine is None)


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("steady")
    mr_series(folder, times=3, slices=4)
    return folder, Series(folder)


@given(keys((3, 4, 6, 5)))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reading_lazily_is_reading_eagerly(steady: tuple[Path, Any], key: tuple[Any, ...]) -> None:
    folder, eager = steady
    found, expected = Series.open(folder)[key], eager[key]
    assert np.array_equal(found, expected)
    assert np.shape(found) == np.shape(expected)
    if isinstance(expected, Series):
        assert found.axes == expected.axes
        assert (found.affine is None) == (expected.affine is None)
        assert found.affine is None or np.array_equal(found.affine, expected.affine)


def test_a_changed_file_is_refused(dynamic: Path) -> None:
    a = Series.open(dynamic)
    path = dynamic / "00_000.dcm"
    path.write_bytes(path.read_bytes() + b"\0\0")
    with pytest.raises(SourceError, match="changed since"):
        a.load()
    path.unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        a[0, 0].load()


def test_archives(dynamic: Path, tmp_path: Path) -> None:
    expected = Series(dynamic)
    with zipfile.ZipFile(tmp_path / "file.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in dynamic.iterdir():
            archive.write(path, f"dir_a/{path.name[:2]}/{path.name}")
            archive.write(path, f"dir_b/{path.name}")
    with tarfile.open(tmp_path / "file.tar.gz", "w:gz") as archive:
        archive.add(dynamic, "dir_a")
    for place in ("file.zip?dir_a", "file.zip?dir_b", "file.zip?*/0[012]", "file.tar.gz", "file.tar.gz?dir_a"):
        assert np.array_equal(Series(f"{tmp_path}/{place}"), expected), place
    assert np.array_equal(Series(f"{tmp_path}/file.zip?dir_a/01"), expected[1])
    assert np.array_equal(Series(f"file:{tmp_path}/file.zip?dir_b/02_*.dcm"), expected[2])
    with pytest.raises(UnknownInputError, match="no member"):
        Series(f"{tmp_path}/file.zip?nothing")
    held = Series.open(f"{tmp_path}/file.tar.gz")
    assert np.array_equal(held[1], expected[1])


def test_lists_globs_and_single_files(dynamic: Path, tmp_path: Path) -> None:
    expected = Series(dynamic)
    for time in range(3):
        (tmp_path / str(time)).mkdir()
        for path in dynamic.glob(f"{time:02d}_*"):
            shutil.copy(path, tmp_path / str(time))
    assert np.array_equal(Series([tmp_path / "0", tmp_path / "1", str(tmp_path / "2")]), expected)
    assert np.array_equal(Series(f"{tmp_path}/in/01_*.dcm"), expected[1])
    single = Series(dynamic / "01_002.dcm")
    assert single.axes.names == ("row", "column")
    assert np.array_equal(single, expected[1, 2])
    assert single.sliceLocations == pytest.approx(expected.sliceLocations[2:3])


ORDERS: list[tuple[str, str, list[Any]]] = [
    ("te", "EchoTime", [5.0, 10.0, 20.0]),
    ("ti", "InversionTime", [100.0, 200.0, 900.0]),
    ("fa", "FlipAngle", [5.0, 15.0, 30.0]),
    ("b", "DiffusionBValue", [0.0, 400.0, 800.0]),
    ("trigger_time", "TriggerTime", [0.0, 40.0, 80.0]),
    ("triggertime", "TriggerTime", [0.0, 40.0, 80.0]),
    ("RepetitionTime", "RepetitionTime", [10.0, 20.0, 30.0]),
    ("KVP", "KVP", [80.0, 100.0, 120.0]),
]


@pytest.mark.parametrize(("order", "keyword", "values"), ORDERS)
def test_orders(tmp_path: Path, order: str, keyword: str, values: list[Any]) -> None:
    def change(dataset: Dataset) -> None:
        setattr(dataset, keyword, values[(dataset.InstanceNumber - 1) // 2])

    mr_series(tmp_path / "in", times=3, slices=2, change=change)
    a = Series(tmp_path / "in", order)
    assert a.axes.names == (order, "slice", "row", "column")
    assert a.axes[0].values.tolist() == values
    assert a.input_order == order
    assert [list(tags) for tags in a.tags.values()] == [[(value,) for value in values]] * 2
    assert a[:, 0, 0, 0].tolist() == [0, 1000, 2000]
    assert np.array_equal(Series(tmp_path / "in", lambda dataset: dataset[keyword].value), a)
    assert np.array_equal(Series(tmp_path / "in", "mine", mine=keyword), a)
    assert np.array_equal(Series(tmp_path / "in", "mine", mine=lambda d: -float(d[keyword].value)), a[::-1])
    reverse = {"input_options": {"mine": keyword}}
    assert np.array_equal(Series(tmp_path / "in", "mine", opts=reverse), a)
    assert reverse == {"input_options": {"mine": keyword}}


def test_diffusion_with_directions(tmp_path: Path) -> None:
    directions = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]

    def change(dataset: Dataset) -> None:
        number = (dataset.InstanceNumber - 1) // 2
        dataset.DiffusionBValue = 400.0 * (1 + number // 3)
        dataset.DiffusionGradientOrientation = list(directions[number % 3])

    mr_series(tmp_path / "in", times=6, slices=2, change=change)
    a = Series(tmp_path / "in", "dti")
    assert a.axes.names == ("b", "bvector", "slice", "row", "column")
    assert a.shape[:2] == (2, 3)
    a.write(tmp_path / "out")
    assert np.array_equal(Series(tmp_path / "out", "dti"), a)
    with pytest.raises(CannotSort):
        Series(tmp_path / "in", "b")
    assert Series(tmp_path / "in", "b", accept_duplicate_tag=True).shape == (6, 2, 6, 5)


def test_what_cannot_be_sorted(dynamic: Path) -> None:
    with pytest.raises(CannotSort, match="equal values"):
        Series(dynamic, "te")
    with pytest.raises(UnknownTag, match="nonsense"):
        Series(dynamic, "nonsense")
    with pytest.raises(TypeError, match="unknown option"):
        Series(dynamic, wrong=3)
    (dynamic / "01_003.dcm").unlink()
    with pytest.raises(CannotSort, match="2 to 3 images"):
        Series(dynamic, "time")


def test_order_none_keeps_the_order_of_numbers(dynamic: Path) -> None:
    a = Series(dynamic, "none")
    assert a.shape == (3, 4, 6, 5)
    assert a.input_order == "none"
    assert Series(dynamic / "00_000.dcm", "none").shape == (6, 5)


def test_slices_are_sorted_by_place(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", n=7, orientation="oblique", shuffle=True)
    a = Series(tmp_path / "in")
    assert a[:, 0, 0].tolist() == [number - 1024 for number in range(7)]
    assert np.diff(a.sliceLocations) == pytest.approx(2)
    assert a.dtype == np.int32


def test_uneven_slices(tmp_path: Path) -> None:
    """imagedata 3.10 reads nothing; here voxels come, with a verdict and without a place."""
    ct_series(tmp_path / "in", n=5, gap=3)
    a = Series(tmp_path / "in")
    assert a.affine is None
    assert "missing" in a.verdict.reason or a.verdict.missing_positions == 1
    with pytest.raises(CannotSort, match="not a regular volume"):
        Series(tmp_path / "in", strict=True)
    assert len(Series.read_all(tmp_path / "in", uneven="split")) == 2


def test_several_series_are_named(dynamic: Path) -> None:
    ct_series(dynamic / "other", n=2)
    with pytest.raises(MultipleSeriesError, match=r"holds 2 arrays") as caught:
        Series(dynamic)
    assert "QUICK" not in str(caught.value)
    assert sorted(one.shape for one in Series.read_all(dynamic)) == [(2, 16, 12), (3, 4, 6, 5)]
    uid = Series(dynamic / "other").seriesInstanceUID
    assert Series(dynamic, input_serinsuid=uid).shape == (2, 16, 12)
    assert {Series(dynamic, layout=number).shape for number in (1, 2)} == {(2, 16, 12), (3, 4, 6, 5)}


def test_places_without_images(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("no image")
    (tmp_path / "bad.png").write_text("no image")
    for place, error in (("nowhere", UnknownInputError), ("empty", UnknownInputError), ("text.txt", UnknownInputError)):
        with pytest.raises(error):
            Series(tmp_path / place)
    with pytest.raises(NotImageError):
        Series(tmp_path / "bad.png")


def test_objects_without_pixels(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=1, PixelData=None, Rows=None, Columns=None)
    with pytest.raises(EmptyImageError):
        Series(tmp_path / "in")


def test_damaged_files_are_named(dynamic: Path, caplog: pytest.LogCaptureFixture) -> None:
    """imagedata 3.10 drops them in silence."""
    (dynamic / "broken.dcm").write_bytes((dynamic / "00_000.dcm").read_bytes()[:200])
    assert Series(dynamic).shape == (3, 4, 6, 5)
    assert "broken.dcm" in caplog.text
    with pytest.raises(SourceError, match="could not be used"):
        Series(dynamic, strict=True)


def test_cine(tmp_path: Path) -> None:
    multiframe(tmp_path / "cine.dcm", 7, 10, 12, np.uint8)
    a = Series.open(tmp_path / "cine.dcm")
    assert a.axes.names == ("frame", "row", "column")
    assert a[3][0, 0] == 3
    assert a.affine is None


def test_collections(dynamic: Path) -> None:
    mr_series(dynamic / "two", times=1, slices=2, StudyInstanceUID="2.25.7", PatientID="OTHER", PatientName="X^Y")
    cohort = Cohort(dynamic)
    assert list(cohort) == ["QUICK", "OTHER"] or set(cohort) == {"QUICK", "OTHER"}
    patient = cohort["OTHER"]
    assert isinstance(patient, Patient)
    study = patient[0]
    assert isinstance(study, Study)
    assert patient.patientName == "X^Y"
    assert study.studyInstanceUID == "2.25.7"
    assert study[0].is_lazy
    assert study[0].shape == (2, 6, 5)
    with pytest.raises(SourceError, match="2 studies"):
        Study(dynamic)
    with pytest.raises(SourceError, match="several patients"):
        Patient(dynamic)
    assert len(Study(dynamic / "two")) == 1


def test_collections_are_written(dynamic: Path, tmp_path: Path) -> None:
    mr_series(dynamic / "two", times=1, slices=2, StudyInstanceUID="2.25.7", PatientID="OTHER")
    Cohort(dynamic).write(str(tmp_path / "out"))
    paths = [path.relative_to(tmp_path).as_posix() for path in (tmp_path / "out").rglob("*.dcm")]
    assert len(paths) == 14
    assert not any("OTHER" in path or "QUICK" in path for path in paths)
    assert [patient.patientID for patient in Cohort(tmp_path / "out").values()] == ["QUICK", "OTHER"]


def test_times_under_other_names_are_written_as_times(dynamic: Path, tmp_path: Path) -> None:
    for number, order in enumerate(("time", "AcquisitionTime", "mine")):
        a = Series(dynamic, order, opts={"input_options": {order: "AcquisitionTime"}})
        a.write(tmp_path / str(number))
        b = Series(tmp_path / str(number), order, **({} if order == "AcquisitionTime" else {order: "AcquisitionTime"}))
        assert np.array_equal(a, b)
        assert a.axes[0] == b.axes[0]


def test_headers_only_leaves_voxels_in_their_files(dynamic: Path) -> None:
    """imagedata answers a shape of (), which nothing can be done with."""
    for a in (Series(dynamic, headers_only=True), Series(dynamic, opts={"headers_only": True})):
        assert a.is_lazy
        assert (a.shape, a.patientID) == ((3, 4, 6, 5), "QUICK")
        assert np.array_equal(a, Series(dynamic))
    assert not Series(dynamic, headers_only=False).is_lazy


def test_a_shorter_array_has_the_headers_of_the_first_steps(dynamic: Path) -> None:
    a = Series(dynamic, "time")
    b = Series(np.zeros((2, *a.shape[1:])), template=a, geometry=a)
    for number in range(4):
        assert b.tags[number].tolist() == a.tags[number][:2].tolist()
    assert b.meta.InstanceNumber.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    c = Series(np.zeros((4, *a.shape[1:])), "time", template=a, geometry=a)
    assert [t for (t,) in c.tags[0]] == [36000, 36002.5, 36005, 36007.5]


def test_a_template_gives_headers_and_geometry_axes(dynamic: Path, tmp_path: Path) -> None:
    mr_series(tmp_path / "other", times=3, slices=4, PatientID="OTHER", StudyInstanceUID="2.25.7")
    a = Series(dynamic, "time", template=tmp_path / "other")
    assert a.patientID == "OTHER"
    assert a.studyInstanceUID == "2.25.7"
    a.write(tmp_path / "out")
    b = Series(tmp_path / "out", "time")
    assert (b.patientID, b.studyInstanceUID) == ("OTHER", "2.25.7")
    assert np.array_equal(a, b)
    c = Series(np.zeros(a.shape), "time", geometry=a)
    assert c.timeline.tolist() == a.timeline.tolist()
    assert c.affine == pytest.approx(a.affine)


def test_tags_of_slices_go_through_files(dynamic: Path, tmp_path: Path) -> None:
    a = Series(dynamic, "time")
    assert a.tags[2][1] != a.tags[0][1]  # each image has the time of its own
    a.tags = {number: [(t,) for t in a.axes.time.values + 100 + 0.25 * number] for number in range(a.slices)}
    a.write(tmp_path / "out")
    b = Series(tmp_path / "out", "time")
    assert np.array_equal(a, b)
    for number in range(a.slices):
        assert [t for (t,) in b.tags[number]] == pytest.approx([36100 + 0.25 * number + 2.5 * t for t in range(3)])
    moved = Series(dynamic, "time")
    moved.axes = moved.axes._replace(time=VariableAxis("time", a.axes.time + 7.5))
    for number in range(moved.slices):
        moved.tags[number] = np.array([(t,) for t in moved.axes.time.values], dtype=tuple)
    both = np.concatenate((a, moved), axis=0)
    assert both.timeline == pytest.approx([0, 2.5, 5, 7.5, 10, 12.5])
    both.write(tmp_path / "both")
    assert Series(tmp_path / "both").timeline == pytest.approx(both.timeline)


@pytest.mark.system
def test_postscript_is_drawn_by_ghostscript(tmp_path: Path) -> None:
    if shutil.which("gs") is None:
        pytest.skip("Ghostscript is not installed (apt-get install ghostscript)")
    page = "newpath 0 0 moveto 72 0 lineto 72 72 lineto 0 72 lineto closepath 1 0 0 setrgbcolor fill showpage\n"
    (tmp_path / "page.ps").write_text("%!PS\n<< /PageSize [144 144] >> setpagedevice\n" + page * 2)
    a = Series(tmp_path / "page.ps")
    assert a.shape == (2, 200, 200, 3)
    assert a[0, 150, 50].tolist() == [255, 0, 0]
    assert a[0, 50, 150].tolist() == [255, 255, 255]
    (tmp_path / "bad.ps").write_text("%!PS\nnonsense\n")
    with pytest.raises(NotImageError):
        Series(tmp_path / "bad.ps")
    grey = Series(tmp_path / "page.ps", psopt="dpi=50,driver=pnggray,rotate=90")
    assert grey.shape == (2, 100, 100)
    for wrong in ("dpi=0", "driver=epson", "rotate=45", "size=1"):
        with pytest.raises(SourceError, match="psopt"):
            Series(tmp_path / "page.ps", psopt=wrong)


def test_headers_by_frame(dynamic: Path) -> None:
    a = Series(dynamic)
    assert a.meta.EchoTime == 2.5
    assert a.meta.InstanceNumber.tolist() == np.arange(1, 13).reshape(3, 4).tolist()
    assert a[1:, ::2].meta.InstanceNumber.tolist() == [[5, 7], [9, 11]]
    assert "EchoTime" in a.meta.constant()
    assert "InstanceNumber" in a.meta.varying()
    assert a.getDicomAttribute("InstanceNumber", slice=2, tag=1) == 7
    assert a.getDicomAttribute(0x00180081) == a.getDicomAttribute((0x0018, 0x0081)) == 2.5
    assert a.getDicomAttribute("KVP") is None
    assert a[0].frames[1].sources[0].file.endswith("00_001.dcm")
    with pytest.raises(UnknownTag):
        a.getDicomAttribute("NoSuchKeyword")
    template = a.dicomTemplate
    template.PatientID = "changed"
    assert a.patientID == "QUICK"


def test_axes_may_be_given_with_a_path(dynamic: Path) -> None:
    """imagedata 3.10: AttributeError."""
    a = Series(dynamic)
    axes = a.axes._replace(time=VariableAxis("time", [0.0, 1.0, 5.0], "s"))
    b = Series(dynamic, axes=axes)
    assert b.timeline.tolist() == [0, 1, 5]
    assert np.array_equal(a, b)
    assert Series.open(dynamic, axes=axes).timeline.tolist() == [0, 1, 5]
