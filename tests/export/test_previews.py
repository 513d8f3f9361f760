"""Previews show the patient the right way round, undistorted, in one window, whatever the acquisition was."""

from __future__ import annotations

import itertools
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.factories import ct_series, make_uid, multiframe, quick_dataset, save
from support.runs import config, content, export, failures, rows

from crawler.errors import ConfigError
from crawler.model import Coordinates, Frame, Layout, Place
from crawler.sinks.thumbnail import thumbnail_of
from crawler.sinks.thumbnail.canvas import GAP, Canvas, fitted
from crawler.sinks.thumbnail.flat import SHOWN
from crawler.sinks.thumbnail.planes import cuts_of, spacing_of

SIZE = 128
# Rows, then columns of an image; what a slice adds is their cross product (PS3.3 C.7.6.2.1.1).
ACQUIRED = {
    "axial": (1, 0, 0, 0, 1, 0),
    "axial from the head": (-1, 0, 0, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "sagittal upside down": (0, -1, 0, 0, 0, 1),
    "oblique": (0.96, 0.28, 0, -0.28, 0.96, 0),
}


def body(folder: Path, cosines: tuple[float, ...], step: float = 4.0, **keywords: Any) -> None:
    """Slices of 80 mm about the origin, with a bright ball at the patient's right, front and top."""
    across, down = np.array(cosines[:3], float), np.array(cosines[3:], float)
    normal = np.cross(across, down)
    places = np.arange(-40, 40, 2.0)
    for number, along in enumerate(np.arange(-40, 40, step)):
        x, y, z = (
            along * normal[axis] + places[:, None] * down[axis] + places[None, :] * across[axis] for axis in range(3)
        )
        ball = (x + 20) ** 2 + (y + 16) ** 2 + (z - 18) ** 2 < 12**2
        # A cross through the middle of the volume, so that each plane through it meets the ball's shadow.
        pixels = np.where(_near(x, y, z, ball), 1000, 0).astype(np.uint16)
        save(
            quick_dataset(
                pixels,
                SeriesInstanceUID=make_uid(folder.name),
                SOPInstanceUID=make_uid(folder.name, number),
                InstanceNumber=number + 1,
                ImagePositionPatient=[float(v) for v in along * normal - 40 * across - 40 * down],
                ImageOrientationPatient=list(cosines),
                PixelSpacing=[2, 2],
                SliceThickness=step,
                WindowCenter=500,
                WindowWidth=1000,
                **keywords,
            ),
            folder / f"{number:03d}.dcm",
        )


def _near(x: np.ndarray, y: np.ndarray, z: np.ndarray, ball: np.ndarray) -> np.ndarray:
    """The ball, and what it looks like from the front, the side and the top, where the middle planes cut it."""
    shadows = [
        (abs(z) < 6) & ((x + 20) ** 2 + (y + 16) ** 2 < 12**2),
        (abs(y) < 6) & ((x + 20) ** 2 + (z - 18) ** 2 < 12**2),
        (abs(x) < 6) & ((y + 16) ** 2 + (z - 18) ** 2 < 12**2),
    ]
    return ball | np.logical_or.reduce(shadows)


def picture(out: Path, name: str = "*") -> np.ndarray:
    """The only preview of a run."""
    [path] = (out / "previews").rglob(f"{name}.png")
    return np.asarray(Image.open(path))


def panels(sheet: np.ndarray, size: int = SIZE) -> list[np.ndarray]:
    """The three planes of a triplane."""
    assert sheet.shape[:2] == (size, 3 * size + 2 * GAP)
    return [sheet[:, number * (size + GAP) :][:, :size] for number in range(3)]


def bright_half(panel: np.ndarray) -> tuple[str, str]:
    """Where most of the light is; words and ruler lie at the edges, and are left out."""
    inner = panel[20:-20, 20:-20].astype(float)
    top, left = inner[: inner.shape[0] // 2].sum(), inner[:, : inner.shape[1] // 2].sum()
    return ("top" if top > inner.sum() / 2 else "bottom", "left" if left > inner.sum() / 2 else "right")


@pytest.mark.parametrize("name", ACQUIRED)
def test_every_acquisition_shows_the_patient_the_same_way_round(name: str, tmp_path: Path) -> None:
    body(tmp_path / "in" / "a", ACQUIRED[name])
    export(tmp_path / "in", tmp_path / "out", preview={"size": SIZE})
    # Right is on the left of axial and coronal planes, the front on the left of sagittal ones.
    assert [bright_half(panel) for panel in panels(picture(tmp_path / "out"))] == [("top", "left")] * 3


def test_letters_of_each_plane() -> None:
    for cosines in ACQUIRED.values():
        across, down = np.array(cosines[:3]), np.array(cosines[3:])
        matrix = np.eye(4)
        matrix[:3, :3] = np.column_stack([np.cross(across, down), down, across])
        cuts = cuts_of(tuple(map(tuple, matrix.tolist())))
        assert [cut.name for cut in cuts] == ["axial", "coronal", "sagittal"]
        letters = [(c.letters.left, c.letters.right, c.letters.top, c.letters.bottom) for c in cuts]
        assert letters == [("R", "L", "A", "P"), ("R", "L", "S", "I"), ("A", "P", "S", "I")]
        assert sorted(cut.across for cut in cuts) == [0, 1, 2]


def test_every_turn_of_a_volume_gives_the_same_planes() -> None:
    body_array = np.arange(3 * 4 * 5).reshape(3, 4, 5)  # z from the feet, y from the front, x from the right
    expected = [body_array[1], body_array[::-1, 2, :], body_array[::-1, :, 2]]
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            turned = body_array.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
            matrix = np.zeros((4, 4))
            for axis, (source, sign) in enumerate(zip(axes, signs, strict=True)):
                matrix[2 - source, axis] = sign  # array axes of the body are z, y, x
            cuts = cuts_of(tuple(map(tuple, matrix.tolist())))
            for cut, plane in zip(cuts, expected, strict=True):
                source = axes[cut.across]
                middle = (1, 2, 2)[source]
                place = middle if signs[cut.across] > 0 else body_array.shape[source] - 1 - middle
                assert np.array_equal(cut.turned(np.take(turned, place, cut.across)), plane)


def test_proportions_are_those_of_the_body(tmp_path: Path) -> None:
    ct_series(tmp_path / "in" / "a", 20, spacing=1.0, size=(40, 40), PixelSpacing=[1, 1], WindowCenter=0, WindowWidth=1)
    export(tmp_path / "in", tmp_path / "out", preview={"size": SIZE})
    _, coronal, _ = panels(picture(tmp_path / "out"))
    lit = np.flatnonzero(coronal[:, 10:110].mean(axis=1) > 128)
    assert abs(len(lit) - SIZE / 2) <= 4  # 20 mm of the 40 mm that the plane is wide


def layout(shape: tuple[int, ...], axes: tuple[str, ...], **known: Any) -> Layout:
    """A layout of one file a frame."""
    indices = np.ndindex(shape[: axes.index("row")])
    return Layout("", shape, axes, tuple(Place(number, 0, index) for number, index in enumerate(indices)), **known)


EYE = tuple(map(tuple, np.eye(4).tolist()))


def test_of_more_than_three_axes_the_middle_step_is_shown_alone() -> None:
    time = Coordinates("time", (0.0, 2.5, 5.0, 7.5, 10.0), "AcquisitionTime", "s")
    four = layout((5, 8, 16, 16), ("time", "slice", "row", "column"), affine=EYE, coordinates=(time,))
    thumbnail = thumbnail_of(four, SIZE)
    assert thumbnail.wanted == {(2, place) for place in range(8)}


def test_of_very_many_slices_no_more_are_needed_than_are_shown() -> None:
    long = layout((5000, 4, 4), ("slice", "row", "column"), affine=EYE)
    wanted = thumbnail_of(long, SIZE).wanted
    assert len(wanted) <= 2 * SIZE + 1
    assert {(0,), (2500,), (4999,)} <= wanted


def test_of_many_images_without_geometry_some_are_shown() -> None:
    many = layout((500, 8, 8), ("frame", "row", "column"))
    wanted = thumbnail_of(many, SIZE).wanted
    assert len(wanted) == SHOWN
    assert {(0,), (499,)} <= wanted


def test_oblong_pixels_are_shown_as_long_as_they_are() -> None:
    assert fitted(np.zeros((10, 40), np.uint8), 100, 100, aspect=2.0).shape == (50, 100)


def test_frames_may_come_in_any_order() -> None:
    made = layout((6, 9, 7), ("slice", "row", "column"), affine=EYE)
    volume = np.arange(6 * 9 * 7, dtype=np.uint8).reshape(6, 9, 7)
    drawn = []
    for places in (made.placement, made.placement[::-1]):
        thumbnail = thumbnail_of(made, SIZE)
        for place in places:
            thumbnail.put(place.index, Frame(0, volume[place.index], "MONOCHROME2"), lambda frame: frame.values)
        drawn.append(thumbnail.draw())
    assert np.array_equal(*drawn)


def test_spacing_is_read_from_the_columns_of_the_affine() -> None:
    matrix = ((0.0, 0.0, 0.5, 1.0), (0.0, 0.6, 0.0, 2.0), (3.0, 0.8, 0.0, 3.0), (0.0, 0.0, 0.0, 1.0))
    assert spacing_of(matrix) == (3.0, 1.0, 0.5)


def test_cine_has_a_poster_of_its_middle_in_colour(tmp_path: Path) -> None:
    def fill(number: int) -> np.ndarray:
        frame = np.zeros((30, 40, 3), np.uint8)
        frame[..., 0 if number == 5 else 2] = 250
        return frame

    multiframe(
        tmp_path / "in" / "cine.dcm", 10, 30, 40, np.uint8, samples=3, fill=fill, PhotometricInterpretation="RGB"
    )
    export(tmp_path / "in", tmp_path / "out", preview={"size": SIZE})
    sheet = picture(tmp_path / "out")
    assert sheet.shape == (96 + 2 * 8, SIZE, 3)  # the picture, and the edges of the film
    assert sheet[40, 64].tolist() == [250, 0, 0]
    assert (sheet[4, :, 0] == 150).any()  # its holes


def test_still_is_a_thumbnail_of_its_own_shape(tmp_path: Path) -> None:
    save(quick_dataset(np.full((30, 60), 7, np.uint8), Modality="DX"), tmp_path / "in" / "a.dcm")
    export(tmp_path / "in", tmp_path / "out", preview={"size": SIZE})
    assert picture(tmp_path / "out").shape == (64, 128)


def test_images_at_one_position_lie_side_by_side(tmp_path: Path) -> None:
    place = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [1, 1]}
    for number in range(3):
        pixels = np.full((20, 20), 100 * number, np.uint8)
        save(quick_dataset(pixels, InstanceNumber=number, **place), tmp_path / "in" / f"{number}.dcm")
    export(tmp_path / "in", tmp_path / "out", preview={"size": SIZE})
    levels = [int(panel[SIZE // 2, SIZE // 2]) for panel in panels(picture(tmp_path / "out"))]
    assert levels == [0, 100, 200]


def test_one_window_serves_all_slices_whatever_their_own_are(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(40, dtype=np.uint16) * 25, (40, 1))
    for number in range(10):
        dataset = quick_dataset(
            ramp,
            InstanceNumber=number + 1,
            ImagePositionPatient=[0, 0, 4 * number],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[1, 1],
            WindowCenter=100 * (number + 1),
            WindowWidth=200,
        )
        save(dataset, tmp_path / "in" / f"{number}.dcm")
    export(tmp_path / "in", tmp_path / "out", preview={"size": SIZE})
    coronal = panels(picture(tmp_path / "out"))[1][20:-20, 20:60].astype(int)  # where no words are
    assert np.ptp(coronal, axis=0).max() == 0
    assert np.ptp(coronal, axis=1).min() > 50


def test_picture_holds_nothing_but_pixels(tmp_path: Path) -> None:
    body(tmp_path / "in" / "a", ACQUIRED["axial"], SeriesDescription="Doe, Jane")
    export(tmp_path / "in", tmp_path / "out", preview={})
    [path] = (tmp_path / "out" / "previews").rglob("*.png")
    data, kinds, place = path.read_bytes(), set(), 8
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        kinds.add(kind)
        place += 12 + length
    assert kinds == {b"IHDR", b"IDAT", b"IEND"}


def test_bytes_are_the_same_with_and_without_workers_and_volumes(tmp_path: Path) -> None:
    body(tmp_path / "in" / "a", ACQUIRED["oblique"])
    ct_series(tmp_path / "in" / "b", 5, "sagittal", gap=2)
    everything = {"metadata": {}, "preview": {}, "volume": {}, "image": {}}
    export(tmp_path / "in", tmp_path / "one", **everything)
    export(tmp_path / "in", tmp_path / "two", 2, **everything)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    export(tmp_path / "in", tmp_path / "alone", metadata={}, preview={})
    names = [path.relative_to(tmp_path / "one") for path in sorted((tmp_path / "one" / "previews").rglob("*.png"))]
    assert len(names) == 3
    assert all((tmp_path / "alone" / name).read_bytes() == (tmp_path / "one" / name).read_bytes() for name in names)


def test_values_as_stored_show_the_same_picture(tmp_path: Path) -> None:
    body(tmp_path / "in" / "a", ACQUIRED["axial"], RescaleSlope=2, RescaleIntercept=-100)
    for values in ("modality", "stored"):
        export(tmp_path / "in", tmp_path / values, preview={}, volume={"values": values})
    assert np.array_equal(picture(tmp_path / "modality"), picture(tmp_path / "stored"))


def test_second_run_keeps_and_an_added_section_makes_previews(tmp_path: Path) -> None:
    body(tmp_path / "in" / "a", ACQUIRED["axial"])
    export(tmp_path / "in", tmp_path / "out", metadata={})
    assert not (tmp_path / "out" / "previews").exists()
    export(tmp_path / "in", tmp_path / "out", metadata={}, preview={})
    [path] = (tmp_path / "out" / "previews").rglob("*.png")
    before = path.stat().st_mtime_ns
    assert export(tmp_path / "in", tmp_path / "out", metadata={}, preview={}).handled == 0
    assert path.stat().st_mtime_ns == before
    for file in (tmp_path / "in" / "a").iterdir():
        file.unlink()
    export(tmp_path / "in", tmp_path / "out", metadata={}, preview={}, dicom={"max_lost": 1})
    assert not path.exists()


def test_a_strange_file_at_its_place_stays(tmp_path: Path) -> None:
    body(tmp_path / "in" / "a", ACQUIRED["axial"])
    export(tmp_path / "in", tmp_path / "out", preview={})
    [path] = (tmp_path / "out" / "previews").rglob("*.png")
    other = tmp_path / "other" / path.relative_to(tmp_path / "out")
    other.parent.mkdir(parents=True)
    other.write_bytes(b"mine")
    summary = export(tmp_path / "in", tmp_path / "other", preview={})
    assert other.read_bytes() == b"mine"
    assert summary.skipped == {"exists": 20}


def test_a_broken_slice_costs_itself_and_the_rest_is_shown(tmp_path: Path) -> None:
    body(tmp_path / "in" / "a", ACQUIRED["axial"])
    victim = tmp_path / "in" / "a" / "000.dcm"
    os.truncate(victim, victim.stat().st_size - 500)
    export(tmp_path / "in", tmp_path / "out", metadata={}, preview={"size": SIZE})
    assert set(failures(tmp_path / "out")) == {"a/000.dcm"}
    assert len(rows(tmp_path / "out")) == 20
    assert len(panels(picture(tmp_path / "out"))) == 3


def test_series_csv_names_the_preview(tmp_path: Path) -> None:
    body(tmp_path / "in" / "a", ACQUIRED["axial"])
    export(tmp_path / "in", tmp_path / "out", preview={})
    header, row = (tmp_path / "out" / "series.csv").read_text("utf-8").splitlines()
    assert header.endswith(",preview")
    assert (tmp_path / "out" / "previews" / row.rpartition(",")[2]).is_file()


def test_a_size_beyond_reason_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"preview\.size = 5000: expected at most 4096"):
        config(tmp_path, tmp_path / "out", preview={"size": 5000})


def test_the_acquired_plane_tells_slices_and_their_distance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[str] = []
    monkeypatch.setattr(Canvas, "text", lambda self, text, *_: words.append(text))
    ct_series(tmp_path / "in", n=7, spacing=2.5, orientation="sagittal")
    export(tmp_path / "in", tmp_path / "out", preview={})
    assert words[words.index("sagittal") + 1] == "7 x 2.5 mm"
    assert sum(" x " in text for text in words) == 1
