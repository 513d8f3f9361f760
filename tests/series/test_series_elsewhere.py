"""Series in films, in notebooks and in other libraries; what is missing says how to get it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.mr import mr_series

from crawler import Series, StopError
from crawler.series import widget


@pytest.fixture
def dynamic(tmp_path: Path) -> Any:
    mr_series(tmp_path / "in", times=3, slices=4, size=(33, 20))
    return Series(tmp_path / "in")


def test_films(dynamic: Any, tmp_path: Path) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="pip install -r requirements.txt")
    dynamic.write(tmp_path / "out", formats=["mp4"], fps=5, window=(1500, 3000))
    (file,) = (tmp_path / "out").iterdir()
    program = imageio_ffmpeg.get_ffmpeg_exe()
    raw = subprocess.run(
        [program, "-i", file, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True
    )
    assert b"20x34" in raw.stderr  # an even number of rows
    assert b"5 fps" in raw.stderr
    shown = np.frombuffer(raw.stdout, np.uint8).reshape(12, 34, 20, 3)[:, :33]
    for picture, values in zip(shown, np.asarray(dynamic).reshape(-1, 33, 20), strict=True):
        expected = np.clip(values / 3000, 0, 1) * 255
        assert np.abs(picture.mean(axis=-1) - expected).mean() < 4
    colours = dynamic[0].to_rgb("viridis")
    colours.write(tmp_path / "colours.mp4")
    told = subprocess.run([program, "-i", tmp_path / "colours.mp4", "-f", "null", "-"], capture_output=True, check=True)
    assert b"10 fps" in told.stderr
    assert b"frame=    4" in told.stderr


def test_torch_shares_memory(dynamic: Any) -> None:
    torch = pytest.importorskip("torch", reason="pip install torch")
    a = dynamic.astype(np.float32)
    tensor = a.to_torch()
    assert tuple(tensor.shape) == a.shape
    assert tensor.dtype == torch.float32
    tensor[0, 0, 0, 0] = 7
    assert a[0, 0, 0, 0] == 7
    assert (dynamic > 5).to_torch().dtype == torch.uint8


TENSORS: dict[str, Any] = {
    "as read": lambda a: a,
    "one time": lambda a: a[1],
    "flipped": lambda a: a[:, ::-1, :, ::-1],
    "transposed": lambda a: a.T,
    "steps": lambda a: a[:, ::2, 1::3],
    "int32": lambda a: a.astype(np.int32) - 1000,
    "half": lambda a: a.astype(np.float16),
    "mask": lambda a: a > 1000,
    "big endian": lambda a: a.astype(">i4"),
    "complex": lambda a: a * (1 + 2j),
    "colours": lambda a: a[0].to_rgb("viridis"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_torch_has_the_same_values(dynamic: Any, name: str) -> None:
    torch = pytest.importorskip("torch", reason="pip install torch")
    a = TENSORS[name](dynamic)
    tensor = a.to_torch()
    assert isinstance(tensor, torch.Tensor)
    assert tuple(tensor.shape) == a.shape
    assert np.array_equal(tensor.numpy(), a)


def test_torch_computes_and_the_result_comes_back(dynamic: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="pip install torch")
    lazy = Series.open(tmp_path / "in", "time")
    tensor = lazy.to_torch().to(torch.float64)
    mean = tensor.mean(dim=0)
    assert torch.allclose(mean, torch.from_numpy(np.asarray(np.mean(dynamic, axis=0))))
    smooth = torch.nn.functional.avg_pool3d(mean[None], 3, stride=1, padding=1)[0]
    b = Series(smooth, template=dynamic[0], geometry=dynamic[0])
    assert b.affine == pytest.approx(dynamic.affine)
    b.write(tmp_path / "out")
    again = Series(tmp_path / "out")
    assert (again.patientID, again.imageType[0]) == ("QUICK", "DERIVED")
    assert np.abs(again.values - smooth.numpy()).max() < 0.05
    frozen = np.asarray(dynamic).copy()
    frozen.setflags(write=False)
    held = dynamic.copy()
    held._data = frozen
    held.to_torch()[0] = 0  # a copy: what is read-only stays as it is
    assert np.array_equal(held, dynamic)


@pytest.mark.parametrize(
    ("name", "method", "line"),
    [
        ("torch", "to_torch", "pip install torch"),
        ("SimpleITK", "to_sitk", "pip install SimpleITK"),
        ("xarray", "to_xarray", "pip install xarray"),
        ("nibabel", "to_nibabel", "pip install nibabel"),
    ],
)
def test_what_is_missing_says_how_to_get_it(
    dynamic: Any, monkeypatch: pytest.MonkeyPatch, name: str, method: str, line: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(StopError, match=line):
        getattr(dynamic, method)()


def test_without_ipyniivue_the_install_line(dynamic: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipyniivue", None)
    with pytest.raises(StopError, match=r"ipyniivue: install it with .*requirements-widget\.txt"):
        dynamic.view(how="widget")
    with pytest.raises(ValueError, match="how is"):
        dynamic.view(how="somehow")


class Niivue:
    """What ipyniivue has for a widget, without a browser."""

    def set_radiological_convention(self, wanted: bool) -> None:
        self.radiological = wanted

    def load_volumes(self, volumes: list[dict[str, Any]]) -> None:
        self.volumes = volumes


class Shell:
    kernel = object()


def test_a_notebook_gets_a_widget(dynamic: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is there; else a figure. The browser gets voxels in their place, and nothing of the patient."""
    import types

    import nibabel

    kernel = types.SimpleNamespace(get_ipython=Shell)
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setitem(sys.modules, "ipyniivue", types.SimpleNamespace(NiiVue=Niivue))
    monkeypatch.setattr(widget, "is_installed", lambda: True)
    mask = dynamic[0] > 500
    shown = dynamic[0].view(mask, window=(100, 50))
    assert isinstance(shown, Niivue)
    assert shown.radiological
    first, second = shown.volumes
    assert (first["cal_min"], first["cal_max"], first["colormap"], first["opacity"]) == (75, 125, "gray", 1)
    assert (second["colormap"], second["opacity"]) == ("warm", 0.5)
    image = nibabel.Nifti1Image.from_bytes(first["data"])
    assert np.array_equal(np.asarray(image.dataobj).T, dynamic[0])
    assert np.allclose(image.affine[:3, 3], dynamic.ras_affine[:3, 3])
    assert b"QUICK" not in first["data"].upper()
    assert nibabel.Nifti1Image.from_bytes(second["data"]).get_data_dtype() == np.uint8
    colours = dynamic[0].to_rgb()
    rgb = nibabel.Nifti1Image.from_bytes(widget.nifti_bytes(colours))
    assert np.array_equal(np.stack([np.asarray(rgb.dataobj)[name].T for name in "RGB"], -1), colours)
    assert nibabel.Nifti1Image.from_bytes(widget.nifti_bytes(dynamic * 1j)).get_data_dtype() == np.float64
    monkeypatch.setattr(widget, "is_installed", lambda: False)
    monkeypatch.setattr("crawler.series.viewer.show", lambda series: "a figure")
    assert dynamic[0].view() == "a figure"
    monkeypatch.setattr(widget, "is_installed", lambda: True)
    assert dynamic[0].view(how="window") == "a figure"
    monkeypatch.setattr(kernel, "get_ipython", lambda: None)
    assert dynamic[0].view() == "a figure"


def test_one_plane_of_many_files_opens_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index over whole frames opens nothing, its values one file; headers are read without a pixel."""
    from crawler.dicom import files
    from crawler.series import lazy

    paths = mr_series(tmp_path / "in", times=20, slices=10, size=(64, 64))
    opened: list[str] = []
    real = files.open_file
    for module in [one for one in list(sys.modules.values()) if getattr(one, "open_file", None) is real]:
        monkeypatch.setattr(module, "open_file", lambda file: opened.append(file.path) or real(file))
    decoded: list[str] = []
    decode = lazy.frames
    monkeypatch.setattr(lazy, "frames", lambda one, *rest: decoded.append(one.file.path) or decode(one, *rest))
    a = Series.open(tmp_path / "in")
    assert not decoded
    headers = len(opened)
    assert headers <= len(paths) + 1  # each once, and the first as the template
    plane = a[7, 3]
    part = a[5:, ::2][1, 2]
    assert len(opened) == headers
    assert plane.values.shape == (64, 64)
    assert len(decoded) == 1
    assert plane[0, 0] == 7300
    assert part[0, 0] == 6400
    assert len(decoded) == 2
    assert a.is_lazy
