"""A window to look at series: slices, steps, window and level, several series side by side, positions and polygons.

Works with any backend of matplotlib; without a display a figure is drawn that can be saved. Knows no file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.series.display_fields import window_of
from crawler.series.planes import PlaneStack, plane_stack

Array = npt.NDArray[Any]
PORTS = (4, 5)
"""Most viewports of a page: rows, columns."""
MOVE = 1.0 / 256
"""Share of the window's width by which a pixel of mouse movement changes it."""
CLICK = 3
"""Pixels of mouse movement up to which a press and a release are a click, and no drag."""
HELP = (
    "drag: window and level; click: crosshair; wheel, up, down: slices; left, right: steps; "
    "page up, page down: pages; right button: polygon; h, w, q"
)


@dataclass(eq=False)
class Shown:
    """One series in its viewport; ``cross`` is the row and column of the crosshair."""

    series: Any = field(repr=False)
    stack: PlaneStack = field(repr=False)
    slice: int
    cross: tuple[float, float] | None = None
    step: int = 0
    center: float = 0.0
    width: float = 1.0
    vertices: dict[int, list[tuple[float, float]]] = field(default_factory=dict)

    @classmethod
    def of(cls, series: Any, window: tuple[float, float] | None) -> Shown:
        """Begin in the middle slice."""
        values = series.values
        stack = plane_stack(values if values.dtype.kind in "iufb" else np.abs(values), series.description)
        center, width = (series.windowCenter, series.windowWidth) if window is None else window
        return cls(series, stack, stack.frames.shape[-1] // 2, center=float(center), width=max(float(width), 1e-9))

    @property
    def steps(self) -> int:
        """Number of steps before the slices, all axes together."""
        return max(math.prod(self.stack.frames.shape[:-1]), 1)

    @property
    def slices(self) -> int:
        """Number of slices."""
        return int(self.stack.frames.shape[-1])

    def image(self) -> Array:
        """The plane that is shown."""
        flat = self.stack.values.reshape(self.steps, self.slices, *self.stack.values.shape[len(self.stack.steps) + 1 :])
        return np.asarray(flat[self.step, self.slice])

    def aspect(self) -> float:
        """Height of a pixel by its width."""
        if self.stack.grid is None:
            return 1.0
        spacing = self.stack.grid.spacing
        return float(spacing[1] / spacing[2])

    def text(self) -> str:
        """What the corner says: no element of the patient."""
        lines = [f"slice {self.slice + 1} of {self.slices}"]
        index = np.unravel_index(self.step, self.stack.frames.shape[:-1]) if self.stack.steps else ()
        for axis, number in zip(self.stack.steps, index, strict=True):
            lines.append(f"{axis.name} {axis[int(number)]} {axis.unit}".strip())
        lines.append(f"C {self.center:.5g} W {self.width:.5g}")
        return "\n".join(lines)

    def shares_place(self, other: Shown) -> bool:
        """Whether both lie in the patient, and as far as is known in one frame of reference."""
        grids = [one.stack.grid for one in (self, other)]
        if any(grid is None or not grid.placed for grid in grids):
            return False
        return len({grid.frame_of_reference for grid in grids if grid is not None} - {""}) <= 1

    def point(self, row: float, column: float) -> Any:
        """LPS of a pixel of the plane that is shown."""
        assert self.stack.grid is not None
        return self.stack.grid.position(slice=self.slice, row=row, column=column)

    def go_to(self, point: Any) -> tuple[float, float]:
        """Show the slice nearest to a place, if one is there; return its row and column."""
        assert self.stack.grid is not None
        number, row, column = self.stack.grid.indices_of(point).tolist()
        if -0.5 <= number <= self.slices - 0.5:
            self.slice = min(max(round(number), 0), self.slices - 1)
        return row, column

    def place(self, row: float, column: float) -> str:
        """Index, value and LPS of a pixel."""
        image = self.image()
        at = (round(row), round(column))
        if not (0 <= at[0] < image.shape[0] and 0 <= at[1] < image.shape[1]):
            return ""
        text = f"({self.slice}, {at[0]}, {at[1]}) = {image[at]}"
        if self.stack.grid is not None and self.stack.grid.placed:
            x, y, z = self.stack.grid.position(slice=self.slice, row=row, column=column)
            text += f"   L {x:.1f} P {y:.1f} S {z:.1f} mm"
        return text


class Viewer:
    """Series in one figure.

    Parameters
    ----------
    series
        What is shown, a viewport each.
    window
        (centre, width) for all; None for that of each.
    link
        Whether slices and steps move in all viewports together.
    """

    def __init__(
        self, series: Sequence[Any], window: tuple[float, float] | None = None, link: bool = True, colormap: Any = None
    ) -> None:
        import matplotlib.pyplot as plt  # half a second, and few programs look at series

        self.shown = [Shown.of(one, window) for one in series]
        self.link, self.colormap, self.page, self.hidden = link, colormap, 0, False
        self.per_page = min(len(self.shown), PORTS[0] * PORTS[1])
        columns = min(math.ceil(math.sqrt(self.per_page)), PORTS[1])
        rows = math.ceil(self.per_page / columns)
        self.figure = plt.figure(figsize=(5 * columns, 5 * rows), facecolor="black")
        self.ports = [self.figure.add_subplot(rows, columns, number + 1) for number in range(self.per_page)]
        self._drag: tuple[float, float, int] | None = None
        self._pressed: tuple[Any, ...] | None = None
        connect = self.figure.canvas.mpl_connect
        connect("key_press_event", self.on_key)
        connect("scroll_event", self.on_scroll)
        connect("button_press_event", self.on_press)
        connect("button_release_event", self.on_release)
        connect("motion_notify_event", self.on_move)
        self.draw()

    def draw(self) -> None:
        """Draw the page."""
        first = self.page * self.per_page
        for port, number in zip(self.ports, range(first, first + self.per_page), strict=True):
            port.clear()
            port.set_axis_off()
            if number >= len(self.shown):
                continue
            one = self.shown[number]
            image, low = one.image(), one.center - one.width / 2
            if one.stack.colour:
                port.imshow(image.astype(np.uint8), aspect=one.aspect())
            else:
                colours = one.series.colormap or self.colormap or "gray"
                port.imshow(image, cmap=colours, vmin=low, vmax=low + one.width, aspect=one.aspect())
            if not self.hidden:
                port.text(
                    0.01, 0.99, one.text(), color="white", va="top", ha="left", fontsize=8, transform=port.transAxes
                )
            if one.cross is not None and not self.hidden:
                port.axhline(one.cross[0], color="lime", linewidth=0.6, alpha=0.7)
                port.axvline(one.cross[1], color="lime", linewidth=0.6, alpha=0.7)
                port.set_xlim(-0.5, image.shape[1] - 0.5)
                port.set_ylim(image.shape[0] - 0.5, -0.5)
            polygon = one.vertices.get(one.slice)
            if polygon:
                closed = [*polygon, polygon[0]] if len(polygon) > 2 else polygon
                rows, columns = zip(*closed, strict=True)
                port.plot(columns, rows, "-o", color="yellow", markersize=3, linewidth=1)
            port.format_coord = lambda x, y, one=one: one.place(y, x)
        self.figure.canvas.draw_idle()

    def on_key(self, event: Any) -> None:
        """Keys: see `HELP`."""
        target = self._under(event)
        moves = {"up": 1, "down": -1}
        if event.key in moves:
            self.move_slice(moves[event.key], target)
        elif event.key in ("left", "right"):
            self.move_step(1 if event.key == "right" else -1, target)
        elif event.key in ("pageup", "pagedown"):
            pages = math.ceil(len(self.shown) / self.per_page)
            self.page = (self.page + (1 if event.key == "pagedown" else -1)) % pages
        elif event.key == "h":
            self.hidden = not self.hidden
        elif event.key == "w":
            for one in self.shown if target is None else [target]:
                one.center, one.width = window_of(one.image())
                one.width = max(one.width, 1e-9)
        elif event.key == "escape":
            for one in self.shown if target is None else [target]:
                one.vertices.pop(one.slice, None)
        elif event.key == "q":
            import matplotlib.pyplot as plt

            plt.close(self.figure)
            return
        else:
            return
        self.draw()

    def on_scroll(self, event: Any) -> None:
        """Turn the wheel: slices."""
        self.move_slice(1 if event.button == "up" else -1, self._under(event))
        self.draw()

    def on_press(self, event: Any) -> None:
        """Begin to drag, or with the right button set a vertex of a polygon."""
        one = self._under(event)
        if one is None:
            return
        if event.button == 3 and event.xdata is not None:
            one.vertices.setdefault(one.slice, []).append((float(event.ydata), float(event.xdata)))
            self.draw()
        elif event.button == 1:
            self._drag = (event.x, event.y, self.shown.index(one))
            self._pressed = (event.x, event.y, event.xdata, event.ydata)

    def on_release(self, event: Any) -> None:
        """End to drag; where the mouse did not move, put the crosshair there."""
        drag, self._drag = self._drag, None
        if drag is None or event is None or self._pressed is None or self._pressed[2] is None:
            return
        x, y, column, row = self._pressed
        if max(abs(event.x - x), abs(event.y - y)) <= CLICK:
            self.point_at(self.shown[drag[2]], float(row), float(column))
            self.draw()

    def on_move(self, event: Any) -> None:
        """Drag: to the right widens the window, upwards raises its centre."""
        if self._drag is None or event.x is None:
            return
        x, y, number = self._drag
        one = self.shown[number]
        step = max(one.width, 1e-9) * MOVE
        one.width = max(one.width + (event.x - x) * step, 1e-9)
        one.center += (event.y - y) * step
        self._drag = (event.x, event.y, number)
        self.draw()

    def move_slice(self, by: int, target: Shown | None = None) -> None:
        """Go to another slice, in all series that are linked: by place where they share one, else by number."""
        source = self.shown[self.page * self.per_page] if target is None else target
        source.slice = min(max(source.slice + by, 0), source.slices - 1)
        rows, columns = source.image().shape[:2]
        for one in self._moved(target):
            if one is source:
                continue
            if source.shares_place(one):
                one.go_to(source.point((rows - 1) / 2, (columns - 1) / 2))
            else:
                one.slice = min(max(one.slice + by, 0), one.slices - 1)

    def point_at(self, source: Shown, row: float, column: float) -> None:
        """Put the crosshair on a pixel, and on the same place in all series that are linked and have it."""
        source.cross = (row, column)
        for one in self._moved(source):
            if one is not source and source.shares_place(one):
                one.cross = one.go_to(source.point(row, column))
            elif one is not source and one.image().shape[:2] == source.image().shape[:2]:
                one.cross = (row, column)

    def move_step(self, by: int, target: Shown | None = None) -> None:
        """Go to another step of the axes before the slices."""
        for one in self._moved(target):
            one.step = (one.step + by) % one.steps

    def _moved(self, target: Shown | None) -> list[Shown]:
        return self.shown if self.link or target is None else [target]

    def _under(self, event: Any) -> Shown | None:
        if event.inaxes in self.ports:
            number = self.page * self.per_page + self.ports.index(event.inaxes)
            return self.shown[number] if number < len(self.shown) else None
        return None


def show(
    series: Sequence[Any],
    window: tuple[float, float] | None = None,
    link: bool = True,
    colormap: Any = None,
    block: bool = True,
) -> Any:
    """Open a window, or draw a figure where there is no display.

    Returns
    -------
    matplotlib.figure.Figure
        With its `viewer`.
    """
    import matplotlib
    import matplotlib.pyplot as plt

    viewer = Viewer(series, window, link, colormap)
    viewer.figure.viewer = viewer
    if block and matplotlib.get_backend().lower() not in ("agg", "pdf", "svg", "ps", "cairo", "template"):
        plt.show(block=True)
    return viewer.figure
