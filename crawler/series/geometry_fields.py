"""Where an array lies, as attributes to read and to set: LPS in our own names, (z, y, x) in those of seeds/002.

An array that was made of numbers has indices for positions: `affine` is None then, and the names of seeds/002 give
index coordinates. Where a place was lost, reading it is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from crawler.geometry import SHARE, lps_to_ras
from crawler.series.axis import SAMPLE, SPATIAL, Axes, Axis
from crawler.series.description import empty_frames, with_grid
from crawler.series.errors import DoNotSetSlicesError, FieldNotSet, NoGeometry
from crawler.series.grid import Floats, Grid, zyx
from crawler.series.headers import FrameHeader
from crawler.series.step_fields import StepFields
from crawler.series.through import WrittenThrough


class GeometryFields(StepFields):
    """Access to axes and grid."""

    _told_places: tuple[Grid | None, dict[int, Floats]] | None = None

    @property
    def axes(self) -> Axes:
        """One a dimension: name, values, unit."""
        return self._description.axes

    @axes.setter
    def axes(self, axes: Iterable[Any]) -> None:
        given = [as_axis(axis) for axis in axes]
        if given and given[-1].name in _COLOURS:
            given[-1] = given[-1].renamed(SAMPLE)
        if tuple(map(len, given)) != self.shape:
            raise ValueError(f"axes of {tuple(map(len, given))} steps for an array of shape {self.shape}")
        names = [axis.name for axis in given]
        if len(set(names)) != len(names):
            raise ValueError(f"axes have one name each, not {', '.join(names)}")
        description = replace(self._description, axes=Axes(given))
        if len(description.leading) != self._description.frames.ndim:
            description = replace(description, frames=empty_frames([self.shape[n] for n in description.leading]))
        grid = description.grid
        if grid is not None and not grid.placed:
            for axis in given:
                if axis.name in SPATIAL and len(axis) > 1:
                    grid = grid.with_vector(axis.name, axis.step * Grid.of_indices().vectors[axis.name])
            description = replace(description, grid=grid)
        self._description = description

    @property
    def geometry(self) -> Grid | None:
        """Origin and vectors by axis name, patient LPS, mm; None where there is no place."""
        return self._description.grid if self._description.is_placed else None

    @property
    def affine(self) -> Floats | None:
        """Shape (4, 4): index of (slice, row, column) -> patient LPS, mm; None where there is no place."""
        grid = self.geometry
        return None if grid is None else grid.matrix

    @affine.setter
    def affine(self, matrix: npt.ArrayLike | None) -> None:
        old = self._description.grid
        grid = None if matrix is None else Grid.of(matrix, old.frame_of_reference if old is not None else "")
        if matrix is not None and grid is None:
            raise ValueError("an affine is a 4 x 4 matrix that can be inverted")
        self._set_grid(grid)
        self._forget_locations()

    @property
    def ras_affine(self) -> Floats | None:
        """Shape (4, 4): index of (slice, row, column) -> RAS, mm, as NIfTI counts; None where there is no place."""
        matrix = self.affine
        return None if matrix is None else lps_to_ras(matrix)

    @property
    def origin(self) -> Floats | None:
        """LPS of the first voxel, mm; None where there is no place."""
        grid = self.geometry
        return None if grid is None else grid.origin.copy()

    @property
    def spacing(self) -> Floats:
        """Shape (3,): mm between slices, rows, columns; counts from the centres of voxels, not from thickness."""
        return self._grid.spacing

    @spacing.setter
    def spacing(self, spacing: Iterable[float]) -> None:
        wanted, grid = np.asarray(list(spacing), dtype=float), self._grid
        if wanted.shape != (3,) or not (wanted > 0).all():
            raise ValueError("a spacing is three positive numbers: between slices, rows, columns (mm)")
        for name, length in zip(SPATIAL, wanted, strict=True):
            vector = grid.vectors[name]
            grid = grid.with_vector(name, vector * (length / np.linalg.norm(vector)))
        self._set_grid(grid)

    @property
    def orientation(self) -> Floats:
        """Direction of increasing column index, then of increasing row index, each (z, y, x)."""
        cosines = self._grid.orientation
        return np.concatenate([cosines[:3][::-1], cosines[3:][::-1]])

    @orientation.setter
    def orientation(self, cosines: Iterable[float]) -> None:
        values = np.asarray(list(cosines), dtype=float)
        if values.shape != (6,):
            raise ValueError("an orientation is six numbers")
        grid = self._grid
        spacing = grid.spacing
        along, down = values[:3][::-1], values[3:][::-1]
        grid = grid.with_vector("column", along * spacing[2]).with_vector("row", down * spacing[1])
        self._set_grid(grid.with_vector("slice", np.cross(along, down) * spacing[0]))

    @property
    def transformationMatrix(self) -> Floats:
        """Shape (4, 4): index of (slice, row, column) -> (z, y, x), mm."""
        return zyx(self._grid.matrix)

    @transformationMatrix.setter
    def transformationMatrix(self, matrix: npt.ArrayLike) -> None:
        self.affine = zyx(matrix)

    @property
    def imagePositions(self) -> dict[int, Floats]:
        """Slice -> (z, y, x) of its first voxel, mm; ``a.imagePositions[0] = place`` sets it."""
        grid = self._grid
        return WrittenThrough({n: grid.position(slice=n)[::-1] for n in range(self.slices)}, self._set_positions)

    @imagePositions.setter
    def imagePositions(self, positions: Mapping[int, npt.ArrayLike]) -> None:
        """Give slices their places; one alone moves all, and several, also one call after the other, set the step."""
        self._set_positions(positions)

    def _set_positions(self, positions: Mapping[int, npt.ArrayLike]) -> None:
        held = self._told_places
        told = dict(held[1]) if held is not None and held[0] is self._description.grid else {}
        for number, place in positions.items():
            if not 0 <= int(number) < self.slices:
                raise IndexError(f"slice {number} of {self.slices}")
            told[int(number)] = np.asarray(place, dtype=float).ravel()[::-1].copy()
        grid, numbers = self._grid, sorted(told)
        if not numbers:
            return
        first, last = numbers[0], numbers[-1]
        step = grid.vectors["slice"] if first == last else (told[last] - told[first]) / (last - first)
        line = np.array([told[first] + (number - first) * step for number in numbers])
        apart = np.abs(line - np.array([told[number] for number in numbers])).max()
        if first != last and (not step.any() or apart > SHARE * float(np.linalg.norm(step))):
            raise ValueError("the positions are no even line: an array of uneven slices has no geometry")
        grid = grid if first == last else grid.with_vector("slice", step)
        self._set_grid(replace(grid, origin=told[first] - first * step))
        self._told_places = (self._description.grid, told)

    @property
    def sliceLocations(self) -> Floats:
        """Distance of each slice from the patient's origin along the slice normal, mm; or what they were set to."""
        told = [None if one is None else one.changes.get("SliceLocation") for one in self._first_headers()]
        if None not in told:
            return np.array(told, dtype=float)
        grid = self._grid
        return np.array([float(grid.position(slice=number) @ grid.normal) for number in range(self.slices)]) + 0.0

    @sliceLocations.setter
    def sliceLocations(self, locations: Iterable[float]) -> None:
        """Set (0020,1041) *Slice Location* of each slice, and move the slices there along their normal.

        Slices that are not evenly spaced have no place on a grid then.
        """
        wanted = np.asarray(list(locations), dtype=float)
        if len(wanted) != self.slices:
            raise ValueError(f"{len(wanted)} locations for {self.slices} slices")
        gaps, grid = np.diff(wanted), self._description.grid
        uneven = len(gaps) > 0 and np.abs(gaps - gaps.mean()).max() > SHARE * abs(float(gaps.mean()))
        if grid is not None and not uneven and (len(gaps) == 0 or gaps.mean() != 0):
            moved = replace(grid, origin=grid.origin + (wanted[0] - float(grid.origin @ grid.normal)) * grid.normal)
            self._set_grid(moved.with_vector("slice", float(gaps.mean()) * grid.normal) if len(gaps) else moved)
        elif grid is not None and grid.placed:
            self._description = self._description.without_grid()
        frames: Any = self._description.frames.copy()
        place = self._slice_frames()
        for index in np.ndindex(frames.shape):
            number = 0 if place is None else index[place]
            frames[index] = (frames[index] or FrameHeader()).changed("SliceLocation", float(wanted[number]))
        self._description = replace(self._description, frames=frames)

    @property
    def frameOfReferenceUID(self) -> Any:
        """(0020,0052) *Frame of Reference UID*."""
        grid = self._description.grid
        if grid is None or not grid.frame_of_reference:
            raise FieldNotSet("Frame of Reference UID is not set")
        return grid.frame_of_reference

    @frameOfReferenceUID.setter
    def frameOfReferenceUID(self, uid: str) -> None:
        self._description = replace(self._description, grid=replace(self._grid, frame_of_reference=str(uid)))

    @property
    def slices(self) -> int:
        """Number of slices; 1 for a single image."""
        return self._description.sizes.get("slice", 1)

    @slices.setter
    def slices(self, value: int) -> None:
        raise DoNotSetSlicesError("the number of slices follows from the array")

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self._description.sizes.get("row", 1)

    @property
    def columns(self) -> int:
        """Number of columns."""
        return self._description.sizes.get("column", 1)

    def getPositionForVoxel(self, r: npt.ArrayLike, transformation: Any = None) -> Floats:
        """(z, y, x) in mm of voxels by (slice, row, column), shape (3,), (3, 1) or (n, 3); the result likewise."""
        matrix = self.transformationMatrix if transformation is None else np.asarray(transformation, dtype=float)
        points, columns = _points(r)
        found = points @ matrix[:3, :3].T + matrix[:3, 3]
        return np.asarray(_shaped(found, columns), dtype=np.float64)

    def getVoxelForPosition(self, p: npt.ArrayLike, transformation: Any = None) -> npt.NDArray[np.intp]:
        """(slice, row, column), rounded, of places (z, y, x) in mm; shapes as of `getPositionForVoxel`."""
        matrix = self.transformationMatrix if transformation is None else np.asarray(transformation, dtype=float)
        inverse = np.linalg.inv(matrix)
        points, columns = _points(p)
        found = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.intp)
        return np.asarray(_shaped(found, columns), dtype=np.intp)

    def get_transformation_components_xyz(self) -> tuple[Floats, Floats, Floats]:
        """LPS of the first voxel, six direction cosines, way from a slice to the next (mm)."""
        return self._grid.origin.copy(), self._grid.orientation, self._grid.vectors["slice"].copy()

    def get_slice_axis(self) -> Axis | None:
        """The axis of slices; None without."""
        return next((axis for axis in self._description.axes if axis.name == "slice"), None)

    def position(self, index: Iterable[float]) -> Floats:
        """LPS in mm of the voxel (slice, row, column).

        Raises
        ------
        NoGeometry
            The array has no place in the patient.
        """
        grid = self.geometry
        if grid is None:
            raise NoGeometry("the array has no place in the patient")
        return grid.position(**dict(zip(SPATIAL, index, strict=True)))

    def without_geometry(self) -> Self:
        """The same voxels, without a place."""
        return self._made(self._data, self._description.without_grid())

    def _forget_locations(self) -> None:
        """Slice locations that were set before the place was."""
        frames: Any = self._description.frames.copy()
        for index in np.ndindex(frames.shape):
            if frames[index] is not None:
                frames[index] = frames[index].without("SliceLocation")
        self._description = replace(self._description, frames=frames)

    def _slice_frames(self) -> int | None:
        """Which axis of the frames counts slices."""
        names = [self._description.axes[number].name for number in self._description.leading]
        return names.index("slice") if "slice" in names else None

    def _first_headers(self) -> list[Any]:
        """Header of each slice, at the first step of the other axes."""
        frames: Any = self._description.frames
        place = self._slice_frames()
        if not frames.size:
            return [None]
        if place is None:
            return [frames.flat[0]]
        return list(np.moveaxis(frames, place, 0).reshape(frames.shape[place], -1)[:, 0])

    @property
    def _grid(self) -> Grid:
        grid = self._description.grid
        if grid is None:
            raise FieldNotSet("the array has no geometry: its voxels do not lie on one even grid")
        return grid

    def _set_grid(self, grid: Grid | None) -> None:
        placed = None if grid is None else replace(grid, placed=True)
        axes = with_grid(self._description.axes, placed)
        self._description = replace(self._description, grid=placed, axes=axes, in_plane=None)


_COLOURS = ("rgb", "rgba", "color", "colour")  # names that programs give to the axis of channels


def as_axis(axis: Any) -> Axis:
    """An axis of ours, or one that looks like it: a name and values."""
    if isinstance(axis, Axis):
        return axis
    values = getattr(axis, "values", None)
    return Axis(str(axis.name), list(axis) if values is None or callable(values) else values)


def _points(given: npt.ArrayLike) -> tuple[Floats, bool]:
    points = np.asarray(given, dtype=float)
    columns = points.ndim == 2 and points.shape[0] == 3 and points.shape[1] != 3
    points = points.T if columns else points
    if points.shape[-1:] != (3,):
        raise ValueError("points are three numbers each: (slice, row, column) or (z, y, x)")
    return points, columns


def _shaped(points: Any, columns: bool) -> Any:
    return points.T if columns else points
