"""Real files against a table of what other readers make of them, at three levels, and by every decoder there is.

The table is `reference_pixels.json`; how it was made says `make_reference_pixels.py`. It is not made from this package.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from support.reference import SAME_IMAGE
from test_pixels import instance_of

from crawler.display.display import display_for
from crawler.errors import FileError, PixelError
from crawler.model import Frame
from crawler.pixels import codecs
from crawler.pixels.frames import frames
from crawler.pixels.modality import modality, value_type

TABLE: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "support" / "reference_pixels.json").read_text("utf-8")
)
# Transforms of lossy processes are defined to an accuracy, not bit for bit (ISO/IEC 10918-2; 15444-1 annex F).
LOSSY = {"1.2.840.10008.1.2.4.50": 1, "1.2.840.10008.1.2.4.51": 2, "1.2.840.10008.1.2.4.91": 1}
# YBR to RGB rounds, dcmtk truncates where this package rounds, and PS3.3 leaves both open.
LEVELS = 2


@pytest.fixture(scope="module")
def by_name(dicom_files: list[Path]) -> dict[str, Path]:
    return {path.name: path for path in dicom_files}


def first_frame(path: Path) -> Frame:
    return next(frames(instance_of(path), [0]))


def assert_pixels(found: np.ndarray, expected: dict[str, Any], tolerance: float, what: str) -> None:
    for place, value in expected.items():
        row, column = map(int, place.split(","))
        np.testing.assert_allclose(found[row, column], value, rtol=0, atol=tolerance, err_msg=f"{what} at {place}")


@pytest.mark.parametrize("name", TABLE)
def test_three_levels(by_name: dict[str, Path], name: str) -> None:
    known = TABLE[name]
    instance = instance_of(by_name[name])
    frame = first_frame(by_name[name])
    tolerance = LOSSY.get(known["syntax"], 0)
    assert (list(frame.values.shape), frame.values.dtype.name) == (known["shape"], known["dtype"])
    if frame.photometric == known["photometric"]:  # else a decoder of the two has converted: the picture decides
        assert_pixels(frame.values, known["stored"], tolerance, "stored")
    if "modality" in known and "ModalityLUTSequence" not in instance.record:  # a table maps to units of its own
        dtype = value_type([instance], [instance.plane(0)], "modality")
        rounding = 1e-6 * max(abs(value) for value in known["modality"].values())  # float32
        allowed = tolerance * abs(frame.slope) + rounding
        assert_pixels(modality(frame, dtype), known["modality"], allowed, "modality")
    if "display" in known:
        picture = display_for(instance).render(frame)
        assert_pixels(picture, known["display"], LEVELS, f"display by {known['display_by']}")


def plugins(syntax: str) -> list[str]:
    codecs.register()
    try:
        return [name for name in codecs.PREFERENCE if name in get_decoder(syntax).available_plugins]
    except NotImplementedError:
        return []


COMPRESSED = [name for name, known in TABLE.items() if plugins(known["syntax"])]


@pytest.mark.parametrize("name", COMPRESSED)
def test_each_decoder(by_name: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = TABLE[name]
    preferred = first_frame(by_name[name])
    agreed = []
    for plugin in plugins(known["syntax"]):
        monkeypatch.setattr(codecs, "PREFERENCE", (plugin,))
        try:
            frame = first_frame(by_name[name])
        except PixelError:
            continue  # a decoder of fewer processes, such as Pillow: the next in the order takes over
        assert frame.decoder == plugin
        np.testing.assert_allclose(
            display_for(instance_of(by_name[name]), "full").render(frame).astype(int),
            display_for(instance_of(by_name[name]), "full").render(preferred).astype(int),
            atol=LEVELS if known["syntax"] in LOSSY else 0,
            err_msg=plugin,
        )
        agreed.append(plugin)
    assert preferred.decoder == agreed[0], "the first decoder that can is the one that did"


def test_every_syntax_and_interpretation_of_the_files_is_in_the_table(dicom_files: list[Path]) -> None:
    offered = set()
    for path in dicom_files:
        try:
            instance = instance_of(path)
            next(frames(instance, [0]))
        except FileError:
            continue
        assert instance.pixels is not None
        if path.stat().st_size < 20_000_000 and "TransferSyntaxUID" in instance.record:
            offered.add((instance.transfer_syntax, instance.pixels.photometric))
    assert offered - {(known["syntax"], known["header"]) for known in TABLE.values()} == set()


@pytest.mark.parametrize("names", SAME_IMAGE, ids=[names[0] for names in SAME_IMAGE])
def test_one_image_in_many_encodings_gives_one_picture(by_name: dict[str, Path], names: tuple[str, ...]) -> None:
    pictures = [display_for(instance_of(by_name[name])).render(first_frame(by_name[name])) for name in names]
    for name, picture in zip(names[1:], pictures[1:], strict=True):
        np.testing.assert_array_equal(picture, pictures[0], err_msg=name)


# -- what public decoders read, this package reads


def read_by_others(path: Path) -> bool:
    """Whether pydicom with what is installed beside this package's plug-in gives a first frame."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = dcmread(path, force=True)
            decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
            others = [name for name in decoder.available_plugins if name not in ("imagecodecs", "jpegsof3")]
            decoder.as_array(dataset, index=0, raw=True, decoding_plugin=others[0] if others else "")
        except Exception:
            return False
    return True


def test_every_file_that_a_public_decoder_reads_is_shown_and_the_rest_say_why(dicom_files: list[Path]) -> None:
    shown, lost, silent = 0, [], []
    for path in dicom_files:
        try:
            instance = instance_of(path)
            if instance.pixels is None:
                continue
            picture = display_for(instance).render(next(frames(instance, [0])))
        except FileError as error:
            if read_by_others(path):
                lost.append(f"{path.name}: {error}")
            if not error.reason:
                silent.append(path.name)
        else:
            shown += 1
            assert picture.dtype == np.uint8
    assert not lost
    assert not silent
    assert shown > 130


# -- dcmtk


DCMTK = next((name for name in ("dcm2img", "dcmj2pnm") if shutil.which(name)), None)
COLOUR = [
    "examples_ybr_color.dcm",
    "color3d_jpeg_baseline.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "SC_ybr_full_uncompressed.dcm",
    "SC_rgb_dcmtk_+eb+cr.dcm",
    "SC_rgb_dcmtk_+eb+cy+n1.dcm",
    "SC_rgb_dcmtk_+eb+cy+np.dcm",
    "SC_rgb_rle.dcm",
    "OBXXXX1A.dcm",
]


def by_dcmtk(path: Path) -> np.ndarray:
    assert DCMTK is not None
    done = subprocess.run([DCMTK, "+op", "+F", "1", str(path)], capture_output=True, check=True)
    return np.asarray(Image.open(io.BytesIO(done.stdout))).astype(int)


@pytest.mark.system
@pytest.mark.skipif(DCMTK is None, reason="dcmtk's dcmj2pnm is not installed")
@pytest.mark.parametrize("name", COLOUR)
def test_colour_equals_dcmtks(by_name: dict[str, Path], name: str) -> None:
    found = display_for(instance_of(by_name[name])).render(first_frame(by_name[name])).astype(int)
    np.testing.assert_allclose(found, by_dcmtk(by_name[name]), atol=LEVELS)


@pytest.mark.parametrize("name", ["examples_ybr_color.dcm", "color3d_jpeg_baseline.dcm"])
def test_ultrasound_is_neither_green_nor_pink(by_name: dict[str, Path], name: str) -> None:
    picture = display_for(instance_of(by_name[name])).render(first_frame(by_name[name])).astype(int)
    red, green, blue = np.moveaxis(picture, -1, 0)
    # A conversion left out tints grey: Cb = Cr = 128 shown as RGB is green and blue of 128 on a black ground; one done
    # twice turns black into (0, 135, 0). The greater part of an ultrasound image is grey.
    tint = np.maximum(abs(red - green), abs(green - blue))
    assert np.median(tint) <= 4
    assert (tint <= 8).mean() > 0.5
