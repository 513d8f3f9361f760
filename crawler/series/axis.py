"""Axes of an array: a name, a value a step, a unit. Frozen; an index makes new ones.

Where slices, rows and columns lie in the patient is `grid.py`'s business; their values here are distances in mm along
the axis, from the first.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SPATIAL = ("slice", "row", "column")
"""Names of the axes that lie in the patient, in canonical order."""
SAMPLE = "sample"
"""Name of the axis of colour channels."""
PLANE_AXES = ("row", "column", SAMPLE)
"""Axes inside a frame; all others count frames."""


class Axis:
    """One axis.

    Parameters
    ----------
    name
        "slice", "row", "column", "sample", or what the steps differ in: "time", "b", "te" ...
    values
        One a step: numbers in `unit`, or anything else; None where nothing is known.
    unit
        "mm", "s", "ms", "s/mm2", "degree", "%" or empty.
    keyword
        DICOM keyword of the element that the values come from, and go back to on writing; empty for none.
    directions
        Of diffusion: unit vector of the gradient in patient LPS, one a step, None for no direction.
    """

    __slots__ = ("directions", "keyword", "name", "unit", "values")

    name: str
    values: Array
    unit: str
    keyword: str
    directions: tuple[Any, ...]

    def __init__(
        self, name: str, values: Iterable[Any], unit: str = "", keyword: str = "", directions: Sequence[Any] = ()
    ) -> None:
        held = column_of(values)
        held.setflags(write=False)
        for key, value in zip(
            ("name", "values", "unit", "keyword", "directions"),
            (name, held, unit, keyword, tuple(directions)),
            strict=True,
        ):
            object.__setattr__(self, key, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an axis is frozen: make a new one, and set it (a.axes = a.axes._replace(time=axis))")

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (type(self), self.name, self.values, self.unit, self.keyword, self.directions)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values.tolist())

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | Array) -> Axis: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, SupportsIndex) and not isinstance(index, np.ndarray):
            value = self.values[operator.index(index)]
            return value.item() if isinstance(value, np.generic) else value
        return self.taken(np.arange(len(self))[index])

    def taken(self, steps: Array) -> Axis:
        """The axis with some of its steps, in another order perhaps; -1 stands for a step of which nothing is known."""
        known = np.asarray(steps, dtype=np.intp)
        values: Iterable[Any] = self.values[known] if len(self) else ()
        directions: list[Any] = [self.directions[step] for step in known] if self.directions else []
        if (known < 0).any():
            values = [None if step < 0 else self.values[step] for step in known]
            directions = [None if step < 0 else self.directions[step] for step in known] if self.directions else []
        return self._again(self.name, values, directions)

    def _again(self, name: str, values: Iterable[Any], directions: Sequence[Any]) -> Axis:
        """An axis of the same kind: uniform where its values still are, else one of any values."""
        made = Axis(name, values, self.unit, self.keyword, directions)
        kinds = (UniformLengthAxis,) if isinstance(self, (UniformAxis, UniformLengthAxis)) and made.is_uniform else ()
        kind: type[Axis] = (*kinds, Axis if type(self) is Axis else VariableAxis)[0]
        if kind is not Axis:
            typed = kind.__new__(kind)
            Axis.__init__(typed, name, made.values, made.unit, made.keyword, made.directions)
            return typed
        return made

    def renamed(self, name: str) -> Axis:
        """The same steps under another name."""
        return self._again(name, self.values, self.directions)

    def copy(self, name: str | None = None, n: int | None = None) -> Axis:
        """A copy, of another name or length; values of a longer one go on evenly where they are even."""
        wanted = len(self) if n is None else n
        values: Iterable[Any] = self.values[:wanted]
        if wanted > len(self):
            values = self.start + self.step * np.arange(wanted)
        directions = self.directions[:wanted] if wanted <= len(self) else ()
        return self._again(name or self.name, values, directions)

    def append(self, other: Axis) -> Axis:
        """Both axes, one after the other."""
        directions = (*self.directions, *other.directions) if self.directions and other.directions else ()
        return Axis(self.name, [*self, *other], self.unit, self.keyword, directions)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.values, dtype=dtype)

    def __add__(self, other: Any) -> Array:
        """Values with a number added, as an array."""
        return np.asarray(self.values + np.asarray(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Array:
        """Values with a number taken off, as an array."""
        return np.asarray(self.values - np.asarray(other))

    @property
    def slice(self) -> tuple[Any, Any, Any]:
        """Value of the first step, what would be that behind the last, and the distance between neighbours."""
        return self.start, self.stop, self.step

    @property
    def n(self) -> int:
        """Number of steps."""
        return len(self)

    @property
    def start(self) -> Any:
        """Value of the first step; 0 for an axis without steps."""
        return self[0] if len(self) else 0

    @property
    def stop(self) -> Any:
        """What would be the value behind the last step."""
        return self.start + self.step * len(self)

    @property
    def step(self) -> float:
        """Mean distance between neighbours; 1 where there are none or the values are no numbers."""
        if len(self) < 2 or self.values.dtype.kind not in "iuf":
            return 1.0
        step = float(self.values[-1] - self.values[0]) / (len(self) - 1)
        step = float(f"{step:.12g}")  # of values that were counted up: without what they were rounded by
        return int(step) if self.values.dtype.kind in "iu" and step.is_integer() else step

    @property
    def is_uniform(self) -> bool:
        """Whether neighbours lie equally far from each other, to a thousandth of a step."""
        if self.values.dtype.kind not in "iuf":
            return False
        gaps = np.diff(self.values.astype(float))
        return len(gaps) == 0 or bool(np.abs(gaps - gaps.mean()).max() <= 1e-3 * max(abs(float(gaps.mean())), 1e-12))

    def index_of(self, value: Any) -> int:
        """Step of a value: the equal one, for numbers the nearest within half a step.

        Raises
        ------
        KeyError
            There is none.
        """
        if self.values.dtype.kind in "iuf" and isinstance(value, (int, float, np.number)):
            gaps = np.abs(self.values.astype(float) - float(value))
            nearest = int(gaps.argmin())
            others = np.delete(np.abs(self.values.astype(float) - float(self.values[nearest])), nearest)
            apart = others[others > 0]
            if gaps[nearest] <= (float(apart.min()) / 2 if len(apart) else 1e-6 * max(abs(float(value)), 1.0)):
                return nearest
        else:
            for step, held in enumerate(self):
                if np.array_equal(np.asarray(held, dtype=object), np.asarray(value, dtype=object)):
                    return step
        raise KeyError(f"axis {self.name!r} has no step {value!r}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Axis):
            return NotImplemented
        if (self.name, self.unit, len(self)) != (other.name, other.unit, len(other)):
            return False
        if self.values.dtype.kind in "iuf" and other.values.dtype.kind in "iuf":
            return bool(np.allclose(self.values, other.values, rtol=1e-6, atol=1e-6))  # what a DS keeps of a number
        return list(map(str, self)) == list(map(str, other))

    def __hash__(self) -> int:
        return hash((self.name, self.unit, len(self)))

    def __repr__(self) -> str:
        shown = ", ".join(map(str, self.values[:3].tolist())) + (", ..." if len(self) > 3 else "")
        unit = f" {self.unit}" if self.unit else ""
        return f"<{self.name}: {len(self)} [{shown}]{unit}>"


class UniformAxis(Axis):
    """An axis from `start` up to, and without, `stop`, in steps of `step`."""

    __slots__ = ()

    def __init__(self, name: str, start: float, stop: float, step: float = 1, unit: str = "") -> None:
        super().__init__(name, np.arange(start, stop, step), unit)

    def __repr__(self) -> str:
        return f"UniformAxis({self.name},{self.start},{self.stop},{self.step})"

    def __str__(self) -> str:
        return f"{self.name}: {self.start}:{self.stop}:{self.step}"


class UniformLengthAxis(Axis):
    """An axis of `n` steps of `step` from `start`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"UniformLengthAxis({self.name},{self.start},{len(self)},{self.step})"

    def __str__(self) -> str:
        return f"{self.name}: {len(self)}*({self.start}:{self.step})"

    def __init__(self, name: str, start: float, n: int, step: float = 1, unit: str = "") -> None:
        super().__init__(name, start + step * np.arange(n), unit)


class VariableAxis(Axis):
    """An axis of any values."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"VariableAxis({self.name},{self.values!r})"

    def __str__(self) -> str:
        return f"{self.name}: {self.values}"


def column_of(values: Iterable[Any]) -> Array:
    """Values as a column: of numbers where all are, else of objects."""
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iuf":
        return values.copy()
    listed = list(values)
    if all(
        isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool) for value in listed
    ):
        return np.array(listed) if listed else np.zeros(0)
    column = np.empty(len(listed), dtype=object)
    for number, value in enumerate(listed):
        column[number] = value
    return column


def _remade(kind: type[Axis], *parts: Any) -> Axis:
    """An axis that was pickled or copied, of its own kind."""
    made = kind.__new__(kind)
    Axis.__init__(made, *parts)
    return made


class Axes(tuple[Axis, ...]):
    """The axes of an array, in order; each also by its name: ``axes.te``, ``axes["te"]``."""

    __slots__ = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(axis.name for axis in self)

    @property
    def _fields(self) -> tuple[str, ...]:
        return self.names

    def _replace(self, **named: Axis) -> Axes:
        return Axes(named.get(axis.name, axis) for axis in self)

    def find(self, name: str) -> int | None:
        """Position of a name; None where there is none."""
        return next((number for number, axis in enumerate(self) if axis.name == name), None)

    def __getattr__(self, name: str) -> Axis:
        found = self.find(name)
        if found is None:
            raise AttributeError(f"no axis {name!r}, but {', '.join(self.names)}")
        axis: Axis = self[found]
        return axis

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            return getattr(self, index)
        found = super().__getitem__(index)
        return Axes(found) if isinstance(index, slice) else found


def counted(names: Sequence[str], shape: Sequence[int]) -> Axes:
    """Axes that count their steps from 0."""
    return Axes(UniformLengthAxis(name, 0, count) for name, count in zip(names, shape, strict=True))


def default_names(ndim: int, leading: Sequence[str] = (), colour: bool = False) -> tuple[str, ...]:
    """Names for an array of which nothing is known: the last are slice, row, column (and sample)."""
    last = (*SPATIAL, SAMPLE) if colour else SPATIAL
    if ndim <= len(last):
        return last[len(last) - ndim :]
    before = ndim - len(last)
    named = tuple(leading[-before:]) if len(leading) >= before else tuple(f"axis{n}" for n in range(before))
    named = ("none",) if before == 1 and not leading else named
    return (*named, *last)
