"""`volume.order` by an element: a keyword of the dictionary, or a private element."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest
from pydicom import dcmread
from support.factories import ct_series, save
from support.runs import export

from crawler.config.loader import load_config
from crawler.config.sections import VolumeSection
from crawler.errors import ConfigError

B_VALUE = "(0019,xx0C) SIEMENS MR HEADER"


@pytest.mark.parametrize("block", [0x10, 0x11])
def test_a_private_element_is_an_axis(block: int, tmp_path: Path) -> None:
    for number, value in enumerate((700, 0, 50)):
        for path in ct_series(tmp_path / "made", n=3, uid="1.2", Modality="MR"):
            dataset = dcmread(path)
            dataset.SOPInstanceUID = f"1.9.{number}.{dataset.InstanceNumber}"
            dataset.add_new((0x0019, block), "LO", "SIEMENS MR HEADER")
            dataset.add_new((0x0019, (block << 8) | 0x0C), "IS", value)
            save(dataset, tmp_path / "in" / f"{number}{path.name}")
    export(
        tmp_path / "in", tmp_path / "out", metadata={}, volume={"order": B_VALUE, "formats": ["hdf5", "mat", "nifti"]}
    )
    [volume] = (tmp_path / "out" / "volumes").glob("*.h5")
    with h5py.File(volume) as file:
        assert file["image"].shape == (3, 3, 16, 12)
        assert file["image"].attrs["axis_private_0019_0C"].tolist() == [0, 50, 700]


def test_an_axis_has_a_name_that_every_format_takes() -> None:
    section = VolumeSection(order="(0019,xx0c) SIEMENS MR HEADER")
    assert section.element == (0x0019000C, "SIEMENS MR HEADER")
    assert section.axis == "private_0019_0C"
    assert VolumeSection(order="DiffusionBValue").axis == "DiffusionBValue"
    assert VolumeSection(order="te").element == ""


@pytest.mark.parametrize("order", ["(0018,xx0C) CREATOR", "(0019,xx0C)", "(0019,100C) CREATOR", "SaturationTime"])
def test_what_is_no_element_is_refused(order: str) -> None:
    with pytest.raises(ConfigError, match=r"volume\.order"):
        load_config({"dicom": {"dir": "in"}, "volume": {"order": order}})
