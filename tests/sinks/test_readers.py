"""Every format, read back by a reader that is not ours, puts three marked voxels at the same place in the patient.

One row of `READERS` a format: it returns the value at each world coordinate that the layout gives, and the extents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import scipy.io
import SimpleITK
from support.volumes import matrix, subject, voxels, with_coordinates, write

from crawler.model import Coordinates
from crawler.sinks import LAYOUT_SINKS

MARKED = ((0, 0, 0), (2, 4, 6), (1, 3, 2))
"""Slice, row, column."""

TURNED = np.diag([-1.0, -1.0, 1.0, 1.0])
ECHOES = Coordinates("te", (4.92, 7.38), "EchoTime", "ms")
TIMES = Coordinates("time", (0.0, 2.0, 4.0, 6.0), "AcquisitionTime", "s")
WEIGHTS = Coordinates("b", (0.0, 1000.0), "DiffusionBValue", "s/mm2", (None, (0.0, 0.0, 1.0)))

LAYOUTS = {
    "axial": subject(matrix("axial")),
    "oblique": subject(matrix("oblique")),
    "sheared": subject(matrix("axial", shear=0.5)),
    "time": with_coordinates(subject(matrix("oblique"), (4, 3, 5, 7), ("time", "slice", "row", "column")), TIMES),
    "slices first": with_coordinates(
        subject(matrix("coronal"), (3, 4, 5, 7), ("slice", "time", "row", "column")), TIMES
    ),
    "diffusion": with_coordinates(subject(matrix("sagittal"), (2, 3, 5, 7), ("b", "slice", "row", "column")), WEIGHTS),
    "five axes": with_coordinates(
        subject(matrix("prone"), (2, 4, 3, 5, 7), ("te", "time", "slice", "row", "column")), ECHOES, TIMES
    ),
}

Read = Callable[[str], tuple[np.ndarray, Callable[[np.ndarray], Any]]]
"""Path -> array, whose last three axes are places, and a function from LPS mm to an index of those axes."""


def inverse(affine: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda place: np.linalg.solve(affine, (*place, 1))[:3]


def read_nifti(path: str) -> Any:
    image = nibabel.load(path)
    found = inverse(TURNED @ image.affine)
    return np.asanyarray(image.dataobj).T, lambda place: found(place)[::-1]


def read_metaimage(path: str) -> Any:
    image = SimpleITK.ReadImage(path)
    others = image.GetDimension() - 3

    def found(place: np.ndarray) -> np.ndarray:
        return np.array(image.TransformPhysicalPointToContinuousIndex((*place, *[0.0] * others))[:3])[::-1]

    return SimpleITK.GetArrayFromImage(image), found


def read_npz(path: str) -> Any:
    with np.load(path) as file:
        assert file["axes"].tolist()[-3:] == ["Z", "Y", "X"]
        return file["data"], inverse(file["affine"])


def read_mat(path: str) -> Any:
    found = scipy.io.loadmat(path)
    axes = [str(cell[0]) for cell in found["axes"].ravel()]
    return np.moveaxis(found["A"], axes.index("slice"), -3), inverse(found["affine"])


def read_hdf5(path: str) -> Any:
    with h5py.File(path) as file:
        image = file["image"]
        axes = [axis.label for axis in image.dims]
        return np.moveaxis(image[()], axes.index("slice"), -3), inverse(image.attrs["affine"])


READERS: dict[str, Read] = {
    "hdf5": read_hdf5,
    "nifti": read_nifti,
    "nii": read_nifti,
    "npz": read_npz,
    "metaimage": read_metaimage,
    "mhd": read_metaimage,
    "mat": read_mat,
}


def test_every_format_has_a_reader() -> None:
    assert READERS.keys() == LAYOUT_SINKS.keys()


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("name", list(READERS))
def test_marked_voxels_are_where_they_were(tmp_path, name, layout) -> None:
    made = LAYOUTS[layout]
    array, index_of = READERS[name](write(LAYOUT_SINKS[name](), tmp_path, made)[0])
    expected = np.moveaxis(voxels(made), made.layout.axes.index("slice"), -3)
    assert array.size == expected.size
    assert array.shape[:-3] == expected.shape[:-3]
    for marked in MARKED:
        place = (np.array(made.layout.affine) @ (*marked, 1))[:3]
        index = index_of(place)
        nearest = np.rint(index).astype(int)
        np.testing.assert_allclose(index, nearest, atol=1e-4)  # NIfTI keeps its matrix in float32
        np.testing.assert_array_equal(array[..., *nearest], expected[..., *marked])


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("nifti", lambda path: (nibabel.load(path).header.get_zooms()[3], nibabel.load(path).header.get_xyzt_units())),
        ("metaimage", lambda path: (SimpleITK.ReadImage(path).GetSpacing()[3], ("mm", "sec"))),
        ("mhd", lambda path: (SimpleITK.ReadImage(path).GetSpacing()[3], ("mm", "sec"))),
    ],
)
def test_the_step_of_time_is_in_seconds(tmp_path, name, step) -> None:
    assert step(write(LAYOUT_SINKS[name](), tmp_path, LAYOUTS["time"])[0]) == (2.0, ("mm", "sec"))
    assert step(write(LAYOUT_SINKS[name](), tmp_path, LAYOUTS["five axes"])[0])[0] == 2.0


def told_hdf5(path: str) -> dict[str, Any]:
    with h5py.File(path) as file:
        return dict(file["image"].attrs)


def told_npz(path: str) -> dict[str, Any]:
    with np.load(path) as file:
        return dict(file)


@pytest.mark.parametrize(
    ("name", "read"), [("hdf5", told_hdf5), ("npz", told_npz), ("mat", lambda path: scipy.io.loadmat(path))]
)
def test_what_the_axes_mean_is_told(tmp_path, name, read) -> None:
    told = read(write(LAYOUT_SINKS[name](), tmp_path, LAYOUTS["five axes"])[0])
    np.testing.assert_array_equal(np.ravel(told["axis_te"]), ECHOES.values)
    np.testing.assert_array_equal(np.ravel(told["axis_time"]), TIMES.values)
    assert str(np.ravel(told["axis_te_unit"])[0]) == "ms"
    assert str(np.ravel(told["axis_te_keyword"])[0]) == "EchoTime"
    told = read(write(LAYOUT_SINKS[name](), tmp_path, LAYOUTS["diffusion"])[0])
    np.testing.assert_array_equal(told["axis_b_directions"], [[np.nan] * 3, [0, 0, 1]])
