"""A series for eyes: windows, colours, masks drawn and shown. Each module is loaded when it is first used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from crawler.series.display_fields import DisplayFields


class Showing(DisplayFields):
    """Doors to the modules that draw."""

    def view(self, *others: Any, **options: Any) -> Any:
        """Look at the array, and at others beside it: ``a.view()``, ``a.view(b)``, ``a.view([b, c])``.

        Parameters
        ----------
        *others
            Series; or a type of numpy, which gives a plain array of the same bytes, as ``ndarray.view`` does.
        **options
            ``window`` (centre, width; or the width alone, with ``level`` for the centre), ``link``, ``colormap``,
            ``block`` (whether to wait until it is closed), ``how``: "widget" (in a notebook, by ipyniivue), "window"
            (matplotlib), or "auto": a widget in a notebook where ipyniivue is installed, else a window.

        Returns
        -------
        matplotlib.figure.Figure or ipyniivue.NiiVue
            A figure is drawn also where there is no display.

        Raises
        ------
        StopError
            A widget is asked for, and ipyniivue is not installed.
        """
        if others and isinstance(others[0], (str, type, np.dtype)):
            return self.values.view(*others, **options)
        options = {**options, **self._window_of(options)}
        options.pop("level", None)
        listed = [one for other in others for one in (other if isinstance(other, (list, tuple)) else [other])]
        how = options.pop("how", "auto")
        if how not in ("auto", "window", "widget"):
            raise ValueError('how is "auto", "window" or "widget"')
        from crawler.series.widget import in_notebook, is_installed, widget

        if how == "widget" or (how == "auto" and in_notebook() and is_installed()):
            return widget([self, *listed], options.get("window"), options.get("colormap"))
        from crawler.series.viewer import show

        return show([self, *listed], **options)

    def show(self, *others: Any, **options: Any) -> Any:
        """As `view`, without waiting."""
        return self.view(*others, **{"block": False, **options})

    def _window_of(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The window that is asked for, as centre and width; nothing where none is."""
        window, level = options.get("window"), options.get("level")
        if isinstance(window, (tuple, list)) or (window is None and level is None):
            return {}
        center, width = self._window()
        return {"window": (center if level is None else level, width if window is None else window)}

    def get_roi(self, roi: Any = None, follow: bool = False, vertices: bool = False, **options: Any) -> Any:
        """A mask of polygons: of those given, else of those that are drawn in a window (right button).

        Parameters
        ----------
        roi
            Slice -> corners (row, column), or a mask of the same slices.
        follow
            Whether the mask is repeated for every step of the axes before the slices.
        vertices
            Whether the polygons are returned, too.
        """
        from crawler.series.roi import mask_polygons

        if roi is None:
            polygons = self.view(**{**options, "how": "window"}).viewer.shown[0].vertices
        else:
            polygons = roi if isinstance(roi, dict) else mask_polygons(roi)
        mask = self.get_roi_mask(polygons)
        if follow and mask.shape != self.shape:
            full = np.zeros_like(self, dtype=np.uint8)
            full[...] = mask.values
            mask = full
        return (mask, polygons) if vertices else mask

    def get_roi_mask(self, vertices: Any) -> Any:
        """A mask of polygons, uint8, with the place of the slices.

        Parameters
        ----------
        vertices
            Slice -> (row, column) of each corner; or one list of corners, for every slice.
        """
        from crawler.series.roi import roi_mask

        slices = self._description.sizes.get("slice", 1)
        polygons = vertices if isinstance(vertices, dict) else dict.fromkeys(range(slices), vertices)
        return roi_mask(self, polygons)

    def vertices_from_grid(self, grid: Any, align: bool = True) -> dict[int, list[tuple[float, float]]]:
        """Slice -> outline (row, column) of a mask; with `align` of a mask on another grid, taken to this one first."""
        from crawler.series.roi import mask_polygons

        if align and hasattr(grid, "resample") and grid.geometry is not None and self._description.is_placed:
            grid = grid.resample(like=self, interpolation="nearest")
        return mask_polygons(grid)

    def statistics(self, mask: Any = None) -> Any:
        """Least, greatest, mean, deviation, median of finite values, where a mask is not 0."""
        from crawler.series.statistics import statistics

        return statistics(self, mask)

    def calculate_clip_range(self, probs: Sequence[float], bins: int | None = None) -> tuple[float, float]:
        """Values below which two shares of all values lie."""
        from crawler.series.colouring import clip_range

        return clip_range(self.values, probs)

    def to_rgb(self, colormap: Any = None, **options: Any) -> Self:
        """Colours of grey values, uint8, by the window (``clip="hist"``: by shares of values).

        Parameters
        ----------
        colormap
            A name of matplotlib; None for that of the series, or grey.
        **options
            ``lut``, ``norm``, ``clip``, ``probs``: see `colouring.to_rgb`.
        """
        from crawler.series.colouring import to_rgb

        colours = colormap or self.colormap
        return self._made(*to_rgb(self.values, self._description, self._window(), colours, **options))

    def fuse_mask(self, mask: Any, alpha: float = 0.7, blend: bool = False, **options: Any) -> Self:
        """A mask in colours over the image, which keeps the share `alpha`; see `colouring.fuse_mask`."""
        from crawler.series.colouring import fuse_mask

        return self._made(*fuse_mask(self.values, self._description, mask, self._window(), alpha, blend, **options))

    def to_channels(self, channels: Sequence[Any], labels: Sequence[str]) -> Self:
        """Arrays of one shape and place as channels of one; each channel by its label: ``c["x"]``."""
        from crawler.series.colouring import to_channels

        return self._made(*to_channels(channels, labels))
