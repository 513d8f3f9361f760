"""Measures of frames and what they are judged to be, on made and on real images, and how they reach rows and tables."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from support.factories import ct_series, quick_dataset, save
from support.pages import page
from support.runs import ALL, ROOT, content, export, failures, rows

from crawler.config.loader import Config
from crawler.errors import ConfigError
from crawler.model import Frame
from crawler.quality.measures import (
    DEFAULTS,
    OTHER,
    Measures,
    Tally,
    Thresholds,
    grey_of,
    judge,
    measure,
    thresholds_for,
)

CELLS = set(Tally(0.3).cells("frames"))
QUALITY: dict[str, Any] = {"metadata": {}, "quality": {}}


def noise(mean: float = 1000, spread: float = 200, size: tuple[int, int] = (128, 128), seed: int = 0) -> np.ndarray:
    return np.rint(np.random.default_rng(seed).normal(mean, spread, size))


def measured(grey: np.ndarray, inverse: bool = False) -> Measures:
    found = measure(np.asarray(grey, dtype=float), inverse)
    assert found is not None
    return found


def reasons(grey: np.ndarray, modality: str, inverse: bool = False) -> tuple[str, ...]:
    return judge(measured(grey, inverse), thresholds_for(modality))


def radiograph(background: float = 0.0) -> np.ndarray:
    """A body in the middle of unattenuated beam, which is shown black when it is 0."""
    grey = noise(2000, 300)
    for side in (grey, grey.T):
        side[:20] = side[-20:] = background
    return grey


def head() -> np.ndarray:
    """A head in noisy air in Hounsfield units: air takes three quarters of the frame."""
    grey = noise(-1000, 10)
    grey[32:96, 32:96] = noise(40, 30, (64, 64))
    grey[32:36, 32:96] = noise(1200, 200, (4, 64), seed=1)
    return grey


# ---- one frame


def test_measures_of_values_that_are_known() -> None:
    values = np.arange(10_000.0).reshape(100, 100)
    found = measured(values)
    assert found.dynamic_range == pytest.approx(0.96 * 10_000, rel=1e-3)
    assert found.contrast == pytest.approx(10_000 / np.sqrt(12), rel=1e-3)
    assert found.unique_ratio == 1
    assert (found.under_exposure, found.over_exposure) == pytest.approx((0.0545, 0.0545), abs=1e-3)  # 0.05 of 99 %
    assert found.levels == 10_000
    assert found.two_tones == 0


def test_the_plateau_at_the_darkest_value_is_no_content() -> None:
    empty = noise()
    empty[:, :100] = 0  # background that was set to zero: 78 % of the frame
    plain, cut = measured(noise()[:, 100:]), measured(empty)
    assert cut.dynamic_range == pytest.approx(plain.dynamic_range, rel=0.05)
    assert cut.contrast == pytest.approx(plain.contrast, rel=0.05)
    assert cut.under_exposure < 0.1


def test_the_plateau_is_the_brightest_value_where_the_smallest_is_white() -> None:
    frame = radiograph(4095)
    assert asdict(measured(frame, inverse=True)) == pytest.approx(asdict(measured(4095 - frame)))


@pytest.mark.parametrize("modality", ["CT", "MR", "DX"])
def test_an_even_frame_is_low_in_range_and_contrast(modality: str) -> None:
    assert reasons(np.full((64, 64), 700), modality)[:2] == ("low dynamic range", "low contrast")


def test_a_frame_of_few_levels_is_of_low_complexity() -> None:
    assert reasons(np.rint(noise() / 20) * 20, "CT") == ("low complexity",)


def test_exposure_of_radiographs() -> None:
    dark = np.where(np.arange(128 * 128).reshape(128, 128) % 100 < 2, 4000, noise(60, 15))
    bright = np.minimum(noise(4200, 120), 4095)
    assert "under-exposed" in reasons(dark, "DX")
    assert "over-exposed" in reasons(np.where(bright < 4050, bright - 2000, bright), "DX")
    assert reasons(radiograph(), "DX") == ()


def test_a_shown_black_edge_is_no_inversion_and_a_white_one_is() -> None:
    assert reasons(radiograph(), "DX") == ()
    assert "inverted grey" in reasons(radiograph(4095), "DX")
    assert "inverted grey" not in reasons(radiograph(4095), "DX", inverse=True)  # MONOCHROME1: 4095 is shown black


def test_lungs_are_no_inversion() -> None:
    chest = noise(2600, 100)  # shoulders and abdomen at the edge, lungs in the middle, spine the brightest
    chest[24:104, 16:56] = chest[24:104, 72:112] = noise(900, 100, (80, 40))
    chest[:, 58:70] = noise(3900, 100, (128, 12))
    found = measured(chest)
    assert found.edge - found.middle > 0.1  # what seeds/000 inverts
    assert "inverted grey" not in judge(found, thresholds_for("CR"))


def test_a_small_field_of_view_in_ct_is_neither_inverted_nor_under_exposed() -> None:
    """seeds/000 took lungs inside a brighter edge for an inversion, and wrote other Hounsfield units to the file."""
    chest = noise(60, 40)
    chest[20:108, 20:108] = noise(-800, 50, (88, 88), seed=1)
    assert measured(chest).edge - measured(chest).middle > 0.7
    assert reasons(chest, "CT") == ()
    assert measured(head()).under_exposure > 0.6
    assert reasons(head(), "CT") == ()


def test_fat_and_lungs_count_in_ct() -> None:
    """Dropping all below 0.1 % of the greatest value, as seeds/000 does, would leave 4 % of this frame."""
    lungs = noise(-850, 60)
    lungs[:5] = noise(300, 50, (5, 128), seed=1)
    assert measured(lungs).contrast > 100
    assert np.count_nonzero(lungs > 0.001 * lungs.max()) / lungs.size < 0.05


@pytest.mark.parametrize("levels", [2, 3, 16])
def test_label_maps_are_masks(levels: int) -> None:
    labels = np.random.default_rng(0).integers(0, levels, (128, 128)) * 100
    assert "likely mask" in reasons(labels, "CT")
    assert "likely mask" not in reasons(labels, "NM")  # a handful of counts


def test_a_blurred_mask_is_a_mask_and_sparse_signal_is_not() -> None:
    mask = np.zeros((128, 128))
    mask[40:90, 40:90] = 255
    blurred = mask + np.random.default_rng(0).integers(-2, 3, mask.shape)  # as lossy codecs leave it
    blurred[39, 40:90] = np.linspace(10, 245, 50)
    assert measured(blurred).two_tones == 1
    assert "likely mask" in reasons(blurred, "DX")
    sparse = np.zeros((128, 128))
    sparse[60:64, 60:64] = noise(500, 100, (4, 4))
    assert measured(sparse).two_tones == 0


def test_nothing_to_measure_and_one_pixel() -> None:
    assert measure(np.full((4, 4), np.nan)) is None
    assert measured(np.array([[7.0]])).dynamic_range == 0


@pytest.mark.parametrize("size", [(1, 500), (500, 1), (2, 2), (3, 3)])
def test_frames_that_are_all_edge(size: tuple[int, int]) -> None:
    found = measured(noise(size=size))
    assert 0 <= found.edge <= 1
    assert 0 <= found.middle <= 1


def test_values_beyond_float_range_give_no_number_and_no_error() -> None:
    cells = tally_of(measured(np.linspace(-1, 1, 16).reshape(4, 4) * 1.7e308)).cells("frames")
    json.dumps(cells, allow_nan=False)
    assert cells["quality_dynamic_range"] is None


# ---- what is measured of a frame


def test_grey_is_modality_values_without_padding() -> None:
    stored = np.array([[-2000, 0], [1, 2]], np.int16)
    grey = grey_of(Frame(0, stored, "MONOCHROME2", 2.0, -1024.0), pad=(-2000.0, -2000.0))
    assert grey[1].tolist() == [-1022, -1020]
    assert np.isnan(grey[0, 0])


def test_grey_of_colour_is_luma() -> None:
    rgb = np.zeros((2, 2, 3), np.uint8)
    rgb[0, 0], rgb[0, 1] = (255, 255, 255), (0, 255, 0)
    assert grey_of(Frame(0, rgb, "RGB")).tolist() == [[255, 150], [0, 0]]


def test_large_frames_are_sampled_and_measure_the_same() -> None:
    large = noise(size=(1500, 1200)).astype(np.int16)
    frame = Frame(0, large, "MONOCHROME2")
    before = large.copy()
    grey = grey_of(frame)
    assert 60_000 * 0.75 < grey.size <= 66_000
    assert measured(grey).contrast == pytest.approx(measured(large).contrast, rel=0.02)
    assert measured(grey).dynamic_range == pytest.approx(measured(large).dynamic_range, rel=0.02)
    np.testing.assert_array_equal(large, before)


# ---- tallies and thresholds


def tally_of(*found: Measures, share: float = 0.3, modality: str = "CT") -> Tally:
    tally = Tally(share)
    for one in found:
        tally.add(one, judge(one, thresholds_for(modality)))
    return tally


def test_a_file_is_low_when_more_than_the_share_of_its_frames_is() -> None:
    good, bad = measured(head()), measured(np.zeros((64, 64)))
    assert not tally_of(*[good] * 7, *[bad] * 3).is_low
    low = tally_of(*[good] * 6, *[bad] * 4)
    assert low.is_low
    assert low.reasons == ("low dynamic range", "low contrast", "low complexity")
    assert low.mean.contrast == pytest.approx(0.6 * good.contrast)


def test_built_in_thresholds_are_those_of_the_reference() -> None:
    text = page("reference/quality.md")
    table = [line.strip("|").split("|") for line in text.splitlines() if re.match(r"\| (low|under|inv|likely)", line)]
    told: dict[str, dict[str, float]] = {"CT": {}, "MR": {}, "DX": {}}
    for _, rule, *cells in table:
        for name in re.findall(r"`(\w+)`", rule):
            told |= {
                modality: told[modality] | {name: float(cell)}
                for modality, cell in zip(told, map(str.strip, cells), strict=True)
                if cell
            }
    assert {modality: Thresholds(**given) for modality, given in told.items()} == {
        modality: DEFAULTS[modality] for modality in told
    }
    named = re.search(r"^(IO, .*) are judged like", text, re.MULTILINE)
    assert named
    assert set(re.findall(r"[A-Z]{2}", named[1])) == {
        modality for modality, given in DEFAULTS.items() if given == DEFAULTS["US"]
    }
    assert thresholds_for("XC") == OTHER
    columns = set(re.findall(r"quality_[a-z_]+", text))
    assert columns == CELLS | {"quality_files", "quality_low_files"}


def test_given_thresholds_go_over_the_built_in_ones() -> None:
    assert thresholds_for("CT", {"contrast": 9.0, "inverted": None}) == Thresholds(20, 9, 0.01, mask_levels=16)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"share": 30}, "quality.share = 30"),
        ({"thresholds": {"ct": {}}}, "quality.thresholds.ct"),
        ({"thresholds": {"CT": {"contrasts": 3}}}, "quality.thresholds.CT.contrasts"),
        ({"thresholds": {"CT": {"contrast": -3}}}, "quality.thresholds.CT.contrast"),
    ],
)
def test_a_section_that_cannot_be_is_refused(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        Config.from_mapping({"dicom": {"dir": "in"}, "quality": section})


# ---- runs


def series(out: Path) -> dict[str, dict[str, str]]:
    with open(out / "series.csv", newline="", encoding="utf-8") as file:
        return {row["scan_id"]: row for row in csv.DictReader(file)}


def quality_of(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name.startswith("quality_")}


def test_without_the_section_there_are_no_columns(tmp_path: Path) -> None:
    ct_series(tmp_path / "in" / "a", 2)
    export(tmp_path / "in", tmp_path / "out", metadata={})
    assert not any(quality_of(row) for row in rows(tmp_path / "out").values())
    for name in ("metadata.csv", "series.csv"):
        assert "quality" not in (tmp_path / "out" / name).read_text("utf-8")


def test_rows_and_series_tell_the_quality(tmp_path: Path) -> None:
    for number in range(4):
        low = number < 2
        pixels = np.zeros((32, 32), np.int16) if low else noise(size=(32, 32), seed=number).astype(np.int16)
        save(quick_dataset(pixels, InstanceNumber=number), tmp_path / "in" / f"{number}.dcm")
    summary = export(tmp_path / "in", tmp_path / "out", **QUALITY)
    assert summary.exported == 4
    found = rows(tmp_path / "out")
    assert all(set(quality_of(row)) == CELLS for row in found.values())
    assert [found[f"{number}.dcm"]["quality_low"] for number in range(4)] == [True, True, False, False]
    assert found["0.dcm"]["quality_reasons"] == ["low dynamic range", "low contrast", "low complexity"]
    assert found["3.dcm"]["decoder"] == "native"  # quality alone has it decoded
    [row] = series(tmp_path / "out").values()
    assert (row["quality_files"], row["quality_low_files"], row["quality_low"]) == ("4", "2", "True")
    assert row["quality_reasons"] == "low dynamic range|low contrast|low complexity"
    mean = np.mean([one["quality_contrast"] for one in found.values()])
    assert float(row["quality_contrast"]) == pytest.approx(mean, rel=1e-5)
    header = (tmp_path / "out" / "metadata.csv").read_text("utf-8").splitlines()[0].split(",")
    first = header.index("assumed_transfer_syntax") + 1
    assert set(header[first : first + len(CELLS)]) == CELLS


@pytest.mark.parametrize("columns", ["nested", "flat"])
def test_tables_hold_the_columns(tmp_path: Path, columns: str) -> None:
    ct_series(tmp_path / "in" / "a", 2)
    export(tmp_path / "in", tmp_path / "out", metadata={"columns": columns}, quality={})
    with open(tmp_path / "out" / "metadata.csv", newline="", encoding="utf-8") as file:
        told = list(csv.DictReader(file))
    assert [row["quality_frames"] for row in told] == ["1", "1"]


def test_every_frame_of_a_cine_counts_once_whatever_else_is_made(tmp_path: Path) -> None:
    """One decode serves all outputs, and what is measured depends on none of them."""
    cine = np.stack([noise(seed=number).astype(np.uint16) for number in range(6)])
    cine[:4] = 5
    save(quick_dataset(cine, Modality="XA"), tmp_path / "in" / "cine.dcm")
    told = []
    for name, sections in (("alone", {}), ("all", ALL), ("previews", {"preview": {}}), ("volumes", {"volume": {}})):
        export(tmp_path / "in", tmp_path / name, **({**QUALITY, **sections}))
        [row] = rows(tmp_path / name).values()
        told.append(quality_of(row))
    assert told[0]["quality_frames"] == 6
    assert told[0]["quality_low_frames"] == 4
    assert told[1:] == told[:1] * 3


def test_outputs_are_the_same_with_and_without(tmp_path: Path) -> None:
    """seeds/000 rewrote what it judged: edges brighter than the middle were inverted, radiographs turned over."""
    source = tmp_path / "in"
    ct = np.where(radiograph(1) == 1, 1100, 200).astype(np.int16)
    save(quick_dataset(ct, RescaleIntercept=-1024, RescaleSlope=1), source / "ct" / "small_fov.dcm")
    save(quick_dataset(radiograph(4095).astype(np.uint16), Modality="DX"), source / "dx" / "hand.dcm")
    before = {path: path.read_bytes() for path in source.rglob("*.dcm")}
    export(source, tmp_path / "plain", **ALL)
    export(source, tmp_path / "judged", **ALL, quality={})
    assert quality_of(rows(tmp_path / "judged")["dx/hand.dcm"])["quality_reasons"] == ["inverted grey"]
    plain, judged = content(tmp_path / "plain"), content(tmp_path / "judged")
    made = [name for name in plain if name.endswith((".png", ".h5"))]
    assert len(made) >= 4
    assert [repr(plain[name]) for name in made] == [repr(judged[name]) for name in made]
    assert {path: path.read_bytes() for path in source.rglob("*.dcm")} == before


def test_workers_and_resume_tell_the_same(tmp_path: Path) -> None:
    ct_series(tmp_path / "in" / "a", 4)
    ct_series(tmp_path / "in" / "b", 3)
    export(tmp_path / "in", tmp_path / "none", 0, **ALL, quality={})
    export(tmp_path / "in", tmp_path / "two", 2, **ALL, quality={})
    assert content(tmp_path / "none") == content(tmp_path / "two")
    export(tmp_path / "in", tmp_path / "later", 0, **ALL)
    export(tmp_path / "in", tmp_path / "later", 0, **ALL, quality={})  # added later: made for what is there
    assert rows(tmp_path / "later") == rows(tmp_path / "none")


def test_a_file_that_fails_leaves_the_measures_of_the_others(tmp_path: Path) -> None:
    paths = ct_series(tmp_path / "in" / "a", 5)
    whole = paths[2].read_bytes()
    paths[2].write_bytes(whole[:-100])
    export(tmp_path / "in", tmp_path / "out", **ALL, quality={})
    found = rows(tmp_path / "out")
    assert list(failures(tmp_path / "out")) == ["a/" + paths[2].name] == [n for n in found if found[n]["stage"]]
    assert sorted(row["quality_frames"] for row in found.values()) == [0, 1, 1, 1, 1]
    broken = quality_of(found["a/" + paths[2].name])
    assert broken["quality_low"] is broken["quality_contrast"] is None


def test_what_is_not_selected_is_not_measured(tmp_path: Path) -> None:
    save(quick_dataset(Modality="CT"), tmp_path / "in" / "ct.dcm")
    save(quick_dataset(Modality="MR", SeriesInstanceUID="1.2.3"), tmp_path / "in" / "mr.dcm")
    export(tmp_path / "in", tmp_path / "out", **QUALITY, select={"modality": ["MR"]})
    found = rows(tmp_path / "out")
    assert (found["ct.dcm"]["quality_frames"], found["mr.dcm"]["quality_frames"]) == (0, 1)
    assert found["ct.dcm"]["decoder"] is None


def test_thresholds_of_the_configuration_judge(tmp_path: Path) -> None:
    save(quick_dataset(noise().astype(np.int16)), tmp_path / "in" / "one.dcm")
    export(tmp_path / "in", tmp_path / "out", metadata={}, quality={"thresholds": {"CT": {"contrast": 500}}})
    [row] = rows(tmp_path / "out").values()
    assert row["quality_reasons"] == ["low contrast"]


def test_padding_is_no_content(tmp_path: Path) -> None:
    padded = noise().astype(np.int16)
    padded[:64] = -2000
    padded[:64, ::2] = -1990  # two values, so that it is no plateau
    elements = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1990}
    for keys in ("keyword", "name", "tag"):
        source, out = tmp_path / keys / "in", tmp_path / keys / "out"
        save(quick_dataset(padded, **elements), source / "told.dcm")
        save(quick_dataset(padded, SeriesInstanceUID="1.2.3"), source / "untold.dcm")
        export(source, out, metadata={"keys": keys}, quality={})
        found = rows(out)
        assert found["told.dcm"]["quality_contrast"] == pytest.approx(200, rel=0.05)
        assert found["untold.dcm"]["quality_contrast"] > 1000


@pytest.mark.parametrize("photometric", ["CMYK", "PALETTE COLOR"])
def test_a_picture_that_cannot_be_measured_fails_nothing(tmp_path: Path, photometric: str) -> None:
    colour = photometric == "CMYK"
    pixels = np.zeros((8, 8, 3) if colour else (8, 8), np.uint8)
    save(quick_dataset(pixels, PhotometricInterpretation=photometric), tmp_path / "in" / "one.dcm")
    summary = export(tmp_path / "in", tmp_path / "out", **QUALITY)
    assert (summary.exported, summary.failed) == (1, {})
    [row] = rows(tmp_path / "out").values()
    assert row["quality_frames"] == 0


# ---- real images


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "examples_palette.dcm", "examples_rgb_color.dcm", "693_J2KR.dcm"],
)
def test_real_images_are_not_low(tmp_path: Path, name: str) -> None:
    path = Path(str(get_testdata_file(name)))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(path.read_bytes())
    export(tmp_path / "in", tmp_path / "out", **QUALITY)
    row = rows(tmp_path / "out")[name]
    assert (row["quality_frames"], row["quality_low"]) == (1, False), row["quality_reasons"]


def test_a_real_ct_measures_what_its_pixels_say(tmp_path: Path) -> None:
    path = Path(str(get_testdata_file("CT_small.dcm")))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ct.dcm").write_bytes(path.read_bytes())
    export(tmp_path / "in", tmp_path / "out", **QUALITY)
    [row] = rows(tmp_path / "out").values()
    dataset = dcmread(path)
    values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    inner = values[values > values.min()]
    low, high = np.percentile(inner, (2, 98), method="nearest")
    assert row["quality_dynamic_range"] == pytest.approx(high - low, rel=1e-5)
    assert row["quality_contrast"] == pytest.approx(inner.std(), rel=1e-5)
    assert row["quality_levels"] == np.unique(values).size


def test_a_real_segmentation_is_not_judged(tmp_path: Path) -> None:
    """Two levels are what it means: it is no image of low quality."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "seg.dcm").write_bytes(Path(str(get_testdata_file("liver_1frame.dcm"))).read_bytes())
    export(tmp_path / "in", tmp_path / "out", **QUALITY)
    [row] = rows(tmp_path / "out").values()
    assert (row["quality_low"], row["quality_reasons"], row["quality_frames"]) == (None, [], 0)


def test_the_sample_tree_is_not_low(tmp_path: Path) -> None:
    export(ROOT / "dicom_data", tmp_path / "out", **QUALITY)
    low = [name for name, row in rows(tmp_path / "out").items() if row["quality_low"]]
    assert low == []
