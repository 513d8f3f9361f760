"""What the voxels are: a table of image types of many makers, and the promise that ordinary words split nothing."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

import pytest

from crawler import find, read_instance
from crawler.dicom.attributes import Attributes
from crawler.errors import FileError
from crawler.instance.component import component_of


def component(words: str, modality: str = "MR", **record: Any) -> str:
    values = [word or None for word in words.split("\\")]
    return component_of(Attributes({"ImageType": values, **record}, "keyword"), modality)


@pytest.mark.parametrize("maker", ["CANON_MEC", "TOSHIBA_MEC", "UIH"])
def test_makers_without_an_element_of_their_own(maker: str) -> None:
    """dcm2niix tells the parts of their complex images by the public (0008,9208) and by *Image Type* alone."""
    for part, told in (("MAGNITUDE", ""), ("PHASE", "PHASE"), ("REAL", "REAL"), ("IMAGINARY", "IMAGINARY")):
        given = {"Manufacturer": maker, "ComplexImageComponent": part}
        assert component(r"ORIGINAL\PRIMARY\OTHER", **given) == told
    for letter, told in (("M", ""), ("P", "PHASE"), ("R", "REAL"), ("I", "IMAGINARY")):
        assert component(rf"ORIGINAL\PRIMARY\{letter}\ND", Manufacturer=maker) == told


@pytest.mark.parametrize(
    "words",
    [
        r"ORIGINAL\PRIMARY",
        r"ORIGINAL\PRIMARY\M\ND\NORM\MOSAIC",
        r"ORIGINAL\PRIMARY\M\NORM\DIS2D\MFSPLIT",
        r"ORIGINAL\PRIMARY\M\ND\NORM\FM\FIL",
        r"ORIGINAL\PRIMARY\M_FFE\M\FFE",
        r"ORIGINAL\PRIMARY\M_SE\M\SE",
        r"ORIGINAL\PRIMARY\T1\NONE",
        r"ORIGINAL\PRIMARY\T1\MIXED",
        r"ORIGINAL\PRIMARY\DIFFUSION\NONE\ND\NORM",
        r"ORIGINAL\PRIMARY\EPI\NONE",
        r"DERIVED\SECONDARY\OTHER",
        r"DERIVED\SECONDARY\MPR\CSA MPR\\CSAPARALLEL\M\ND\NORM",
        r"ORIGINAL\PRIMARY\\0001",
    ],
)
def test_ordinary_words_mean_nothing(words: str) -> None:
    assert component(words) == ""
    assert component(words, "CT") == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (r"ORIGINAL\PRIMARY\P\ND", "PHASE"),
        (r"ORIGINAL\PRIMARY\P_FFE\P\FFE", "PHASE"),
        (r"ORIGINAL\PRIMARY\PHASE MAP\P\FFE", "PHASE"),
        (r"ORIGINAL\PRIMARY\R_IR\R\IR", "REAL"),
        (r"ORIGINAL\PRIMARY\I\FFE", "IMAGINARY"),
        (r"DERIVED\PRIMARY\DIFFUSION\ADC\ND\NORM", "ADC"),
        (r"DERIVED\PRIMARY\DIFFUSION\TRACEW\ND\NORM", "TRACE"),
        (r"DERIVED\PRIMARY\DIFFUSION\FA\ND", "FA"),
        (r"DERIVED\PRIMARY\T1 MAP\T1\UNSPECIFIED", "T1_MAP"),
        (r"ORIGINAL\PRIMARY\VELOCITY MAP\P\PCA", "VELOCITY_MAP"),
        (r"DERIVED\SECONDARY\MIP\M", "MAX_IP"),
        (r"DERIVED\SECONDARY\M\SUB", "SUBTRACTION"),
        (r"DERIVED\SECONDARY\M\MEAN", "MEAN"),
        (r"DERIVED\PRIMARY\DIXON\WATER", "WATER"),
        (r"ORIGINAL\PRIMARY\localizer ", "LOCALIZER"),
    ],
)
def test_words_of_makers(words: str, expected: str) -> None:
    assert component(words) == expected


@pytest.mark.parametrize(
    ("words", "modality", "expected"),
    [
        (r"ORIGINAL\PRIMARY\LOCALIZER", "CT", "LOCALIZER"),
        (r"DERIVED\PRIMARY\PERFUSION\RCBF", "CT", "RCBF"),
        (r"ORIGINAL\PRIMARY\\R", "DX", ""),  # the right side
        (r"DERIVED\PRIMARY\AXIAL\EXP", "CT", ""),  # expiration
        (r"ORIGINAL\PRIMARY\M\P", "PT", ""),
    ],
)
def test_letters_are_those_of_mr(words: str, modality: str, expected: str) -> None:
    assert component(words, modality) == expected


def test_public_element_comes_before_words_and_vendors() -> None:
    assert component(r"ORIGINAL\PRIMARY\T1\NONE", ComplexImageComponent="PHASE") == "PHASE"
    assert component(r"ORIGINAL\PRIMARY\T1\NONE", ComplexImageComponent="MAGNITUDE") == ""
    assert component(r"ORIGINAL\PRIMARY\T1\NONE", ComplexImageComponent="MIXED") == ""
    assert component(r"DERIVED\PRIMARY\T1\FIELD_MAP", ComplexImageComponent="REAL") == "FIELD_MAP"


@pytest.mark.parametrize("keys", ["keyword", "tag"])
@pytest.mark.parametrize(
    ("number", "expected"), [(0, ""), (1, "PHASE"), (2, "REAL"), (3, "IMAGINARY"), (9, ""), ("1", "")]
)
def test_ge_counts_its_components(number: Any, expected: str, keys: Literal["keyword", "tag"]) -> None:
    record = {
        "keyword": {"ImageType": ["ORIGINAL", "PRIMARY", "OTHER"], "(0043,xx2F) GEMS_PARM_01": number},
        "tag": {
            "(0008,0008)": ["ORIGINAL", "PRIMARY", "OTHER"],
            "(0043,0011)": "GEMS_PARM_01",
            "(0043,112F)": number,
        },
    }[keys]
    assert component_of(Attributes(record, keys), "MR") == expected


@pytest.mark.parametrize("value", [None, "ORIGINAL", ["ORIGINAL"], ["A", "B", None, 7]])
def test_odd_image_types(value: Any) -> None:
    assert component_of(Attributes({"ImageType": value}, "keyword"), "MR") == ""


def test_one_real_series_mixes_components(shared_data: Path) -> None:
    """Of all series only the field map of an enhanced Philips image lies beside its magnitude."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for file in find(shared_data / "in"):
        try:
            instance = read_instance(file)
        except FileError:
            continue
        if instance.pixels is not None:
            found[file.key.rpartition("/")[0], instance.series_uid] |= {plane.component for plane in instance.planes}
    assert len(found) > 80
    mixed = {folder: components for (folder, _), components in found.items() if len(components) > 1}
    assert mixed == {"dcm_qa_enh/Philips": {"", "FIELD_MAP"}}
