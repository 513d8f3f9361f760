"""Writing found by the network: offline, in workers, in what the strokes cannot be looked at, and in frames alone."""

from __future__ import annotations

import shutil
import socket
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from support.burned import TEXTS, Picture, covered, ground, picture
from support.factories import quick_dataset, save
from support.runs import export, rows

from crawler.errors import ConfigError
from crawler.privacy import ocr
from crawler.privacy.strokes import share

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ULTRASOUND_CINE = "1.2.840.10008.5.1.4.1.1.3.1"


@pytest.fixture
def network() -> None:
    pytest.importorskip("rapidocr", reason="pip install -r requirements-ocr.txt")
    pytest.importorskip("onnxruntime", reason="pip install -r requirements-ocr.txt")


def clean(source: Path, out: Path, pixels: dict[str, Any] | None = None, **sections: Any) -> dict[str, dict[str, Any]]:
    usual: dict[str, Any] = {"metadata": {}, "image": {"bits": 8, "window": "full"}, "volume": {"formats": ["hdf5"]}}
    privacy = {"private": str(out.parent / "private"), "pixels": {"detect": "ocr", **(pixels or {})}}
    export(source, out, **{**usual, **sections}, privacy=privacy)  # `workers` among them
    return rows(out)


def stored(out: Path, row: dict[str, Any]) -> np.ndarray:
    with h5py.File(out / "volumes" / row["volume_file"]) as file:
        return np.asarray(file["image"][()])


def written(values: np.ndarray, text: str, place: tuple[int, int], size: int, level: int) -> Picture:
    """A picture with a string at (column, row)."""
    image = Image.fromarray(values)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    draw.text(place, text, fill=level, font=font)
    left, top, right, bottom = draw.textbbox(place, text, font=font)
    return Picture(np.asarray(image), ((int(top), int(bottom) + 1, int(left), int(right) + 1),))


@pytest.mark.system
@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("kind", ["US", "CT"])
def test_writing_is_found_without_a_network(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def refused(*args: object, **options: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket.socket, "connect_ex", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    ocr._network.cache_clear()
    one = picture(kind, 3, 12)
    boxes = ocr.find(one.values)
    assert min(covered(boxes, string) for string in one.strings) >= 0.9
    assert share(ocr.find(ground(kind, 3)), *one.values.shape) < 0.05


@pytest.mark.system
@pytest.mark.usefixtures("network")
def test_few_bright_letters_of_16_bits_are_found_beside_much_tissue() -> None:
    values = ground("CT", 1).astype(np.uint16) * 4
    one = written(np.zeros((512, 512), np.uint8), TEXTS[0], (150, 250), 12, 255)
    both = np.where(one.values > 100, 60000, values).astype(np.uint16)
    assert covered(ocr.find(both), one.strings[0]) >= 0.9
    faint = np.where(one.values > 100, values + 200, values).astype(np.int16)  # on a body of 420
    faint[0, 0] = 30000  # one value that would make all others one grey
    assert covered(ocr.find(faint), one.strings[0]) >= 0.9


@pytest.mark.system
@pytest.mark.usefixtures("network")
def test_a_large_picture_is_looked_at_in_tiles() -> None:
    large = np.full((1500, 2300), 40, np.uint8)
    one = written(large, TEXTS[3], (1000, 700), 20, 220)  # across the edges of tiles
    assert covered(ocr.find(one.values), one.strings[0]) >= 0.9


@pytest.mark.system
@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("text", ["Щукина Людмила", "Παπαδοπούλου Ελένη", "كلثوم", "Łukaś Müller-Groß"])
def test_what_is_not_read_is_detected(text: str) -> None:
    """The model knows Latin letters and Chinese; of other scripts it is asked where they stand, not what they say."""
    matplotlib = pytest.importorskip("matplotlib", reason="pip install matplotlib")
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 22)
    image = Image.fromarray(ground("US", 1).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.text((20, 16), text, fill=230, font=font)
    left, top, right, bottom = (int(number) for number in draw.textbbox((20, 16), text, font=font))
    assert covered(ocr.find(np.asarray(image)), (top, bottom, left, right)) >= 0.6


@pytest.mark.system
@pytest.mark.usefixtures("network")
def test_writing_of_a_cine_over_moving_tissue_is_found_in_what_the_frames_have_in_common(tmp_path: Path) -> None:
    """Dark letters, which the brightest that each pixel has been shows."""
    frames = np.stack([ground("CR", number)[:240, :320] for number in range(12)])
    frames = np.clip(frames + np.random.default_rng(1).normal(0, 8, frames.shape), 1, 255).astype(np.uint8)
    one = written(np.zeros((240, 320), np.uint8), TEXTS[0], (20, 100), 18, 255)
    frames[:, one.values > 100] = 0
    save(
        quick_dataset(frames, Modality="US", SOPClassUID=ULTRASOUND_CINE, NumberOfFrames=12), tmp_path / "in" / "a.dcm"
    )
    (row,) = clean(tmp_path / "in", tmp_path / "out", image=None, video=None).values()
    assert row["outcome"] == "exported", row["stage"]
    image = stored(tmp_path / "out", row).reshape(frames.shape)
    top, bottom, left, right = one.strings[0]
    assert (image[:, top:bottom, left:right] == 0).mean() >= 0.9


def test_tiles_cover_a_picture_and_overlap() -> None:
    for size in (1, 736, 1024, 1025, 1920, 1921, 5000):
        cuts = list(ocr._cuts(size))
        assert (cuts[0][0], cuts[-1][1]) == (0, size)
        assert all(end - start <= 1024 for start, end in cuts)
        assert all(first[1] - second[0] >= 100 for first, second in pairwise(cuts))


@pytest.mark.system
@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_small_picture_is_masked_in_every_output(tmp_path: Path, workers: int) -> None:
    """Of fewer than 400 rows: strokes hold it back."""
    one = written(ground("US", 1)[100:340, 160:480].astype(np.uint8), TEXTS[1], (20, 40), 14, 255)
    save(quick_dataset(one.values, Modality="OT", SOPClassUID=SECONDARY_CAPTURE), tmp_path / "in" / "a.dcm")
    (row,) = clean(tmp_path / "in", tmp_path / "out", preview={}, workers=workers).values()
    assert row["outcome"] == "exported"
    top, bottom, left, right = one.strings[0]
    image = stored(tmp_path / "out", row).reshape(one.values.shape)
    assert not image[top:bottom, left:right].any()
    assert (image == one.values).mean() > 0.8
    shown = np.asarray(Image.open(tmp_path / "out" / "media" / row["media_file"]))
    assert np.unique(shown[top:bottom, left:right]).size == 1


@pytest.mark.system
@pytest.mark.usefixtures("network")
def test_a_palette_is_looked_at_in_its_colours(tmp_path: Path) -> None:
    """Letters and ground have indices that differ by 1, and colours that differ in all."""
    one = written(np.full((240, 320), 100, np.uint8), TEXTS[0], (10, 60), 14, 101)
    values = np.where(one.values > 100, 101, 100).astype(np.uint8)
    made = quick_dataset(
        values, Modality="OT", SOPClassUID=SECONDARY_CAPTURE, PhotometricInterpretation="PALETTE COLOR"
    )
    table = np.zeros(256, "<u2")
    table[101] = 0xFFFF
    for colour in ("Red", "Green", "Blue"):
        setattr(made, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(made, f"{colour}PaletteColorLookupTableData", table.tobytes())
    save(made, tmp_path / "in" / "a.dcm")
    (row,) = clean(tmp_path / "in", tmp_path / "out", volume=None).values()
    assert row["outcome"] == "exported"
    shown = np.asarray(Image.open(tmp_path / "out" / "media" / row["media_file"]).convert("L"))
    top, bottom, left, right = one.strings[0]
    assert not shown[top:bottom, left:right].any()


@pytest.mark.system
@pytest.mark.usefixtures("network")
def test_writing_that_one_frame_alone_has_is_masked(tmp_path: Path) -> None:
    frames = np.stack([ground("US", 1)] * 7).astype(np.uint8)  # frames 1, 4 and 7 are looked at in any case
    one = written(frames[2], TEXTS[0], (220, 30), 18, 255)
    frames[2] = one.values
    save(quick_dataset(frames, Modality="US", SOPClassUID=ULTRASOUND_CINE, NumberOfFrames=7), tmp_path / "in" / "a.dcm")
    (row,) = clean(tmp_path / "in", tmp_path / "out").values()
    image = stored(tmp_path / "out", row).reshape(frames.shape)
    top, bottom, left, right = one.strings[0]
    assert not image[:, top:bottom, left:right].any()


@pytest.mark.parametrize("detect", ["strokes", pytest.param("ocr", marks=pytest.mark.system)])
def test_a_header_that_says_yes_where_nothing_is_found_holds_the_file(
    tmp_path: Path, detect: str, request: pytest.FixtureRequest
) -> None:
    if detect == "ocr":
        request.getfixturevalue("network")
    values = np.tile(np.linspace(20, 200, 512).astype(np.uint8), (512, 1))
    made: Dataset = quick_dataset(values, Modality="CR", BurnedInAnnotation="YES")
    save(made, tmp_path / "in" / "a.dcm")
    (row,) = clean(tmp_path / "in", tmp_path / "out", {"detect": detect}).values()
    assert (row["outcome"], row["reason"]) == ("skipped", "held by privacy")
    assert "its header says so" in row["stage"]


def test_the_missing_packages_are_named_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr.importlib.util, "find_spec", lambda name: None)
    save(quick_dataset(np.zeros((40, 40), np.uint8)), tmp_path / "in" / "a.dcm")
    with pytest.raises(ConfigError, match=r"privacy\.pixels\.detect: ocr needs .* requirements-ocr\.txt"):
        clean(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out" / "metadata.jsonl").exists()


@pytest.mark.system
@pytest.mark.usefixtures("network")
def test_another_reader_finds_no_words_in_what_is_left_of_real_ultrasounds(tmp_path: Path) -> None:
    """Tesseract reads names of hospitals, dates and settings before; regions are left aside."""
    if shutil.which("tesseract") is None:
        pytest.skip("needs tesseract: apt-get install tesseract-ocr")
    names = ("US1_UNCR.dcm", "gdcm-US-ALOKA-16.dcm", "color3d_jpeg_baseline.dcm", "examples_palette.dcm")
    paths = [path for path in (get_testdata_file(name, download=False) for name in names) if path is not None]
    assert len(paths) == len(names)
    (tmp_path / "in").mkdir()
    for path in paths:
        shutil.copy(path, tmp_path / "in")
    before = tmp_path / "before"
    export(tmp_path / "in", before, metadata={}, image={"bits": 8, "window": "full"})
    clean(tmp_path / "in", tmp_path / "out", {"regions": False}, volume=None)
    read = [words(path) for path in sorted((before / "media").rglob("*.png"))]
    left = [words(path) for path in sorted((tmp_path / "out" / "media").rglob("*.png"))]
    assert len(read) == len(left) >= 3
    assert sum(map(len, read)) >= 15
    assert left == [[]] * len(left)


def words(path: Path) -> list[str]:
    """What tesseract is sure to read, of three letters or digits at least."""
    command = ["tesseract", str(path), "stdout", "--psm", "11", "tsv"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    cells = [line.split("\t") for line in lines]
    return [one[11] for one in cells if float(one[10]) >= 70 and sum(map(str.isalnum, one[11])) >= 3]
