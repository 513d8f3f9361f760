"""The viewer without a display: keys, mouse and text change what is shown; polygons become masks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.mr import mr_series

from crawler import Series
from crawler.series.roi import polygon_mask


@pytest.fixture
def viewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    import matplotlib

    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "mpl"))
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    mr_series(tmp_path / "in", times=3, slices=4)
    a = Series(tmp_path / "in", "time")
    figure = a.view(a[0] * 2, [a[1]])
    yield figure.viewer
    plt.close(figure)


def key(viewer: Any, name: str) -> None:
    viewer.on_key(SimpleNamespace(key=name, inaxes=None))


def test_keys_move_through_slices_and_steps(viewer: Any) -> None:
    first = viewer.shown[0]
    assert (first.slice, first.step, first.steps) == (2, 0, 3)
    key(viewer, "up")
    key(viewer, "up")
    assert [one.slice for one in viewer.shown] == [3, 3, 3]
    key(viewer, "right")
    assert first.step == 1
    assert first.image()[0, 0] == 1300
    key(viewer, "left")
    key(viewer, "left")
    assert first.step == 2
    viewer.on_scroll(SimpleNamespace(button="down", inaxes=viewer.ports[0]))
    assert first.slice == 2
    assert "time" in first.text()


def test_dragging_changes_window_and_level(viewer: Any) -> None:
    first = viewer.shown[0]
    assert (first.center, first.width) == (50, 100)
    viewer.on_press(SimpleNamespace(button=1, x=0, y=0, xdata=1, ydata=1, inaxes=viewer.ports[0]))
    viewer.on_move(SimpleNamespace(x=64, y=128))
    viewer.on_release(None)
    viewer.on_move(SimpleNamespace(x=500, y=500))
    assert (first.center, first.width) == (100, 125)
    key(viewer, "w")
    assert first.width == 29


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"window": 30, "level": 700}, (700, 30)),  # as imagedata's `show` has them
        ({"level": 700}, (700, 100)),
        ({"window": 30}, (50, 30)),
        ({"window": (700, 30)}, (700, 30)),
        ({}, (50, 100)),
    ],
)
def test_window_and_level_are_given(viewer: Any, options: dict[str, Any], expected: tuple[float, float]) -> None:
    import matplotlib.pyplot as plt

    figure = viewer.shown[0].series.show(**options)
    (shown,) = figure.viewer.shown
    assert (shown.center, shown.width) == expected
    plt.close(figure)


def test_positions_are_those_of_the_series(viewer: Any) -> None:
    text = viewer.shown[0].place(1, 2)
    assert text.startswith("(2, 1, 2) = 207")
    assert "L -8.6 P -19.5 S -24.0 mm" in text
    assert viewer.shown[0].place(99, 2) == ""


def click(viewer: Any, port: int, row: float, column: float) -> None:
    event = SimpleNamespace(button=1, x=9, y=9, xdata=column, ydata=row, inaxes=viewer.ports[port])
    viewer.on_press(event)
    viewer.on_release(event)


def test_a_click_puts_the_crosshair_in_all_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By place: one is cropped and reversed, one has no place, one lies elsewhere."""
    matplotlib = pytest.importorskip("matplotlib", reason="pip install -r requirements-series.txt")
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "mpl"))
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    mr_series(tmp_path / "in", times=1, slices=4)
    mr_series(tmp_path / "far", times=1, slices=4, FrameOfReferenceUID="2.25.9")
    a = Series(tmp_path / "in")
    viewer = a.view(a[::-1, 1:, 2:], Series(np.asarray(a)), Series(tmp_path / "far")).viewer
    click(viewer, 0, 3, 4)
    assert [one.cross for one in viewer.shown] == [(3, 4), (pytest.approx(2), pytest.approx(2)), (3, 4), (3, 4)]
    assert [one.slice for one in viewer.shown] == [2, 1, 2, 2]
    assert "patient" not in repr(viewer.shown).lower()
    assert "QUICK" not in repr(viewer.shown).upper()
    key(viewer, "up")
    assert [one.slice for one in viewer.shown] == [3, 0, 3, 3]
    viewer.link = False
    click(viewer, 1, 0, 0)
    assert viewer.shown[0].cross == (3, 4)
    assert viewer.shown[1].cross == (0, 0)
    plt.close(viewer.figure)


def test_polygons_become_masks(viewer: Any) -> None:
    for row, column in ((0.5, 0.5), (0.5, 3.5), (4.5, 3.5), (4.5, 0.5)):
        viewer.on_press(SimpleNamespace(button=3, x=0, y=0, xdata=column, ydata=row, inaxes=viewer.ports[0]))
    first = viewer.shown[0]
    mask = first.series.get_roi_mask(first.vertices)
    assert mask.axes.names == ("slice", "row", "column")
    assert mask.sum() == 4 * 3
    assert np.array_equal(mask[2, 1:5, 1:4], np.ones((4, 3)))
    assert mask.affine == pytest.approx(first.series.affine)
    assert first.series[0].statistics(mask).count == 12
    key(viewer, "escape")
    assert not first.vertices
    key(viewer, "h")
    assert viewer.hidden


def test_polygon_of_few_corners_is_empty() -> None:
    assert not polygon_mask((4, 4), [(0, 0), (3, 3)]).any()
    assert polygon_mask((4, 4), [(-1, -1), (-1, 9), (9, 9), (9, -1)]).all()


def test_view_of_a_type_is_numpys() -> None:
    assert Series(np.zeros((2, 2), np.float32)).view(np.uint32).dtype == np.uint32
