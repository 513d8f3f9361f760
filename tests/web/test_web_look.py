"""Looking at an output: the table of series, planes of volumes, ratings, files and archives of them."""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.factories import ct_series
from support.web import Web

from crawler.sinks.reading import read_volume


def series(web: Web, job: str) -> dict[str, Any]:
    """The first row of the table, by columns."""
    told = web.get(f"/look/{job}/series.json").json
    return dict(zip(told["columns"], told["rows"][0], strict=True))


def volume_of(web: Web, job: str, ending: str) -> tuple[str, Path]:
    """Address and path of a volume."""
    page = web.get(f"/look/{job}/s/{series(web, job)['id']}").text
    [path] = (web.workspace / "jobs" / job / "output" / "volumes").rglob(f"*{ending}")
    after = page.partition(f"<h2>{path.name}</h2>")[0]
    checksum = after.rpartition('data-volume="')[2].partition('"')[0]
    return f"/look/{job}/s/{series(web, job)['id']}/v/{checksum}", path


def plane(web: Web, address: str, at: str) -> np.ndarray[Any, Any]:
    """A plane, as a browser reads it."""
    answer = web.get(f"{address}/plane?at={at}")
    assert answer.status == 200, answer.text
    shape = [int(extent) for extent in answer.headers["x-shape"].split(",")]
    return np.frombuffer(answer.body, f"<{answer.headers['x-type']}").reshape(shape)


@pytest.fixture(scope="module")
def formats(web: Web, data: Path) -> str:
    """A job that wrote a volume in every format that the viewer reads."""
    pytest.importorskip("nibabel", reason="pip install nibabel")
    job = web.new_job(data, "training")
    text = (
        f"num_workers: 0\noutput: {{dir: output}}\ndicom: {{dir: {data}}}\n"
        "volume: {formats: [hdf5, npz, nifti, metaimage, mhd]}\n"
    )
    web.post(f"/jobs/{job}", action="start", yaml=text)
    web.wait(job, "finished")
    return job


def test_table_has_what_series_csv_has(web: Web, done: str) -> None:
    row = series(web, done)
    with open(web.workspace / "jobs" / done / "output" / "series.csv", newline="", encoding="utf-8") as file:
        [expected] = csv.DictReader(file)
    assert (row["scan_id"], row["Modality"], row["verdict"]) == (expected["scan_id"], "CT", expected["verdict"])
    assert (row["files"], row["failed"], row["volumes"]) == (3, 0, 1)
    assert row["shapes"] == expected["shapes"]


@pytest.mark.parametrize("ending", [".h5", ".npz", ".nii.gz", ".mha", ".mhd"])
def test_planes_are_those_of_the_file(web: Web, formats: str, ending: str) -> None:
    address, path = volume_of(web, formats, ending)
    volume = read_volume(str(path))
    told = web.get(address).json
    assert told["shape"] == list(volume.array.shape)
    assert volume.affine is not None
    np.testing.assert_allclose(told["affine"], volume.affine, atol=1e-5)
    np.testing.assert_array_equal(plane(web, address, "1,-,-"), volume.array[1])
    np.testing.assert_array_equal(plane(web, address, "-,2,-"), volume.array[:, 2])
    np.testing.assert_array_equal(plane(web, address, "-,-,3"), volume.array[:, :, 3])


def across(web: Web, address: str, query: str, extents: tuple[int, ...]) -> list[np.ndarray[Any, Any]]:
    """Lines of slices: a part for each of the lines that were asked for."""
    answer = web.get(f"{address}/across?{query}")
    assert answer.status == 200, answer.text
    values = np.frombuffer(answer.body, f"<{answer.headers['x-type']}")
    count = int(answer.headers["x-count"])
    ends = np.cumsum([count * extent for extent in extents])
    assert ends[-1] == len(values)
    return [part.reshape(count, -1) for part in np.split(values, ends[:-1])]


@pytest.mark.parametrize("ending", [".h5", ".npz", ".nii.gz", ".mha", ".mhd"])
def test_lines_of_slices_make_the_planes_across(web: Web, formats: str, ending: str) -> None:
    address, path = volume_of(web, formats, ending)
    array = read_volume(str(path)).array
    rows, columns = array.shape[1:]
    both = across(web, address, "row=2&column=3", (columns, rows))
    np.testing.assert_array_equal(both[0], array[:, 2])
    np.testing.assert_array_equal(both[1], array[:, :, 3])
    [row] = across(web, address, "row=5&first=1&step=2", (columns,))
    np.testing.assert_array_equal(row, array[1::2, 5])
    [column] = across(web, address, "column=0&step=2", (rows,))
    np.testing.assert_array_equal(column, array[::2, :, 0])


@pytest.mark.parametrize(
    "query",
    [
        "",
        "row=999",
        "column=999",
        "row=1&first=3",
        "row=1&step=0",
        "row=1&before=0",
        "row=-1",
        "row=a",
        "row=1&first=99999999999999999999",
        "row=1&step=-1",
        "row=1&before=" + "0," * 50,
    ],
)
def test_lines_that_there_are_not(web: Web, formats: str, query: str) -> None:
    address, _ = volume_of(web, formats, ".h5")
    assert web.get(f"{address}/across?{query}").status == 400


def test_an_answer_of_lines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes, in slices, and in time; one slice comes in any case."""
    from crawler.web import crossing
    from crawler.web.volumes import Volume

    data = np.arange(2 * 6 * 4 * 5 * 3).reshape(2, 6, 4, 5, 3).astype(np.uint8)
    volume = Volume(data, ("time", "slice", "row", "column", "sample"), None)
    found = crossing.lines(volume, [1], 2, 3, 1, 2)
    assert found.count == 3
    assert found.rows is not None
    assert found.columns is not None
    np.testing.assert_array_equal(found.rows, data[1, 1::2, 2])
    np.testing.assert_array_equal(found.columns, data[1, 1::2, :, 3])
    assert crossing.lines(volume, [1], 2, None, 0, 1, most=4).count == 4
    monkeypatch.setattr(crossing, "_BYTES", 30)
    assert crossing.lines(volume, [1], 2, None, 0, 1).count == 2
    monkeypatch.setattr(crossing, "SECONDS", 0.0)
    assert crossing.lines(volume, [1], 2, None, 0, 1).count == 1


def test_origin_of_a_plane(web: Web, formats: str) -> None:
    address, path = volume_of(web, formats, ".h5")
    told = web.get(f"{address}/source?at=1").json
    import h5py

    with h5py.File(path) as file:
        row = file["provenance"][1]
    assert told == {
        "SOPInstanceUID": row["SOPInstanceUID"].decode(),
        "source": row["source"].decode(),
        "frame_number": int(row["frame_number"]),
    }
    assert web.get(f"{address}/source?at=99").json == {}
    assert web.get(f"{volume_of(web, formats, '.npz')[0]}/source?at=1").json == {}


@pytest.mark.parametrize("at", ["", "1", "1,-", "-,-,-", "9,-,-", "0,0,0", "1,-,-,-", "a,-,-", "-1,-,-"])
def test_planes_that_are_none(web: Web, formats: str, at: str) -> None:
    address, _ = volume_of(web, formats, ".h5")
    assert web.get(f"{address}/plane?at={at}").status == 400


def test_a_damaged_volume_is_told(web: Web, formats: str) -> None:
    address, path = volume_of(web, formats, ".h5")
    kept = path.read_bytes()
    path.write_bytes(kept[:100])
    try:
        assert web.get(address).status == 422
    finally:
        path.write_bytes(kept)


def test_pieces_of_a_file(web: Web, formats: str) -> None:
    address, path = volume_of(web, formats, ".h5")
    address, whole = address.replace("/v/", "/f/"), path.read_bytes()
    answer = web.get(address)
    assert (answer.status, answer.body) == (200, whole)
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{path.name}"')
    for asked, piece in (("bytes=5-9", whole[5:10]), ("bytes=100-", whole[100:]), ("bytes=-7", whole[-7:])):
        answer = web.get(address, Range=asked)
        assert (answer.status, answer.body) == (206, piece)
        assert answer.headers["content-range"].endswith(f"/{len(whole)}")
    assert web.get(address, Range=f"bytes={len(whole)}-").status == 416
    assert web.get(address, Range="bytes=9-5").status == 416
    assert web.get(address, Range="bytes=0-1,5-6").body == whole, "several pieces at once are not given"
    head = web.ask("HEAD", address)
    assert (head.body, head.headers["content-length"]) == (b"", str(len(whole)))


def test_archives_open(web: Web, done: str) -> None:
    output = web.workspace / "jobs" / done / "output"
    answer = web.post(f"/look/{done}/zip", series=str(series(web, done)["id"]))
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        assert all(archive.read(name) == (output / name).read_bytes() for name in names)
    assert {Path(name).suffix for name in names} == {".h5", ".png"}
    with zipfile.ZipFile(io.BytesIO(web.post(f"/look/{done}/zip", series="all").body)) as archive:
        assert archive.testzip() is None
        whole = set(archive.namelist())
    assert names < whole
    assert {"metadata.jsonl", "series.csv", "report.html", "summary.json", "run.log"} <= whole


def test_what_identifies_is_not_taken_away(web: Web, data: Path) -> None:
    """Under `privacy` the ledger, the full log and the linking table lie apart: no archive holds them."""
    job = web.new_job(data, "tables")
    text = (
        f"dicom: {{dir: {data}}}\noutput: {{dir: output}}\nmetadata:\nprivacy: {{private: private}}\nnum_workers: 0\n"
    )
    web.post(f"/jobs/{job}", action="start", yaml=text)
    web.wait(job, "finished")
    private = {path.name for path in (web.workspace / "jobs" / job / "private").rglob("*") if path.is_file()}
    assert private
    with zipfile.ZipFile(io.BytesIO(web.post(f"/look/{job}/zip", series="all").body)) as archive:
        names = archive.namelist()
    assert "output/metadata.jsonl" in names or "metadata.jsonl" in names
    assert not [name for name in names if "private" in name or name.endswith((".ledger", "linking.csv"))]


def test_what_is_gone_is_named_in_the_archive(web: Web, data: Path) -> None:
    job = web.new_job(data, "training")
    web.post(
        f"/jobs/{job}",
        action="start",
        yaml=f"dicom: {{dir: {data}}}\noutput: {{dir: output}}\nvolume:\nnum_workers: 0\n",
    )
    web.wait(job, "finished")
    [path] = (web.workspace / "jobs" / job / "output" / "volumes").rglob("*.h5")
    path.unlink()
    with zipfile.ZipFile(io.BytesIO(web.post(f"/look/{job}/zip", series="all").body)) as archive:
        assert path.name in archive.read("MISSING.txt").decode()


def test_ratings_go_to_a_csv(web: Web, done: str) -> None:
    row = series(web, done)
    place = web.workspace / "jobs" / done / "ratings.csv"
    for rating in ("keep", "unsure"):
        assert web.send(f"/look/{done}/rate", {"series": row["id"], "rating": rating}).json == {"rating": rating}
        [rated] = csv.DictReader(place.read_text().splitlines())
        assert (rated["scan_id"], rated["rating"]) == (row["scan_id"], rating)
    assert web.get(f"/look/{done}/ratings.json").json == {str(row["id"]): "unsure"}
    assert web.get(f"/look/{done}/ratings.csv").text == place.read_text()
    web.send(f"/look/{done}/rate", {"series": row["id"], "rating": ""})
    assert list(csv.DictReader(place.read_text().splitlines())) == []
    assert web.send(f"/look/{done}/rate", {"series": row["id"], "rating": "great"}).status == 400
    assert web.send(f"/look/{done}/rate", {"series": 999, "rating": "keep"}).status == 404
    assert web.send(f"/look/{done}/rate", {"series": True, "rating": "keep"}).status == 400


def test_nothing_there_yet(web: Web) -> None:
    job = web.new_job()
    assert web.get(f"/look/{job}").status == 404
    assert web.get(f"/look/{job}/series.json").status == 404


def test_four_dimensions_and_colour(tmp_path: Path) -> None:
    """Planes of arrays with further axes and with samples, by the same rule."""
    from crawler.web.volumes import Volume

    data = np.arange(2 * 3 * 4 * 5 * 3).reshape(2, 3, 4, 5, 3).astype(np.uint8)
    volume = Volume(data, ("time", "slice", "row", "column", "sample"), None)
    np.testing.assert_array_equal(volume.plane([1, 2, None, None]), data[1, 2])
    np.testing.assert_array_equal(volume.plane([1, None, 0, None]), data[1, :, 0])
    flat = Volume(np.zeros((4, 5), np.int64), ("row", "column"), None)
    assert flat.plane([None, None]).dtype == np.float64


def test_unpacked_volumes_make_room(tmp_path: Path) -> None:
    from crawler.web.volumes import opened

    unpacked = tmp_path / "unpacked"
    ct_series(tmp_path / "in", 1)
    for number in range(7):
        path = tmp_path / f"{number}.npz"
        np.savez_compressed(path, data=np.full((1, 2, 2), number, np.float32), axes=np.array(["Z", "Y", "X"]))
        with opened(str(path), f"sum{number}", str(unpacked)) as volume:
            assert volume.plane([0, None, None])[0, 0] == number
    assert sorted(path.name for path in unpacked.iterdir()) == [f"sum{number}.npy" for number in (3, 4, 5, 6)]


@pytest.mark.parametrize("kind", ["u1", "<i2", "<u2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5), (2, 4, 5, 3)])
@pytest.mark.parametrize("options", [{"compression": "gzip", "shuffle": True}, {"compression": "gzip"}, {}])
def test_frames_are_those_of_hdf5(tmp_path: Path, kind: str, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    """Read as chunks where they are as our sink writes them, else by HDF5; one is missing, one is not deflated."""
    import h5py

    from crawler.web.chunks import frame, is_framed

    lead = 1 if shape[-1] == 3 or len(shape) == 3 else 2
    values = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("image", shape, kind, chunks=(1,) * lead + shape[lead:], **options)
        for index in list(np.ndindex(*shape[:lead]))[:-1]:
            data[index] = values[index]
        if options.get("shuffle"):
            first = (0,) * lead
            flat = np.ascontiguousarray(values[first]).view(np.uint8).reshape(-1, values.dtype.itemsize)
            data.id.write_direct_chunk((0,) * len(shape), flat.T.tobytes(), 0b10)
    with h5py.File(tmp_path / "a.h5") as file:
        data = file["image"]
        assert is_framed(data) is bool(options.get("shuffle") and not kind.startswith(">"))
        for index in np.ndindex(*shape[:lead]):
            read = frame(data, index)
            np.testing.assert_array_equal(read, data[index])
            assert (read.shape, read.dtype) == (data[index].shape, data[index].dtype)


def test_a_chunk_that_is_damaged_is_an_error(tmp_path: Path) -> None:
    import h5py

    from crawler.web.chunks import frame

    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("image", (2, 4, 5), "<f4", chunks=(1, 4, 5), compression="gzip", shuffle=True)
        data.id.write_direct_chunk((0, 0, 0), b"no deflate", 0)
        data.id.write_direct_chunk((1, 0, 0), b"short", 0b10)
        for number in (0, 1):
            with pytest.raises(OSError, match="damaged"):
                frame(data, (number,))


def test_niivue_is_served_where_its_package_is(
    web: Web, formats: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its page has a policy of its own, without inline code or another origin; without the package it is told."""
    from crawler.web import threed

    monkeypatch.setattr(threed, "find_spec", lambda name: None)
    address, _ = volume_of(web, formats, ".nii.gz")
    page = address.replace("/v/", "/3d/")
    series_page = address.partition("/v/")[0]
    answer = web.get(page)
    assert answer.status == 409
    assert threed.how_to_install() in unescape(answer.text)
    assert threed.how_to_install() in unescape(web.get(series_page).text)
    assert web.get("/niivue.js").status == 404
    package = tmp_path / "ipyniivue"
    (package / "static").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('it is not imported')")
    (package / "static" / "widget.js").write_text("export default {};")
    spec = importlib.util.spec_from_file_location("ipyniivue", package / "__init__.py")
    monkeypatch.setattr(threed, "find_spec", lambda name: spec)
    answer = web.get("/niivue.js")
    assert (answer.text, answer.headers["content-type"].partition(";")[0]) == ("export default {};", "text/javascript")
    assert web.get("/niivue.js", Cookie=None).status == 401
    assert f'href="{page}"' in web.get(series_page).text
    answer = web.get(page)
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "script-src 'self';" in policy
    assert "img-src 'self' blob: data:" in policy
    assert "data:" not in web.get(series_page).headers["content-security-policy"]
    assert web.get(volume_of(web, formats, ".h5")[0].replace("/v/", "/3d/")).status == 415
    assert web.get(f"{series_page}/3d/..").status == 404
